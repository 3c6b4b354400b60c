//! `kiln start`: stopped instances run again (StartInstances).

use super::super::Context;
use super::super::error::CommandError;
use super::super::{resolve, waiting};
use crate::config::Span;
use serde_json::json;

/// Start stopped instances, from their own root volumes.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln start web
  kiln start web --wait=login")]
pub struct Arguments {
    /// The instances: names, identifiers or beginnings of either.
    #[arg(required = true)]
    instances: Vec<String>,
    /// What to wait for: a state or a stage of the boot. Alone it means login; without it, running is waited for.
    #[arg(long, value_name = "GOAL", num_args = 0..=1, require_equals = true,
          default_value = "running", default_missing_value = "login", conflicts_with = "no_wait")]
    wait: waiting::Goal,
    /// Return as soon as the request was taken on.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instances = resolve::instances(&context.client, &arguments.instances).await?;
    let request = json!({ "InstanceIds": super::ids(&instances) });
    let answer = context.client.call("StartInstances", &request).await?;
    if context.out.json {
        context.out.answer(&answer)?;
    }
    for one in &instances {
        if !arguments.no_wait {
            waiting::until(
                context,
                &one.instance_id,
                arguments.wait,
                arguments.timeout.as_duration(),
            )
            .await?;
        }
        if !context.out.json {
            context.out.line(&one.instance_id)?;
        }
    }
    Ok(())
}
