//! What the network lets through to an instance: its subnet's routes, its groups' rules, its subnet's ACL. Pure; `mod.rs` asks
//! the API for what is looked at here.

use super::super::checks::Finding;
use ipnet::Ipv4Net;
use serde::Deserialize;

/// What is to get through.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// The TCP port.
    pub port: u16,
    /// The addresses that it comes from.
    pub from: Ipv4Net,
    /// Those of the instance's VPC.
    pub block: Ipv4Net,
    /// Those of its subnet.
    pub subnet: Ipv4Net,
}

/// A route table.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteTable {
    route_table_id: String,
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Route {
    #[serde(default)]
    destination_cidr_block: Option<Ipv4Net>,
    #[serde(default)]
    gateway_id: Option<String>,
    #[serde(default)]
    state: Option<String>,
}

/// A rule of a security group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rule {
    security_group_rule_id: String,
    is_egress: bool,
    ip_protocol: String,
    #[serde(default)]
    from_port: Option<i64>,
    #[serde(default)]
    to_port: Option<i64>,
    #[serde(default)]
    cidr_ipv4: Option<Ipv4Net>,
    #[serde(default)]
    referenced_group_info: Option<Referenced>,
    #[serde(default)]
    prefix_list_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Referenced {
    group_id: String,
}

/// An entry of a network ACL.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    rule_number: i64,
    egress: bool,
    protocol: String,
    rule_action: String,
    #[serde(default)]
    cidr_block: Option<Ipv4Net>,
    #[serde(default)]
    port_range: Option<PortRange>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PortRange {
    from: i64,
    to: i64,
}

/// TCP, as ACLs name it; -1 is every protocol.
const TCP: [&str; 2] = ["6", "-1"];
/// The ports that clients on Linux have (`ip_local_port_range`), and the last that there is.
const CLIENTS: (i64, i64) = (32768, 60999);
const LAST_PORT: i64 = 65535;

/// Whether there is a way to the addresses and back: inside the VPC always, else by a gateway and a public address.
pub fn route(way: Way, table: &RouteTable, public: Option<&str>) -> Finding {
    let (check, from) = ("route", way.from);
    if way.block.contains(&from) {
        return Finding::pass(check, format!("{from} is in its own VPC"));
    }
    // The default route alone leads out of a VPC here.
    let is_default = |route: &&Route| {
        route
            .destination_cidr_block
            .is_some_and(|block| block.prefix_len() == 0)
    };
    let default = table.routes.iter().find(is_default);
    let gateway = default.and_then(|route| {
        let active = route.state.as_deref() != Some("blackhole");
        route.gateway_id.as_deref().filter(|_| active)
    });
    match (gateway, public) {
        (Some(gateway), Some(public)) => {
            Finding::pass(check, format!("{gateway} leads to {from}, and it has {public}"))
        }
        (Some(_), None) => Finding::fail(
            check,
            format!("it has no public address, so nothing outside its VPC can begin a connection to it from {from}"),
            "kiln addresses allocate, then kiln addresses associate; from this host kiln ssh and kiln connect need none",
        ),
        (None, _) => Finding::fail(
            check,
            format!(
                "its route table {} has no default route, and {from} is outside its VPC",
                table.route_table_id
            ),
            "CreateRoute of 0.0.0.0/0 to an internet gateway; from this host kiln ssh and kiln connect need none",
        ),
    }
}

/// Whether a rule of its groups lets the port in; `group` is one of them, for the remedy.
pub fn groups(way: Way, rules: &[Rule], group: &str) -> Finding {
    let (check, Way { port, from, .. }) = ("groups", way);
    let for_port = |rule: &&Rule| !rule.is_egress && rule.is_of(port);
    let open: Vec<&Rule> = rules.iter().filter(for_port).collect();
    if let Some(rule) = open
        .iter()
        .find(|rule| rule.cidr_ipv4.is_some_and(|block| block.contains(&from)))
    {
        let id = &rule.security_group_rule_id;
        return Finding::pass(check, format!("{id} lets port {port} in from {from}"));
    }
    let some: Vec<String> = open.iter().map(|rule| rule.peer()).collect();
    // Who asked about the whole VPC has named nobody: any of its instances will do.
    if from == way.block && !some.is_empty() {
        return Finding::pass(check, format!("port {port} is let in from {}", some.join(", ")));
    }
    let remedy = format!("kiln groups allow {group} tcp {port} --from {from}");
    match some.is_empty() {
        true => Finding::fail(check, format!("no rule lets port {port} in from {from}"), remedy),
        false => Finding::fail(
            check,
            format!(
                "port {port} is let in not from all of {from}, but from {}",
                some.join(", ")
            ),
            remedy,
        ),
    }
}

