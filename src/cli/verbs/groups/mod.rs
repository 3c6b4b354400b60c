//! `kiln groups`: security groups, listed (DescribeSecurityGroups), made (CreateSecurityGroup) and deleted
//! (DeleteSecurityGroup), and their rules.

mod rules;
mod words;

use super::super::Context;
use super::super::api::{self, Group};
use super::super::error::CommandError;
use super::super::table::Table;
use super::super::{resolve, terminal};
use super::{members, text};
use serde_json::{Value, json};

/// List security groups; make and delete them, and say what they let through.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln groups
  kiln groups create web
  kiln groups allow web tcp 22 --from 203.0.113.7
  kiln groups allow web tcp 80-443 --from 0.0.0.0/0
  kiln groups show web
  kiln groups revoke web tcp 22 --from 203.0.113.7
  kiln groups rm web",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// Identifiers only.
    #[arg(short, long)]
    quiet: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Show(rules::ShowArguments),
    Create(CreateArguments),
    Allow(rules::AllowArguments),
    Revoke(rules::RevokeArguments),
    Rm(RmArguments),
}

/// Make a security group. It lets everything out, and nothing in.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln groups create web
  kiln groups create web --description 'Web servers' --vpc vpc-0123456789abcdef0")]
struct CreateArguments {
    /// Its name, which no other group of the VPC has.
    name: String,
    /// What it is for; without it, its name stands there.
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
    /// The VPC that it is for; without it, the default one.
    #[arg(long, value_name = "ID")]
    vpc: Option<String>,
}

/// Delete security groups that nothing uses.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln groups rm web
  kiln groups rm --yes web database")]
struct RmArguments {
    /// The groups: names, identifiers or beginnings of either.
    #[arg(required = true)]
    groups: Vec<String>,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    match arguments.verb {
        None => list(context, arguments.quiet).await,
        Some(Verb::Show(arguments)) => rules::show(context, &arguments).await,
        Some(Verb::Create(arguments)) => create(context, &arguments).await,
        Some(Verb::Allow(arguments)) => rules::allow(context, &arguments).await,
        Some(Verb::Revoke(arguments)) => rules::revoke(context, &arguments).await,
        Some(Verb::Rm(arguments)) => remove(context, &arguments).await,
    }
}

async fn list(context: &Context, quiet: bool) -> Result<(), CommandError> {
    let answer = api::pages(&context.client, "DescribeSecurityGroups", &json!({}), "SecurityGroups").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let groups = members(&answer, "SecurityGroups");
    if quiet {
        return groups.iter().try_for_each(|one| context.out.line(text(one, "GroupId")));
    }
    let mut table = Table::new(["ID", "NAME", "VPC", "IN", "OUT", "DESCRIPTION"]);
    for one in groups {
        table.row([
            text(one, "GroupId").into(),
            text(one, "GroupName").into(),
            text(one, "VpcId").into(),
            rules_in(one, "IpPermissions").to_string().into(),
            rules_in(one, "IpPermissionsEgress").to_string().into(),
            text(one, "Description").into(),
        ]);
    }
    table.print(&context.out)
}

/// How many rules a group's permissions stand for.
fn rules_in(group: &Value, direction: &str) -> usize {
    let peers = ["IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"];
    let permissions = members(group, direction).iter();
    permissions
        .flat_map(|permission| peers.map(|peers| members(permission, peers).len()))
        .sum()
}

async fn create(context: &Context, arguments: &CreateArguments) -> Result<(), CommandError> {
    let mut request = json!({
        "GroupName": arguments.name,
        "Description": arguments.description.as_ref().unwrap_or(&arguments.name),
    });
    if let Some(vpc) = &arguments.vpc {
        request["VpcId"] = json!(vpc);
    }
    let answer = context.client.call("CreateSecurityGroup", &request).await?;
    match context.out.json {
        true => context.out.answer(&answer),
        false => context.out.line(text(&answer, "GroupId")),
    }
}

async fn remove(context: &Context, arguments: &RmArguments) -> Result<(), CommandError> {
    let groups = resolve::groups(&context.client, &arguments.groups).await?;
    if !arguments.yes && !terminal::confirm(&question(&groups))? {
        return Err(CommandError::Usage("Nothing was deleted".into()));
    }
    for group in groups {
        let request = json!({ "GroupId": group.group_id });
        let answer = context.client.call("DeleteSecurityGroup", &request).await?;
        match context.out.json {
            true => context.out.answer(&answer)?,
            false => context.out.line(&group.group_id)?,
        }
    }
    Ok(())
}

fn question(groups: &[Group]) -> String {
    let describe = |one: &Group| format!("{} ({})", one.group_name, one.group_id);
    let names: Vec<String> = groups.iter().map(describe).collect();
    format!("Delete {}?", names.join(", "))
}
