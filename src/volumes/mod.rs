//! Volumes on disk: clones of snapshots, made durable before anybody hears of them, and their removal.
//!
//! `instance` has root volumes made and removed here; `api` makes the files of snapshots, kernels and RAM disks through
//! [`HostFiles`], reads snapshots block by block ([`blocks`]) and has clients write them so ([`drafts`]).

pub mod blocks;
pub mod drafts;
mod files;
mod pool;
mod scrub;
mod space;

pub use files::{HostFileError, HostFiles};
pub use pool::{Freeable, Kind, Pool, PoolError, Use};
pub use scrub::{ScrubError, Scrubbed};
pub use space::SpaceError;

use crate::chain::chain;
use crate::model::{ResourceId, SnapshotId, Volume, VolumeId, VolumeState};
use crate::store::layout::Layout;
use crate::store::ledger::{self, ObjectKind};
use crate::store::{self, Store, StoreError};
pub(crate) use files::blocking;
use kiln_images::clone::{CloneError, Cloned, clone_file};
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Why a volume could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateVolumeError {
    /// The snapshot's file is not there.
    #[error("The snapshot {snapshot} of the volume {volume} can't be read")]
    Snapshot {
        /// The volume.
        volume: VolumeId,
        /// Its snapshot.
        snapshot: SnapshotId,
        /// What the system said.
        source: io::Error,
    },
    /// The volume's file could not be made.
    #[error("The file of the volume {volume} can't be made")]
    File {
        /// The volume.
        volume: VolumeId,
        /// Why.
        source: HostFileError,
    },
    /// The copying failed; a full disk is the likeliest cause.
    #[error("The snapshot {snapshot} can't be cloned to the volume {volume} in {dir}")]
    Clone {
        /// The volume.
        volume: VolumeId,
        /// Its snapshot.
        snapshot: SnapshotId,
        /// Where volumes lie.
        dir: PathBuf,
        /// Why.
        source: CloneError,
    },
}

/// Why a volume could not be opened for a guest.
#[derive(Debug, thiserror::Error)]
pub enum OpenVolumeError {
    /// It is not there, or can't be read and written.
    #[error("The volume {volume} at {path} can't be opened")]
    Open {
        /// The volume.
        volume: VolumeId,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another machine writes to it.
    #[error("The volume {volume} is locked: another machine still has it open")]
    Locked {
        /// The volume.
        volume: VolumeId,
    },
}

/// Why a snapshot could not be made of a volume.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The snapshot's file could not be made.
    #[error("The file of the snapshot {snapshot} can't be made")]
    File {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Why.
        source: HostFileError,
    },
    /// The copying failed; a full disk is the likeliest cause.
    #[error("{original} can't be cloned to the snapshot {snapshot} in {dir}")]
    Clone {
        /// What was to be cloned.
        original: Original,
        /// The snapshot.
        snapshot: SnapshotId,
        /// Where snapshots lie.
        dir: PathBuf,
        /// Why.
        source: CloneError,
    },
}

/// Why a volume could not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteVolumeError {
    /// Its file could not be removed.
    #[error("The file of the volume {volume} can't be removed")]
    File {
        /// The volume.
        volume: VolumeId,
        /// Why.
        source: HostFileError,
    },
    /// Its record could not be changed.
    #[error("The record of the volume {volume} can't be changed")]
    Record {
        /// The volume.
        volume: VolumeId,
        /// Why.
        source: StoreError,
    },
}

/// What a snapshot is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Original {
    /// A volume.
    Volume(VolumeId),
    /// Another snapshot.
    Snapshot(SnapshotId),
}

impl fmt::Display for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(id) => id.fmt(f),
            Self::Snapshot(id) => id.fmt(f),
        }
    }
}

/// The volumes of a daemon.
#[derive(Debug, Clone)]
pub struct Volumes {
    store: Store,
    layout: Layout,
    files: HostFiles,
    reflinks: bool,
    /// Whoever reads whole snapshots.
    scrubbing: Arc<Semaphore>,
}

