//! `kiln ps`: the instances (DescribeInstances).

use super::super::Context;
use super::super::api::{self, Instance};
use super::super::error::CommandError;
use super::super::output::{Colour, hint};
use super::super::table::{Cell, Table, age};
use serde_json::{Value, json};
use std::collections::HashMap;
use time::OffsetDateTime;

/// List instances.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln ps
  kiln ps -a                                   terminated ones too
  kiln ps --filter instance-state-name=stopped
  kiln rm --yes $(kiln ps -q --filter tag:stage=test)")]
pub struct Arguments {
    /// Terminated instances too.
    #[arg(short, long)]
    all: bool,
    /// Identifiers only.
    #[arg(short, long)]
    quiet: bool,
    /// A filter of DescribeInstances, NAME=VALUE[,VALUE]; may be given again, * and ? match anything.
    #[arg(short, long = "filter", value_name = "NAME=VALUE", value_parser = super::tag::parse)]
    filters: Vec<(String, String)>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let answer = api::pages(
        &context.client,
        "DescribeInstances",
        &request(&arguments),
        "Reservations",
    )
    .await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let mut instances = api::instances_of(&answer)?;
    instances.sort_by(|a, b| (&b.launch_time, &a.instance_id).cmp(&(&a.launch_time, &b.instance_id)));
    if arguments.quiet {
        return instances.iter().try_for_each(|one| context.out.line(&one.instance_id));
    }
    if instances.is_empty() {
        hint("no instances; kiln run IMAGE starts one");
    }
    let images = api::images(&context.client).await?;
    let images: HashMap<&str, &str> = images
        .iter()
        .map(|one| (one.image_id.as_str(), one.name.as_str()))
        .collect();
    let now = OffsetDateTime::now_utc();
    let mut table = Table::new([
        "ID", "NAME", "STATE", "ADDRESS", "PUBLIC", "TYPE", "IMAGE", "AGE", "REASON",
    ]);
    for one in &instances {
        let image = images.get(one.image_id.as_str()).copied().unwrap_or(&one.image_id);
        table.row([
            one.instance_id.as_str().into(),
            one.name().into(),
            state(one),
            one.private_ip_address.as_deref().unwrap_or_default().into(),
            one.public_ip_address.as_deref().unwrap_or_default().into(),
            one.instance_type.as_str().into(),
            image.into(),
            age(&one.launch_time, now).into(),
            reason(one.reason()).into(),
        ]);
    }
    table.print(&context.out)
}

fn request(arguments: &Arguments) -> Value {
    let mut filters: Vec<Value> = arguments
        .filters
        .iter()
        .map(|(name, values)| json!({ "Name": name, "Values": values.split(',').collect::<Vec<_>>() }))
        .collect();
    if !arguments.all && !arguments.filters.iter().any(|(name, _)| name == "instance-state-name") {
        let live = ["pending", "running", "shutting-down", "stopping", "stopped"];
        filters.push(json!({ "Name": "instance-state-name", "Values": live }));
    }
    if filters.is_empty() {
        json!({})
    } else {
        json!({ "Filters": filters })
    }
}

/// The sentence of a reason, without EC2's code before it.
fn reason(message: &str) -> &str {
    message.split_once(": ").map_or(message, |(_, sentence)| sentence)
}

/// The state, in its colour.
pub(super) fn state(instance: &Instance) -> Cell {
    let colour = match instance.state.name.as_str() {
        "running" => Colour::Good,
        "stopped" | "terminated" => Colour::Dim,
        _ => Colour::Warn,
    };
    Cell::from(instance.state.name.as_str()).coloured(colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminated_instances_are_left_out_unless_asked_for() {
        let arguments = |all, filters| Arguments {
            all,
            quiet: false,
            filters,
        };
        let live = request(&arguments(false, vec![]));
        assert_eq!(live["Filters"][0]["Name"], "instance-state-name");
        assert!(!live.to_string().contains("terminated"));
        assert_eq!(request(&arguments(true, vec![])), json!({}));
        let asked = request(&arguments(
            false,
            vec![("instance-state-name".into(), "terminated,stopped".into())],
        ));
        assert_eq!(
            asked["Filters"],
            json!([{"Name": "instance-state-name", "Values": ["terminated", "stopped"]}])
        );
    }
}
