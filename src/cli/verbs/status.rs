//! `kiln status`: the daemon, and what the host has left.

use super::super::Context;
use super::super::error::CommandError;
use super::super::table::Table;
use serde_json::Value;

/// Show the daemon's version and what the host has left.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln status")]
pub struct Arguments {}

pub(in super::super) async fn run(context: &Context, _: Arguments) -> Result<(), CommandError> {
    let answer = context.client.get("/status").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let mut table = Table::new(["WHAT", "VALUE"]);
    for (key, value) in answer.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), String::from);
        table.row([key.as_str().into(), text.into()]);
    }
    table
        .lines(&context.out)
        .iter()
        .skip(1)
        .try_for_each(|line| context.out.line(line))
}

/// The version that the daemon says it has.
pub fn version(status: &Value) -> &str {
    status.get("Version").and_then(Value::as_str).unwrap_or("unknown")
}
