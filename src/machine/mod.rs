//! Monitors: starting `kiln-vmm` processes, finding them again and talking to them.
//!
//! `instance` uses it; nobody else talks to a monitor. Whatever belongs to one (process, user id, socket, enclosure)
//! is on the ledger before it is made and goes through [`Machines::clear`].

mod control;
mod enclosure;
mod process;
mod start;

pub use control::{Control, ControlError, Events, Resting, presentable};
pub use enclosure::{EnclosureError, Enclosures, Limits};
pub use process::{Process, boot_id};
pub use start::{StartMachineError, seal_descriptors};

use crate::config::UidRange;
use crate::model::InstanceId;
use crate::store::layout::Layout;
use crate::store::machines::MachineRecord;
use crate::store::{Store, StoreError, ledger, machines};
use crate::volumes::{HostFileError, HostFiles};
use kiln_vmm::protocol::{Answer, DeviceSpec, FailureKind, Request};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tokio::io::BufReader;
use tokio::net::UnixStream;

/// Why what belonged to a monitor could not be removed; it stays on the ledger.
#[derive(Debug, thiserror::Error)]
pub enum ClearMachineError {
    /// The store refused.
    #[error("The ledger of {instance} can't be read or written")]
    Ledger {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: StoreError,
    },
    /// Its enclosure is still there.
    #[error("The enclosure of {instance} can't be removed")]
    Enclosure {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: EnclosureError,
    },
    /// Its run directory is still there.
    #[error("The run directory of {instance} can't be removed")]
    RunDir {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: HostFileError,
    },
}

/// A monitor that is, or was, running.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    socket: PathBuf,
}

impl Machine {
    /// Asks the monitor something, over a connection of its own.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn request(&self, request: &Request) -> Result<Answer, ControlError> {
        Control::connect(&self.socket).await?.request(request).await
    }

    /// Puts a device into the running machine; the files go along.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn attach(&self, device: DeviceSpec, files: &[OwnedFd]) -> Result<(), ControlError> {
        let mut control = Control::connect(&self.socket).await?;
        control.attach(device, files).await.map(drop)
    }

    /// Asks the guest to give up a device, which it may do later, or takes it away from it; false if the machine has no such
    /// device any more.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn detach(&self, id: &str, force: bool) -> Result<bool, ControlError> {
        let id = id.to_owned();
        match self.request(&Request::Detach { id, force }).await {
            Ok(_) => Ok(true),
            Err(ControlError::Refused(failure)) if failure.kind == FailureKind::NoSuchDevice => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has block devices rest; see [`Control::rest`].
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn rest(&self, ids: Vec<String>, after_reset: bool) -> Result<Resting, ControlError> {
        Control::connect(&self.socket).await?.rest(ids, after_reset).await
    }

    /// A new connection, to launch the machine or to follow its events.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn connect(&self) -> Result<Control, ControlError> {
        Control::connect(&self.socket).await
    }

    /// The serial console, both ways; its bytes are the guest's and the client's, and nobody's here.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn console(&self) -> Result<BufReader<UnixStream>, ControlError> {
        Control::connect(&self.socket).await?.console().await
    }

    /// A connection to a port of the guest's vsock device, both ways.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn vsock(&self, port: u32) -> Result<BufReader<UnixStream>, ControlError> {
        Control::connect(&self.socket).await?.vsock(port).await
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// What became of a monitor that is on record.
#[derive(Debug)]
pub enum Found {
    /// It lives and runs its instance's machine.
    Running(Machine),
    /// It lives and waits for its machine, the daemon having ended before the launch; or it does not answer.
    Waiting(Machine),
    /// It has ended, with its last boot of the host at the latest.
    Gone,
}

/// What a monitor says of itself.
struct Hello {
    pid: i32,
    runs: bool,
}

/// The monitors of a daemon.
#[derive(Debug)]
pub struct Machines {
    store: Store,
    layout: Layout,
    files: HostFiles,
    enclosures: Enclosures,
    program: PathBuf,
    uids: UidRange,
    boot_id: String,
}

