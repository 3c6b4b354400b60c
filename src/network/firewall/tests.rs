//! Rules as they are written, and what `nft` says of them.

use super::*;
use crate::model::{AddressFamily, IcmpMessages, NetworkAclEntry, Peer, PrefixListEntry, SecurityGroupRuleId, Traffic};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use time::OffsetDateTime;

const WEB: SecurityGroupId = SecurityGroupId::from_random(1);
const DATABASE: SecurityGroupId = SecurityGroupId::from_random(2);
const LIST: PrefixListId = PrefixListId::from_random(3);

fn rule(group: SecurityGroupId, direction: Direction, traffic: Traffic, peer: Peer) -> SecurityGroupRule {
    SecurityGroupRule {
        id: SecurityGroupRuleId::from_random(0),
        group,
        direction,
        traffic,
        peer,
        description: None,
    }
}

fn block(text: &str) -> Peer {
    Peer::Block(text.parse().unwrap())
}

fn interface(number: u8, groups: &[SecurityGroupId]) -> InterfaceRules {
    InterfaceRules {
        link: format!("eni{number}"),
        mac: MacAddress::from_random([0, 0, 0, 0, number]),
        addresses: vec![Ipv4Addr::new(10, 0, 0, number)],
        source_dest_check: true,
        groups: groups.to_vec(),
        outward: true,
        public: None,
    }
}

fn entry(direction: Direction, number: u16, traffic: Traffic, block: &str, allow: bool) -> NetworkAclEntry {
    NetworkAclEntry {
        direction,
        number,
        traffic,
        block: block.parse().unwrap(),
        allow,
    }
}

fn open_acl() -> Vec<NetworkAclEntry> {
    let open = |direction| entry(direction, 100, Traffic::All, "0.0.0.0/0", true);
    vec![open(Direction::Egress), open(Direction::Ingress)]
}

fn subnet(number: u128, acl: Vec<NetworkAclEntry>, interfaces: Vec<InterfaceRules>) -> SubnetRules {
    SubnetRules {
        id: SubnetId::from_random(number),
        acl,
        interfaces,
    }
}

/// A web server, open to all, and a database, open to the web server.
fn example() -> VpcRules {
    VpcRules {
        subnets: vec![subnet(
            9,
            open_acl(),
            vec![interface(1, &[WEB]), interface(2, &[DATABASE])],
        )],
        rules: vec![
            rule(WEB, Direction::Ingress, Traffic::Tcp(80..=80), block("0.0.0.0/0")),
            rule(WEB, Direction::Ingress, Traffic::Tcp(22..=22), block("192.0.2.0/24")),
            rule(WEB, Direction::Ingress, Traffic::Tcp(22..=22), block("198.51.100.0/24")),
            rule(WEB, Direction::Egress, Traffic::All, block("0.0.0.0/0")),
            rule(
                DATABASE,
                Direction::Ingress,
                Traffic::Tcp(5432..=5432),
                Peer::Group(WEB),
            ),
            rule(DATABASE, Direction::Ingress, Traffic::All, Peer::PrefixList(LIST)),
        ],
        prefix_lists: vec![PrefixList {
            id: LIST,
            name: "offices".into(),
            family: AddressFamily::Ipv4,
            max_entries: 3,
            version: 1,
            entries: ["203.0.113.0/25", "203.0.113.128/25", "10.9.0.0/16"]
                .map(|block| PrefixListEntry {
                    block: block.parse().unwrap(),
                    description: None,
                })
                .into(),
            created: OffsetDateTime::UNIX_EPOCH,
        }],
    }
}

fn commands(firewall: &VpcRules) -> Vec<Value> {
    let compiled = serde_json::to_value(compile(firewall)).unwrap();
    compiled["nftables"].as_array().unwrap().clone()
}

/// What is added, of that kind.
fn added<'c>(commands: &'c [Value], kind: &str) -> Vec<&'c Value> {
    commands.iter().filter_map(|command| command["add"].get(kind)).collect()
}

/// The statements of each rule of a chain.
fn chain(firewall: &VpcRules, name: &str) -> Vec<Value> {
    let commands = commands(firewall);
    let rules = added(&commands, "rule");
    let here = rules
        .iter()
        .filter(|rule| rule["family"] == "inet" && rule["chain"] == name);
    here.map(|rule| rule["expr"].clone()).collect()
}

/// The elements of a set.
fn elements(firewall: &VpcRules, name: &str) -> Value {
    let commands = commands(firewall);
    let sets = added(&commands, "set");
    let found = sets.iter().find(|set| set["family"] == "inet" && set["name"] == name);
    found.unwrap_or_else(|| panic!("No set {name}"))["elem"].clone()
}

fn source() -> Value {
    json!({"payload": {"protocol": "ip", "field": "saddr"}})
}

fn ports() -> [Value; 2] {
    [
        json!({"meta": {"key": "l4proto"}}),
        json!({"payload": {"protocol": "th", "field": "dport"}}),
    ]
}

