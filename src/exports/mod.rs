//! Exports: images on their way to being files of clients, in formats that other programs take.
//!
//! `api` begins one ([`Exports::begin`]) with a file that the client has opened; from then on it is on record as a task. A job
//! writes the root volume's snapshot to that file, on a thread that may wait, a few jobs at a time. The snapshot is open
//! from the beginning, so it may be deleted meanwhile. The file is the client's: the daemon lets go of it at the end, and
//! the task says whether it is whole. One that died with the daemon is ended at the next start ([`Exports::recover`]).

mod begin;
mod job;

pub use begin::{BeginExportError, ExportOrder};

use crate::model::{ExportTaskId, TaskState};
use crate::store::layout::Layout;
use crate::store::{self, Store, StoreError};
use crate::tasks::{Jobs, RETENTION};
use time::OffsetDateTime;

/// The exports of a daemon; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Exports {
    store: Store,
    layout: Layout,
    /// Those that are under way.
    pub jobs: Jobs<ExportTaskId>,
}

impl Exports {
    /// Exports out of the state directory of `layout`.
    #[must_use]
    pub fn new(store: Store, layout: Layout) -> Self {
        Self {
            store,
            layout,
            jobs: Jobs::default(),
        }
    }

    /// Ends the tasks that were active when the daemon died, and forgets those that ended long ago. To be called once, before the
    /// first [`Exports::begin`].
    ///
    /// # Errors
    /// The store's.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let before = OffsetDateTime::now_utc() - RETENTION;
        let recovered = self.store.write(move |store| {
            for mut task in store::exports::list(store)? {
                if task.state == TaskState::Active {
                    tracing::info!(task = %task.id, "An export was interrupted");
                    task.state = TaskState::Deleted;
                    task.message =
                        Some("The daemon died while the export ran; the file is not whole: export again".into());
                    store::exports::put(store, &task)?;
                }
            }
            store::exports::forget_ended(store, before)
        });
        recovered.await
    }

    /// Ends all exports, as the daemon does, and waits until that is on record.
    pub async fn stop(&self) {
        self.jobs.stop("The daemon was stopped while the export ran").await;
    }
}
