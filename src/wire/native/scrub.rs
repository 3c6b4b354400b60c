//! `POST /pool/scrub/{snapshot}`: whether a snapshot is still what was written.

use crate::api::{ApiError, Code, World, ids};
use crate::model::SnapshotId;
use crate::volumes::{ScrubError, Scrubbed};
use serde_json::{Value, json};

pub(super) async fn scrub(world: &World, snapshot: &str) -> Result<Value, ApiError> {
    let id: SnapshotId = ids::parse(snapshot, Code::InvalidSnapshotIdMalformed)?;
    let outcome = match world.volumes.scrub(id).await {
        Ok(Scrubbed::Intact) => "intact",
        Ok(Scrubbed::Noted) => "noted",
        Ok(Scrubbed::Damaged) => "damaged",
        Err(ScrubError::NotThere(_)) => return Err(ids::not_found(Code::InvalidSnapshotNotFound, "snapshot", &[id])),
        Err(error) => return Err(ApiError::internal(&error)),
    };
    Ok(json!({"SnapshotId": id.to_string(), "Outcome": outcome}))
}
