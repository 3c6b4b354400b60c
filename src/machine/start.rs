//! Starting a monitor: its record, its socket, its process, its enclosure, its first word.

use super::control::{Control, ControlError};
use super::enclosure::{EnclosureError, Limits};
use super::process::Process;
use super::{Machine, Machines};
use crate::model::{Instance, InstanceId};
use crate::namespace::Namespace;
use crate::store::{StoreError, ledger, machines};
use crate::volumes::HostFileError;
use command_fds::{CommandFdExt, FdMapping};
use kiln_vmm::protocol::{Answer, Request, VERSION};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The descriptor at which a monitor finds its listening socket.
const CONTROL_FD: i32 = 3;

/// Why a monitor could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartMachineError {
    /// The store refused.
    #[error("The monitor of {instance} can't be put on record")]
    Record {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: StoreError,
    },
    /// Every user id of the range is taken.
    #[error("No user id is left for the monitor of {instance}: widen vmm.uids in kiln.toml")]
    NoUser {
        /// The instance.
        instance: InstanceId,
    },
    /// The directory of its socket could not be made.
    #[error("The run directory of {instance} can't be made")]
    RunDir {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: HostFileError,
    },
    /// Its socket could not be made.
    #[error("Can't listen at {path}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("Can't start {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be enclosed.
    #[error("The monitor of {instance} can't be enclosed")]
    Enclosure {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: EnclosureError,
    },
    /// It did not say hello.
    #[error("The monitor of {instance} does not answer")]
    Hello {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ControlError,
    },
    /// It speaks another protocol.
    #[error("The monitor {program} speaks version {found} of the protocol, this daemon {VERSION}: install both anew")]
    Version {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl Machines {
    /// Starts a monitor for an instance, enclosed and waiting for its machine; in `network`, which it then keeps, or in
    /// an empty one of its own.
    ///
    /// # Errors
    /// See [`StartMachineError`]. What was made stays on the ledger; [`Machines::clear`] removes it.
    pub async fn start(&self, instance: &Instance, network: Option<&Namespace>) -> Result<Machine, StartMachineError> {
        let id = instance.id;
        let record_error = |source| StartMachineError::Record { instance: id, source };
        let uid = self
            .record(id)
            .await
            .map_err(record_error)?
            .ok_or(StartMachineError::NoUser { instance: id })?;
        let run_dir = self.layout.run_instance_dir(id);
        let made = self.files.create_dir(&id.to_string(), &run_dir).await;
        made.map_err(|source| StartMachineError::RunDir { instance: id, source })?;

        let process = self.spawn(&self.layout.control_socket(id), uid, network).await?;
        let identity = process.identity();
        self.store
            .write(move |tx| machines::identify(tx, id, identity))
            .await
            .map_err(record_error)?;
        let enclosed = self.enclosures.enclose(id, identity.pid, Limits::of(instance)).await;
        enclosed.map_err(|source| StartMachineError::Enclosure { instance: id, source })?;

        let machine = Machine {
            process,
            socket: self.layout.control_socket(id),
        };
        self.greet(id, &machine).await?;
        Ok(machine)
    }

    /// Puts the process and its enclosure on record; gives the user id it got.
    async fn record(&self, id: InstanceId) -> Result<Option<u32>, StoreError> {
        let (boot_id, uids, enclosure) = (self.boot_id.clone(), self.uids.iter(), self.enclosures.object(id));
        self.store
            .write(move |tx| {
                if let Some(enclosure) = enclosure {
                    ledger::record(tx, &enclosure)?;
                }
                machines::record(tx, id, &boot_id, uids)
            })
            .await
    }

    async fn spawn(&self, socket: &Path, uid: u32, network: Option<&Namespace>) -> Result<Process, StartMachineError> {
        let (program, socket, keep_network) = (self.program.clone(), socket.to_owned(), network.is_some());
        let work = move || {
            // A socket that an earlier monitor listened at is of no use any more: bind would refuse the name.
            let _ = std::fs::remove_file(&socket);
            let listener = UnixListener::bind(&socket);
            let listener = match listener {
                Ok(listener) => listener,
                Err(source) => return Ok(Err(StartMachineError::Socket { path: socket, source })),
            };
            let spawned = command(&program, uid, keep_network, listener.into()).and_then(|mut command| command.spawn());
            Ok(spawned.map_err(|source| StartMachineError::Spawn { program, source }))
        };
        let spawned = match network {
            // A program inherits the namespaces of the thread that starts it.
            Some(network) => network.run(work).await,
            None => tokio::task::spawn_blocking(work)
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error))),
        };
        let child = spawned.map_err(|source| self.spawn_error(source))??;
        // The child is not waited for before its pidfd is open, so its id is its own.
        let pid = i32::try_from(child.id()).map_err(|error| self.spawn_error(io::Error::other(error)))?;
        Process::of_child(pid).map_err(|source| self.spawn_error(source))
    }

    fn spawn_error(&self, source: io::Error) -> StartMachineError {
        StartMachineError::Spawn {
            program: self.program.clone(),
            source,
        }
    }

    async fn greet(&self, id: InstanceId, machine: &Machine) -> Result<(), StartMachineError> {
        let hello_error = |source| StartMachineError::Hello { instance: id, source };
        let mut control = Control::connect(&machine.socket).await.map_err(hello_error)?;
        // A program that ends at once leaves its socket with nobody to answer.
        let answer = tokio::select! {
            answer = control.request(&Request::Hello) => answer.map_err(hello_error)?,
            () = machine.process.ended() => return Err(hello_error(ControlError::HungUp)),
        };
        match answer {
            Answer::Hello { version: VERSION, .. } => Ok(()),
            Answer::Hello { version, .. } => Err(StartMachineError::Version {
                program: self.program.clone(),
                found: version,
            }),
            _ => Err(hello_error(ControlError::Unexpected)),
        }
    }
}

