//! CreateSubnet, CreateDefaultSubnet, DeleteSubnet, ModifySubnetAttribute, DescribeSubnets.

mod describe;
mod modify;

use super::super::places;
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::{ApiError, Call, Code, Operation};
use super::{Changed, block, change, found, make, tag};
use crate::model::{Block, ResourceId, Subnet, Vpc};
use crate::store;
use describe::WireSubnet;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

pub(super) fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CreateDefaultSubnet", create_default),
        Operation::new("CreateSubnet", create),
        Operation::new("DeleteSubnet", delete),
        Operation::new("DescribeSubnets", describe::describe),
        Operation::new("ModifySubnetAttribute", modify::modify),
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateSubnet {
    vpc_id: String,
    cidr_block: Option<String>,
    availability_zone: Option<String>,
    availability_zone_id: Option<String>,
    #[serde(default)]
    ipv6_native: bool,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    subnet: WireSubnet,
}

async fn create(call: Call, request: CreateSubnet) -> Result<Created, ApiError> {
    let id = found::vpc_id(&request.vpc_id)?;
    no_ipv6(request.ipv6_native)?;
    let place = call.world.config.place.clone();
    let zone = (
        request.availability_zone.as_deref(),
        request.availability_zone_id.as_deref(),
    );
    places::zone_must_be_here(&place, zone, Code::InvalidParameterValue)?;
    let text = block::required("CidrBlock", request.cidr_block.as_ref())?;
    let block = block::parse(text, Code::InvalidSubnetRange)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["subnet"])?;
    let made = change(&call, move |store| {
        let vpc = found::vpc(store, id)?;
        must_fit(store, &vpc, block)?;
        let subnet = make::subnet(store, id, block, false)?;
        tag(store, ResourceId::Subnet(subnet.id), tags.of("subnet"))?;
        let shown = WireSubnet::read(store, &place, &subnet, 0)?;
        Ok(Changed::vpc(id, Created { subnet: shown }))
    });
    made.await
}

fn no_ipv6(native: bool) -> Result<(), ApiError> {
    match native {
        true => Err(ApiError::new(
            Code::UnsupportedOperation,
            "Subnets have IPv4 addresses: Ipv6Native is not served",
        )),
        false => Ok(()),
    }
}

/// Refuses a block that is not in its VPC's, or is in part another subnet's.
fn must_fit(store: &Connection, vpc: &Vpc, block: Block) -> Result<(), ApiError> {
    if !vpc.block.contains(block) {
        let message = format!("The CIDR '{block}' is invalid. The VPC has {}", vpc.block);
        return Err(ApiError::new(Code::InvalidSubnetRange, message));
    }
    let others = store::subnets::of_vpc(store, vpc.id)?;
    match others.iter().find(|other| other.block.overlaps(block)) {
        Some(other) => {
            let message = format!(
                "The CIDR '{block}' conflicts with another subnet: {} is {}",
                other.id, other.block
            );
            Err(ApiError::new(Code::InvalidSubnetConflict, message))
        }
        None => Ok(()),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct CreateDefaultSubnet {
    availability_zone: Option<String>,
    availability_zone_id: Option<String>,
    ipv6_native: bool,
}

async fn create_default(call: Call, request: CreateDefaultSubnet) -> Result<Created, ApiError> {
    no_ipv6(request.ipv6_native)?;
    let place = call.world.config.place.clone();
    let zone = (
        request.availability_zone.as_deref(),
        request.availability_zone_id.as_deref(),
    );
    if zone == (None, None) {
        let message = "The request must contain the parameter AvailabilityZone or AvailabilityZoneId";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    places::zone_must_be_here(&place, zone, Code::InvalidParameterValue)?;
    let made = change(&call, move |store| {
        let Some(vpc) = store::vpcs::default(store)? else {
            let message = "There is no default VPC: CreateDefaultVpc makes one, with its subnet";
            return Err(ApiError::new(Code::DefaultVpcDoesNotExist, message));
        };
        if let Some(subnet) = store::subnets::default(store)? {
            let message = format!("The default subnet of {} exists already: {}", place.zone(), subnet.id);
            return Err(ApiError::new(Code::DefaultSubnetAlreadyExists, message));
        }
        let block = free_block(store, &vpc)?;
        let subnet = make::subnet(store, vpc.id, block, true)?;
        let shown = WireSubnet::read(store, &place, &subnet, 0)?;
        Ok(Changed::vpc(vpc.id, Created { subnet: shown }))
    });
    made.await
}

/// The lowest block for a default subnet that no other has a part of.
fn free_block(store: &Connection, vpc: &Vpc) -> Result<Block, ApiError> {
    let others: Vec<Subnet> = store::subnets::of_vpc(store, vpc.id)?;
    let free = |block: &Block| !others.iter().any(|other| other.block.overlaps(*block));
    vpc.block.default_subnets().find(free).ok_or_else(|| {
        let message = format!(
            "The vpc '{}' has no room for a default subnet; delete another subnet first",
            vpc.id
        );
        ApiError::new(Code::InvalidSubnetConflict, message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteSubnet {
    subnet_id: String,
}

async fn delete(call: Call, request: DeleteSubnet) -> Result<(), ApiError> {
    let id = found::subnet_id(&request.subnet_id)?;
    let done = change(&call, move |store| {
        let subnet = found::subnet(store, id)?;
        let interfaces = store::network_interfaces::of_subnet(store, id)?;
        if !interfaces.is_empty() {
            let interfaces: Vec<String> = interfaces.iter().map(|interface| interface.id.to_string()).collect();
            return Err(found::in_use("subnet", id, &interfaces));
        }
        store::route_tables::disassociate(store, id)?;
        store::network_acls::disassociate(store, id)?;
        store::tags::remove_all(store, ResourceId::Subnet(id))?;
        store::subnets::remove(store, id)?;
        Ok(Changed::vpc(subnet.vpc, ()))
    });
    done.await
}
