//! Tasks that give a running instance another root volume.

use super::{ImageId, InstanceId, ReplaceRootVolumeTaskId, SnapshotId, VolumeId};
use time::OffsetDateTime;

/// A task that replaces an instance's root volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceRootVolumeTask {
    /// Its identifier.
    pub id: ReplaceRootVolumeTaskId,
    /// The token that makes the request idempotent.
    pub client_token: Option<String>,
    /// A digest of the request: the same token with another request is a mistake.
    pub request_digest: String,
    /// The instance.
    pub instance: InstanceId,
    /// The image that the new volume is made of, and the instance of from then on; none if it stays of the one it is of.
    pub image: Option<ImageId>,
    /// The snapshot that the new volume is made of; none of a volume that a user had.
    pub snapshot: Option<SnapshotId>,
    /// The new root volume.
    pub volume: VolumeId,
    /// The root volume that is replaced.
    pub replaced: VolumeId,
    /// The image that the instance was of with it.
    pub replaced_image: ImageId,
    /// Whether that one goes when the guest runs from the new one.
    pub delete_replaced: bool,
    /// How far it is.
    pub state: ReplaceRootVolumeTaskState,
    /// When it was asked for.
    pub started: OffsetDateTime,
    /// When it ended.
    pub completed: Option<OffsetDateTime>,
}

/// The state of a task that replaces a root volume (`TaskState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplaceRootVolumeTaskState {
    /// The new volume is made; the guest runs as before.
    Pending,
    /// The guest goes down, and boots from the new volume.
    InProgress,
    /// The guest runs from the new volume.
    Succeeded,
    /// Nothing boots from the new volume: the guest boots from the one that it had.
    Failing,
    /// The instance has the root volume that it had.
    Failed,
}

impl ReplaceRootVolumeTaskState {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::InProgress,
        Self::Succeeded,
        Self::Failing,
        Self::Failed,
    ];

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in-progress",
            Self::Succeeded => "succeeded",
            Self::Failing => "failing",
            Self::Failed => "failed",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}
