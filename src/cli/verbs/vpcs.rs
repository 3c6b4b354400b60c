//! `kiln vpcs`: the VPCs (DescribeVpcs), and how many subnets each has (DescribeSubnets).

use super::super::Context;
use super::super::api;
use super::super::error::CommandError;
use super::super::table::Table;
use super::{members, name, text};
use serde_json::{Value, json};

/// List the VPCs.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln vpcs
  kiln vpcs --json")]
pub struct Arguments {
    /// Identifiers only.
    #[arg(short, long)]
    quiet: bool,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let answer = api::pages(&context.client, "DescribeVpcs", &json!({}), "Vpcs").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let vpcs = members(&answer, "Vpcs");
    if arguments.quiet {
        return vpcs.iter().try_for_each(|one| context.out.line(text(one, "VpcId")));
    }
    let subnets = api::pages(&context.client, "DescribeSubnets", &json!({}), "Subnets").await?;
    let subnets_of = |vpc: &str| {
        let subnets = members(&subnets, "Subnets").iter();
        subnets.filter(|one| text(one, "VpcId") == vpc).count()
    };
    let mut table = Table::new(["ID", "NAME", "BLOCK", "SUBNETS", "DEFAULT"]);
    for one in vpcs {
        let is_default = one.get("IsDefault").and_then(Value::as_bool).unwrap_or(false);
        table.row([
            text(one, "VpcId").into(),
            name(one).into(),
            text(one, "CidrBlock").into(),
            subnets_of(text(one, "VpcId")).to_string().into(),
            if is_default { "yes" } else { "" }.into(),
        ]);
    }
    table.print(&context.out)
}
