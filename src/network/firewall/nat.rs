//! What passes the uplink: there it bears public addresses, here private ones. An interface with a public address has that one
//! in both directions; the others share the uplink's, outward only. The host itself has a link-local one there, which guests may
//! take for one of their own link: to them it is their router.

use super::language::{block, field, is, meta, text};
use super::table::{Hook, NewTable};
use super::{InterfaceRules, LINK_LOCAL, UPLINK, VpcRules};
use nftables::expr::MetaKey;
use nftables::stmt::{NAT, NATFamily, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};
use std::net::Ipv4Addr;

/// Where destination addresses are translated (`NF_IP_PRI_NAT_DST`), and source addresses (`NF_IP_PRI_NAT_SRC`).
const DESTINATION: i32 = -100;
const SOURCE: i32 = 100;

/// Adds both chains.
pub(super) fn add_to(table: &mut NewTable, firewall: &VpcRules) {
    let hook = |hook, priority| Hook {
        kind: NfChainType::NAT,
        hook,
        priority,
        policy: NfChainPolicy::Accept,
    };
    let inward = pairs(firewall).map(|(private, public)| {
        vec![
            is(meta(MetaKey::Iifname), text(UPLINK)),
            is(field("ip", "daddr"), text(public)),
            Statement::DNAT(Some(to(private))),
        ]
    });
    table.base_chain("public", hook(NfHook::Prerouting, DESTINATION), inward.collect());
    let outward = || is(meta(MetaKey::Oifname), text(UPLINK));
    let own = pairs(firewall).map(|(private, public)| {
        vec![
            outward(),
            is(field("ip", "saddr"), text(private)),
            Statement::SNAT(Some(to(public))),
        ]
    });
    // Whoever has no way out was dropped at the border.
    let masquerade = vec![outward(), Statement::Masquerade(None)];
    let of_host = vec![
        is(meta(MetaKey::Iifname), text(UPLINK)),
        is(field("ip", "saddr"), block(LINK_LOCAL)),
        Statement::Masquerade(None),
    ];
    table.base_chain(
        "postrouting",
        hook(NfHook::Postrouting, SOURCE),
        own.chain([masquerade, of_host]).collect(),
    );
}

/// Private and public addresses of the interfaces that have both.
fn pairs(firewall: &VpcRules) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> {
    let pair = |one: &InterfaceRules| one.addresses.first().copied().zip(one.public);
    firewall.interfaces().filter_map(pair)
}

fn to(address: Ipv4Addr) -> NAT<'static> {
    NAT {
        addr: Some(text(address)),
        family: Some(NATFamily::IP),
        port: None,
        flags: None,
    }
}
