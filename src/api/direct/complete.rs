//! CompleteSnapshot.

use super::{ALGORITHM, DirectError, checksum, no_draft, snapshot_id};
use crate::api::World;
use crate::model::SnapshotState;
use crate::volumes::drafts::CompleteError;
use serde::Serialize;

/// The only way there is to make one checksum of many: that of all of them, in the order of their blocks.
const AGGREGATION: &str = "LINEAR";

/// What a client says of what it wrote.
#[derive(Debug)]
pub struct Completion {
    /// How many different blocks it wrote.
    pub changed_blocks: u32,
    /// The checksum of the blocks' checksums, in Base64.
    pub checksum: Option<String>,
    /// Its algorithm.
    pub algorithm: Option<String>,
    /// How it was made.
    pub aggregation: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Completed {
    status: &'static str,
}

/// Makes a snapshot of what was written.
///
/// # Errors
/// The snapshot does not wait for that, or something else was written.
pub async fn complete(world: &World, snapshot: &str, completion: &Completion) -> Result<Completed, DirectError> {
    let id = snapshot_id(snapshot)?;
    let wrong = |what: &str, served: &str| DirectError::parameter(format!("The checksum {what} must be {served}"));
    if completion.algorithm.as_deref().is_some_and(|name| name != ALGORITHM) {
        return Err(wrong("algorithm", ALGORITHM));
    }
    if completion
        .aggregation
        .as_deref()
        .is_some_and(|name| name != AGGREGATION)
    {
        return Err(wrong("aggregation method", AGGREGATION));
    }
    let aggregate = completion.checksum.as_deref().map(checksum).transpose()?;
    match world.drafts.complete(id, completion.changed_blocks, aggregate).await {
        Ok(()) => Ok(Completed {
            status: SnapshotState::Completed.name(),
        }),
        Err(CompleteError::NoDraft) => Err(no_draft(world, id).await),
        Err(error @ (CompleteError::Count { .. } | CompleteError::Checksum)) => Err(DirectError::parameter(error)),
        Err(error) => Err(DirectError::internal(&error)),
    }
}
