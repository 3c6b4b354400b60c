//! Network interfaces: made and deleted, attached and detached, their attributes and addresses.

mod addresses;
mod attach;
mod attributes;
mod create;
mod describe;
mod ipv6;
mod order;
#[cfg(test)]
pub(super) mod tests;

pub(super) use attributes::{Change as InterfaceChange, carry_out as change_interface};
pub(super) use order::{AddressSpecification, InterfaceMembers, MAX_GROUPS, WantedInterface};

use super::change::{Changed, change, tell};
use super::{ApiError, Code, Operation, found, ids, listing};
use crate::instance::InterfaceError;
use crate::model::{InstanceId, NetworkInterface, VpcId};
use rusqlite::Connection;

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::refusing("AssignIpv6Addresses", ipv6::assign),
        Operation::new("AssignPrivateIpAddresses", addresses::assign),
        Operation::new("AttachNetworkInterface", attach::attach),
        Operation::new("CreateNetworkInterface", create::create),
        Operation::new("DeleteNetworkInterface", create::delete),
        Operation::new("DescribeNetworkInterfaceAttribute", attributes::describe),
        Operation::new("DescribeNetworkInterfaces", describe::describe),
        Operation::new("DetachNetworkInterface", attach::detach),
        Operation::new("ModifyNetworkInterfaceAttribute", attributes::modify),
        Operation::new("ResetNetworkInterfaceAttribute", attributes::reset),
        Operation::refusing("UnassignIpv6Addresses", ipv6::unassign),
        Operation::new("UnassignPrivateIpAddresses", addresses::unassign),
    ]
}

impl From<&InterfaceError> for ApiError {
    fn from(error: &InterfaceError) -> Self {
        let code = match error {
            InterfaceError::SubnetGone(id) => return ids::not_found(Code::InvalidSubnetIdNotFound, "subnet", &[id]),
            InterfaceError::Store(_) => return Self::internal(error),
            InterfaceError::Full(_) => Code::InsufficientFreeAddressesInSubnet,
            InterfaceError::OutOfRange { .. } | InterfaceError::PlaceTaken { .. } => Code::InvalidParameterValue,
            InterfaceError::AddressInUse(_) => Code::InvalidIpAddressInUse,
            InterfaceError::NoPublicAddress => Code::InsufficientAddressCapacity,
            InterfaceError::TooManyAddresses => Code::PrivateIpAddressLimitExceeded,
            InterfaceError::NotFound(_) => Code::InvalidNetworkInterfaceIdNotFound,
            InterfaceError::InUse { .. } => Code::InvalidNetworkInterfaceInUse,
            InterfaceError::TooMany => Code::AttachmentLimitExceeded,
            InterfaceError::OtherVpc { .. } => Code::InvalidParameterCombination,
        };
        Self::new(code, error.to_string())
    }
}

/// The VPC that an interface is in.
fn vpc_of(store: &Connection, interface: &NetworkInterface) -> Result<VpcId, ApiError> {
    Ok(found::subnet(store, interface.subnet)?.vpc)
}

/// Where an interface is attached, whether it is still coming or going.
fn instance_of(interface: &NetworkInterface) -> Option<InstanceId> {
    interface.attachment.as_ref().map(|attachment| attachment.instance)
}