/// Whether the subnet's ACL lets the port in, and the answers out.
pub fn acl(way: Way, mut entries: Vec<Entry>, id: &str) -> Finding {
    if way.subnet.contains(&way.from) {
        return Finding::pass(
            "network ACL",
            format!("{} is in its own subnet, where no ACL is asked", way.from),
        );
    }
    entries.sort_by_key(|entry| entry.rule_number);
    let (first, last) = CLIENTS;
    let port = i64::from(way.port);
    let decides = |egress: bool, first: i64, last: i64| {
        let mut entries = entries.iter().filter(|entry| entry.egress == egress);
        entries.find(|entry| entry.touches(way.from, first, last))
    };
    let (check, from) = ("network ACL", way.from);
    let allowed = |entry: Option<&Entry>, first: i64, last: i64| {
        entry.is_some_and(|entry| entry.rule_action == "allow" && entry.covers(from, first, last))
    };
    let (inward, outward) = (decides(false, port, port), decides(true, first, last));
    let number = |entry: Option<&Entry>| match entry {
        Some(entry) if entry.rule_number < 32767 => format!("entry {}", entry.rule_number),
        _ => "its last entry".into(),
    };
    let remedy = "CreateNetworkAclEntry with a lower number that allows it";
    if !allowed(inward, port, port) {
        let entry = number(inward);
        return Finding::fail(
            check,
            format!("{entry} of {id} keeps port {port} from {from} out"),
            remedy,
        );
    }
    if !allowed(outward, first, last) {
        let entry = number(outward);
        let found = format!("{entry} of {id} keeps answers in, to the ports {first} to {last} of {from}");
        return Finding::fail(check, found, remedy);
    }
    Finding::pass(check, format!("{id} lets port {} in, and the answers out", way.port))
}

impl Rule {
    fn is_of(&self, port: u16) -> bool {
        let within = || {
            let (from, to) = (self.from_port.unwrap_or(0), self.to_port.unwrap_or(LAST_PORT));
            (from..=to).contains(&i64::from(port))
        };
        self.ip_protocol == "-1" || self.ip_protocol == "tcp" && within()
    }

    fn peer(&self) -> String {
        match (&self.cidr_ipv4, &self.referenced_group_info, &self.prefix_list_id) {
            (Some(block), _, _) => block.to_string(),
            (_, Some(group), _) => format!("members of {}", group.group_id),
            (_, _, Some(list)) => list.clone(),
            _ => "elsewhere".into(),
        }
    }
}

impl Entry {
    fn ports(&self) -> (i64, i64) {
        match &self.port_range {
            Some(range) if self.protocol != "-1" => (range.from, range.to),
            _ => (0, LAST_PORT),
        }
    }

    /// Whether it says something about any of it.
    fn touches(&self, from: Ipv4Net, first: i64, last: i64) -> bool {
        let meets = |block: Ipv4Net| block.contains(&from) || from.contains(&block);
        let (low, high) = self.ports();
        TCP.contains(&self.protocol.as_str()) && self.cidr_block.is_some_and(meets) && low <= last && first <= high
    }

