//! `kiln exec`: a command in a guest, by the system's own `ssh` over the guest's vsock device, so without its network.

use super::super::Context;
use super::super::error::CommandError;
use super::super::output::tell;
use super::super::resolve;
use super::super::ssh::{Route, Way, until_reachable};
use crate::config::Span;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Run a command in an instance.
///
/// Goes by the guest's vsock device, where systemd (256 and later) has sshd listen by itself, and so needs no network in the
/// guest. Where nothing listens there, it goes over the network, and says so. User, key and host keys are found as by kiln
/// ssh. Each word arrives as it was given. The exit status is the command's, or ssh's own 255.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln exec web -- uname -r
  kiln exec web --user root -- systemctl restart nginx
  kiln exec web -- sh -c 'cat /etc/os-release | head -1'")]
pub struct Arguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// The user; the one that the image's maker has made when not given.
    #[arg(short, long)]
    user: Option<String>,
    /// How long to wait for the guest's sshd.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    let routes = [Route::Vsock, Route::Network];
    let limit = arguments.timeout.as_duration();
    let (route, problem) = until_reachable(context, &instance, &routes, limit).await?;
    if let Some(problem) = problem {
        tell(&format!("over the network, as there is no way in by vsock: {problem}"));
    }
    let way = Way::to(context, &instance, route).await?;
    let mut ssh = Command::new("ssh");
    ssh.args(way.options);
    ssh.args(["-l", arguments.user.as_deref().unwrap_or(&way.user)]);
    ssh.args(["--", &instance.instance_id]);
    ssh.args(arguments.command.iter().map(|word| quoted(word)));
    Err(CommandError::Start {
        program: "ssh",
        source: ssh.exec(),
    })
}

/// A word as the guest's shell must see it, to whom ssh gives all of them as one line.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&b));
    match plain {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(quoted("/usr/bin/env"), "/usr/bin/env");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_shell_reads_the_words_that_were_given(words in prop::collection::vec("[^\\x00]{0,12}", 1..5)) {
            let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            let script = format!("printf '%s\\0' {}", line.join(" "));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
            let said: Vec<&[u8]> = said.split(|&byte| byte == 0).collect();
            let given: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).chain([&b""[..]]).collect();
            prop_assert_eq!(said, given);
        }
    }
}
