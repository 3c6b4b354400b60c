//! `kiln host-keys`: the ssh host keys of a guest, as lines of `known_hosts`. ssh uses it as its `KnownHostsCommand`.

use super::super::Context;
use super::super::error::CommandError;
use super::super::resolve;
use super::super::ssh::host_keys::known_hosts;

/// Print the ssh host keys that an instance showed on its console.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln host-keys web
  kiln host-keys web >> ~/.ssh/known_hosts")]
pub struct Arguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    let lines = known_hosts(context, &instance.instance_id).await?;
    lines.iter().try_for_each(|line| context.out.line(line))
}
