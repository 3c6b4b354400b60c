//! Where things lie: the paths below the state directory and the run directory.

use crate::model::{InstanceId, KernelId, RamdiskId, SnapshotId, VirtualName, VolumeId};
use std::path::{Path, PathBuf};

/// The two directories of a daemon and what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    state: PathBuf,
    run: PathBuf,
}

impl Layout {
    /// The layout below these two directories.
    pub fn new(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            run: run.into(),
        }
    }

    /// What outlives a reboot of the host.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Sockets; gone after a reboot of the host.
    pub fn run_dir(&self) -> &Path {
        &self.run
    }

    /// The directories that are there from the daemon's first start on.
    pub fn permanent_dirs(&self) -> Vec<PathBuf> {
        let state = ["snapshots", "volumes", "kernels", "ramdisks", "instances"].map(|name| self.state.join(name));
        [self.state.clone(), self.run.clone(), self.run.join("instances")]
            .into_iter()
            .chain(state)
            .collect()
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state.join("kiln.db")
    }

    /// The file whose lock keeps a second daemon out.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// A snapshot's file.
    pub fn snapshot(&self, id: SnapshotId) -> PathBuf {
        self.state.join("snapshots").join(format!("{id}.raw"))
    }

    /// The checksums of the blocks that were written to a snapshot which is a draft still.
    pub fn snapshot_sums(&self, id: SnapshotId) -> PathBuf {
        self.state.join("snapshots").join(format!("{id}.sums"))
    }

    /// A volume's file.
    pub fn volume(&self, id: VolumeId) -> PathBuf {
        self.state.join("volumes").join(format!("{id}.raw"))
    }

    /// A kernel image's file.
    pub fn kernel(&self, id: KernelId) -> PathBuf {
        self.state.join("kernels").join(id.to_string())
    }

    /// A RAM disk image's file.
    pub fn ramdisk(&self, id: RamdiskId) -> PathBuf {
        self.state.join("ramdisks").join(id.to_string())
    }

    /// The directory of an instance's console log, report and instance store.
    pub fn instance_dir(&self, id: InstanceId) -> PathBuf {
        self.state.join("instances").join(id.to_string())
    }

    /// What the guest wrote to its serial console since its last start.
    pub fn console_log(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("console.log")
    }

    /// The monitor's last word.
    pub fn report(&self, id: InstanceId) -> PathBuf {
        self.instance_dir(id).join("report.json")
    }

    /// A disk of an instance's type, while the instance has a machine.
    pub fn instance_store(&self, id: InstanceId, disk: VirtualName) -> PathBuf {
        self.instance_dir(id).join(format!("{disk}.raw"))
    }

    /// The directory of a running instance's socket.
    pub fn run_instance_dir(&self, id: InstanceId) -> PathBuf {
        self.run.join("instances").join(id.to_string())
    }

    /// The monitor's control socket.
    pub fn control_socket(&self, id: InstanceId) -> PathBuf {
        self.run_instance_dir(id).join("control.sock")
    }
}
