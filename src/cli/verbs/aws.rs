//! `kiln aws`: Amazon's own command line, asking this host.

use super::super::error::CommandError;
use super::super::{Context, aws};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Run the aws CLI against this host.
///
/// It is the system's own `aws`, with the variables that kiln env prints. The exit status is its own.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln aws ec2 describe-instances
  kiln aws ec2 run-instances --image-id resolve:ssm:/aws/service/kiln/debian-12 --instance-type t3.small
  kiln aws sts get-caller-identity")]
pub struct Arguments {
    /// What the aws CLI is told.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<OsString>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let variables = aws::environment(context).await?;
    let mut command = Command::new("aws");
    // Versions before 2.13 don't know the variable.
    let endpoint = variables.iter().find(|(name, _)| *name == aws::ENDPOINT);
    command.args(endpoint.iter().flat_map(|(_, url)| ["--endpoint-url", url]));
    command.args(arguments.words);
    for name in aws::MISLEADING {
        command.env_remove(name);
    }
    command.envs(variables);
    Err(CommandError::Start {
        program: "aws",
        source: command.exec(),
    })
}
