//! `kiln types`: the instance types (DescribeInstanceTypes).

use super::super::Context;
use super::super::api;
use super::super::error::CommandError;
use super::super::table::Table;
use crate::config::Size;
use serde_json::{Value, json};

/// List the instance types.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln types")]
pub struct Arguments {
    /// Names only.
    #[arg(short, long)]
    quiet: bool,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let answer = api::pages(&context.client, "DescribeInstanceTypes", &json!({}), "InstanceTypes").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let mut table = Table::new(["TYPE", "VCPUS", "MEMORY", "STORE"]);
    let number = |one: &Value, pointer: &str| one.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let mut types: Vec<(String, u64, u64, String)> = answer
        .get("InstanceTypes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|one| {
            let name = one.get("InstanceType")?.as_str()?.to_string();
            Some((
                name,
                number(one, "/VCpuInfo/DefaultVCpus"),
                number(one, "/MemoryInfo/SizeInMiB"),
                disks(one),
            ))
        })
        .collect();
    types.sort_by(|a, b| (family(&a.0), a.2, a.1).cmp(&(family(&b.0), b.2, b.1)));
    if arguments.quiet {
        return types.iter().try_for_each(|(name, ..)| context.out.line(name));
    }
    for (name, vcpus, mib, disks) in &types {
        let memory = Size::from_mib(u32::try_from(*mib).unwrap_or(u32::MAX));
        table.row([
            name.as_str().into(),
            vcpus.to_string().into(),
            memory.to_string().into(),
            disks.as_str().into(),
        ]);
    }
    table.print(&context.out)
}

/// The disks of a type's own, if it has any: `2 x 300 GB`.
fn disks(one: &Value) -> String {
    let number = |pointer: &str| one.pointer(pointer).and_then(Value::as_u64);
    let count = number("/InstanceStorageInfo/Disks/0/Count");
    let size = number("/InstanceStorageInfo/Disks/0/SizeInGB");
    match (count, size) {
        (Some(count), Some(size)) => format!("{count} x {size} GB"),
        _ => String::new(),
    }
}

fn family(name: &str) -> &str {
    name.split_once('.').map_or(name, |(family, _)| family)
}
