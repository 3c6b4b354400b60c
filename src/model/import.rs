//! Import tasks: a foreign disk on its way to being an image.

use super::{ImageId, ImportTaskId, SnapshotId, TaskState};
use time::OffsetDateTime;

/// An import task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportTask {
    /// Its identifier.
    pub id: ImportTaskId,
    /// The token that makes the request idempotent.
    pub client_token: Option<String>,
    /// A digest of the request: the same token with another request is a mistake.
    pub request_digest: String,
    /// Its state.
    pub state: TaskState,
    /// How far it is, 0 to 100.
    pub progress: u8,
    /// What it is doing, or why it failed.
    pub message: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The format that was given (`raw`, `qcow2`).
    pub format: String,
    /// The snapshot it writes.
    pub snapshot: SnapshotId,
    /// The image it made.
    pub image: Option<ImageId>,
    /// When it was begun.
    pub created: OffsetDateTime,
}
