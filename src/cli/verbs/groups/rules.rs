//! The rules of a group: shown (DescribeSecurityGroupRules), added (AuthorizeSecurityGroupIngress and …Egress) and taken
//! away (RevokeSecurityGroupIngress and …Egress).

use super::super::super::api::{self, Group};
use super::super::super::error::CommandError;
use super::super::super::output::hint;
use super::super::super::table::Table;
use super::super::super::{Context, resolve};
use super::words::{self, Ports, Protocol};
use super::{members, text};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Show what a security group lets through.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln groups show web
  kiln groups show default --json")]
pub(super) struct ShowArguments {
    /// The group: its name, its identifier or the beginning of either.
    group: String,
    /// The rules' identifiers only.
    #[arg(short, long)]
    quiet: bool,
}

/// Let traffic through: into the group's interfaces with --from, out of them with --to.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln groups allow web tcp 22 --from 203.0.113.7
  kiln groups allow web tcp 80-443 --from 0.0.0.0/0 --from ::/0
  kiln groups allow database tcp 5432 --from web
  kiln groups allow web icmp 8 --from 10.0.0.0/8 --description ping
  kiln groups allow web udp 53 --to 192.0.2.53")]
pub(super) struct AllowArguments {
    /// The group: its name, its identifier or the beginning of either.
    group: String,
    /// tcp, udp, icmp, icmpv6, all, or a protocol's number.
    protocol: Protocol,
    /// A port, or the first and the last (80-443); for ICMP a type, or a type and a code (3/4). Without it, all.
    ports: Option<Ports>,
    /// Whom it comes from: an address, a block, a group or a prefix list.
    #[arg(long, value_name = "PEER", required_unless_present = "to")]
    from: Vec<String>,
    /// Whom it goes to.
    #[arg(long, value_name = "PEER", conflicts_with = "from")]
    to: Vec<String>,
    /// What it is for.
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
}

/// Take away what `allow` let through; connections that there are go on.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln groups revoke web tcp 22 --from 203.0.113.7
  kiln groups revoke web all --to 0.0.0.0/0
  kiln groups revoke web --rule sgr-0123456789abcdef0")]
pub(super) struct RevokeArguments {
    /// The group: its name, its identifier or the beginning of either.
    group: String,
    /// tcp, udp, icmp, icmpv6, all, or a protocol's number.
    #[arg(required_unless_present = "rules")]
    protocol: Option<Protocol>,
    /// A port, or the first and the last (80-443); for ICMP a type, or a type and a code (3/4). Without it, all.
    ports: Option<Ports>,
    /// Whom it comes from: an address, a block, a group or a prefix list.
    #[arg(long, value_name = "PEER", required_unless_present_any = ["to", "rules"])]
    from: Vec<String>,
    /// Whom it goes to.
    #[arg(long, value_name = "PEER", conflicts_with = "from")]
    to: Vec<String>,
    /// A rule by its identifier, as kiln groups show has it.
    #[arg(long = "rule", value_name = "ID", conflicts_with_all = ["protocol", "from", "to"])]
    rules: Vec<String>,
}

pub(super) async fn show(context: &Context, arguments: &ShowArguments) -> Result<(), CommandError> {
    let group = resolve::group(&context.client, &arguments.group).await?;
    let answer = rules_of(context, &group).await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let mut rules: Vec<&Value> = members(&answer, "SecurityGroupRules").iter().collect();
    if arguments.quiet {
        return print_ids(context, rules);
    }
    if rules.is_empty() {
        hint("it lets nothing through; kiln groups allow changes that");
    }
    let groups = api::groups(&context.client).await?;
    rules.sort_by_key(|rule| (is_egress(rule), traffic(rule), peer(rule, &groups)));
    let mut table = Table::new(["TRAFFIC", "PEER", "DESCRIPTION", "RULE"]);
    for rule in rules {
        let side = if is_egress(rule) { "to" } else { "from" };
        table.row([
            traffic(rule).into(),
            format!("{side} {}", peer(rule, &groups)).into(),
            text(rule, "Description").into(),
            text(rule, "SecurityGroupRuleId").into(),
        ]);
    }
    table.print(&context.out)
}

async fn rules_of(context: &Context, group: &Group) -> Result<Value, CommandError> {
    let request = json!({"Filters": [{"Name": "group-id", "Values": [group.group_id]}]});
    api::pages(
        &context.client,
        "DescribeSecurityGroupRules",
        &request,
        "SecurityGroupRules",
    )
    .await
}

fn is_egress(rule: &Value) -> bool {
    rule.get("IsEgress").and_then(Value::as_bool).unwrap_or(false)
}

fn traffic(rule: &Value) -> String {
    let number = |key: &str| rule.get(key).and_then(Value::as_i64);
    words::traffic(text(rule, "IpProtocol"), number("FromPort"), number("ToPort"))
}

