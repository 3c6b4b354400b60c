//! `kiln ssh`: a shell or a command in a guest, by the system's own `ssh`.

use super::super::Context;
use super::super::error::CommandError;
use super::super::resolve;
use super::super::ssh::{Route, Way, until_reachable};
use crate::config::Span;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Open a shell in an instance, or run a command in it.
///
/// Finds the address, the user and the key by itself, checks the host keys that the guest printed on its console, and waits
/// until its sshd answers. The connection goes through the daemon, so it works without a public address, and past the
/// security groups. The exit status is the command's, or ssh's own 255.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln ssh web
  kiln ssh web -- uname -r
  kiln ssh -L 8080:localhost:80 web          ssh's own options go before the name
  kiln ssh --user root -i ./key web")]
pub struct Arguments {
    /// The user; the one that the image's maker has made when not given.
    #[arg(short = 'l', long)]
    user: Option<String>,
    /// The file with the private key; the one in ~/.ssh that goes with the instance's key pair when not given.
    #[arg(short, long, value_name = "FILE")]
    identity: Option<String>,
    /// Forward a port, as ssh does.
    #[arg(short = 'L', long = "forward", value_name = "[ADDRESS:]PORT:HOST:PORT")]
    forward: Vec<String>,
    /// How long to wait for the guest's sshd.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// The command, run by the user's shell there; without one there is a shell to type at.
    #[arg(last = true)]
    command: Vec<String>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    let limit = arguments.timeout.as_duration();
    let (route, _) = until_reachable(context, &instance, &[Route::Network], limit).await?;
    let way = Way::to(context, &instance, route).await?;
    let mut ssh = Command::new("ssh");
    ssh.args(way.options);
    if let Some(file) = arguments.identity {
        ssh.args(["-i", &file]);
    }
    for forward in arguments.forward {
        ssh.args(["-L", &forward]);
    }
    ssh.args(["-l", arguments.user.as_deref().unwrap_or(&way.user)]);
    ssh.args(["--", &instance.instance_id]).args(arguments.command);
    Err(CommandError::Start {
        program: "ssh",
        source: ssh.exec(),
    })
}
