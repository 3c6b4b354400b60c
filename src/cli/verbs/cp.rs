//! `kiln cp`: files into a guest and out of it, by the system's own `scp`.

use super::super::Context;
use super::super::error::CommandError;
use super::super::resolve;
use super::super::ssh::{Route, Way, until_reachable};
use crate::config::Span;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Copy files into an instance, or out of it.
///
/// A path in an instance is written INSTANCE:PATH. Everything else is as with kiln ssh.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln cp setup.sh web:
  kiln cp -r site/ web:/srv/
  kiln cp web:/var/log/syslog .")]
pub struct Arguments {
    /// Copy directories with what is in them.
    #[arg(short, long)]
    recursive: bool,
    /// The user; the one that the image's maker has made when not given.
    #[arg(short = 'l', long)]
    user: Option<String>,
    /// The file with the private key; the one in ~/.ssh that goes with the instance's key pair when not given.
    #[arg(short, long, value_name = "FILE")]
    identity: Option<String>,
    /// How long to wait for the guest's sshd.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
    /// From where, and at last to where: one side is in an instance.
    #[arg(required = true, num_args = 2.., value_name = "PATH")]
    paths: Vec<String>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let name = arguments
        .paths
        .iter()
        .find_map(|path| in_guest(path))
        .map(|(name, _)| name);
    let name = name.ok_or_else(|| CommandError::Usage("No path is in an instance: write INSTANCE:PATH".into()))?;
    if arguments
        .paths
        .iter()
        .filter_map(|path| in_guest(path))
        .any(|(other, _)| other != name)
    {
        return Err(CommandError::Usage("Copy from and to one instance at a time".into()));
    }
    let instance = resolve::instance(&context.client, name).await?;
    let limit = arguments.timeout.as_duration();
    let (route, _) = until_reachable(context, &instance, &[Route::Network], limit).await?;
    let way = Way::to(context, &instance, route).await?;
    let user = arguments.user.as_deref().unwrap_or(&way.user);
    let mut scp = Command::new("scp");
    scp.args(&way.options);
    if let Some(file) = &arguments.identity {
        scp.args(["-i", file]);
    }
    if arguments.recursive {
        scp.arg("-r");
    }
    scp.arg("--");
    for path in &arguments.paths {
        scp.arg(match in_guest(path) {
            Some((_, inside)) => format!("{user}@{}:{inside}", instance.instance_id),
            // A name with a colon behind a slash is a file's, also for scp.
            None => path.clone(),
        });
    }
    Err(CommandError::Start {
        program: "scp",
        source: scp.exec(),
    })
}

/// Instance and path, if a path is in one: as for scp, a colon counts before the first slash.
fn in_guest(path: &str) -> Option<(&str, &str)> {
    let (name, inside) = path.split_once(':')?;
    (!name.is_empty() && !name.contains('/')).then_some((name, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_in_a_guest_when_a_name_and_a_colon_come_first() {
        assert_eq!(in_guest("web:"), Some(("web", "")));
        assert_eq!(in_guest("i-0:/a:b"), Some(("i-0", "/a:b")));
        for here in ["a", "./a:b", "/x:y", ":a"] {
            assert_eq!(in_guest(here), None, "{here}");
        }
    }
}
