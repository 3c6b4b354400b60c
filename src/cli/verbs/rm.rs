//! `kiln rm`: instances end for good, and their root volumes with them (TerminateInstances).

use super::super::Context;
use super::super::api::Instance;
use super::super::error::CommandError;
use super::super::{resolve, terminal, waiting};
use crate::config::Span;
use serde_json::json;

/// Terminate instances; their root volumes are deleted.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln rm web
  kiln rm --yes $(kiln ps -q)")]
pub struct Arguments {
    /// The instances: names, identifiers or beginnings of either.
    #[arg(required = true)]
    instances: Vec<String>,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
    /// Return as soon as the request was taken on.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instances = resolve::instances(&context.client, &arguments.instances).await?;
    if !arguments.yes && !terminal::confirm(&question(&instances))? {
        return Err(CommandError::Usage("Nothing was terminated".into()));
    }
    let request = json!({ "InstanceIds": super::ids(&instances) });
    let answer = context.client.call("TerminateInstances", &request).await?;
    if context.out.json {
        context.out.answer(&answer)?;
    }
    for one in &instances {
        if !arguments.no_wait {
            let goal = waiting::Goal::State("terminated");
            waiting::until(context, &one.instance_id, goal, arguments.timeout.as_duration()).await?;
        }
        if !context.out.json {
            context.out.line(&one.instance_id)?;
        }
    }
    Ok(())
}

fn question(instances: &[Instance]) -> String {
    let describe = |one: &Instance| match one.name() {
        "" => one.instance_id.clone(),
        name => format!("{name} ({})", one.instance_id),
    };
    let names: Vec<String> = instances.iter().map(describe).collect();
    format!("Terminate {} and delete what is on its root volume?", names.join(", "))
}