/// Whom a rule is about; a group by its name.
fn peer(rule: &Value, groups: &[Group]) -> String {
    if let Some(info) = rule.get("ReferencedGroupInfo") {
        let id = text(info, "GroupId");
        let known = groups.iter().find(|one| one.group_id == id);
        return known.map_or(id, |one| &one.group_name).into();
    }
    let peers = ["CidrIpv4", "CidrIpv6", "PrefixListId"].map(|key| text(rule, key));
    peers.concat()
}

pub(super) async fn allow(context: &Context, arguments: &AllowArguments) -> Result<(), CommandError> {
    let group = resolve::group(&context.client, &arguments.group).await?;
    let (operation, peers) = match arguments.to.is_empty() {
        true => ("AuthorizeSecurityGroupIngress", &arguments.from),
        false => ("AuthorizeSecurityGroupEgress", &arguments.to),
    };
    let description = arguments.description.as_deref();
    let permission = permission(context, &arguments.protocol, arguments.ports, peers, description).await?;
    let request = json!({ "GroupId": group.group_id, "IpPermissions": [permission] });
    let answer = context.client.call(operation, &request).await?;
    match context.out.json {
        true => context.out.answer(&answer),
        false => print_ids(context, members(&answer, "SecurityGroupRules")),
    }
}

pub(super) async fn revoke(context: &Context, arguments: &RevokeArguments) -> Result<(), CommandError> {
    let group = resolve::group(&context.client, &arguments.group).await?;
    let Some(protocol) = &arguments.protocol else {
        return revoke_by_id(context, &group, &arguments.rules).await;
    };
    let (egress, peers) = match arguments.to.is_empty() {
        true => (false, &arguments.from),
        false => (true, &arguments.to),
    };
    let permission = permission(context, protocol, arguments.ports, peers, None).await?;
    send_revoke(context, &group, egress, json!({ "IpPermissions": [permission] })).await
}

/// Revokes rules by their identifiers, for which one has to know which way they look.
async fn revoke_by_id(context: &Context, group: &Group, ids: &[String]) -> Result<(), CommandError> {
    let answer = rules_of(context, group).await?;
    let rules = members(&answer, "SecurityGroupRules");
    let mut ways = [(false, Vec::new()), (true, Vec::new())];
    for id in ids {
        let rule = rules.iter().find(|rule| text(rule, "SecurityGroupRuleId") == id);
        let rule = rule.ok_or_else(|| CommandError::NotFound {
            noun: "rule",
            name: id.clone(),
            alike: Vec::new(),
            advice: format!("kiln groups show {} lists its rules", group.group_name),
        })?;
        let [inward, outward] = &mut ways;
        if is_egress(rule) { outward } else { inward }.1.push(id);
    }
    for (egress, ids) in ways.into_iter().filter(|(_, ids)| !ids.is_empty()) {
        send_revoke(context, group, egress, json!({ "SecurityGroupRuleIds": ids })).await?;
    }
    Ok(())
}

async fn send_revoke(context: &Context, group: &Group, egress: bool, mut request: Value) -> Result<(), CommandError> {
    request["GroupId"] = json!(group.group_id);
    let operation = match egress {
        true => "RevokeSecurityGroupEgress",
        false => "RevokeSecurityGroupIngress",
    };
    let answer = context.client.call(operation, &request).await?;
    match context.out.json {
        true => context.out.answer(&answer),
        false => print_ids(context, members(&answer, "RevokedSecurityGroupRules")),
    }
}

fn print_ids<'v>(context: &Context, rules: impl IntoIterator<Item = &'v Value>) -> Result<(), CommandError> {
    let mut ids = rules.into_iter().map(|rule| text(rule, "SecurityGroupRuleId"));
    ids.try_for_each(|id| context.out.line(id))
}

/// What was typed as one of EC2's permissions.
async fn permission(
    context: &Context,
    protocol: &Protocol,
    ports: Option<Ports>,
    peers: &[String],
    description: Option<&str>,
) -> Result<Value, CommandError> {
    let mut permission = json!({ "IpProtocol": protocol.name() });
    if let Some((from, to)) = words::numbers(protocol, ports)? {
        permission["FromPort"] = json!(from);
        permission["ToPort"] = json!(to);
    }
    for peer in peers {
        let (list, key, value) = match (block(peer), peer.starts_with("pl-")) {
            (Some(IpNet::V4(block)), _) => ("IpRanges", "CidrIp", block.to_string()),
            (Some(IpNet::V6(block)), _) => ("Ipv6Ranges", "CidrIpv6", block.to_string()),
            (None, true) => ("PrefixListIds", "PrefixListId", peer.clone()),
            (None, false) => {
                let group = resolve::group(&context.client, peer).await?;
                ("UserIdGroupPairs", "GroupId", group.group_id)
            }
        };
        let mut one = json!({ key: value });
        if let Some(description) = description {
            one["Description"] = json!(description);
        }
        match permission.get_mut(list).and_then(Value::as_array_mut) {
            Some(others) => others.push(one),
            None => permission[list] = json!([one]),
        }
    }
    Ok(permission)
}

/// A block, or an address, which is a block by itself.
fn block(text: &str) -> Option<IpNet> {
    let address: Option<IpAddr> = text.parse().ok();
    address.map(IpNet::from).or_else(|| text.parse().ok())
}
