//! Volumes and the snapshots they are clones of.

use super::{SnapshotId, VolumeId, VolumeLimits};
use time::OffsetDateTime;

/// One GiB, EC2's unit of a volume's size, in bytes.
pub const GIB: u64 = 1 << 30;

/// The state of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VolumeState {
    /// Its file is being made.
    Creating,
    /// It is there, and no instance has it.
    Available,
    /// An instance has it.
    InUse,
    /// Its file is being removed, as a user asked.
    Deleting,
    /// Its file is not what the record says; nothing touches it any more.
    Error,
}

impl VolumeState {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Creating,
        Self::Available,
        Self::InUse,
        Self::Deleting,
        Self::Error,
    ];

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::InUse => "in-use",
            Self::Deleting => "deleting",
            Self::Error => "error",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A volume: a sparse raw file `volumes/vol-….raw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its identifier.
    pub id: VolumeId,
    /// Its size in bytes.
    pub size: u64,
    /// What it is a clone of; which may be gone by now.
    pub snapshot: Option<SnapshotId>,
    /// Its state.
    pub state: VolumeState,
    /// How much it may be used.
    pub limits: VolumeLimits,
    /// When it was asked for.
    pub created: OffsetDateTime,
}

/// That a volume was changed, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeModification {
    /// The volume.
    pub volume: VolumeId,
    /// Its size before, in bytes.
    pub original_size: u64,
    /// Its size after it, in bytes.
    pub target_size: u64,
    /// Its limits before.
    pub original_limits: VolumeLimits,
    /// Its limits after it.
    pub target_limits: VolumeLimits,
    /// When it was asked for.
    pub started: OffsetDateTime,
    /// When it was done.
    pub ended: Option<OffsetDateTime>,
}

/// The state of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SnapshotState {
    /// Its file is being written.
    Pending,
    /// It is whole and will never change.
    Completed,
    /// It could not be written.
    Error,
}

impl SnapshotState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Completed, Self::Error];

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Error => "error",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A snapshot: an immutable sparse raw file `snapshots/snap-….raw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its identifier.
    pub id: SnapshotId,
    /// The size of the disk in it, in bytes; 0 until it is known.
    pub size: u64,
    /// What it was made of; which may be gone by now.
    pub volume: Option<VolumeId>,
    /// Its state.
    pub state: SnapshotState,
    /// Why it failed.
    pub state_message: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The SHA-256 of the disk's contents, in hexadecimal digits, once it is completed.
    pub digest: Option<String>,
    /// When it was begun.
    pub created: OffsetDateTime,
}

/// A snapshot that a client writes block by block, until it says that it is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The snapshot, which is pending for so long.
    pub snapshot: SnapshotId,
    /// The snapshot whose content it began with; which may be gone by now.
    pub parent: Option<SnapshotId>,
    /// After how many minutes without a write it is given up.
    pub timeout: u32,
    /// How many different blocks were written, once it is completed.
    pub blocks: Option<u32>,
    /// What makes the request that began it the same as another one.
    pub token: Option<DraftToken>,
}

/// The client's token of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftToken {
    /// As the client gave it.
    pub token: String,
    /// The digest of the request that it came with.
    pub digest: String,
}
