//! `kiln subnets`: the subnets (DescribeSubnets).

use super::super::Context;
use super::super::api;
use super::super::error::CommandError;
use super::super::table::Table;
use super::{members, name, text};
use serde_json::{Value, json};

/// List the subnets, and how many addresses each has left.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln subnets
  kiln subnets --json")]
pub struct Arguments {
    /// Identifiers only.
    #[arg(short, long)]
    quiet: bool,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let answer = api::pages(&context.client, "DescribeSubnets", &json!({}), "Subnets").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let subnets = members(&answer, "Subnets");
    if arguments.quiet {
        return subnets
            .iter()
            .try_for_each(|one| context.out.line(text(one, "SubnetId")));
    }
    let mut table = Table::new(["ID", "NAME", "VPC", "BLOCK", "FREE", "DEFAULT"]);
    for one in subnets {
        let free = one.get("AvailableIpAddressCount").and_then(Value::as_u64);
        let is_default = one.get("DefaultForAz").and_then(Value::as_bool).unwrap_or(false);
        table.row([
            text(one, "SubnetId").into(),
            name(one).into(),
            text(one, "VpcId").into(),
            text(one, "CidrBlock").into(),
            free.map(|free| free.to_string()).unwrap_or_default().into(),
            if is_default { "yes" } else { "" }.into(),
        ]);
    }
    table.print(&context.out)
}
