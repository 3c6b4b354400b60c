//! `kiln ssh-config`: what makes plain `ssh i-…` work.

use super::super::Context;
use super::super::error::CommandError;
use super::super::ssh::config;

/// Print a piece of ssh's configuration with which plain ssh, scp and rsync reach instances.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln ssh-config > ~/.ssh/kiln.conf && sed -i '1i Include kiln.conf' ~/.ssh/config
  ssh debian@i-0123456789abcdef0")]
pub struct Arguments {}

pub(in super::super) fn run(context: &Context, _: Arguments) -> Result<(), CommandError> {
    config(context)?.iter().try_for_each(|line| context.out.line(line))
}