    /// Whether it says something about all of it.
    fn covers(&self, from: Ipv4Net, first: i64, last: i64) -> bool {
        let (low, high) = self.ports();
        self.cidr_block.is_some_and(|block| block.contains(&from)) && low <= first && last <= high
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::checks::Verdict;
    use super::*;
    use serde_json::{Value, json};

    fn way(port: u16, from: &str) -> Way {
        Way {
            port,
            from: from.parse().unwrap(),
            block: "10.0.0.0/16".parse().unwrap(),
            subnet: "10.0.9.0/24".parse().unwrap(),
        }
    }

    fn rule(protocol: &str, ports: (i64, i64), peer: Value) -> Rule {
        let mut rule = json!({
            "SecurityGroupRuleId": "sgr-1", "IsEgress": false, "IpProtocol": protocol, "FromPort": ports.0, "ToPort": ports.1,
        });
        for (member, value) in peer.as_object().unwrap() {
            rule[member] = value.clone();
        }
        serde_json::from_value(rule).unwrap()
    }

    fn entry(number: i64, egress: bool, action: &str, block: &str, ports: (i64, i64)) -> Entry {
        let entry = json!({
            "RuleNumber": number, "Egress": egress, "Protocol": "6", "RuleAction": action, "CidrBlock": block,
            "PortRange": {"From": ports.0, "To": ports.1},
        });
        serde_json::from_value(entry).unwrap()
    }

    #[test]
    fn a_rule_must_be_of_the_port_and_of_all_the_addresses() {
        let ssh = rule("tcp", (22, 22), json!({"CidrIpv4": "10.0.0.0/8"}));
        let all = rule("-1", (-1, -1), json!({"ReferencedGroupInfo": {"GroupId": "sg-2"}}));
        let rules = [ssh, all];
        let look = |port, from: &str| groups(way(port, from), &rules, "web");
        assert_eq!(look(22, "10.1.0.0/16").verdict, Verdict::Pass);
        let anywhere = look(22, "0.0.0.0/0");
        assert_eq!(anywhere.verdict, Verdict::Fail);
        assert!(
            anywhere.found.contains("10.0.0.0/8, members of sg-2"),
            "{}",
            anywhere.found
        );
        assert_eq!(anywhere.remedy, "kiln groups allow web tcp 22 --from 0.0.0.0/0");
        assert_eq!(look(80, "10.1.0.0/16").verdict, Verdict::Fail);
        assert_eq!(look(80, "10.0.0.0/16").verdict, Verdict::Pass);
        assert!(
            groups(way(80, "10.1.0.0/16"), &rules[..1], "web")
                .found
                .contains("no rule")
        );
    }

    #[test]
    fn the_first_entry_that_says_something_decides_both_ways() {
        let open = |number, egress| entry(number, egress, "allow", "0.0.0.0/0", (0, 65535));
        let look = |entries| acl(way(22, "10.1.0.0/16"), entries, "acl-1");
        assert_eq!(look(vec![open(100, false), open(100, true)]).verdict, Verdict::Pass);
        let denied = look(vec![
            open(100, false),
            open(100, true),
            entry(50, false, "deny", "10.1.2.0/24", (22, 22)),
        ]);
        assert_eq!(denied.verdict, Verdict::Fail);
        assert!(denied.found.contains("entry 50"), "{}", denied.found);
        let no_answers = look(vec![open(100, false), entry(100, true, "allow", "0.0.0.0/0", (22, 22))]);
        assert!(no_answers.found.contains("keeps answers in"), "{}", no_answers.found);
        assert_eq!(look(Vec::new()).verdict, Verdict::Fail);
        assert_eq!(acl(way(22, "10.0.9.7/32"), Vec::new(), "acl-1").verdict, Verdict::Pass);
    }

    #[test]
    fn outside_the_vpc_a_gateway_and_a_public_address_are_needed() {
        let table =
            |gateway: Value| serde_json::from_value(json!({"RouteTableId": "rtb-1", "Routes": gateway})).unwrap();
        let open: RouteTable = table(json!([
            {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
            {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"},
        ]));
        let closed: RouteTable = table(json!([]));
        assert_eq!(route(way(22, "10.0.4.0/24"), &closed, None).verdict, Verdict::Pass);
        assert_eq!(
            route(way(22, "0.0.0.0/0"), &closed, Some("192.0.2.1")).verdict,
            Verdict::Fail
        );
        assert_eq!(route(way(22, "0.0.0.0/0"), &open, None).verdict, Verdict::Fail);
        assert_eq!(
            route(way(22, "0.0.0.0/0"), &open, Some("192.0.2.1")).verdict,
            Verdict::Pass
        );
    }
}
