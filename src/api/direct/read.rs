//! GetSnapshotBlock.

use super::{DirectError, Reason, block_size, open, snapshot_id, tokens, waiting};
use crate::api::World;
use crate::base64;
use crate::volumes::blocks;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A block that was read.
#[derive(Debug)]
pub struct Block {
    /// Its bytes: as many as a block has, with zeros beyond the end of the disk.
    pub data: Bytes,
    /// Their checksum, in Base64.
    pub checksum: String,
}

/// Reads a block of a snapshot. `held` is let go of when it was read.
///
/// # Errors
/// The snapshot is not there or not completed, or the block or its token is none of it.
pub async fn get_block(
    world: &World,
    snapshot: &str,
    index: u32,
    token: &str,
    held: impl Send + 'static,
) -> Result<Block, DirectError> {
    let id = snapshot_id(snapshot)?;
    let (snapshot, file) = open(world, id).await?;
    tokens::check_block(token, id, index)?;
    let count = blocks::count(snapshot.size);
    if index >= count {
        let message = format!("The snapshot '{id}' has {count} blocks, counted from 0, and no block {index}");
        return Err(DirectError::validation(Reason::Block, message));
    }
    let read = waiting(held, move || {
        let mut data = vec![0; block_size()];
        blocks::read(&file, index, &mut data)?;
        let checksum = base64::encode(&Sha256::digest(&data));
        Ok(Block {
            data: data.into(),
            checksum,
        })
    });
    read.await.map_err(|error| DirectError::internal(&error))
}
