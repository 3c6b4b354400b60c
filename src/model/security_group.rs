//! Security groups: stateful rules for the interfaces that are in them.

use super::{Direction, PrefixListId, SecurityGroupId, SecurityGroupRuleId, Traffic, VpcId};
use ipnet::IpNet;
use time::OffsetDateTime;

/// The name of the group that each VPC comes with, and that no other group may have.
pub const DEFAULT_GROUP: &str = "default";

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its identifier.
    pub id: SecurityGroupId,
    /// The VPC whose interfaces may be in it.
    pub vpc: VpcId,
    /// Its name; no other group of its VPC has it.
    pub name: String,
    /// For people.
    pub description: String,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// Whom the traffic comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Any address of a block, which is written without host bits.
    Block(IpNet),
    /// The interfaces that are in a group.
    Group(SecurityGroupId),
    /// The blocks of a prefix list.
    PrefixList(PrefixListId),
}

/// What a group lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroupRule {
    /// Its identifier.
    pub id: SecurityGroupRuleId,
    /// The group that it is a rule of.
    pub group: SecurityGroupId,
    /// Which way it looks.
    pub direction: Direction,
    /// The traffic.
    pub traffic: Traffic,
    /// Whom it comes from or goes to.
    pub peer: Peer,
    /// For people.
    pub description: Option<String>,
}
