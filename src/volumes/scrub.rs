//! Whether snapshots are still what was written: each is read as a whole, and held against the digest on record. One that has none
//! yet gets it. One that is not what it was is in error from then on: nothing is made of it any more, and nothing deletes it.

use super::Volumes;
use crate::model::{SnapshotId, SnapshotState};
use crate::store::{self, StoreError};
use kiln_images::formats::digest_of;
use rusqlite::Connection;
use std::fs::File;
use std::io;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// It is what was written.
    Intact,
    /// It had no digest, and has one now.
    Noted,
    /// It is not what was written.
    Damaged,
}

/// Why a snapshot was not looked at.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// There is none, or none that is whole.
    #[error("There is no completed snapshot {0}")]
    NotThere(SnapshotId),
    /// Its file can't be read.
    #[error("The file of the snapshot {snapshot} can't be read")]
    Read {
        /// The snapshot.
        snapshot: SnapshotId,
        /// What the system said.
        source: io::Error,
    },
    /// The store refused.
    #[error("The record of the snapshot can't be read or written")]
    Store(#[from] StoreError),
}

impl Volumes {
    /// Reads a snapshot, and holds it against its record. One at a time: it is the disk that takes time.
    ///
    /// # Errors
    /// See [`ScrubError`]; the record is what it was then.
    pub async fn scrub(&self, id: SnapshotId) -> Result<Scrubbed, ScrubError> {
        // Nobody closes the semaphore.
        let _turn = self.scrubbing.acquire().await;
        let found = self
            .store
            .read(move |tx: &Connection| store::snapshots::get(tx, id))
            .await?;
        let completed = |state| state == SnapshotState::Completed;
        found
            .filter(|one| completed(one.state))
            .ok_or(ScrubError::NotThere(id))?;
        let path = self.layout.snapshot(id);
        let read = tokio::task::spawn_blocking(move || digest_of(&File::open(path)?)).await;
        let digest = read.unwrap_or_else(|died| Err(io::Error::other(died)));
        let digest = digest.map_err(|source| ScrubError::Read { snapshot: id, source })?;
        let digest = digest.to_string();
        let scrubbed = self.store.write(move |tx| {
            let now = store::snapshots::get(tx, id)?.filter(|one| completed(one.state));
            // It was deleted meanwhile.
            let Some(mut now) = now else {
                return Err(ScrubError::NotThere(id));
            };
            let scrubbed = match now.digest.replace(digest.clone()) {
                None => Scrubbed::Noted,
                Some(before) if before == digest => return Ok(Scrubbed::Intact),
                Some(before) => {
                    now.state = SnapshotState::Error;
                    now.state_message = Some(format!(
                        "Its contents are not what was written: {before} then, {digest} now"
                    ));
                    now.digest = Some(before);
                    Scrubbed::Damaged
                }
            };
            store::snapshots::put(tx, &now)?;
            Ok(scrubbed)
        });
        scrubbed.await
    }
}
