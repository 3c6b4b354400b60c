//! Export tasks: an image on its way to being a file of a client's.

use super::{ExportTaskId, ImageId, SnapshotId, TaskState};
use time::OffsetDateTime;

/// An export task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportTask {
    /// Its identifier.
    pub id: ExportTaskId,
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
    /// The format that is written (`raw`, `qcow2`).
    pub format: String,
    /// The image that is exported.
    pub image: ImageId,
    /// The snapshot of its root volume, which is what the file holds.
    pub snapshot: SnapshotId,
    /// When it was begun.
    pub created: OffsetDateTime,
}
