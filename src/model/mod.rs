//! EC2's nouns and their rules: identifiers, states, instances, images, volumes, snapshots, tags.
//!
//! Pure data: no I/O, no async, and no knowledge of the wire. Every other part of the daemon speaks in these types;
//! `store` keeps them, `api` translates them from and to EC2's members.

mod id;
mod image;
mod import;
mod instance;
mod instance_type;
mod key_pair;
mod stage;
mod tag;
mod volume;

pub use id::{
    ImageId, ImportImageTaskId, ImportSnapshotTaskId, ImportTaskId, InstanceId, KernelId, KeyPairId, ParseIdError,
    RamdiskId, ReservationId, ResourceId, SnapshotId, VolumeId,
};
pub use image::{Architecture, BlockDevice, Image, ImageOwner, ImageState, KernelImage, RamdiskImage};
pub use import::{ImportState, ImportTask};
pub use instance::{
    Attachment, Instance, InstanceState, Milestone, ReasonCode, Reservation, ShutdownBehavior, StateReason,
};
pub use instance_type::InstanceType;
pub use key_pair::{KeyName, KeyPair, KeyType, ParseKeyNameError};
pub use stage::Stage;
pub use tag::{MAX_KEY, MAX_TAGS, MAX_VALUE, Tag, TaggedResource};
pub use volume::{GIB, Snapshot, SnapshotState, Volume, VolumeState};