#[test]
fn the_rules_of_a_group_become_a_set_for_each_length_of_prefix() {
    let [protocol, port] = ports();
    let of = |address: &str| json!({"concat": [6, 22, {"prefix": {"addr": address, "len": 24}}]});
    let expected = [
        json!([
            {"match": {"op": "==", "left": {"concat": [protocol, port]}, "right": {"set": [{"concat": [6, 80]}]}}},
            {"accept": null},
        ]),
        json!([
            {"match": {
                "op": "==",
                "left": {"concat": [protocol, port, source()]},
                "right": {"set": [of("192.0.2.0"), of("198.51.100.0")]},
            }},
            {"accept": null},
        ]),
    ];
    assert_eq!(chain(&example(), &group_chain(WEB, Direction::Ingress)), expected);
    assert_eq!(
        chain(&example(), &group_chain(WEB, Direction::Egress)),
        [json!([{"accept": null}])]
    );
    assert!(chain(&example(), &group_chain(DATABASE, Direction::Egress)).is_empty());
}

#[test]
fn groups_and_prefix_lists_are_sets_of_their_addresses() {
    let firewall = example();
    assert_eq!(elements(&firewall, &members_set(WEB)), json!(["10.0.0.1"]));
    let whole = json!([
        {"prefix": {"addr": "10.9.0.0", "len": 16}},
        {"prefix": {"addr": "203.0.113.0", "len": 24}},
    ]);
    assert_eq!(elements(&firewall, &list_set(LIST)), whole);
    let [of_group, of_list] = chain(&firewall, &group_chain(DATABASE, Direction::Ingress))
        .try_into()
        .unwrap();
    assert_eq!(of_group[0]["match"]["right"], json!(format!("@{}", members_set(WEB))));
    assert_eq!(of_list[0]["match"]["right"], json!(format!("@{}", list_set(LIST))));
}

#[test]
fn a_thousand_rules_are_a_handful_of_look_ups() {
    let mut firewall = example();
    let rules = (0..1000_u16).map(|number| {
        let [high, low] = number.to_be_bytes();
        let block = Ipv4Net::new(Ipv4Addr::new(198, 18, high, low), 24 + (low % 9))
            .unwrap()
            .trunc();
        rule(
            WEB,
            Direction::Ingress,
            Traffic::Tcp(number..=number + 5),
            Peer::Block(block.into()),
        )
    });
    firewall.rules = rules.collect();
    assert_eq!(chain(&firewall, &group_chain(WEB, Direction::Ingress)).len(), 9);
    load(&firewall).unwrap();
}

#[test]
fn a_rule_that_is_about_ipv6_alone_lets_no_ipv4_through() {
    let mut firewall = example();
    firewall.rules = vec![
        rule(WEB, Direction::Ingress, Traffic::All, block("::/0")),
        rule(
            WEB,
            Direction::Ingress,
            Traffic::Icmpv6(IcmpMessages::All),
            block("0.0.0.0/0"),
        ),
    ];
    assert!(chain(&firewall, &group_chain(WEB, Direction::Ingress)).is_empty());
}

#[test]
fn an_acl_that_stops_nothing_costs_nothing_and_another_stands_at_its_subnets_border() {
    assert_eq!(chain(&example(), "border").len(), 3);
    let mut firewall = example();
    firewall.subnets[0].acl = vec![
        entry(Direction::Egress, 100, Traffic::All, "0.0.0.0/0", true),
        entry(Direction::Ingress, 90, Traffic::Tcp(22..=22), "192.0.2.0/24", false),
        entry(Direction::Ingress, 95, Traffic::All, "::/0", true),
        entry(Direction::Ingress, 100, Traffic::All, "0.0.0.0/0", true),
    ];
    let name = format!("{}-ingress", firewall.subnets[0].id);
    let to_border = chain(&firewall, "border").pop().unwrap();
    assert_eq!(
        to_border[0]["vmap"],
        json!({
            "key": {"meta": {"key": "oifname"}},
            "data": {"set": [["eni1", {"jump": {"target": name}}], ["eni2", {"jump": {"target": name}}]]},
        })
    );
    let verdicts: Vec<Value> = chain(&firewall, &name)
        .iter()
        .map(|rule| rule.as_array().unwrap().last().unwrap().clone())
        .collect();
    let (pass, drop) = (json!({"return": null}), json!({"drop": null}));
    assert_eq!(verdicts, [pass.clone(), drop.clone(), pass, drop]);
}

#[test]
fn an_interface_that_routes_for_others_is_held_to_its_mac_alone() {
    let mut firewall = example();
    firewall.subnets[0].interfaces[1].source_dest_check = false;
    assert_eq!(elements(&firewall, "routers"), json!(["eni2"]));
    assert_eq!(chain(&firewall, "eni1-ingress").len(), 2);
    assert_eq!(chain(&firewall, "eni2-ingress").len(), 1);
}

