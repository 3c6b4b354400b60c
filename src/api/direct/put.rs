//! PutSnapshotBlock.

use super::{ALGORITHM, DirectError, Reason, block_size, checksum, no_draft, snapshot_id};
use crate::api::World;
use crate::volumes::SpaceError;
use crate::volumes::drafts::{PutError, Sum};
use bytes::Bytes;
use std::io;

/// What came with a block.
#[derive(Debug)]
pub struct Put {
    /// Where it goes.
    pub index: u32,
    /// How long the client says that it is, in bytes.
    pub length: u64,
    /// Its checksum, in Base64.
    pub checksum: String,
    /// The algorithm of that.
    pub algorithm: String,
    /// How far the client is, in percent.
    pub progress: Option<u32>,
}

impl Put {
    /// The checksum, once all else that came beside the data is right.
    fn check(&self) -> Result<Sum, DirectError> {
        let sum = checksum(&self.checksum)?;
        if self.algorithm != ALGORITHM {
            return Err(DirectError::parameter(format!(
                "The checksum algorithm must be {ALGORITHM}"
            )));
        }
        if self.length != block_size() as u64 {
            let message = format!("The data length is {}; a block has {} bytes", self.length, block_size());
            return Err(DirectError::parameter(message));
        }
        if self.progress.is_some_and(|percent| percent > 100) {
            return Err(DirectError::parameter("The progress must be from 0 to 100"));
        }
        Ok(sum)
    }
}

/// Writes a block of a snapshot that StartSnapshot began. `held` is let go of when it was written.
///
/// # Errors
/// The snapshot does not wait for blocks, or the block is not as it should be.
pub async fn put_block(
    world: &World,
    snapshot: &str,
    put: &Put,
    data: Bytes,
    held: impl Send + 'static,
) -> Result<(), DirectError> {
    let id = snapshot_id(snapshot)?;
    let sum = put.check()?;
    if data.len() != block_size() {
        let message = format!("{} bytes came; a block has {}", data.len(), block_size());
        return Err(DirectError::parameter(message));
    }
    let progress = put.progress.and_then(|percent| u8::try_from(percent).ok());
    match world.drafts.put(id, put.index, (data, sum), progress, held).await {
        Ok(()) => Ok(()),
        Err(PutError::NoDraft) => Err(no_draft(world, id).await),
        Err(error @ PutError::NoBlock { .. }) => Err(DirectError::validation(Reason::Block, error)),
        Err(error @ PutError::Busy(_)) => Err(DirectError::validation(Reason::ConflictingBlockUpdate, error)),
        Err(error @ PutError::Checksum) => Err(DirectError::parameter(error)),
        Err(PutError::Space(full @ SpaceError::Full { .. })) => Err(DirectError::quota(full)),
        Err(PutError::Io(full)) if full.kind() == io::ErrorKind::StorageFull => Err(DirectError::quota(full)),
        Err(error) => Err(DirectError::internal(&error)),
    }
}
