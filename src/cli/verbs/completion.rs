//! `kiln completion`: a script that makes a shell complete this command.

use super::super::error::CommandError;
use super::super::{Cli, Context};
use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln completion bash > /etc/bash_completion.d/kiln
  kiln completion zsh > /usr/local/share/zsh/site-functions/_kiln
  kiln completion fish > ~/.config/fish/completions/kiln.fish")]
pub struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(in super::super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "kiln", &mut script);
    context.out.bytes(&script)
}