/// The command line of a monitor. It inherits its standard error, which is the journal, and the listening socket; all
/// else of the daemon's is closed at its start, and its environment is empty.
fn command(program: &Path, uid: u32, keep_network: bool, listener: OwnedFd) -> io::Result<Command> {
    let mut command = Command::new(program);
    let owner = rustix::process::getuid().as_raw().to_string();
    command.args([
        "--uid",
        &uid.to_string(),
        "--gid",
        &uid.to_string(),
        "--owner-uid",
        &owner,
    ]);
    if keep_network {
        command.arg("--keep-network");
    }
    command
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    let mapping = FdMapping {
        parent_fd: listener,
        child_fd: CONTROL_FD,
    };
    command.fd_mappings(vec![mapping]).map_err(io::Error::other)?;
    Ok(command)
}

/// Sees to it that no program started from now on inherits what this process was started with, its standard streams
/// aside. The daemon calls it first of all; what it opens itself is not inheritable anyway.
///
/// # Errors
/// The kernel is older than Linux 5.11.
pub fn seal_descriptors() -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: With this flag nothing is closed; descriptors are only marked to be closed in programs started later.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_inherits_its_socket_and_nothing_else() {
        seal_descriptors().unwrap();
        let dir = tempfile::tempdir().unwrap();
        // Descriptors that the child must not see, though one of them has the number that the socket is to get.
        let _others: Vec<std::fs::File> = (0..8).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let list = dir.path().join("list");
        let script = dir.path().join("monitor");
        std::fs::write(
            &script,
            format!("#!/bin/sh\nls -l /proc/self/fd > {}\nenv >> {0}\n", list.display()),
        )
        .unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        command(&script, 70_000, false, listener.into())
            .unwrap()
            .status()
            .unwrap();
        let seen = std::fs::read_to_string(list).unwrap();
        let descriptors: Vec<&str> = seen.lines().filter_map(|line| line.split(" -> ").nth(1)).collect();
        let sockets = descriptors
            .iter()
            .filter(|target| target.starts_with("socket:"))
            .count();
        let null = descriptors.iter().filter(|target| **target == "/dev/null").count();
        assert_eq!(sockets, 1, "{seen}");
        assert!(null <= 1, "only its standard input is /dev/null: {seen}");
        assert!(!seen.contains("CARGO"), "the environment was inherited: {seen}");
    }
}
