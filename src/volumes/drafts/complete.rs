//! The completion of a draft: what was written is what the client says, and on disk; then it is a snapshot like others.

use super::super::files::sync_parent;
use super::{Drafts, Files, SUM, Sum};
use crate::chain::chain;
use crate::model::{SnapshotId, SnapshotState};
use crate::store::{self, StoreError};
use kiln_images::sparse::next_data;
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::OwnedRwLockWriteGuard;

/// How much of the checksums is read at once, in bytes: a multiple of their size and of a page.
const STEP: u64 = 64 << 10;

/// Why a draft was not completed. It is one still, if it was.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// The snapshot is none that is being written, or was.
    #[error("The snapshot is not being written by a client")]
    NoDraft,
    /// The client counts otherwise.
    #[error("{written} different blocks were written to the snapshot, not {counted}")]
    Count {
        /// How many were written.
        written: u32,
        /// How many the client says.
        counted: u32,
    },
    /// The client wrote something else.
    #[error("The checksum is not that of the checksums of the blocks that were written")]
    Checksum,
    /// The system refused.
    #[error("The snapshot can't be synced")]
    Io(#[source] io::Error),
    /// The record could not be changed.
    #[error("The record of the snapshot can't be changed")]
    Record(#[from] StoreError),
}

impl Drafts {
    /// Completes a draft to which `counted` blocks were written, with `aggregate` over their checksums if the client has it; when
    /// this returns it is a snapshot, on disk and on record. To complete it again does no harm.
    ///
    /// # Errors
    /// See [`CompleteError`].
    pub async fn complete(
        &self,
        snapshot: SnapshotId,
        counted: u32,
        aggregate: Option<Sum>,
    ) -> Result<(), CompleteError> {
        let Some(draft) = self.find(snapshot) else {
            return self.completed_before(snapshot, counted).await;
        };
        // Blocks that are being written are waited for, and none comes after.
        let files = Arc::clone(&draft.files).write_owned().await;
        match files.as_ref() {
            Some(files) if !files.is_over() => {}
            Some(_) => {
                drop(files);
                self.end_if_over(snapshot).await;
                return Err(CompleteError::NoDraft);
            }
            None => {
                drop(files);
                return self.completed_before(snapshot, counted).await;
            }
        }
        let path = self.0.layout.snapshot(snapshot);
        let checked = tokio::task::spawn_blocking(move || {
            let checked = check(&files, &path, counted, aggregate);
            checked.map(|()| files)
        });
        let checked = checked
            .await
            .map_err(|died| CompleteError::Io(io::Error::other(died)))?;
        let mut files = checked?;
        self.record(snapshot, counted).await?;
        *files = None;
        drop(files);
        self.forget(snapshot);
        tracing::info!(%snapshot, blocks = counted, "A snapshot was written");
        // The snapshot is whole; should this fail, the next start of the daemon does it.
        if let Err(error) = self.files().remove(&self.0.layout.snapshot_sums(snapshot)).await {
            tracing::warn!(%snapshot, error = %chain(&error), "The checksums of a snapshot can't be removed yet");
        }
        Ok(())
    }

    async fn record(&self, id: SnapshotId, blocks: u32) -> Result<(), CompleteError> {
        let recorded = self.0.store.write(move |store| {
            let mut snapshot = store::snapshots::get(store, id)?.ok_or(CompleteError::NoDraft)?;
            snapshot.state = SnapshotState::Completed;
            store::snapshots::put(store, &snapshot)?;
            store::drafts::set_blocks(store, id, blocks)?;
            Ok(())
        });
        recorded.await
    }

    /// The same request may come again, when its answer was lost.
    async fn completed_before(&self, id: SnapshotId, counted: u32) -> Result<(), CompleteError> {
        let draft = self.0.store.read(move |store| store::drafts::get(store, id)).await?;
        match draft.and_then(|draft| draft.blocks) {
            Some(written) if written == counted => Ok(()),
            Some(written) => Err(CompleteError::Count { written, counted }),
            None => Err(CompleteError::NoDraft),
        }
    }
}

fn check(
    files: &OwnedRwLockWriteGuard<Option<Files>>,
    path: &Path,
    counted: u32,
    aggregate: Option<Sum>,
) -> Result<(), CompleteError> {
    let Some(files) = files.as_ref() else {
        return Err(CompleteError::NoDraft);
    };
    let (written, sum) = written(files).map_err(CompleteError::Io)?;
    if written != counted {
        return Err(CompleteError::Count { written, counted });
    }
    if aggregate.is_some_and(|aggregate| aggregate != sum) {
        return Err(CompleteError::Checksum);
    }
    files.data.sync_all().map_err(CompleteError::Io)?;
    sync_parent(path).map_err(CompleteError::Io)
}

/// How many blocks were written, and the checksum of their checksums.
fn written(files: &Files) -> io::Result<(u32, Sum)> {
    let size = files.sums.metadata()?.len();
    let (mut count, mut whole, mut at) = (0, Sha256::new(), 0);
    let mut buffer = Vec::new();
    while let Some(data) = next_data(&files.sums, at, size)? {
        // Data begins and ends with a page, which holds whole checksums; the end of the file is that of one, too.
        let end = data.end.min(data.start + STEP);
        buffer.resize(usize::try_from(end - data.start).unwrap_or(0), 0);
        files.sums.read_exact_at(&mut buffer, data.start)?;
        for sum in buffer.chunks_exact(SUM).filter(|sum| sum.iter().any(|byte| *byte != 0)) {
            count += 1;
            whole.update(sum);
        }
        at = end;
    }
    Ok((count, whole.finalize().into()))
}
