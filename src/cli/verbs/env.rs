//! `kiln env`: what clients of EC2 go by, as lines for a shell.

use super::super::error::CommandError;
use super::super::{Context, aws};
use serde_json::{Map, Value};

/// Print the variables by which aws CLI, boto3 and Packer find this host.
///
/// They name the daemon's query endpoint and an access key of yours, which is made at the first time. What would lead these
/// clients elsewhere is unset.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  eval \"$(kiln env)\" && aws ec2 describe-instances
  kiln env --json")]
pub struct Arguments {}

pub(in super::super) async fn run(context: &Context, _: Arguments) -> Result<(), CommandError> {
    let variables = aws::environment(context).await?;
    if context.out.json {
        let object: Map<String, Value> = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        return context.out.answer(&Value::Object(object));
    }
    context.out.line(&format!("unset {}", aws::MISLEADING.join(" ")))?;
    variables.iter().try_for_each(|(name, value)| {
        context
            .out
            .line(&format!("export {name}='{}'", value.replace('\'', r"'\''")))
    })
}
