//! DescribeAddresses. It has no pages.

use super::super::filter::Filter;
use super::super::listing::{Asked, Kind, Shown, list};
use super::super::tagging::WireTag;
use super::super::{ApiError, Call, Code, ids, paging};
use super::{DOMAIN, POOL, parse_address};
use crate::config::Place;
use crate::model::{AllocationId, ElasticAddress, ResourceId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

pub(super) const ADDRESSES: Kind = Kind {
    what: "allocation",
    malformed: Code::InvalidAllocationIdNotFound,
    not_found: Code::InvalidAllocationIdNotFound,
    filters: &[
        "allocation-id",
        "association-id",
        "domain",
        "instance-id",
        "network-border-group",
        "network-interface-id",
        "network-interface-owner-id",
        "private-ip-address",
        "public-ip",
    ],
    max_results: paging::MAX_RESULTS,
};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeAddresses {
    allocation_ids: Vec<String>,
    public_ips: Vec<String>,
    filters: Vec<Filter>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedAddresses {
    addresses: Vec<WireAddress>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireAddress {
    public_ip: String,
    allocation_id: String,
    domain: &'static str,
    public_ipv4_pool: &'static str,
    network_border_group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_interface_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    tags: Vec<WireTag>,
}

pub(super) async fn describe(call: Call, request: DescribeAddresses) -> Result<DescribedAddresses, ApiError> {
    let wanted: Vec<Ipv4Addr> = request
        .public_ips
        .iter()
        .map(|text| parse_address(text))
        .collect::<Result<_, _>>()?;
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let all = store::addresses::list(store)?;
        all.iter()
            .map(|address| WireAddress::read(store, &place, address))
            .collect()
    };
    let asked = Asked::new(request.allocation_ids, request.filters, None, None);
    let (mut addresses, _) = list::<AllocationId, _, _>(&call, asked, &ADDRESSES, read).await?;
    if !wanted.is_empty() {
        addresses.retain(|one: &WireAddress| wanted.iter().any(|address| one.public_ip == address.to_string()));
        let missing = |address: &&Ipv4Addr| !addresses.iter().any(|one| one.public_ip == address.to_string());
        let missing: Vec<&Ipv4Addr> = wanted.iter().filter(missing).collect();
        if !missing.is_empty() {
            return Err(ids::not_found(Code::InvalidAddressNotFound, "address", &missing));
        }
    }
    Ok(DescribedAddresses { addresses })
}

impl WireAddress {
    fn read(store: &Connection, place: &Place, address: &ElasticAddress) -> Result<Self, StoreError> {
        let interface = match address.association {
            Some(association) => store::network_interfaces::get(store, association.interface)?,
            None => None,
        };
        let tags = store::tags::of(store, ResourceId::ElasticIp(address.id))?;
        let attachment = interface.as_ref().and_then(|one| one.attachment.as_ref());
        Ok(Self {
            public_ip: address.address.to_string(),
            allocation_id: address.id.to_string(),
            domain: DOMAIN,
            public_ipv4_pool: POOL,
            network_border_group: place.region().to_owned(),
            association_id: address.association.map(|one| one.id.to_string()),
            network_interface_id: interface.as_ref().map(|one| one.id.to_string()),
            network_interface_owner_id: interface.as_ref().map(|_| place.account().to_owned()),
            private_ip_address: interface.as_ref().map(|one| one.address.to_string()),
            instance_id: attachment.map(|attachment| attachment.instance.to_string()),
            tags: tags.into_iter().map(Into::into).collect(),
        })
    }
}

impl Shown for WireAddress {
    fn id(&self) -> &str {
        &self.allocation_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let value = match filter {
            "allocation-id" => Some(&self.allocation_id),
            "association-id" => self.association_id.as_ref(),
            "domain" => return vec![self.domain.into()],
            "instance-id" => self.instance_id.as_ref(),
            "network-border-group" => Some(&self.network_border_group),
            "network-interface-id" => self.network_interface_id.as_ref(),
            "network-interface-owner-id" => self.network_interface_owner_id.as_ref(),
            "private-ip-address" => self.private_ip_address.as_ref(),
            _ => Some(&self.public_ip),
        };
        value.into_iter().cloned().collect()
    }
}
