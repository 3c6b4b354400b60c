//! Drafts: snapshots that clients write block by block (StartSnapshot, PutSnapshotBlock, CompleteSnapshot of the EBS direct
//! API). `api` calls this; the daemon's start takes up those that are on record ([`Drafts::open`]).
//!
//! A draft is a pending snapshot with a row of its own and two files: the snapshot's, and beside it the checksums of the
//! blocks that were written, each at the place that its index gives. A block is on disk before its checksum is, and that before the
//! client is answered: so the checksums say what was written, whatever was killed when. When the snapshot is completed,
//! or given up, they go.
//!
//! A draft to which nothing is written for the time that its client set is given up. The last write is when the file
//! was changed last, which needs no record, and a timer waits for the rest of the time.

mod complete;
mod end;
mod put;
mod recover;
mod start;
#[cfg(test)]
mod tests;

pub use complete::CompleteError;
pub use end::Closing;
pub use put::PutError;
pub use start::{Order, StartError, Started};

use super::{HostFileError, HostFiles, Volumes, blocks};
use crate::model::SnapshotId;
use crate::store::Store;
use crate::store::layout::Layout;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::RwLock;
use tokio::task::AbortHandle;

/// How many drafts there may be at one time. Each has two files open.
pub const MAX_DRAFTS: u32 = 32;
/// The size of a checksum, in bytes.
const SUM: usize = 32;

/// The SHA-256 of a block's bytes, or of the checksums of all blocks that were written, in the order of their indexes.
pub type Sum = [u8; SUM];

/// The drafts of a daemon; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Drafts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    layout: Layout,
    volumes: Volumes,
    /// Those that can be written to, or are about to be; [`MAX_DRAFTS`] at most, and those whose start is under way.
    drafts: Mutex<HashMap<SnapshotId, Arc<Draft>>>,
}

/// A draft of this daemon.
#[derive(Debug, Default)]
struct Draft {
    /// Writers share it; who completes the draft, or ends it, has it alone. None before its files are made, and when they are
    /// a draft's no more.
    files: Arc<RwLock<Option<Files>>>,
    /// The blocks that are being written.
    busy: Mutex<HashSet<u32>>,
    /// How far its client says that it is, in percent.
    progress: AtomicU8,
    timer: Mutex<Option<AbortHandle>>,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(timer) = locked(&self.timer).take() {
            timer.abort();
        }
    }
}

/// What is open of a draft.
#[derive(Debug)]
struct Files {
    data: File,
    sums: File,
    /// How many blocks it has.
    blocks: u32,
    timeout: Duration,
}

impl Files {
    /// How long it has to live if nothing is written to it; none if its time is over.
    fn rest(&self) -> io::Result<Option<Duration>> {
        // A clock that was set back makes nobody wait longer.
        let idle = SystemTime::now().duration_since(self.data.metadata()?.modified()?);
        let rest = self.timeout.checked_sub(idle.unwrap_or_default());
        Ok(rest.filter(|rest| !rest.is_zero()))
    }

    /// Whether its time is over. One whose file does not say lives on.
    fn is_over(&self) -> bool {
        matches!(self.rest(), Ok(None))
    }
}

impl Drafts {
    fn new(store: Store, layout: Layout, volumes: Volumes) -> Self {
        Self(Arc::new(Inner {
            store,
            layout,
            volumes,
            drafts: Mutex::default(),
        }))
    }

    /// How far the client of a draft says that it is, in percent; none if the snapshot is no draft.
    #[must_use]
    pub fn progress(&self, snapshot: SnapshotId) -> Option<u8> {
        Some(self.find(snapshot)?.progress.load(Ordering::Relaxed))
    }

    fn find(&self, snapshot: SnapshotId) -> Option<Arc<Draft>> {
        locked(&self.0.drafts).get(&snapshot).cloned()
    }

    fn keep(&self, snapshot: SnapshotId, draft: &Arc<Draft>) {
        locked(&self.0.drafts).insert(snapshot, Arc::clone(draft));
    }

    fn forget(&self, snapshot: SnapshotId) {
        locked(&self.0.drafts).remove(&snapshot);
    }

    fn files(&self) -> &HostFiles {
        self.0.volumes.files()
    }

    /// Removes both files of a draft.
    async fn remove_files(&self, snapshot: SnapshotId) -> Result<(), HostFileError> {
        self.files().remove(&self.0.layout.snapshot(snapshot)).await?;
        self.files().remove(&self.0.layout.snapshot_sums(snapshot)).await
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Minutes, as drafts have them.
const fn minutes(count: u32) -> Duration {
    Duration::from_secs(count as u64 * 60)
}
