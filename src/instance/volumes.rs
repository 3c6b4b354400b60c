//! Volumes on record: attached to instances, and let go with them.
//!
//! Everything here is part of a transaction.

use super::instance_store;
use crate::model::{
    Attachment, AttachmentState, DeviceName, Instance, InstanceId, InstanceType, VolumeId, VolumeState,
};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use time::OffsetDateTime;

/// The most disks of an instance: as many as have slots of their own, and the root.
const MAX_DISKS: usize = 20;

/// The most volumes of an instance of this type: all of its disks that are not instance store.
#[must_use]
pub fn max_volumes(instance_type: &InstanceType) -> usize {
    MAX_DISKS.saturating_sub(instance_type.instance_store_disks().count())
}

/// Where a volume is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlace {
    /// The device name.
    pub device_name: DeviceName,
    /// Whether it goes when the instance does.
    pub delete_on_termination: bool,
}

/// Why a volume can't be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachVolumeError {
    /// There is no such volume.
    #[error("The volume '{0}' does not exist.")]
    NotFound(VolumeId),
    /// It is attached already.
    #[error("{volume} is already attached to an instance")]
    InUse {
        /// The volume.
        volume: VolumeId,
    },
    /// It is not there yet, or any more.
    #[error("Volume '{volume}' is not in the 'available' state: it is {}", state.name())]
    NotAvailable {
        /// The volume.
        volume: VolumeId,
        /// Its state.
        state: VolumeState,
    },
    /// The place is another's.
    #[error("Invalid value '{device_name}' for unixDevice. Attachment point {device_name} is already in use")]
    PlaceTaken {
        /// The place.
        device_name: DeviceName,
    },
    /// It would have too many.
    #[error("An instance of its type may have {most} volumes at most")]
    TooMany {
        /// How many it may have.
        most: usize,
    },
    /// The store refused.
    #[error("The attachment can't be recorded")]
    Store(#[from] StoreError),
}

/// Attaches a volume to an instance.
///
/// # Errors
/// See [`AttachVolumeError`].
pub(super) fn attach(
    connection: &Connection,
    id: VolumeId,
    instance: &Instance,
    place: &VolumePlace,
    state: AttachmentState,
) -> Result<(), AttachVolumeError> {
    let volume = store::volumes::get(connection, id)?.ok_or(AttachVolumeError::NotFound(id))?;
    match volume.state {
        VolumeState::Available => {}
        VolumeState::InUse => return Err(AttachVolumeError::InUse { volume: id }),
        state => return Err(AttachVolumeError::NotAvailable { volume: id, state }),
    }
    let others = store::volumes::of_instance(connection, instance.id)?;
    let disks = instance_store::mapped(connection, instance)?;
    let names = others.iter().map(|(_, other)| &other.device_name);
    let mut names = names.chain(disks.iter().map(|disk| &disk.device_name));
    if names.any(|name| place.device_name.is_that_of(name)) {
        let device_name = place.device_name.clone();
        return Err(AttachVolumeError::PlaceTaken { device_name });
    }
    let most = max_volumes(&instance.instance_type);
    if others.len() >= most {
        return Err(AttachVolumeError::TooMany { most });
    }
    let attachment = Attachment {
        volume: id,
        instance: instance.id,
        device_name: place.device_name.to_string(),
        delete_on_termination: place.delete_on_termination,
        attached: OffsetDateTime::now_utc(),
        state,
    };
    store::volumes::attach(connection, &attachment)?;
    Ok(store::volumes::set_state(connection, id, VolumeState::InUse)?)
}

/// The instance has no machine any more: what was coming to it has come, for the next one has it; what was going is gone.
pub(super) fn settle(connection: &Connection, instance: InstanceId) -> Result<(), StoreError> {
    for (volume, attachment) in store::volumes::of_instance(connection, instance)? {
        match attachment.state {
            AttachmentState::Attaching => {
                store::volumes::set_attachment_state(connection, volume.id, AttachmentState::Attached)?;
            }
            AttachmentState::Detaching => {
                store::volumes::detach(connection, volume.id)?;
                store::volumes::set_state(connection, volume.id, VolumeState::Available)?;
            }
            AttachmentState::Attached => {}
        }
    }
    Ok(())
}
