//! What a monitor's process is enclosed in: a systemd scope, a control group of ours, or nothing.
//!
//! Outside the daemon's own control group, so that whatever ends the daemon ends no guest; and bounded, so that a
//! monitor that was taken over takes no more than its guest was given.

mod cgroup;
mod systemd;

use crate::model::{Instance, InstanceId};
use crate::store::ledger::{HostObject, ObjectKind};
use cgroup::CgroupTree;
use std::io;
use std::path::Path;
use systemd::Systemd;

/// What a monitor may use of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes: the guest's and the monitor's own.
    pub memory: u64,
    /// CPU time in percent of one CPU.
    pub cpu_percent: u64,
    /// Processes and threads.
    pub tasks: u64,
}

impl Limits {
    /// What a monitor of this instance needs, and some air: page tables and buffers grow with the guest's memory, and
    /// devices work beside the vCPUs.
    pub fn of(instance: &Instance) -> Self {
        let guest = instance.instance_type.memory;
        Self {
            memory: guest.saturating_add(guest / 64).saturating_add(128 << 20),
            cpu_percent: (u64::from(instance.instance_type.vcpus) + 1) * 100,
            tasks: 256,
        }
    }
}

/// Why a process could not be enclosed, or its enclosure not be removed.
#[derive(Debug, thiserror::Error)]
pub enum EnclosureError {
    /// systemd refused, or could not be asked.
    #[error("systemd can't {doing} the scope {unit}")]
    Systemd {
        /// What it was asked: `start`, `stop`.
        doing: &'static str,
        /// The scope.
        unit: String,
        /// Why.
        source: zbus::Error,
    },
    /// systemd could not start the scope.
    #[error("systemd started the scope {unit} with the result \"{result}\"")]
    Scope {
        /// The scope.
        unit: String,
        /// systemd's word: `failed`, `timeout`, ….
        result: String,
    },
    /// The control group's files refused.
    #[error("Can't {doing} the control group {path}")]
    Cgroup {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The way that this host encloses processes.
#[derive(Debug)]
pub enum Enclosures {
    /// systemd runs here: a scope each, in `machine.slice`.
    Systemd(Systemd),
    /// Control groups are writable: one each, below `kiln`.
    Cgroup(CgroupTree),
    /// There is nothing to enclose them in; monitors are bounded by their own resource limits only.
    None,
}

impl Enclosures {
    /// Finds out what this host has.
    pub async fn detect() -> Self {
        if Path::new("/run/systemd/system").exists() {
            match Systemd::connect().await {
                Ok(systemd) => return Self::Systemd(systemd),
                Err(error) => tracing::warn!(%error, "systemd runs here, but can't be talked to over D-Bus"),
            }
        }
        match CgroupTree::find() {
            Some(tree) => Self::Cgroup(tree),
            None => Self::None,
        }
    }

    /// For people: how monitors are enclosed.
    pub fn describe(&self) -> String {
        match self {
            Self::Systemd(_) => "systemd scopes in machine.slice".into(),
            Self::Cgroup(tree) => format!("control groups (version {}) below kiln", tree.version()),
            Self::None => "none: no systemd and no writable control groups; memory and CPU time are not bounded".into(),
        }
    }

    /// What goes on the ledger before a monitor of this instance is enclosed.
    pub fn object(&self, id: InstanceId) -> Option<HostObject> {
        let (kind, name) = match self {
            Self::Systemd(_) => (ObjectKind::Scope, format!("kiln-{id}.scope")),
            Self::Cgroup(_) => (ObjectKind::Cgroup, format!("kiln/{id}")),
            Self::None => return None,
        };
        Some(HostObject {
            kind,
            name,
            owner: id.to_string(),
        })
    }

    /// Puts a process into its enclosure; when this returns, it is in.
    ///
    /// # Errors
    /// See [`EnclosureError`].
    pub async fn enclose(&self, id: InstanceId, pid: i32, limits: Limits) -> Result<(), EnclosureError> {
        let Some(object) = self.object(id) else { return Ok(()) };
        match self {
            Self::Systemd(systemd) => systemd.start_scope(&object.name, pid, limits).await,
            Self::Cgroup(tree) => tree.enclose(&object.name, pid, limits),
            Self::None => Ok(()),
        }
    }

    /// Removes an enclosure that is on the ledger; one that is gone is fine. Its processes have ended before.
    ///
    /// # Errors
    /// See [`EnclosureError`].
    pub async fn remove(&self, object: &HostObject) -> Result<(), EnclosureError> {
        match (object.kind, self) {
            (ObjectKind::Scope, Self::Systemd(systemd)) => systemd.stop_scope(&object.name).await,
            // The host was started without systemd since: its scopes ended with the last boot.
            (ObjectKind::Scope, _) => Ok(()),
            (ObjectKind::Cgroup, Self::Cgroup(tree)) => tree.remove(&object.name),
            (ObjectKind::Cgroup, _) => CgroupTree::find().map_or(Ok(()), |tree| tree.remove(&object.name)),
            (ObjectKind::File | ObjectKind::Directory | ObjectKind::Link | ObjectKind::Table, _) => Ok(()),
        }
    }
}
