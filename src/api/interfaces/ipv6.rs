//! AssignIpv6Addresses, UnassignIpv6Addresses. No subnet here has an IPv6 block, so no interface gets an IPv6 address, and none
//! has one that could go. That is said when all else is right.

use super::super::{ApiError, Call, Code, found};
use super::order::count;
use crate::api::shown::shown;
use crate::model::NetworkInterface;
use ipnet::Ipv6Net;
use serde::Deserialize;
use std::convert::Infallible;
use std::net::Ipv6Addr;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AssignIpv6Addresses {
    network_interface_id: String,
    #[serde(default)]
    ipv6_addresses: Vec<String>,
    ipv6_address_count: Option<i64>,
    #[serde(default)]
    ipv6_prefixes: Vec<String>,
    ipv6_prefix_count: Option<i64>,
}

pub(super) async fn assign(call: Call, request: AssignIpv6Addresses) -> Result<Infallible, ApiError> {
    let named = Named::new(request.ipv6_addresses, request.ipv6_prefixes)?;
    let counts = [
        ("Ipv6AddressCount", request.ipv6_address_count, named.addresses > 0),
        ("Ipv6PrefixCount", request.ipv6_prefix_count, named.prefixes > 0),
    ];
    for (member, asked, is_named) in counts {
        let asked = asked.map(|asked| count(member, asked)).transpose()?;
        if asked.is_some() && is_named {
            let message = format!("Name what to assign or give its {member}, not both");
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
    }
    if named.is_empty() && counts.iter().all(|(_, asked, _)| asked.is_none()) {
        let message = "Name Ipv6Addresses or Ipv6Prefixes, or give their count";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let subnet = interface(&call, &request.network_interface_id).await?.subnet;
    let message = format!("The subnet '{subnet}' has no IPv6 CIDR block: VPCs here are of IPv4 alone");
    Err(ApiError::new(Code::InvalidParameterValue, message))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct UnassignIpv6Addresses {
    network_interface_id: String,
    #[serde(default)]
    ipv6_addresses: Vec<String>,
    #[serde(default)]
    ipv6_prefixes: Vec<String>,
}

pub(super) async fn unassign(call: Call, request: UnassignIpv6Addresses) -> Result<Infallible, ApiError> {
    let named = Named::new(request.ipv6_addresses, request.ipv6_prefixes)?;
    if named.is_empty() {
        let message = "The request must contain the parameter Ipv6Addresses or Ipv6Prefixes";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let id = interface(&call, &request.network_interface_id).await?.id;
    let message = format!("None of these is assigned to '{id}': it has no IPv6 addresses");
    Err(ApiError::new(Code::InvalidParameterValue, message))
}

/// How many addresses and prefixes a request names.
struct Named {
    addresses: usize,
    prefixes: usize,
}

impl Named {
    fn new(addresses: Vec<String>, prefixes: Vec<String>) -> Result<Self, ApiError> {
        let wrong = |text: &&String| text.parse::<Ipv6Addr>().is_err();
        // EC2 gives prefixes of this one length.
        let wrong_prefix = |text: &&String| !text.parse::<Ipv6Net>().is_ok_and(|prefix| prefix.prefix_len() == 80);
        let wrong = addresses
            .iter()
            .find(wrong)
            .or_else(|| prefixes.iter().find(wrong_prefix));
        if let Some(text) = wrong {
            let shown = shown(text);
            let message = format!("Invalid IPv6 address or prefix of 80 bits: '{shown}'");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        Ok(Self {
            addresses: addresses.len(),
            prefixes: prefixes.len(),
        })
    }

    const fn is_empty(&self) -> bool {
        self.addresses == 0 && self.prefixes == 0
    }
}

async fn interface(call: &Call, id: &str) -> Result<NetworkInterface, ApiError> {
    let id = found::interface_id(id)?;
    call.world.store.read(move |store| found::interface(store, id)).await
}