/// How long a volume may still be held by a machine that has ended.
const LOCK_PATIENCE: Duration = if cfg!(test) {
    Duration::from_millis(300)
} else {
    Duration::from_secs(10)
};

/// Opens a file for writing and waits until nobody else has it.
fn open_locked(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).write(true).open(path)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive))?;
    Ok(file)
}

impl Volumes {
    /// The volumes in the state directory of `layout`. Asks the file system whether clones can share blocks there.
    ///
    /// # Errors
    /// The file system refuses the question.
    pub async fn open(store: Store, layout: Layout) -> Result<Self, HostFileError> {
        let reflinks = blocking("try a clone in", layout.state_dir(), space::shares_blocks).await?;
        Ok(Self {
            files: HostFiles::new(store.clone()),
            store,
            layout,
            reflinks,
            scrubbing: Arc::new(Semaphore::new(1)),
        })
    }

    /// Whether clones share their blocks with the original here, so that a launch copies nothing.
    pub fn reflinks(&self) -> bool {
        self.reflinks
    }

    /// The files of the daemon's making.
    pub fn files(&self) -> &HostFiles {
        &self.files
    }

    /// Checks that `count` volumes can be cloned from a snapshot without filling the disk.
    ///
    /// # Errors
    /// There is not enough room, or the snapshot's file can't be seen.
    pub async fn check_room(&self, snapshot: SnapshotId, count: u64) -> Result<(), SpaceError> {
        let (path, dir, reflinks) = (
            self.layout.snapshot(snapshot),
            self.layout.state_dir().to_owned(),
            self.reflinks,
        );
        let checked = tokio::task::spawn_blocking(move || space::check(&path, &dir, reflinks, count)).await;
        checked.unwrap_or_else(|error| Err(SpaceError::Io(io::Error::other(error))))
    }

    /// Makes a volume's file: as a clone of its snapshot, grown to the volume's size, or empty. When this returns, it is on
    /// disk. What an earlier attempt left is made anew: a volume that is still being created holds nobody's data.
    ///
    /// # Errors
    /// See [`CreateVolumeError`]; what was made of the file is removed again.
    pub async fn create(&self, volume: &Volume) -> Result<(), CreateVolumeError> {
        match volume.snapshot {
            Some(snapshot) => {
                let cloned = self.clone_snapshot(volume, snapshot).await?;
                tracing::debug!(volume = %volume.id, method = ?cloned.method, copied = cloned.bytes_copied, "A volume was made");
                Ok(())
            }
            None => self.create_empty(volume).await,
        }
    }

    async fn create_empty(&self, volume: &Volume) -> Result<(), CreateVolumeError> {
        let (id, path) = (volume.id, self.layout.volume(volume.id));
        let made = self.files.create_sparse(&id.to_string(), &path, volume.size).await;
        made.map_err(|source| CreateVolumeError::File { volume: id, source })
    }

