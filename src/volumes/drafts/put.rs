//! A block of a draft: checked, written, on disk, noted, in this order.

use super::super::{SpaceError, blocks, space};
use super::{Draft, Drafts, Files, SUM, Sum, locked};
use crate::model::SnapshotId;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::OwnedRwLockReadGuard;

/// Why a block was not written.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The snapshot is none that is being written.
    #[error("The snapshot is not being written by a client")]
    NoDraft,
    /// It has no such block.
    #[error("The snapshot has {blocks} blocks, counted from 0, and no block {index}")]
    NoBlock {
        /// The block.
        index: u32,
        /// How many there are.
        blocks: u32,
    },
    /// Another request writes the same block.
    #[error("Another request is writing the block {0}")]
    Busy(u32),
    /// The bytes are not those that the client sent.
    #[error("The data's SHA-256 is not the checksum that came with it")]
    Checksum,
    /// The disk is too full.
    #[error("There is no room for the block")]
    Space(#[source] SpaceError),
    /// The system refused. What there is of the block is unknown until it is written again.
    #[error("The block can't be written")]
    Io(#[source] io::Error),
}

/// A block that is being written.
struct Busy {
    draft: Arc<Draft>,
    index: u32,
}

impl Drop for Busy {
    fn drop(&mut self) {
        locked(&self.draft.busy).remove(&self.index);
    }
}

impl Drafts {
    /// Writes a block of a draft, if `sum` is its checksum; when this returns it is on disk. A block may be written again. Several
    /// may be written at one time, `held` is let go of when this one is.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn put(
        &self,
        snapshot: SnapshotId,
        index: u32,
        (data, sum): (Bytes, Sum),
        progress: Option<u8>,
        held: impl Send + 'static,
    ) -> Result<(), PutError> {
        let draft = self.find(snapshot).ok_or(PutError::NoDraft)?;
        let files = Arc::clone(&draft.files).read_owned().await;
        let (blocks, is_over) = match files.as_ref() {
            Some(files) => (files.blocks, files.is_over()),
            None => return Err(PutError::NoDraft),
        };
        if is_over {
            drop(files);
            self.end_if_over(snapshot).await;
            return Err(PutError::NoDraft);
        }
        if index >= blocks {
            return Err(PutError::NoBlock { index, blocks });
        }
        if !locked(&draft.busy).insert(index) {
            return Err(PutError::Busy(index));
        }
        let busy = Busy {
            draft: Arc::clone(&draft),
            index,
        };
        let dir = self.0.layout.state_dir().to_owned();
        // What the thread has it keeps to its end, also when nobody waits for it any more.
        let written = tokio::task::spawn_blocking(move || {
            let result = write(&files, &dir, busy.index, &data, sum);
            drop((busy, files, held));
            result
        });
        written
            .await
            .unwrap_or_else(|error| Err(PutError::Io(io::Error::other(error))))?;
        if let Some(progress) = progress {
            draft.progress.store(progress.min(100), Ordering::Relaxed);
        }
        Ok(())
    }
}

fn write(
    files: &OwnedRwLockReadGuard<Option<Files>>,
    dir: &Path,
    index: u32,
    data: &[u8],
    sum: Sum,
) -> Result<(), PutError> {
    let Some(files) = files.as_ref() else {
        return Err(PutError::NoDraft);
    };
    if Sum::from(Sha256::digest(data)) != sum {
        return Err(PutError::Checksum);
    }
    space::check_free(dir, data.len() as u64).map_err(PutError::Space)?;
    store(files, index, data, sum).map_err(PutError::Io)
}

fn store(files: &Files, index: u32, data: &[u8], sum: Sum) -> io::Result<()> {
    let at = u64::from(index) * SUM as u64;
    let (mut before, none) = ([0; SUM], [0; SUM]);
    // Short where nothing was noted yet.
    let _ = files.sums.read_at(&mut before, at)?;
    if before != none {
        // Should this be cut short, the block counts as not written.
        files.sums.write_all_at(&none, at)?;
        files.sums.sync_data()?;
    }
    files.data.write_all_at(data, blocks::offset(index))?;
    files.data.sync_data()?;
    files.sums.write_all_at(&sum, at)?;
    files.sums.sync_data()
}
