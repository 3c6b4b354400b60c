//! Network ACLs: chains for what crosses a subnet's border, each way, whether or not it belongs to a connection.

use super::language::{Rule, back, block, drop, field, is, jumps, meta, number, range, set, text};
use super::table::NewTable;
use super::{SubnetRules, VpcRules};
use crate::model::{Direction, IcmpMessages, NetworkAclEntry, Traffic};
use ipnet::{IpNet, Ipv4Net};
use nftables::expr::MetaKey;
use nftables::schema::SetType;
use nftables::stmt::Statement;

/// A subnet's side of a packet's way, and the side that it goes to or comes from.
const SIDES: [(Direction, MetaKey, MetaKey); 2] = [
    (Direction::Egress, MetaKey::Iifname, MetaKey::Oifname),
    (Direction::Ingress, MetaKey::Oifname, MetaKey::Iifname),
];

/// Adds the chains of the subnets, and gives the rules that lead there: first out of one subnet, then into the other.
pub(super) fn add_to(table: &mut NewTable, firewall: &VpcRules) -> Vec<Rule> {
    let mut ways = Vec::new();
    for (direction, inside, outside) in SIDES {
        let mut chains = Vec::new();
        for subnet in firewall.subnets.iter().filter(|subnet| has_a_say(subnet, direction)) {
            let chain = format!("{}-{}", subnet.id, direction.name());
            table.chain(chain.clone(), border(subnet, direction, outside));
            let links = subnet.interfaces.iter();
            chains.extend(links.map(|one| (text(&one.link), chain.clone())));
        }
        if !chains.is_empty() {
            ways.push(vec![jumps(meta(inside), chains)]);
        }
    }
    let both = SIDES.map(|(direction, ..)| direction);
    for subnet in &firewall.subnets {
        if both.iter().any(|direction| has_a_say(subnet, *direction)) {
            let links = subnet.interfaces.iter().map(|one| text(&one.link));
            table.set(&subnet.id.to_string(), &[SetType::Ifname], false, links.collect());
        }
    }
    ways
}

/// What an ACL says of IPv4 in a direction, in order: traffic, block, whether it passes.
fn entries(subnet: &SubnetRules, direction: Direction) -> impl Iterator<Item = (&NetworkAclEntry, Ipv4Net)> {
    let entries = subnet.acl.iter().filter(move |entry| entry.direction == direction);
    entries.filter_map(|entry| match entry.block {
        IpNet::V4(block) => Some((entry, block)),
        IpNet::V6(_) => None,
    })
}

/// Whether anything is stopped at the subnet's border; the ACL that a VPC comes with stops nothing.
fn has_a_say(subnet: &SubnetRules, direction: Direction) -> bool {
    let passes_all = entries(subnet, direction)
        .next()
        .is_some_and(|(entry, block)| entry.allow && entry.traffic == Traffic::All && block.prefix_len() == 0);
    !passes_all && !subnet.interfaces.is_empty()
}

/// The chain of a subnet's border: the first entry that matches decides, and what none matches is dropped.
fn border(subnet: &SubnetRules, direction: Direction, outside: MetaKey) -> Vec<Rule> {
    // Within a subnet there is no border.
    let within = vec![is(meta(outside), set(&subnet.id.to_string())), back()];
    let decided = entries(subnet, direction).filter_map(|(entry, block)| {
        let mut rule = matching(&entry.traffic)?;
        rule.extend(address(direction, block));
        rule.push(if entry.allow { back() } else { drop() });
        Some(rule)
    });
    [within].into_iter().chain(decided).chain([vec![drop()]]).collect()
}

/// The other end of the packet is in the block.
fn address(direction: Direction, other_end: Ipv4Net) -> Option<Statement<'static>> {
    let name = match direction {
        Direction::Egress => "daddr",
        Direction::Ingress => "saddr",
    };
    (other_end.prefix_len() > 0).then(|| is(field("ip", name), block(other_end.trunc())))
}

/// The packet is of that traffic; none is, if it is no IPv4.
fn matching(traffic: &Traffic) -> Option<Rule> {
    let protocol = |number: i64| is(meta(MetaKey::L4proto), text(number));
    Some(match traffic {
        Traffic::All => Vec::new(),
        Traffic::Tcp(ports) => vec![is(field("tcp", "dport"), range(ports))],
        Traffic::Udp(ports) => vec![is(field("udp", "dport"), range(ports))],
        Traffic::Icmp(IcmpMessages::All) | Traffic::Protocol(_) => vec![protocol(traffic.protocol())],
        Traffic::Icmp(IcmpMessages::Type(kind)) => vec![is(field("icmp", "type"), number(*kind))],
        Traffic::Icmp(IcmpMessages::Code(kind, code)) => vec![
            is(field("icmp", "type"), number(*kind)),
            is(field("icmp", "code"), number(*code)),
        ],
        Traffic::Icmpv6(_) => return None,
    })
}
