//! `kiln wait`: until instances reach a state or a stage of their boot.

use super::super::Context;
use super::super::error::CommandError;
use super::super::{resolve, waiting};
use crate::config::Span;

/// Wait until instances reach a state or a stage of their boot.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln wait web                               until its console shows a login prompt
  kiln wait web --for stopped --timeout 30s")]
pub struct Arguments {
    /// The instances: names, identifiers or beginnings of either.
    #[arg(required = true)]
    instances: Vec<String>,
    /// A state (running, stopped, terminated) or a stage of the boot (kernel, init, login, ready).
    #[arg(long = "for", value_name = "GOAL", default_value = "login")]
    goal: waiting::Goal,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instances = resolve::instances(&context.client, &arguments.instances).await?;
    for one in &instances {
        waiting::until(
            context,
            &one.instance_id,
            arguments.goal,
            arguments.timeout.as_duration(),
        )
        .await?;
    }
    Ok(())
}
