//! The chains of security groups: one a group and direction, whichever interfaces are in the group.
//!
//! A rule is a point or an interval in protocol, port and address, so a chain is made of sets and not of one nftables rule
//! each: a thousand rules cost a packet some few look-ups. nftables wants a set's intervals apart from each other, which
//! those of rules need not be. But two blocks with prefixes of one length are equal or apart; so each length has sets of its
//! own, and there are 33 lengths at most. What rules say of another group or of a prefix list goes with the set that has
//! that one's addresses.
//!
//! IPv6 does not get as far as this (see [`super::guard`]): what is said of its blocks and of ICMPv6 is left out.

use super::language::{Rule, Value, accept, block, concat, field, is, is_one_of, meta, number, range, set};
use super::ranges::merged;
use super::{list_set, members_set};
use crate::model::{Direction, IcmpMessages, Peer, PrefixListId, SecurityGroupId, SecurityGroupRule, Traffic};
use ipnet::{IpNet, Ipv4Net};
use nftables::expr::MetaKey;
use nftables::stmt::Statement;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Whom the rules of a section are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Peers {
    /// Everybody, which needs no look at the address.
    All,
    /// Blocks with prefixes of this length, in the sets themselves.
    Blocks(u8),
    /// A group, in a set of its own.
    Group(SecurityGroupId),
    /// A prefix list, in a set of its own.
    List(PrefixListId),
}

/// What goes with an address in a set: none where all of the section is about the same peers.
type Place = Option<Ipv4Net>;
/// Ranges of ports by protocol, or of ICMP codes by type.
type Ranges = BTreeMap<(u8, Place), Vec<RangeInclusive<u16>>>;

/// The rules of a group, in one direction, that are about peers of one kind.
#[derive(Debug, Default)]
struct Section {
    everything: BTreeSet<Place>,
    protocols: BTreeSet<(u8, Place)>,
    ports: Ranges,
    icmp: Ranges,
}

/// Rules in sections, by peers.
fn sections<'a>(rules: impl IntoIterator<Item = &'a SecurityGroupRule>) -> BTreeMap<Peers, Section> {
    let mut sections: BTreeMap<Peers, Section> = BTreeMap::new();
    for rule in rules {
        let (peers, place) = match rule.peer {
            Peer::Block(IpNet::V4(block)) if block.prefix_len() == 0 => (Peers::All, None),
            Peer::Block(IpNet::V4(block)) => (Peers::Blocks(block.prefix_len()), Some(block.trunc())),
            Peer::Block(IpNet::V6(_)) => continue,
            Peer::Group(group) => (Peers::Group(group), None),
            Peer::PrefixList(list) => (Peers::List(list), None),
        };
        sections.entry(peers).or_default().add(&rule.traffic, place);
    }
    sections
}

impl Section {
    fn add(&mut self, traffic: &Traffic, place: Place) {
        match traffic {
            Traffic::All => {
                self.everything.insert(place);
            }
            Traffic::Tcp(ports) => self.ports.entry((TCP, place)).or_default().push(ports.clone()),
            Traffic::Udp(ports) => self.ports.entry((UDP, place)).or_default().push(ports.clone()),
            Traffic::Icmp(IcmpMessages::All) => {
                self.protocols.insert((ICMP, place));
            }
            Traffic::Icmp(IcmpMessages::Type(kind)) => self.icmp.entry((*kind, place)).or_default().push(0..=255),
            Traffic::Icmp(IcmpMessages::Code(kind, code)) => {
                let code = u16::from(*code);
                self.icmp.entry((*kind, place)).or_default().push(code..=code);
            }
            Traffic::Protocol(number) => {
                self.protocols.insert((*number, place));
            }
            Traffic::Icmpv6(_) => {}
        }
    }