    async fn clone_snapshot(&self, volume: &Volume, snapshot: SnapshotId) -> Result<Cloned, CreateVolumeError> {
        let (id, path) = (volume.id, self.layout.volume(volume.id));
        let file_error = |source| CreateVolumeError::File { volume: id, source };
        let source = self.layout.snapshot(snapshot);
        let source = tokio::task::spawn_blocking(move || File::open(source))
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)));
        let source = source.map_err(|source| CreateVolumeError::Snapshot {
            volume: id,
            snapshot,
            source,
        })?;
        self.files.remove(&path).await.map_err(file_error)?;
        let dest = self.files.create(&id.to_string(), &path).await.map_err(file_error)?;
        let (size, dir) = (volume.size, path.parent().map(ToOwned::to_owned).unwrap_or_default());
        let folder = dir.clone();
        let cloned = tokio::task::spawn_blocking(move || {
            let failed = |source| CloneError::Io {
                doing: "opening the directory",
                source,
            };
            let dir = File::open(folder).map_err(failed)?;
            clone_file(&source, &dest, &dir, Some(size))
        })
        .await
        .unwrap_or_else(|error| {
            Err(CloneError::Io {
                doing: "the copying thread",
                source: io::Error::other(error),
            })
        });
        match cloned {
            Ok(cloned) => Ok(cloned),
            Err(source) => {
                self.files.remove(&path).await.map_err(file_error)?;
                Err(CreateVolumeError::Clone {
                    volume: id,
                    snapshot,
                    dir,
                    source,
                })
            }
        }
    }

    /// Makes the file of a volume that was asked for by itself, beside the caller; then it is available. One that can't be
    /// made is in error.
    pub fn begin(&self, volume: Volume) {
        let this = self.clone();
        tokio::spawn(async move {
            let id = volume.id;
            let state = match this.create(&volume).await {
                Ok(()) => VolumeState::Available,
                Err(error) => {
                    tracing::error!(volume = %id, error = %chain(&error), "A volume could not be made");
                    VolumeState::Error
                }
            };
            let settled = this.store.write(move |tx| {
                let now = store::volumes::get(tx, id)?;
                if now.is_some_and(|now| now.state == VolumeState::Creating) {
                    store::volumes::set_state(tx, id, state)?;
                }
                Ok::<_, StoreError>(())
            });
            if let Err(error) = settled.await {
                tracing::error!(volume = %id, %error, "That a volume was made could not be recorded");
            }
        });
    }

    /// At the daemon's start: makes the volumes that were asked for by themselves and are not there yet, and deletes those
    /// whose deletion was interrupted. A user had asked for both. What is of a launch, or of a task that replaces a root volume, is
    /// that one's.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let read = self.store.read(|tx| {
            let attached = store::volumes::attachments(tx)?.into_iter();
            let mut attached: HashSet<VolumeId> = attached.map(|attachment| attachment.volume).collect();
            let replacing = store::replace_root_volume_tasks::unfinished(tx)?;
            attached.extend(replacing.iter().map(|task| task.volume));
            Ok::<_, StoreError>((store::volumes::list(tx)?, attached))
        });
        let (volumes, attached) = read.await?;
        for volume in volumes {
            match volume.state {
                VolumeState::Creating if !attached.contains(&volume.id) => self.begin(volume),
                VolumeState::Deleting => {
                    if let Err(error) = self.delete(volume.id).await {
                        tracing::warn!(volume = %volume.id, error = %chain(&error), "A volume can't be deleted yet");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets a volume's file grow to `size` bytes; the new part is a hole. When this returns, it is on disk.
    ///
    /// # Errors
    /// The file can't grow.
    pub async fn grow(&self, volume: VolumeId, size: u64) -> Result<(), HostFileError> {
        blocking("grow", &self.layout.volume(volume), move |path| {
            let file = File::options().write(true).open(path)?;
            if file.metadata()?.len() < size {
                file.set_len(size)?;
            }
            file.sync_all()
        })
        .await
    }

    /// Makes a snapshot's file as a clone of another one's, or of a volume's that stands still; gives its size. When this
    /// returns, it is on disk.
    ///
    /// # Errors
    /// See [`SnapshotError`]; what was made of the file is removed again.
    pub async fn snapshot(&self, original: Original, snapshot: SnapshotId) -> Result<u64, SnapshotError> {
        self.snapshot_of_size(original, snapshot, None).await
    }

    /// The same, and lets the copy grow to `wanted` bytes if they are given.
    async fn snapshot_of_size(
        &self,
        original: Original,
        snapshot: SnapshotId,
        wanted: Option<u64>,
    ) -> Result<u64, SnapshotError> {
        let path = self.layout.snapshot(snapshot);
        let file_error = |source| SnapshotError::File { snapshot, source };
        self.files.remove(&path).await.map_err(file_error)?;
        let created = self.files.create(&snapshot.to_string(), &path).await;
        let dest = created.map_err(file_error)?;
        let source = match original {
            Original::Volume(id) => self.layout.volume(id),
            Original::Snapshot(id) => self.layout.snapshot(id),
        };
        let dir = path.parent().map(ToOwned::to_owned).unwrap_or_default();
        let folder = dir.clone();
        let cloned = tokio::task::spawn_blocking(move || {
            let failed = |doing| move |source| CloneError::Io { doing, source };
            let source = File::open(source).map_err(failed("opening the original"))?;
            let size = source.metadata().map_err(failed("measuring the original"))?.len();
            let dir = File::open(folder).map_err(failed("opening the directory"))?;
            clone_file(&source, &dest, &dir, wanted).map(|_| size)
        });
        let cloned = cloned.await.unwrap_or_else(|error| {
            Err(CloneError::Io {
                doing: "the copying thread",
                source: io::Error::other(error),
            })
        });
        match cloned {
            Ok(size) => Ok(size),
            Err(source) => {
                self.files.remove(&path).await.map_err(file_error)?;
                Err(SnapshotError::Clone {
                    original,
                    snapshot,
                    dir,
                    source,
                })
            }
        }
    }

    /// Holds a volume that no machine has: none gets it as long as the file is open.
    ///
    /// # Errors
    /// A machine has it, or its file can't be opened.
    pub async fn hold(&self, volume: VolumeId) -> Result<File, OpenVolumeError> {
        self.open_for_guest(volume).await
    }

    /// Opens a volume for a machine that will write to it. The file comes locked; the lock goes with the open file, over
    /// to the monitor, and ends when the last copy is closed: no two machines ever write to one volume. The kernel closes
    /// what io_uring held a moment after its process has ended, so a lock that is held is waited for, [`LOCK_PATIENCE`]
    /// at most.
    ///
    /// # Errors
    /// The file can't be opened, or another machine has it.
    pub async fn open_for_guest(&self, volume: VolumeId) -> Result<File, OpenVolumeError> {
        let path = self.layout.volume(volume);
        let (sender, opened) = tokio::sync::oneshot::channel();
        // A thread of its own: one that waits for a lock in vain must not hold up the daemon's end.
        std::thread::spawn({
            let path = path.clone();
            move || {
                // Nobody takes the file when the time was up; then it is closed.
                let _ = sender.send(open_locked(&path));
            }
        });
        match tokio::time::timeout(LOCK_PATIENCE, opened).await {
            Ok(Ok(Ok(file))) => Ok(file),
            Ok(Ok(Err(source))) => Err(OpenVolumeError::Open { volume, path, source }),
            Ok(Err(died)) => Err(OpenVolumeError::Open {
                volume,
                path,
                source: io::Error::other(died),
            }),
            Err(_) => Err(OpenVolumeError::Locked { volume }),
        }
    }

    /// Deletes a volume that a user wants gone: first it is marked, so that a crash in between is made good later; its
    /// record goes after its file.
    ///
    /// # Errors
    /// See [`DeleteVolumeError`]; the volume stays marked.
    pub async fn delete(&self, volume: VolumeId) -> Result<(), DeleteVolumeError> {
        let record_error = |source| DeleteVolumeError::Record { volume, source };
        let marked = self.store.write(move |tx| {
            store::volumes::detach(tx, volume)?;
            store::volumes::set_state(tx, volume, VolumeState::Deleting)
        });
        marked.await.map_err(record_error)?;
        let path = self.layout.volume(volume);
        self.files
            .remove(&path)
            .await
            .map_err(|source| DeleteVolumeError::File { volume, source })?;
        let removed = self.store.write(move |tx| {
            ledger::forget(tx, ObjectKind::File, &path.to_string_lossy())?;
            store::tags::remove_all(tx, ResourceId::Volume(volume))?;
            store::volumes::remove(tx, volume)
        });
        removed.await.map_err(record_error)
    }
}

#[cfg(test)]
mod tests;
