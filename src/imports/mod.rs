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

use crate::model::{ImportTaskId, Snapshot, SnapshotId, SnapshotState};
use crate::store::Store;
use crate::store::layout::Layout;
use crate::volumes::HostFiles;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// How many imports may be waiting or running.
const MAX_JOBS: u32 = 16;
/// How many run at one time.
const MAX_RUNNING: usize = 2;

/// The imports of a daemon; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Imports {
    store: Store,
    layout: Layout,
    files: HostFiles,
    jobs: Arc<Mutex<BTreeMap<ImportTaskId, Arc<Watch>>>>,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// What is seen of a job from outside, and how it is told to end.
#[derive(Debug)]
struct Watch {
    snapshot: SnapshotId,
    /// In percent.
    progress: AtomicU8,
    ending: AtomicBool,
    why: Mutex<Option<String>>,
}

impl Watch {
    fn new(snapshot: SnapshotId) -> Self {
        Self {
            snapshot,
            progress: AtomicU8::new(0),
            ending: AtomicBool::new(false),
            why: Mutex::default(),
        }
    }

    /// Tells the job to end, and why; the first reason stays.
    fn end(&self, why: String) {
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(why);
        self.ending.store(true, Ordering::Release);
    }

    /// Why the job must end, if it must.
    fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reach(&self, done: u64, whole: u64) {
        let percent = done.saturating_mul(100).checked_div(whole).unwrap_or(0);
        // The last hundredth is the commit.
        self.progress
            .store(u8::try_from(percent.min(99)).unwrap_or(99), Ordering::Relaxed);
    }
}

impl Imports {
    /// Imports into the state directory of `layout`.
    #[must_use]
    pub fn new(store: Store, layout: Layout, files: HostFiles) -> Self {
        Self {
            store,
            layout,
            files,
            jobs: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_JOBS as usize)),
            turns: Arc::new(Semaphore::new(MAX_RUNNING)),
        }
    }

    /// How far an active task is, in percent.
    #[must_use]
    pub fn progress(&self, id: ImportTaskId) -> Option<u8> {
        Some(self.watch(id)?.progress.load(Ordering::Relaxed))
    }

    /// How far a snapshot is, in percent.
    #[must_use]
    pub fn snapshot_progress(&self, snapshot: &Snapshot) -> u8 {
        if snapshot.state == SnapshotState::Completed {
            return 100;
        }
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let job = jobs.values().find(|watch| watch.snapshot == snapshot.id);
        job.map_or(0, |watch| watch.progress.load(Ordering::Relaxed))
    }

    /// Whether an active task was told to end.
    #[must_use]
    pub fn is_ending(&self, id: ImportTaskId) -> bool {
        self.watch(id).is_some_and(|watch| watch.why().is_some())
    }

    /// Tells an active task to end; soon after it is on record as deleted, with `why`. False if it is not active.
    #[must_use]
    pub fn cancel(&self, id: ImportTaskId, why: String) -> bool {
        let watch = self.watch(id);
        watch.inspect(|watch| watch.end(why)).is_some()
    }

    /// Ends all imports, as the daemon does, and waits until they have cleaned up.
    pub async fn stop(&self) {
        for watch in self.jobs.lock().unwrap_or_else(PoisonError::into_inner).values() {
            watch.end("The daemon was stopped while the import ran".into());
        }
        // Each job has a place until its end. No place is given back: nothing begins any more.
        if let Ok(places) = self.places.acquire_many(MAX_JOBS).await {
            places.forget();
        }
    }

    fn watch(&self, id: ImportTaskId) -> Option<Arc<Watch>> {
        self.jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }
}