    /// Its rules in nftables. `peer` says that the packet's other end is one of the section's peers, where that is one
    /// look-up for all of them; `address` is where the packet has that end's address.
    fn compile(self, peer: Option<&Statement<'static>>, address: &Value) -> Vec<Rule> {
        let everything = self.everything.into_iter().map(|place| (Vec::new(), place));
        let protocols = self.protocols.into_iter();
        let protocols = protocols.map(|(protocol, place)| (vec![number(protocol)], place));
        let l4proto = || meta(MetaKey::L4proto);
        let kinds = [
            (Vec::new(), everything.collect()),
            (vec![l4proto()], protocols.collect()),
            (vec![l4proto(), field("th", "dport")], pairs(self.ports)),
            (vec![field("icmp", "type"), field("icmp", "code")], pairs(self.icmp)),
        ];
        let kinds = kinds.into_iter().filter(|(_, elements)| !elements.is_empty());
        let rules = kinds.map(|(fields, elements)| {
            let mut rule: Rule = peer.cloned().into_iter().collect();
            rule.extend(one_of(fields, address, elements));
            rule.push(accept());
            rule
        });
        rules.collect()
    }
}

/// A member of a set, and the block beside it.
type Element = (Vec<Value>, Place);

/// The packet's fields are one of these, together with its address where the elements have blocks. Nothing is to be
/// matched where there are neither fields nor blocks.
fn one_of(mut fields: Vec<Value>, address: &Value, elements: Vec<Element>) -> Option<Statement<'static>> {
    let have_blocks = elements.iter().any(|(_, place)| place.is_some());
    fields.extend(have_blocks.then(|| address.clone()));
    let elements = elements.into_iter().map(|(mut element, place)| {
        element.extend(place.map(block));
        concat(element)
    });
    (!fields.is_empty()).then(|| is_one_of(concat(fields), elements))
}

/// The elements of ranges: a protocol and ports, or a type and codes.
fn pairs(ranges: Ranges) -> Vec<Element> {
    let ranges = ranges.into_iter().flat_map(|((first, place), ranges)| {
        let apart = merged(ranges).into_iter();
        apart.map(move |second| (vec![number(first), range(&second)], place))
    });
    ranges.collect()
}

