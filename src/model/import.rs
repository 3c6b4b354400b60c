//! Import tasks: a foreign disk on its way to being an image.

use super::{ImageId, ImportTaskId, SnapshotId};
use time::OffsetDateTime;

/// The state of an import task (`Status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImportState {
    /// At work.
    Active,
    /// Done; the image is there.
    Completed,
    /// Failed, or cancelled by a user; nothing is left behind.
    Deleted,
}

impl ImportState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Completed, Self::Deleted];

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Deleted => "deleted",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

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
    pub state: ImportState,
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
