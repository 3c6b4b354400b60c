//! Volumes and the snapshots they are clones of.

use super::{SnapshotId, VolumeId};
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
    /// When it was asked for.
    pub created: OffsetDateTime,
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
