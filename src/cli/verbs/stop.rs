//! `kiln stop`: instances are powered off and keep their volumes (StopInstances).

use super::super::Context;
use super::super::error::CommandError;
use super::super::{resolve, waiting};
use crate::config::Span;
use serde_json::json;

/// Stop instances with the power button; their volumes stay.
///
/// A guest that does not power itself off within the daemon's time limit is switched off.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln stop web
  kiln stop web --force         pull the plug")]
pub struct Arguments {
    /// The instances: names, identifiers or beginnings of either.
    #[arg(required = true)]
    instances: Vec<String>,
    /// Switch them off now; what the guest had not written is lost.
    #[arg(short, long)]
    force: bool,
    /// Return as soon as the request was taken on.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instances = resolve::instances(&context.client, &arguments.instances).await?;
    let mut request = json!({ "InstanceIds": super::ids(&instances) });
    if arguments.force {
        request["Force"] = json!(true);
    }
    let answer = context.client.call("StopInstances", &request).await?;
    if context.out.json {
        context.out.answer(&answer)?;
    }
    for one in &instances {
        if !arguments.no_wait {
            let goal = waiting::Goal::State("stopped");
            waiting::until(context, &one.instance_id, goal, arguments.timeout.as_duration()).await?;
        }
        if !context.out.json {
            context.out.line(&one.instance_id)?;
        }
    }
    Ok(())
}
