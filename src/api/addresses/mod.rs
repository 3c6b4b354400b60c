//! Elastic addresses: AllocateAddress, AssociateAddress, DisassociateAddress, ReleaseAddress, DescribeAddresses,
//! DescribeAddressesAttribute.

mod associate;
mod association;
mod attributes;
mod describe;
#[cfg(test)]
mod tests;

pub(super) use association::WireAssociation;

use super::change::{Changed, change, tag};
use super::tagging::{TagSpecification, TagSpecifications};
use super::{ApiError, Call, Code, Operation, ids};
use crate::api::shown::shown;
use crate::instance::free_public_address;
use crate::model::{AllocationId, ElasticAddress, ResourceId};
use crate::store::{self, random_bits};
use ipnet::Ipv4Net;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("AllocateAddress", allocate),
        Operation::new("AssociateAddress", associate::associate),
        Operation::new("DescribeAddresses", describe::describe),
        Operation::new("DescribeAddressesAttribute", attributes::describe),
        Operation::new("DisassociateAddress", associate::disassociate),
        Operation::new("ReleaseAddress", release),
    ]
}

/// The one kind of address that there is.
const DOMAIN: &str = "vpc";
/// What EC2 calls its own pool.
const POOL: &str = "amazon";
/// The name of the resource type in tags.
const RESOURCE_TYPE: &str = "elastic-ip";

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct AllocateAddress {
    domain: Option<String>,
    address: Option<String>,
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Allocated {
    allocation_id: String,
    public_ip: String,
    public_ipv4_pool: &'static str,
    network_border_group: String,
    domain: &'static str,
}

async fn allocate(call: Call, request: AllocateAddress) -> Result<Allocated, ApiError> {
    if request.domain.is_some_and(|domain| domain != DOMAIN) {
        let message = format!("Addresses are of the domain {DOMAIN}: EC2-Classic is gone");
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    let wanted = request.address.as_deref().map(parse_address).transpose()?;
    let tags = TagSpecifications::new(request.tag_specifications, &[RESOURCE_TYPE])?;
    let pool = call.world.config.network.public_pool.clone();
    let region = call.world.config.place.region().to_owned();
    let made = change(&call, move |store| {
        let address = ElasticAddress {
            id: AllocationId::from_random(random_bits()),
            address: take(store, &pool, wanted)?,
            association: None,
            created: OffsetDateTime::now_utc(),
        };
        store::addresses::add(store, &address)?;
        tag(store, ResourceId::ElasticIp(address.id), tags.of(RESOURCE_TYPE))?;
        Ok(Changed::nothing(Allocated {
            allocation_id: address.id.to_string(),
            public_ip: address.address.to_string(),
            public_ipv4_pool: POOL,
            network_border_group: region,
            domain: DOMAIN,
        }))
    });
    made.await
}

/// A free address of the pool; a certain one, if it is wanted.
fn take(store: &Connection, pool: &[Ipv4Net], wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr, ApiError> {
    match wanted {
        Some(address) if !pool.iter().any(|block| block.contains(&address)) => {
            let message =
                format!("The address {address} is not of this host's pool (network.public_pool in kiln.toml)");
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
        Some(address) if store::addresses::taken(store)?.contains(&address) => {
            let message = format!("The address {address} is allocated already");
            Err(ApiError::new(Code::InvalidIpAddressInUse, message))
        }
        Some(address) => Ok(address),
        None => free_public_address(store, pool)?.ok_or_else(|| {
            let message = match pool.is_empty() {
                true => "This host has no public addresses: name some in network.public_pool of kiln.toml",
                false => "All addresses of network.public_pool in kiln.toml are allocated: release one, or name more",
            };
            ApiError::new(Code::InsufficientAddressCapacity, message)
        }),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct ReleaseAddress {
    allocation_id: Option<String>,
    public_ip: Option<String>,
}

async fn release(call: Call, request: ReleaseAddress) -> Result<(), ApiError> {
    let named = Named::new(request.allocation_id, request.public_ip)?;
    let done = change(&call, move |store| {
        let address = named.find(store)?;
        if let Some(association) = address.association {
            let message = format!("Address {} is in use by {}", address.address, association.interface);
            return Err(ApiError::new(Code::InvalidIpAddressInUse, message));
        }
        store::tags::remove_all(store, ResourceId::ElasticIp(address.id))?;
        store::addresses::remove(store, address.id)?;
        Ok(Changed::nothing(()))
    });
    done.await
}

/// How a request names an address.
#[derive(Debug, Clone, Copy)]
enum Named {
    Allocation(AllocationId),
    Address(Ipv4Addr),
}

impl Named {
    fn new(allocation: Option<String>, address: Option<String>) -> Result<Self, ApiError> {
        match (allocation, address) {
            (Some(id), None) => ids::parse(&id, Code::InvalidAllocationIdNotFound).map(Self::Allocation),
            (None, Some(address)) => parse_address(&address).map(Self::Address),
            (Some(_), Some(_)) => {
                let message = "Name the address by AllocationId or by PublicIp, not both";
                Err(ApiError::new(Code::InvalidParameterCombination, message))
            }
            (None, None) => Err(ApiError::new(
                Code::MissingParameter,
                "The request must contain AllocationId",
            )),
        }
    }

    fn find(self, store: &Connection) -> Result<ElasticAddress, ApiError> {
        match self {
            Self::Allocation(id) => store::addresses::get(store, id)?
                .ok_or_else(|| ids::not_found(Code::InvalidAllocationIdNotFound, "allocation", &[id])),
            Self::Address(address) => {
                let found = store::addresses::list(store)?
                    .into_iter()
                    .find(|one| one.address == address);
                found.ok_or_else(|| ids::not_found(Code::InvalidAddressNotFound, "address", &[address]))
            }
        }
    }
}

/// A public address of a request.
fn parse_address(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| {
        let shown = shown(text);
        ApiError::new(
            Code::InvalidAddressMalformed,
            format!("Invalid IPv4 address: '{shown}'"),
        )
    })
}
