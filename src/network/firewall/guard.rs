//! Only its own addresses leave an interface: spoofed ones are dropped before conntrack or a neighbour table sees them.
//!
//! No interface has an IPv6 address, so no IPv6 packet that leaves a tap can bear its own: all of it is dropped here, and
//! the rest of the firewall need not look for any.

use super::language::{accept, concat, drop, field, is, is_not, meta, number, set, text};
use super::table::{Hook, NewTable};
use super::{InterfaceRules, UPLINK, VpcRules};
use nftables::expr::MetaKey;
use nftables::schema::SetType::{EtherAddr, Ifname, Ipv4Addr};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};
use std::net::Ipv4Addr as Address;

/// Before conntrack, and after the fragments of a packet were put together (`NF_IP_PRI_RAW`).
const RAW: i32 = -300;

/// Adds the chain for what enters the namespace.
pub(super) fn add_to(table: &mut NewTable, firewall: &VpcRules) {
    let macs = |one: &InterfaceRules| concat(vec![text(&one.link), text(one.mac)]);
    table.set(
        "macs",
        &[Ifname, EtherAddr],
        false,
        firewall.interfaces().map(macs).collect(),
    );
    let own = |one: &InterfaceRules, address: &Address| concat(vec![text(&one.link), text(address)]);
    let addresses = firewall
        .interfaces()
        .flat_map(|one| one.addresses.iter().map(move |address| own(one, address)));
    table.set("addresses", &[Ifname, Ipv4Addr], false, addresses.collect());
    // Who routes for others sends what bears their addresses.
    let routers = firewall.interfaces().filter(|one| !one.source_dest_check);
    table.set(
        "routers",
        &[Ifname],
        false,
        routers.map(|one| text(&one.link)).collect(),
    );

    let link = || meta(MetaKey::Iifname);
    let source = || field("ip", "saddr");
    let is_ipv4 = || is(meta(MetaKey::Nfproto), text("ipv4"));
    let rules = vec![
        vec![is(link(), text("lo")), accept()],
        vec![is(link(), text(UPLINK)), is_ipv4(), accept()],
        vec![
            is_not(concat(vec![link(), field("ether", "saddr")]), set("macs")),
            drop(),
        ],
        vec![is(concat(vec![link(), source()]), set("addresses")), accept()],
        vec![is(link(), set("routers")), is_ipv4(), accept()],
        // A DHCP client that has no address yet (RFC 2131, 4.1).
        vec![
            is(source(), text(Address::UNSPECIFIED)),
            is(field("udp", "sport"), number(68_u16)),
            is(field("udp", "dport"), number(67_u16)),
            accept(),
        ],
    ];
    let hook = Hook {
        kind: NfChainType::Filter,
        hook: NfHook::Prerouting,
        priority: RAW,
        policy: NfChainPolicy::Drop,
    };
    table.base_chain("prerouting", hook, rules);
}

/// Adds the chain for ARP: its sender is the interface, or has no address yet and probes for one (RFC 5227, 1.1).
pub(super) fn add_arp_to(table: &mut NewTable, firewall: &VpcRules) {
    let senders = firewall.interfaces().flat_map(|one| {
        let addresses = one.addresses.iter().copied().chain([Address::UNSPECIFIED]);
        addresses.map(|address| concat(vec![text(&one.link), text(one.mac), text(address)]))
    });
    table.set("senders", &[Ifname, EtherAddr, Ipv4Addr], false, senders.collect());
    let link = || meta(MetaKey::Iifname);
    let sender = concat(vec![link(), field("arp", "saddr ether"), field("arp", "saddr ip")]);
    let rules = vec![
        vec![is(link(), text(UPLINK)), accept()],
        vec![is(sender, set("senders")), accept()],
    ];
    let hook = Hook {
        kind: NfChainType::Filter,
        hook: NfHook::Input,
        priority: 0,
        policy: NfChainPolicy::Drop,
    };
    table.base_chain("input", hook, rules);
}
