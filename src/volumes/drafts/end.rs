//! The end of a draft that is never completed: its client deletes it, or has forgotten it.

use super::{Draft, Drafts, Files};
use crate::chain::chain;
use crate::model::{SnapshotId, SnapshotState};
use crate::store::{self, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedRwLockWriteGuard;

/// The least time between two looks of a timer.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// A draft to which nothing is written as long as this is there, for its deletion.
#[derive(Debug)]
pub struct Closing {
    drafts: Drafts,
    snapshot: SnapshotId,
    files: OwnedRwLockWriteGuard<Option<Files>>,
}

impl Closing {
    /// Its record is gone: removes its files.
    ///
    /// # Errors
    /// They can't be removed; the ledger has them for the next start of the daemon.
    pub async fn finish(mut self) -> Result<(), super::HostFileError> {
        *self.files = None;
        drop(self.files);
        self.drafts.forget(self.snapshot);
        self.drafts.remove_files(self.snapshot).await
    }
}

impl Drafts {
    /// Holds a draft still; none if the snapshot is no draft. Blocks that are being written are waited for.
    pub async fn close(&self, snapshot: SnapshotId) -> Option<Closing> {
        let files = Arc::clone(&self.find(snapshot)?.files).write_owned().await;
        files.as_ref()?;
        Some(Closing {
            drafts: self.clone(),
            snapshot,
            files,
        })
    }

    /// Waits, beside the caller, for the time of a draft to be over.
    pub(super) fn watch(&self, snapshot: SnapshotId, draft: &Arc<Draft>) {
        let weak = Arc::downgrade(&self.0);
        let timer = tokio::spawn(async move {
            loop {
                // The daemon's end is the timer's.
                let Some(inner) = weak.upgrade() else { return };
                let Some(rest) = Self(inner).end_if_over(snapshot).await else {
                    return;
                };
                tokio::time::sleep(rest.max(LEAST_WAIT)).await;
            }
        });
        *super::locked(&draft.timer) = Some(timer.abort_handle());
    }

    /// Gives a draft up if its time is over; else gives how much is left of it. None if it is no draft, any more.
    pub(super) async fn end_if_over(&self, snapshot: SnapshotId) -> Option<Duration> {
        let draft = self.find(snapshot)?;
        if let Some(rest) = rest(draft.files.read().await.as_ref()?) {
            return Some(rest);
        }
        let mut files = Arc::clone(&draft.files).write_owned().await;
        // It may have been written to since.
        let timeout = files.as_ref()?.timeout;
        if let Some(rest) = rest(files.as_ref()?) {
            return Some(rest);
        }
        if let Err(error) = self.give_up(snapshot, timeout).await {
            tracing::error!(%snapshot, error = %chain(&error), "A snapshot can't be given up yet");
            return Some(timeout);
        }
        *files = None;
        drop(files);
        // From here on nothing may be waited for: with the last of the draft its timer ends, which may be who does this.
        let drafts = self.clone();
        tokio::spawn(async move {
            if let Err(error) = drafts.remove_files(snapshot).await {
                tracing::warn!(%snapshot, error = %chain(&error), "The files of a snapshot can't be removed yet");
            }
            drafts.forget(snapshot);
        });
        None
    }

    async fn give_up(&self, id: SnapshotId, timeout: Duration) -> Result<(), StoreError> {
        let minutes = timeout.as_secs() / 60;
        tracing::info!(snapshot = %id, minutes, "Nothing was written to a snapshot, and it is given up");
        let recorded = self.0.store.write(move |store| {
            if let Some(mut snapshot) = store::snapshots::get(store, id)? {
                snapshot.state = SnapshotState::Error;
                snapshot.state_message = Some(format!(
                    "Nothing was written to it for {minutes} minutes, and it was not completed"
                ));
                store::snapshots::put(store, &snapshot)?;
            }
            Ok(())
        });
        recorded.await
    }
}

/// What is left of its time. One whose file does not say has all of it.
fn rest(files: &Files) -> Option<Duration> {
    files.rest().unwrap_or(Some(files.timeout))
}
