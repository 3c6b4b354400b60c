//! What passes through the namespace, between its interfaces and between them and the host, has three chains to pass.
//!
//! `border` looks at every packet, as ACLs do that know of no connections. `egress` and `ingress` ask the groups of the
//! sender and of the receiver; they let through what belongs to a connection that was let through before.

use super::language::{
    Rule, accept, block, concat, connection_state, drop, field, is, is_not, is_one_of, jump, jumps, meta, set, text,
};
use super::table::{Hook, NewTable};
use super::{InterfaceRules, LINK_LOCAL, UPLINK, VpcRules, acls, group_chain, groups, list_set, members_set};
use crate::model::{Direction, Peer, PrefixListId, SecurityGroupId};
use ipnet::{IpNet, Ipv4Net};
use nftables::expr::MetaKey;
use nftables::schema::SetType;
use nftables::types::{NfChainPolicy, NfChainType, NfHook};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Adds the chains for what is forwarded.
pub(super) fn add_to(table: &mut NewTable, firewall: &VpcRules) {
    add_border(table, firewall);
    add_peers(table, firewall);
    add_groups(table, firewall, Direction::Egress, 0);
    add_groups(table, firewall, Direction::Ingress, 10);
}

/// The chain that looks at every packet: at the way out, and at the borders of subnets.
fn add_border(table: &mut NewTable, firewall: &VpcRules) {
    let outward = firewall.interfaces().filter(|one| one.outward);
    table.set(
        "outward",
        &[SetType::Ifname],
        false,
        outward.map(|one| text(&one.link)).collect(),
    );
    let no_way = |uplink, other| {
        vec![
            is(meta(uplink), text(UPLINK)),
            is_not(meta(other), set("outward")),
            drop(),
        ]
    };
    let mut rules = vec![
        no_way(MetaKey::Oifname, MetaKey::Iifname),
        no_way(MetaKey::Iifname, MetaKey::Oifname),
        // What is sent to these addresses stays on its link (RFC 3927, 7), or guests would reach the metadata of the host's host.
        // The host itself has one of them at its end of the uplink: what it began is answered.
        vec![
            is(field("ip", "daddr"), block(LINK_LOCAL)),
            is_one_of(connection_state(), [text("new"), text("invalid"), text("untracked")]),
            drop(),
        ],
    ];
    rules.extend(acls::add_to(table, firewall));
    let hook = Hook {
        kind: NfChainType::Filter,
        hook: NfHook::Forward,
        priority: -10,
        policy: NfChainPolicy::Accept,
    };
    table.base_chain("border", hook, rules);
}

/// The sets of the addresses that rules mean when they name a group or a prefix list.
fn add_peers(table: &mut NewTable, firewall: &VpcRules) {
    let peers = || firewall.rules.iter().map(|rule| rule.peer);
    let groups: BTreeSet<SecurityGroupId> = peers().filter_map(group_of).collect();
    for group in groups {
        let members_of = firewall.interfaces().filter(|one| one.groups.contains(&group));
        let addresses: BTreeSet<Ipv4Addr> = members_of.flat_map(|one| one.addresses.iter().copied()).collect();
        let elements = addresses.into_iter().map(text).collect();
        table.set(&members_set(group), &[SetType::Ipv4Addr], false, elements);
    }
    let lists: BTreeSet<PrefixListId> = peers().filter_map(list_of).collect();
    for list in lists {
        let listed = firewall.prefix_lists.iter().filter(|one| one.id == list);
        let listed = listed
            .flat_map(|one| &one.entries)
            .filter_map(|entry| match entry.block {
                IpNet::V4(block) => Some(block.trunc()),
                IpNet::V6(_) => None,
            });
        // No two intervals of a set may meet.
        let apart = Ipv4Net::aggregate(&listed.collect());
        let elements = apart.into_iter().map(block).collect();
        table.set(&list_set(list), &[SetType::Ipv4Addr], true, elements);
    }
}

/// The chains that ask groups in a direction: one that every packet enters, one an interface, one a group.
fn add_groups(table: &mut NewTable, firewall: &VpcRules, direction: Direction, priority: i32) {
    let used: BTreeSet<SecurityGroupId> = firewall
        .interfaces()
        .flat_map(|one| one.groups.iter().copied())
        .collect();
    for group in used {
        let rules = firewall.rules.iter();
        let rules = rules.filter(|rule| rule.group == group && rule.direction == direction);
        table.chain(group_chain(group, direction), groups::compile(direction, rules));
    }
    let mut ways = Vec::new();
    for one in firewall.interfaces() {
        let chain = format!("{}-{}", one.link, direction.name());
        ways.push((text(&one.link), chain.clone()));
        table.chain(chain, interface(one, direction));
    }
    let (name, link) = match direction {
        Direction::Egress => ("egress", MetaKey::Iifname),
        Direction::Ingress => ("ingress", MetaKey::Oifname),
    };
    let mut rules = vec![
        vec![
            is_one_of(connection_state(), [text("established"), text("related")]),
            accept(),
        ],
        vec![is(connection_state(), text("invalid")), drop()],
        // The host's end has no groups.
        vec![is(meta(link), text(UPLINK)), accept()],
    ];
    if !ways.is_empty() {
        rules.push(vec![jumps(meta(link), ways)]);
    }
    let hook = Hook {
        kind: NfChainType::Filter,
        hook: NfHook::Forward,
        priority,
        policy: NfChainPolicy::Drop,
    };
    table.base_chain(name, hook, rules);
}

/// The chain of an interface: what any of its groups lets through passes.
fn interface(one: &InterfaceRules, direction: Direction) -> Vec<Rule> {
    let mut rules = Vec::new();
    if direction == Direction::Ingress && one.source_dest_check {
        let own = [meta(MetaKey::Oifname), field("ip", "daddr")];
        rules.push(vec![is_not(concat(own.into()), set("addresses")), drop()]);
    }
    rules.extend(
        one.groups
            .iter()
            .map(|group| vec![jump(group_chain(*group, direction))]),
    );
    rules
}

fn group_of(peer: Peer) -> Option<SecurityGroupId> {
    match peer {
        Peer::Group(group) => Some(group),
        Peer::Block(_) | Peer::PrefixList(_) => None,
    }
}

fn list_of(peer: Peer) -> Option<PrefixListId> {
    match peer {
        Peer::PrefixList(list) => Some(list),
        Peer::Block(_) | Peer::Group(_) => None,
    }
}
