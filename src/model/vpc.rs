//! VPCs, their subnets, and the gateways by which they reach the world.

use super::{Block, DhcpOptionsId, InternetGatewayId, SubnetId, VpcId};
use time::OffsetDateTime;

/// A VPC: a network of its own, whose addresses mean nothing in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// Its identifier.
    pub id: VpcId,
    /// What its host objects are named by; no other VPC of the host has it.
    pub number: u32,
    /// Its addresses.
    pub block: Block,
    /// What its guests are told by DHCP; without it they are told no domain and no servers.
    pub dhcp_options: Option<DhcpOptionsId>,
    /// Whether instances go here that name no subnet. One VPC at most is so.
    pub is_default: bool,
    /// Whether names are resolved for its guests.
    pub dns_support: bool,
    /// Whether instances with a public address have a public name.
    pub dns_hostnames: bool,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// A subnet: a part of its VPC's addresses that no other subnet has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Its identifier.
    pub id: SubnetId,
    /// The VPC that it is a part of.
    pub vpc: VpcId,
    /// Its addresses; they are of the VPC's block.
    pub block: Block,
    /// Whether it is the default VPC's for instances that name no subnet.
    pub is_default: bool,
    /// Whether an instance that is launched in it gets a public address.
    pub map_public_ip: bool,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// An internet gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternetGateway {
    /// Its identifier.
    pub id: InternetGatewayId,
    /// The VPC that it is attached to; no other gateway is.
    pub vpc: Option<VpcId>,
    /// When it was made.
    pub created: OffsetDateTime,
}
