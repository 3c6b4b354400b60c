//! A monitor's process, held by a pidfd: what is asked of it reaches no other that got its id later.

use crate::store::machines::ProcessIdentity;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process that is there, or was.
#[derive(Debug)]
pub struct Process {
    pidfd: AsyncFd<OwnedFd>,
    identity: ProcessIdentity,
}

impl Process {
    /// Takes hold of a child that nobody has waited for yet, so that its id is surely still its own.
    ///
    /// # Errors
    /// The system refuses a pidfd.
    pub fn of_child(pid: i32) -> io::Result<Self> {
        let pidfd = open(pid)?;
        Ok(Self {
            pidfd,
            identity: ProcessIdentity {
                pid,
                start_time: start_time(pid)?,
            },
        })
    }

    /// Takes hold of the process of that identity; none if it is gone. The identity must be of this boot of the host.
    pub fn find(identity: ProcessIdentity) -> Option<Self> {
        let pidfd = open(identity.pid).ok()?;
        // Read after the pidfd was opened: if it is the right one now, the pidfd is the right one's.
        (start_time(identity.pid).ok()? == identity.start_time).then_some(Self { pidfd, identity })
    }

    /// Takes hold of the process that has that id, if it runs under that user, which is no other's.
    pub fn of_user(pid: i32, uid: u32) -> Option<Self> {
        let pidfd = open(pid).ok()?;
        let start_time = start_time(pid).ok()?;
        (user(pid).ok()? == uid).then_some(Self {
            pidfd,
            identity: ProcessIdentity { pid, start_time },
        })
    }

    /// Who it is.
    pub fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// Waits until it has ended, and reaps it if it is a child.
    pub async fn ended(&self) {
        // A pidfd becomes readable once, when the process ends; the reactor fails only when it is being taken down.
        if self.pidfd.readable().await.is_ok() {
            let _ = waitid(
                WaitId::PidFd(self.pidfd.get_ref().as_fd()),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            );
        }
    }

    /// Kills it and waits until it has ended.
    pub async fn kill(&self) {
        // The one failure is that it is gone already.
        let _ = pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL);
        self.ended().await;
    }
}

fn open(pid: i32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    // SAFETY: An `OwnedFd` gives the same open descriptor as long as it lives, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

/// When a process was started, in clock ticks since the boot.
fn start_time(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_start_time(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Field 22 of proc_pid_stat(5). The name in field 2 may hold anything, blanks and brackets too; the last bracket ends it.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The real user of a process.
fn user(pid: i32) -> io::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next()?.parse().ok());
    uid.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The boot of the host that this is: process ids and start times mean nothing in another.
///
/// # Errors
/// There is no `/proc`.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Duration;

    #[expect(clippy::zombie_processes, reason = "the process is reaped by its pidfd")]
    fn sleeper() -> Process {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        Process::of_child(i32::try_from(child.id()).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_killed_child_ends_and_is_reaped() {
        let process = sleeper();
        let pid = process.identity().pid;
        tokio::time::timeout(Duration::from_secs(20), process.kill())
            .await
            .expect("it was killed");
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "a zombie is left"
        );
        process.kill().await;
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_identity_alone() {
        let process = sleeper();
        let identity = process.identity();
        assert_eq!(Process::find(identity).map(|found| found.identity()), Some(identity));
        let other = ProcessIdentity {
            start_time: identity.start_time + 1,
            ..identity
        };
        assert!(
            Process::find(other).is_none(),
            "a process that got the id later is taken for ours"
        );
        let own = rustix::process::getuid().as_raw();
        assert!(Process::of_user(identity.pid, own).is_some());
        assert!(Process::of_user(identity.pid, own + 1).is_none());
        process.kill().await;
        assert!(Process::find(identity).is_none());
    }

    #[test]
    fn a_name_with_brackets_hides_no_start_time() {
        let rest = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0";
        assert_eq!(parse_start_time(&format!("7 (a) b (c)) {rest}")), Some(4711));
        assert_eq!(parse_start_time("7 (a"), None);
        assert_eq!(parse_start_time(""), None);
    }
}
