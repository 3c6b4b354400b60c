//! `kiln doctor`: what this host has for kiln, each line with its remedy.

use super::super::Context;
use super::super::checks;
use super::super::error::CommandError;
use crate::config::Config;
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
    checks::show(context, &findings)?;
    match checks::failed(&findings) {
        0 => Ok(()),
        failed => Err(CommandError::Unfit(failed)),
    }
}
