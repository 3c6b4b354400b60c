//! `kiln reboot`: guests go down and come up again, in the same machine (RebootInstances).

use super::super::Context;
use super::super::error::CommandError;
use super::super::resolve;
use serde_json::json;

/// Reboot running instances.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln reboot web")]
pub struct Arguments {
    /// The instances: names, identifiers or beginnings of either.
    #[arg(required = true)]
    instances: Vec<String>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instances = resolve::instances(&context.client, &arguments.instances).await?;
    let answer = context
        .client
        .call("RebootInstances", &json!({ "InstanceIds": super::ids(&instances) }))
        .await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    instances.iter().try_for_each(|one| context.out.line(&one.instance_id))
}