impl Machines {
    /// The monitors of this program, each under a user of its own out of `uids`.
    ///
    /// # Errors
    /// The host has no `/proc`.
    pub async fn open(store: Store, layout: Layout, program: PathBuf, uids: UidRange) -> std::io::Result<Self> {
        let files = HostFiles::new(store.clone());
        Ok(Self {
            store,
            layout,
            files,
            enclosures: Enclosures::detect().await,
            program,
            uids,
            boot_id: boot_id()?,
        })
    }

    /// For people: how monitors are enclosed.
    pub fn enclosure(&self) -> String {
        self.enclosures.describe()
    }

    /// Looks for the monitor that is on record: by its identity, and by what it says of itself.
    pub async fn find(&self, record: &MachineRecord) -> Found {
        let hello = self.hello(record).await;
        let Some(process) = self.hold(record, hello.as_ref().map(|hello| hello.pid)) else {
            return Found::Gone;
        };
        let machine = Machine {
            process,
            socket: self.layout.control_socket(record.instance),
        };
        match hello {
            Some(Hello { pid, runs: true }) if pid == machine.process.identity().pid => Found::Running(machine),
            _ => Found::Waiting(machine),
        }
    }

    /// Takes hold of a monitor's process. Where the daemon ended before it wrote down who it is, it has said so itself,
    /// and its user is no other's.
    fn hold(&self, record: &MachineRecord, says: Option<i32>) -> Option<Process> {
        if record.boot_id != self.boot_id {
            return None;
        }
        match (record.process, says) {
            (Some(identity), _) => Process::find(identity),
            (None, Some(pid)) => Process::of_user(pid, record.uid),
            (None, None) => None,
        }
    }

    async fn hello(&self, record: &MachineRecord) -> Option<Hello> {
        let socket = self.layout.control_socket(record.instance);
        let asked = async { Control::connect(&socket).await?.request(&Request::Hello).await };
        match asked.await {
            Ok(Answer::Hello { pid, instance_id, .. }) => {
                let runs = instance_id == Some(record.instance.to_string());
                Some(Hello {
                    pid: i32::try_from(pid).ok()?,
                    runs,
                })
            }
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(instance = %record.instance, %error, "No monitor answers");
                None
            }
        }
    }

    /// Ends the monitor of an instance, if one is left, and removes all that belonged to it. Nothing of the instance's
    /// data is touched.
    ///
    /// # Errors
    /// See [`ClearMachineError`].
    pub async fn clear(&self, id: InstanceId) -> Result<(), ClearMachineError> {
        let ledger_error = |source| ClearMachineError::Ledger { instance: id, source };
        let read = self
            .store
            .read(move |tx| Ok::<_, StoreError>((machines::get(tx, id)?, ledger::of(tx, &id.to_string())?)));
        let (record, objects) = read.await.map_err(ledger_error)?;
        if let Some(record) = record {
            // One that is known is killed unasked: it may be past answering.
            let says = if record.process.is_some() {
                None
            } else {
                self.hello(&record).await.map(|hello| hello.pid)
            };
            if let Some(process) = self.hold(&record, says) {
                process.kill().await;
            }
        }
        for object in &objects {
            let removed = self.enclosures.remove(object).await;
            removed.map_err(|source| ClearMachineError::Enclosure { instance: id, source })?;
        }
        let removed = self.files.remove_dir(&self.layout.run_instance_dir(id)).await;
        removed.map_err(|source| ClearMachineError::RunDir { instance: id, source })?;
        let enclosures: Vec<_> = objects
            .into_iter()
            .filter(|object| matches!(object.kind, ledger::ObjectKind::Scope | ledger::ObjectKind::Cgroup))
            .collect();
        let forgotten = self.store.write(move |tx| {
            for object in &enclosures {
                ledger::forget(tx, object.kind, &object.name)?;
            }
            machines::forget(tx, id)
        });
        forgotten.await.map_err(ledger_error)
    }
}
