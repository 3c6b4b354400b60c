//! The firewall of a VPC: from security groups, network ACLs and interfaces to the nftables rules of its namespace.
//!
//! Pure: [`compile()`] makes of a snapshot of the model one transaction for `nft --json`, which replaces the tables
//! `inet kiln` and `arp kiln` as they stand. Conntrack is not touched by that, so a connection that a rule had let through
//! goes on when the rule goes, as EC2's tracked connections do.
//!
//! The namespace routes between its interfaces' taps and to [`UPLINK`], a veth to the host; there is no bridge. What a
//! packet meets:
//!
//! | hook | what | file |
//! |---|---|---|
//! | `arp` input, prerouting before conntrack | only its own addresses leave a tap | `guard` |
//! | input | only DHCP, metadata, DNS and ping reach the namespace itself | `local` |
//! | forward | ACLs of the subnets, then the groups of the sender, then those of the receiver | `forward`, `acls`, `groups` |
//! | prerouting, postrouting | what passes the uplink bears public addresses there, and private ones here | `nat` |
//!
//! What the namespace itself sends is not filtered: these are the answers of DHCP, metadata and DNS, and the daemon's own
//! connections to guests (`kiln ssh`), which reach a guest whatever its groups say.

mod acls;
mod forward;
mod groups;
mod guard;
mod language;
mod local;
mod nat;
mod ranges;
mod table;

use crate::model::{
    Direction, MacAddress, NetworkAclEntry, PrefixList, PrefixListId, SecurityGroupId, SecurityGroupRule, SubnetId,
};
use ipnet::Ipv4Net;
use nftables::schema::Nftables;
use nftables::types::NfFamily;
use std::net::Ipv4Addr;
use table::NewTable;

/// The namespace's link to the host.
pub const UPLINK: &str = "uplink";
/// IPv4's link-local block (RFC 3927).
pub const LINK_LOCAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);

/// What a VPC's firewall is made of.
#[derive(Debug, Clone, Default)]
pub struct VpcRules {
    /// The subnets that have attached interfaces, each once.
    pub subnets: Vec<SubnetRules>,
    /// The rules of all groups that an interface is in.
    pub rules: Vec<SecurityGroupRule>,
    /// The prefix lists that the rules name.
    pub prefix_lists: Vec<PrefixList>,
}

/// A subnet and its interfaces.
#[derive(Debug, Clone)]
pub struct SubnetRules {
    /// The subnet.
    pub id: SubnetId,
    /// The entries of its network ACL, by direction and number.
    pub acl: Vec<NetworkAclEntry>,
    /// Its attached interfaces.
    pub interfaces: Vec<InterfaceRules>,
}

/// An attached interface.
#[derive(Debug, Clone)]
pub struct InterfaceRules {
    /// Its tap's name in the namespace; no other interface of the VPC has it.
    pub link: String,
    /// Its Ethernet address.
    pub mac: MacAddress,
    /// Its private addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Whether it may only send and be sent what bears one of its addresses.
    pub source_dest_check: bool,
    /// The groups that it is in.
    pub groups: Vec<SecurityGroupId>,
    /// Whether a route of its subnet leads it out by the uplink.
    pub outward: bool,
    /// What its primary address, the first, is called outside.
    pub public: Option<Ipv4Addr>,
}

impl VpcRules {
    /// The public addresses that are to reach the VPC: of interfaces that a route leads out.
    pub fn public_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.interfaces().filter(|one| one.outward).filter_map(|one| one.public)
    }

    fn interfaces(&self) -> impl Iterator<Item = &InterfaceRules> {
        self.subnets.iter().flat_map(|subnet| &subnet.interfaces)
    }
}

/// The commands that make a namespace's firewall this one, in one transaction.
#[must_use]
pub fn compile(firewall: &VpcRules) -> Nftables<'static> {
    let mut ip = NewTable::new(NfFamily::INet);
    guard::add_to(&mut ip, firewall);
    local::add_to(&mut ip);
    forward::add_to(&mut ip, firewall);
    nat::add_to(&mut ip, firewall);
    let mut arp = NewTable::new(NfFamily::ARP);
    guard::add_arp_to(&mut arp, firewall);
    Nftables {
        objects: ip.commands().chain(arp.commands()).collect(),
    }
}

/// The chain of a group's rules in a direction.
fn group_chain(group: SecurityGroupId, direction: Direction) -> String {
    format!("{group}-{}", direction.name())
}

/// The set of the addresses that are in a group.
fn members_set(group: SecurityGroupId) -> String {
    format!("{group}-members")
}

/// The set of a prefix list's blocks.
fn list_set(list: PrefixListId) -> String {
    list.to_string()
}

#[cfg(test)]
mod tests;
