//! AssignPrivateIpAddresses, UnassignPrivateIpAddresses: an interface's secondary addresses, also while its guest runs.

use super::super::{ApiError, Call, Code, found};
use super::order::{address, count};
use super::{Changed, change, instance_of, tell, vpc_of};
use crate::chain::chain;
use crate::instance::{AddressOrder, assign as assign_addresses};
use crate::model::InstanceId;
use crate::store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AssignPrivateIpAddresses {
    network_interface_id: String,
    #[serde(default)]
    private_ip_addresses: Vec<String>,
    secondary_private_ip_address_count: Option<i64>,
    #[serde(default)]
    allow_reassignment: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Assigned {
    network_interface_id: String,
    assigned_private_ip_addresses: Vec<AssignedAddress>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssignedAddress {
    private_ip_address: String,
}

pub(super) async fn assign(call: Call, request: AssignPrivateIpAddresses) -> Result<Assigned, ApiError> {
    let id = found::interface_id(&request.network_interface_id)?;
    let certain = addresses(&request.private_ip_addresses)?;
    let any = request.secondary_private_ip_address_count;
    if certain.is_empty() != any.is_some() {
        let message = "Name PrivateIpAddresses or SecondaryPrivateIpAddressCount, and not both";
        return Err(ApiError::new(Code::InvalidParameterCombination, message));
    }
    let order = AddressOrder {
        certain,
        any: any.map_or(Ok(0), |any| count("SecondaryPrivateIpAddressCount", any))?,
        may_take: request.allow_reassignment,
    };
    let changed = change(&call, move |store| {
        let mut interface = found::interface(store, id)?;
        // What it has already is no mistake.
        let order = AddressOrder {
            certain: order
                .certain
                .iter()
                .copied()
                .filter(|one| !interface.secondary.contains(one))
                .collect(),
            ..order
        };
        let assigned = assign_addresses(store, &mut interface, &order);
        let (given, robbed) = assigned.map_err(|error| ApiError::from(&error))?;
        let instances = robbed.iter().chain([&interface]).filter_map(instance_of);
        let instances: BTreeSet<InstanceId> = instances.collect();
        Ok(Changed::vpc(vpc_of(store, &interface)?, (given, instances)))
    });
    let (given, instances) = changed.await?;
    bring_to_guests(&call, instances).await?;
    let assigned = given.into_iter().map(|address| AssignedAddress {
        private_ip_address: address.to_string(),
    });
    Ok(Assigned {
        network_interface_id: id.to_string(),
        assigned_private_ip_addresses: assigned.collect(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct UnassignPrivateIpAddresses {
    network_interface_id: String,
    #[serde(default)]
    private_ip_addresses: Vec<String>,
}

pub(super) async fn unassign(call: Call, request: UnassignPrivateIpAddresses) -> Result<(), ApiError> {
    let id = found::interface_id(&request.network_interface_id)?;
    let gone = addresses(&request.private_ip_addresses)?;
    if gone.is_empty() {
        let message = "The request must contain the parameter PrivateIpAddresses";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let changed = change(&call, move |store| {
        let interface = found::interface(store, id)?;
        if let Some(other) = gone.iter().find(|address| !interface.secondary.contains(address)) {
            let message = match *other == interface.address {
                true => format!("{other} is the primary address of {id}, which stays"),
                false => format!("{other} is not assigned to {id}"),
            };
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        let left = interface
            .secondary
            .iter()
            .copied()
            .filter(|address| !gone.contains(address));
        let left: Vec<Ipv4Addr> = left.collect();
        store::network_interfaces::set_secondary(store, &interface, &left)?;
        Ok(Changed::vpc(vpc_of(store, &interface)?, instance_of(&interface)))
    });
    let instance = changed.await?;
    bring_to_guests(&call, instance).await
}

fn addresses(texts: &[String]) -> Result<Vec<Ipv4Addr>, ApiError> {
    let all: BTreeSet<Ipv4Addr> = texts.iter().map(|text| address(text)).collect::<Result<_, _>>()?;
    Ok(all.into_iter().collect())
}

/// Routes what changed, and tells the guests.
async fn bring_to_guests(call: &Call, instances: impl IntoIterator<Item = InstanceId>) -> Result<(), ApiError> {
    for id in instances {
        let routed = call.world.instances.parts().networks.route_addresses(id).await;
        routed.map_err(|error| ApiError::new(Code::Unavailable, chain(&error)))?;
        tell(call, [id]).await?;
    }
    Ok(())
}
