//! `kiln doctor`: what this host has for kiln, each line with its remedy.

use super::super::Context;
use super::super::checks::{self, Finding, Verdict};
use super::super::error::CommandError;
use super::super::output::Colour;
use super::super::table::{Cell, Table};
use crate::config::Config;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Check what this host has for kiln, each line with its remedy.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln doctor
  sudo kiln doctor --json | jq '.[] | select(.Verdict != \"PASS\")'")]
pub struct Arguments {
    /// The daemon's configuration, which says where its state lies.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let config = Config::load(arguments.config.as_deref()).map_err(|error| CommandError::Config(Box::new(error)))?;
    let findings = checks::all(&context.client, context.client.socket(), &config).await;
    if context.out.json {
        context.out.answer(&findings.iter().map(as_json).collect())?;
    } else {
        table(&findings)
            .lines(&context.out)
            .iter()
            .skip(1)
            .try_for_each(|line| context.out.line(line))?;
    }
    match findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Fail)
        .count()
    {
        0 => Ok(()),
        failed => Err(CommandError::Unfit(failed)),
    }
}

/// Two lines a finding where something is to be done: what was found, and below it what to do.
fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(["", "CHECK", "FOUND"]);
    for finding in findings {
        let colour = match finding.verdict {
            Verdict::Pass => Colour::Good,
            Verdict::Warn => Colour::Warn,
            Verdict::Fail => Colour::Bad,
        };
        let verdict = Cell::from(finding.verdict.name()).coloured(colour);
        table.row([verdict, finding.check.into(), finding.found.as_str().into()]);
        if !finding.remedy.is_empty() {
            table.row(["".into(), "".into(), format!("-> {}", finding.remedy).into()]);
        }
    }
    table
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "Check": finding.check,
        "Verdict": finding.verdict.name(),
        "Found": finding.found,
        "Remedy": finding.remedy,
    })
}