/// The chain of a group's rules in one direction. What they let through is accepted; the rest comes back.
pub(super) fn compile<'a>(direction: Direction, rules: impl IntoIterator<Item = &'a SecurityGroupRule>) -> Vec<Rule> {
    let address = match direction {
        Direction::Egress => field("ip", "daddr"),
        Direction::Ingress => field("ip", "saddr"),
    };
    let compiled = sections(rules).into_iter().flat_map(|(peers, section)| {
        let peer = match peers {
            Peers::All | Peers::Blocks(_) => None,
            Peers::Group(group) => Some(is(address.clone(), set(&members_set(group)))),
            Peers::List(list) => Some(is(address.clone(), set(&list_set(list)))),
        };
        section.compile(peer.as_ref(), &address)
    });
    compiled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SecurityGroupRuleId;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    /// As much of a packet as rules look at: for ICMP the port is the type and `code` counts.
    #[derive(Debug, Clone, Copy)]
    struct Packet {
        protocol: u8,
        port: u16,
        code: u8,
        address: Ipv4Addr,
    }

    /// Whether an address is in the group or list with that number.
    fn is_member(number: u128, address: Ipv4Addr) -> bool {
        u128::from(address.octets()[3]) % 3 == number
    }

    fn says(rule: &SecurityGroupRule, packet: Packet) -> bool {
        let peer = match rule.peer {
            Peer::Block(IpNet::V4(block)) => block.contains(&packet.address),
            Peer::Block(IpNet::V6(_)) => false,
            Peer::Group(group) => is_member(group.bits(), packet.address),
            Peer::PrefixList(list) => is_member(list.bits(), packet.address),
        };
        let is = |protocol| packet.protocol == protocol;
        peer && match &rule.traffic {
            Traffic::All => true,
            Traffic::Tcp(ports) => is(TCP) && ports.contains(&packet.port),
            Traffic::Udp(ports) => is(UDP) && ports.contains(&packet.port),
            Traffic::Icmp(IcmpMessages::All) => is(ICMP),
            Traffic::Icmp(IcmpMessages::Type(kind)) => is(ICMP) && packet.port == u16::from(*kind),
            Traffic::Icmp(IcmpMessages::Code(kind, code)) => {
                is(ICMP) && packet.port == u16::from(*kind) && packet.code == *code
            }
            Traffic::Protocol(number) => is(*number),
            Traffic::Icmpv6(_) => false,
        }
    }

    impl Section {
        fn lets_through(&self, packet: Packet) -> bool {
            let here = |place: &Place| place.is_none_or(|block| block.contains(&packet.address));
            let within = |ranges: &Ranges, first: u8, second: u16| {
                let mut ranges = ranges.iter().filter(|((one, place), _)| *one == first && here(place));
                ranges.any(|(_, ranges)| ranges.iter().any(|range| range.contains(&second)))
            };
            let mut protocols = self.protocols.iter();
            self.everything.iter().any(here)
                || protocols.any(|(protocol, place)| *protocol == packet.protocol && here(place))
                || [TCP, UDP].contains(&packet.protocol) && within(&self.ports, packet.protocol, packet.port)
                || packet.protocol == ICMP
                    && u8::try_from(packet.port).is_ok_and(|kind| within(&self.icmp, kind, packet.code.into()))
        }
    }

    fn traffic() -> impl Strategy<Value = Traffic> {
        let ports = (0..6_u16, 0..4_u16).prop_map(|(first, more)| first..=first + more);
        prop_oneof![
            Just(Traffic::All),
            ports.clone().prop_map(Traffic::Tcp),
            ports.prop_map(Traffic::Udp),
            Just(Traffic::Icmp(IcmpMessages::All)),
            (0..3_u8).prop_map(|kind| Traffic::Icmp(IcmpMessages::Type(kind))),
            (0..3_u8, 0..3_u8).prop_map(|(kind, code)| Traffic::Icmp(IcmpMessages::Code(kind, code))),
            Just(Traffic::Icmpv6(IcmpMessages::All)),
            (47..50_u8).prop_map(Traffic::Protocol),
        ]
    }

    fn address() -> impl Strategy<Value = Ipv4Addr> {
        (0..2_u8, 0..2_u8, 0..8_u8).prop_map(|(b, c, d)| Ipv4Addr::new(10, b, c, d))
    }

    fn peer() -> impl Strategy<Value = Peer> {
        prop_oneof![
            (address(), prop_oneof![Just(0), Just(8), 14..=32_u8])
                .prop_map(|(address, length)| Peer::Block(Ipv4Net::new(address, length).unwrap().trunc().into())),
            Just(Peer::Block("::/0".parse().unwrap())),
            (0..3_u128).prop_map(|number| Peer::Group(SecurityGroupId::from_random(number))),
            (0..3_u128).prop_map(|number| Peer::PrefixList(PrefixListId::from_random(number))),
        ]
    }

    fn rules() -> impl Strategy<Value = Vec<SecurityGroupRule>> {
        let rule = (traffic(), peer()).prop_map(|(traffic, peer)| SecurityGroupRule {
            id: SecurityGroupRuleId::from_random(0),
            group: SecurityGroupId::from_random(0),
            direction: Direction::Ingress,
            traffic,
            peer,
            description: None,
        });
        proptest::collection::vec(rule, 0..10)
    }

    proptest! {
        #[test]
        fn sections_let_through_what_some_rule_lets_through(
            rules in rules(),
            packets in proptest::collection::vec(
                (prop_oneof![Just(ICMP), Just(TCP), Just(UDP), 47..50_u8], 0..9_u16, 0..3_u8, address()), 20),
        ) {
            let sections = sections(&rules);
            for (protocol, port, code, address) in packets {
                let packet = Packet { protocol, port, code, address };
                let allowed = sections.iter().any(|(peers, section)| {
                    let of_them = match peers {
                        Peers::All | Peers::Blocks(_) => true,
                        Peers::Group(group) => is_member(group.bits(), address),
                        Peers::List(list) => is_member(list.bits(), address),
                    };
                    of_them && section.lets_through(packet)
                });
                prop_assert_eq!(allowed, rules.iter().any(|rule| says(rule, packet)), "{:?}", packet);
            }
        }
    }
}
