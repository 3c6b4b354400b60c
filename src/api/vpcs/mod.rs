//! VPCs and what is in them: subnets, internet gateways, route tables, DHCP options, network ACLs.
//!
//! Every operation that changes something is one transaction, and says which VPC it changed ([`Changed`]).

mod acls;
mod attributes;
mod block;
mod delete;
mod dhcp;
mod gateways;
mod make;
mod routes;
mod subnets;
#[cfg(test)]
pub(super) mod tests;
mod vpc;

pub(super) use make::ensure_default as ensure_default_vpc;

use super::change::{Changed, change, tag};
use super::{Operation, found, listing};

/// The operations of this directory.
pub fn rows() -> Vec<Operation> {
    let vpcs = vec![
        Operation::new("CreateDefaultVpc", vpc::create_default),
        Operation::new("CreateVpc", vpc::create),
        Operation::new("DeleteVpc", delete::delete),
        Operation::new("DescribeVpcAttribute", attributes::describe),
        Operation::new("DescribeVpcs", vpc::describe),
        Operation::new("ModifyVpcAttribute", attributes::modify),
    ];
    [
        vpcs,
        acls::rows(),
        dhcp::rows(),
        gateways::rows(),
        routes::rows(),
        subnets::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
