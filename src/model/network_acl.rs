//! Network ACLs: stateless rules for what passes a subnet's border.

use super::{Direction, NetworkAclAssociationId, NetworkAclId, SubnetId, Traffic, VpcId};
use ipnet::IpNet;
use time::OffsetDateTime;

/// The number under which EC2 shows what every ACL ends with, each way: what no entry allows is denied.
pub const LAST_ENTRY: u16 = 32767;

/// A network ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAcl {
    /// Its identifier.
    pub id: NetworkAclId,
    /// The VPC whose subnets may use it.
    pub vpc: VpcId,
    /// Whether it is the one that its VPC came with, and that new subnets use.
    pub is_default: bool,
    /// The subnets that it serves, by the association's identifier.
    pub associations: Vec<NetworkAclAssociation>,
    /// Its entries, by direction and number: the first that matches decides. What none matches is denied.
    pub entries: Vec<NetworkAclEntry>,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// That a subnet uses an ACL. Every subnet has just one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkAclAssociation {
    /// Its identifier.
    pub id: NetworkAclAssociationId,
    /// The subnet.
    pub subnet: SubnetId,
}

/// An entry of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAclEntry {
    /// Which way it looks, from the subnet.
    pub direction: Direction,
    /// Its place, below [`LAST_ENTRY`]; no other entry of that direction has it.
    pub number: u16,
    /// The traffic.
    pub traffic: Traffic,
    /// Where the traffic comes from or goes to, without host bits.
    pub block: IpNet,
    /// Whether it passes.
    pub allow: bool,
}
