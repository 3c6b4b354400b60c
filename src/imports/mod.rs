//! Imports: foreign disks on their way to being snapshots and images.
//!
//! `api` begins one ([`Imports::begin`]); from then on it is on record as a task, its snapshot and its image as pending.
//! A job copies the files on threads that may wait, a few jobs at a time; its end is one transaction that makes all of
//! it available, or takes all of it away. A job that died with the daemon is taken away at the next start
//! ([`Imports::recover`]).

mod begin;
mod job;
mod kernel;
mod order;
mod recover;

pub use begin::BeginImportError;
pub use job::TakeAwayError;
pub use order::{DiskSource, ImageOrder, KernelSource, Makes, Order};

use crate::model::{ImportTaskId, Snapshot, SnapshotState};
use crate::store::Store;
use crate::store::layout::Layout;
use crate::tasks::Jobs;
use crate::volumes::HostFiles;

/// The imports of a daemon; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Imports {
    store: Store,
    layout: Layout,
    files: HostFiles,
    /// Those that are under way.
    pub jobs: Jobs<ImportTaskId>,
}

impl Imports {
    /// Imports into the state directory of `layout`.
    #[must_use]
    pub fn new(store: Store, layout: Layout, files: HostFiles) -> Self {
        Self {
            store,
            layout,
            files,
            jobs: Jobs::default(),
        }
    }

    /// How far a snapshot is, in percent.
    #[must_use]
    pub fn snapshot_progress(&self, snapshot: &Snapshot) -> u8 {
        match snapshot.state {
            SnapshotState::Completed => 100,
            _ => self.jobs.with_snapshot(snapshot.id).map_or(0, |watch| watch.progress()),
        }
    }

    /// Ends all imports, as the daemon does, and waits until they have cleaned up.
    pub async fn stop(&self) {
        self.jobs.stop("The daemon was stopped while the import ran").await;
    }
}
