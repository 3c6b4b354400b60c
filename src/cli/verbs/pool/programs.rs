//! The host's own programs that make, mount and grow file systems.

use super::super::super::error::CommandError;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Runs a program whose output nobody needs; what it has to complain of goes to standard error.
pub(super) async fn run<S: AsRef<OsStr>>(program: &'static str, arguments: &[S]) -> Result<(), CommandError> {
    output(program, arguments).await.map(drop)
}

/// Runs a program; gives what it printed.
pub(super) async fn output<S: AsRef<OsStr>>(program: &'static str, arguments: &[S]) -> Result<String, CommandError> {
    let ended = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(|source| CommandError::Start { program, source })?;
    match ended.status.success() {
        true => Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned()),
        false => Err(CommandError::Program {
            program: program.into(),
            status: ended.status.to_string(),
        }),
    }
}

/// Whether systemd is this host's service manager (sd_booted(3)).
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Whoever is not root can't mount.
pub(super) fn must_be_root() -> Result<(), CommandError> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err(CommandError::Usage("Only root can do this: put sudo before it".into())),
    }
}
