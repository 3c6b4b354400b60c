//! Tasks that go on after their request was answered: how many may at one time, how far each is, and how it is told to end.
//!
//! `imports` and `exports` have their [`Jobs`]. A task is on record as active from its beginning on; one that died with the
//! daemon is found there, and ended, at the next start.

use crate::model::SnapshotId;
use kiln_images::formats::Progress;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// How many tasks of one kind may be waiting or running.
pub const MAX_JOBS: u32 = 16;
/// How many of them run at one time.
const MAX_RUNNING: usize = 2;
/// How long a task that ended stays on record.
pub const RETENTION: Duration = Duration::days(7);

/// The task that a request is answered with.
pub enum Begun<T> {
    /// It was put on record just now.
    New(T),
    /// The same request came before.
    Before(T),
}

/// The tasks of one kind that are under way, by their ids; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Jobs<Id> {
    watches: Arc<Mutex<BTreeMap<Id, Arc<Watch>>>>,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// Room for one more task.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "it is held, not looked at")] OwnedSemaphorePermit);

/// A task under way; dropped, it is so no longer.
#[derive(Debug)]
pub struct Job<Id: Ord> {
    id: Id,
    jobs: Jobs<Id>,
    /// What is seen of it from outside.
    pub watch: Arc<Watch>,
    _place: Place,
}

/// What is seen of a task from outside, and how it is told to end.
#[derive(Debug)]
pub struct Watch {
    snapshot: SnapshotId,
    /// In percent.
    progress: AtomicU8,
    ending: AtomicBool,
    why: Mutex<Option<String>>,
}

impl Watch {
    /// How far it is, in percent.
    #[must_use]
    pub fn progress(&self) -> u8 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Notes how far it is.
    pub fn reach(&self, Progress { done, total }: Progress) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
        // The last hundredth is the commit.
        let percent = u8::try_from(percent.min(99)).unwrap_or(99);
        self.progress.store(percent, Ordering::Relaxed);
    }

    /// Tells the task to end, and why; the first reason stays.
    fn end(&self, why: String) {
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(why);
        self.ending.store(true, Ordering::Release);
    }

    /// Why the task must end, if it must.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True as soon as the task must end: for those who look often.
    #[must_use]
    pub const fn ending(&self) -> &AtomicBool {
        &self.ending
    }
}

impl<Id> Default for Jobs<Id> {
    fn default() -> Self {
        Self {
            watches: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_JOBS as usize)),
            turns: Arc::new(Semaphore::new(MAX_RUNNING)),
        }
    }
}

impl<Id: Ord + Copy> Jobs<Id> {
    /// Room for one more task; none if [`MAX_JOBS`] are under way.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(Place)
    }

    /// A task is under way from now on, which writes or reads that snapshot.
    #[must_use]
    pub fn begin(&self, id: Id, snapshot: SnapshotId, place: Place) -> Job<Id> {
        let watch = Arc::new(Watch {
            snapshot,
            progress: AtomicU8::new(0),
            ending: AtomicBool::new(false),
            why: Mutex::default(),
        });
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.insert(id, Arc::clone(&watch));
        Job {
            id,
            jobs: self.clone(),
            watch,
            _place: place,
        }
    }

    /// What is seen of a task that is under way.
    #[must_use]
    pub fn watch(&self, id: Id) -> Option<Arc<Watch>> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.get(&id).cloned()
    }

    /// What is seen of a task that is under way with that snapshot.
    #[must_use]
    pub fn with_snapshot(&self, snapshot: SnapshotId) -> Option<Arc<Watch>> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.values().find(|watch| watch.snapshot == snapshot).cloned()
    }

    /// Tells a task to end; soon after it is on record as deleted, with `why`. False if it is not under way.
    #[must_use]
    pub fn cancel(&self, id: Id, why: String) -> bool {
        self.watch(id).inspect(|watch| watch.end(why)).is_some()
    }

    /// Ends all tasks, as the daemon does, and waits until they have cleaned up.
    pub async fn stop(&self, why: &str) {
        for watch in self.watches.lock().unwrap_or_else(PoisonError::into_inner).values() {
            watch.end(why.to_owned());
        }
        // Each task has a place until its end. No place is given back: nothing begins any more.
        if let Ok(places) = self.places.acquire_many(MAX_JOBS).await {
            places.forget();
        }
    }
}

impl<Id: Ord> Job<Id> {
    /// Waits until the task may run; it does as long as the turn is held.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore.
        self.jobs.turns.acquire().await.ok()
    }
}

impl<Id: Ord> Drop for Job<Id> {
    fn drop(&mut self) {
        let mut watches = self.jobs.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.remove(&self.id);
    }
}