#[test]
fn the_tables_are_replaced_whole() {
    let commands = commands(&example());
    for family in ["inet", "arp"] {
        let table = json!({"table": {"family": family, "name": "kiln"}});
        let at = commands.iter().position(|command| command["delete"] == table).unwrap();
        assert_eq!((&commands[at - 1]["add"], &commands[at + 1]["add"]), (&table, &table));
    }
    load(&VpcRules::default()).unwrap();
}

/// What `nft` and the kernel say of the rules, loaded twice into a namespace that goes at once.
fn load(firewall: &VpcRules) -> Result<(), String> {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let twice = "rules=$(cat); for time in 1 2; do nft --json --file - <<< \"$rules\" || exit; done";
    let shell = unshare.args(["--net", "bash", "-c", twice]);
    let pipes = shell
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut shell = pipes.spawn().unwrap();
    let rules = serde_json::to_vec(&compile(firewall)).unwrap();
    shell.stdin.take().unwrap().write_all(&rules).unwrap();
    let said = shell.wait_with_output().unwrap();
    match said.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()),
    }
}

fn any_traffic() -> impl Strategy<Value = Traffic> {
    let ports = || any::<(u16, u16)>().prop_map(|(a, b)| a.min(b)..=a.max(b));
    let messages = prop_oneof![
        Just(IcmpMessages::All),
        any::<u8>().prop_map(IcmpMessages::Type),
        any::<(u8, u8)>().prop_map(|(kind, code)| IcmpMessages::Code(kind, code)),
    ];
    prop_oneof![
        Just(Traffic::All),
        ports().prop_map(Traffic::Tcp),
        ports().prop_map(Traffic::Udp),
        Just(Traffic::Tcp(0..=u16::MAX)),
        messages.clone().prop_map(Traffic::Icmp),
        messages.prop_map(Traffic::Icmpv6),
        any::<u8>().prop_map(Traffic::Protocol),
    ]
}

/// Blocks that often have one in the other.
fn any_block() -> impl Strategy<Value = IpNet> {
    let near = (0..4_u8, 0..=32_u8).prop_map(|(last, length)| Ipv4Net::new(Ipv4Addr::new(10, 0, 0, last), length));
    let far = (any::<u32>(), 0..=32_u8).prop_map(|(bits, length)| Ipv4Net::new(bits.into(), length));
    prop_oneof![
        prop_oneof![near, far].prop_map(|block| block.unwrap().trunc().into()),
        Just("2001:db8::/32".parse().unwrap()),
    ]
}

fn any_rule() -> impl Strategy<Value = SecurityGroupRule> {
    let group = || (1..4_u128).prop_map(SecurityGroupId::from_random);
    let peer = prop_oneof![
        any_block().prop_map(Peer::Block),
        group().prop_map(Peer::Group),
        (1..3_u128).prop_map(|number| Peer::PrefixList(PrefixListId::from_random(number))),
    ];
    (group(), any::<bool>(), any_traffic(), peer).prop_map(|(group, ingress, traffic, peer)| {
        let direction = if ingress { Direction::Ingress } else { Direction::Egress };
        rule(group, direction, traffic, peer)
    })
}

fn any_subnet(number: u8) -> impl Strategy<Value = SubnetRules> {
    let entry =
        (any::<bool>(), any_traffic(), any_block(), any::<bool>()).prop_map(|(ingress, traffic, block, allow)| {
            NetworkAclEntry {
                direction: if ingress { Direction::Ingress } else { Direction::Egress },
                number: 0,
                traffic,
                block,
                allow,
            }
        });
    let groups = proptest::collection::btree_set(1..4_u128, 0..4);
    let one = (groups, 0..3_u8, any::<bool>(), any::<bool>());
    let many = (
        proptest::collection::vec(entry, 0..6),
        proptest::collection::vec(one, 0..4),
    );
    many.prop_map(move |(acl, ones)| {
        let interfaces = (0..)
            .zip(ones)
            .map(|(place, (groups, more, source_dest_check, outward))| {
                let last = number * 16 + place * 4;
                let groups: Vec<_> = groups.into_iter().map(SecurityGroupId::from_random).collect();
                InterfaceRules {
                    addresses: (last..last + more).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect(),
                    source_dest_check,
                    outward,
                    public: None,
                    ..interface(last, &groups)
                }
            });
        subnet(number.into(), acl, interfaces.collect())
    })
}

fn any_list(number: u128) -> impl Strategy<Value = PrefixList> {
    proptest::collection::vec(any_block(), 0..8).prop_map(move |blocks| PrefixList {
        id: PrefixListId::from_random(number),
        entries: blocks
            .into_iter()
            .map(|block| PrefixListEntry {
                block,
                description: None,
            })
            .collect(),
        ..example().prefix_lists.swap_remove(0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nft_takes_whatever_is_compiled(
        subnets in (any_subnet(1), any_subnet(2)),
        rules in proptest::collection::vec(any_rule(), 0..24),
        list in any_list(1),
    ) {
        let firewall = VpcRules { subnets: vec![subnets.0, subnets.1], rules, prefix_lists: vec![list] };
        prop_assert_eq!(load(&firewall), Ok(()));
    }
}
