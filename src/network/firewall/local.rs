//! What reaches the namespace itself: from guests its services, from the host nothing.

use super::UPLINK;
use super::language::{accept, connection_state, drop, field, is, is_one_of, meta, number, text};
use super::table::{Hook, NewTable};
use nftables::expr::MetaKey;
use nftables::types::{NfChainPolicy, NfChainType, NfHook};
use std::net::Ipv4Addr;

/// Where guests find their metadata, at EC2 as here.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Adds the chain. Neither groups nor ACLs have a say in it, as EC2 filters none of these services.
pub(super) fn add_to(table: &mut NewTable) {
    let rules = vec![
        vec![
            is_one_of(connection_state(), [text("established"), text("related")]),
            accept(),
        ],
        vec![is(meta(MetaKey::Iifname), text("lo")), accept()],
        vec![is(meta(MetaKey::Iifname), text(UPLINK)), drop()],
        // DHCP.
        vec![
            is(field("udp", "sport"), number(68_u16)),
            is(field("udp", "dport"), number(67_u16)),
            accept(),
        ],
        // Instance metadata.
        vec![
            is(field("ip", "daddr"), text(METADATA)),
            is(field("tcp", "dport"), number(80_u16)),
            accept(),
        ],
        // DNS.
        vec![
            is_one_of(meta(MetaKey::L4proto), [text("tcp"), text("udp")]),
            is(field("th", "dport"), number(53_u16)),
            accept(),
        ],
        vec![is(field("icmp", "type"), text("echo-request")), accept()],
    ];
    let hook = Hook {
        kind: NfChainType::Filter,
        hook: NfHook::Input,
        priority: 0,
        policy: NfChainPolicy::Drop,
    };
    table.base_chain("input", hook, rules);
}
