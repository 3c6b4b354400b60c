//! RunInstances, below the wire: everything that is checked and reserved in one transaction, before anything is made.

use super::capacity::{Capacity, InsufficientCapacity};
use super::interfaces::{self, InterfaceError, InterfacePlace, LaunchInterface};
use crate::model::{
    Attachment, AttachmentState, Image, ImageId, Instance, InstanceAttributes, InstanceId, InstanceState,
    InstanceStoreMapping, InstanceType, LaunchKey, MetadataOptions, Milestone, Reservation, ReservationId, ResourceId,
    ShutdownBehavior, SnapshotId, Stage, Tag, Volume, VolumeId, VolumeLimits, VolumeState,
};
use crate::store::{self, StoreError, random_bits};
use crate::volumes::SpaceError;
use ipnet::Ipv4Net;
use rusqlite::Connection;
use time::OffsetDateTime;

/// A launch, as it was asked for and checked.
#[derive(Debug, Clone)]
pub struct LaunchOrder {
    /// What is launched.
    pub image: Image,
    /// Of which type.
    pub instance_type: InstanceType,
    /// How many at least.
    pub min: u32,
    /// How many at most.
    pub max: u32,
    /// The volumes that each instance gets.
    pub volumes: Vec<VolumeOrder>,
    /// The names of each instance's own disks.
    pub instance_store: Vec<InstanceStoreMapping>,
    /// What the guest's own power-off does.
    pub shutdown_behavior: ShutdownBehavior,
    /// User data, as the guest reads it.
    pub user_data: Option<Vec<u8>>,
    /// The key pair that each guest lets in.
    pub key: Option<LaunchKey>,
    /// How each guest may ask for metadata.
    pub metadata_options: MetadataOptions,
    /// What else is said of each.
    pub attributes: InstanceAttributes,
    /// The network interfaces that each instance gets, the primary first.
    pub interfaces: Vec<(InterfacePlace, LaunchInterface)>,
    /// The token that makes the launch idempotent.
    pub client_token: Option<String>,
    /// A digest of the request.
    pub request_digest: String,
    /// Tags of the instances.
    pub instance_tags: Vec<Tag>,
    /// Tags of their volumes.
    pub volume_tags: Vec<Tag>,
}

/// A volume of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeOrder {
    /// Where the guest finds it.
    pub device_name: String,
    /// What it is a clone of; it is empty, if of nothing.
    pub snapshot: Option<SnapshotId>,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it goes when the instance does.
    pub delete_on_termination: bool,
    /// How much it may be used.
    pub limits: VolumeLimits,
}

/// Why nothing was launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchOrderError {
    /// The host is too full.
    #[error(transparent)]
    Capacity(#[from] InsufficientCapacity),
    /// The disk is too full.
    #[error("The disk has no room for the volumes")]
    Space(#[source] SpaceError),
    /// The image was deregistered in the meantime.
    #[error("The image {0} is not there any more")]
    ImageGone(ImageId),
    /// The token was used before, for another launch.
    #[error("The client token was used before, with other parameters")]
    TokenMismatch,
    /// An interface can't be made, or attached.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The store refused.
    #[error("The launch can't be recorded")]
    Store(#[from] StoreError),
}

/// What a launch made, or had made when it was asked for before.
#[derive(Debug)]
pub struct Launched {
    /// The reservation.
    pub reservation: Reservation,
    /// Its instances.
    pub instances: Vec<Instance>,
    /// Whether they are new.
    pub new: bool,
}

/// Records a launch: all of it, or nothing.
pub(super) fn record(
    connection: &Connection,
    order: &LaunchOrder,
    (capacity, pool): (Capacity, &[Ipv4Net]),
) -> Result<Launched, LaunchOrderError> {
    if let Some(token) = &order.client_token
        && let Some(reservation) = store::reservations::by_token(connection, token)?
    {
        if reservation.request_digest != order.request_digest {
            return Err(LaunchOrderError::TokenMismatch);
        }
        let instances = store::instances::of_reservation(connection, reservation.id)?;
        return Ok(Launched {
            reservation,
            instances,
            new: false,
        });
    }
    let image = order.image.id;
    store::images::get(connection, image)?.ok_or(LaunchOrderError::ImageGone(image))?;
    let held = store::instances::held_capacity(connection)?;
    let count = capacity.fit(held, &order.instance_type, order.min.into(), order.max.into())?;
    let reservation = Reservation {
        id: ReservationId::from_random(random_bits()),
        client_token: order.client_token.clone(),
        request_digest: order.request_digest.clone(),
        created: OffsetDateTime::now_utc(),
    };
    store::reservations::add(connection, &reservation)?;
    let instances = (0..u32::try_from(count).unwrap_or(u32::MAX))
        .map(|index| record_instance(connection, (order, pool), &reservation, index))
        .collect::<Result<_, _>>()?;
    Ok(Launched {
        reservation,
        instances,
        new: true,
    })
}

fn record_instance(
    connection: &Connection,
    (order, pool): (&LaunchOrder, &[Ipv4Net]),
    reservation: &Reservation,
    launch_index: u32,
) -> Result<Instance, LaunchOrderError> {
    let instance = Instance {
        id: InstanceId::from_random(random_bits()),
        reservation: reservation.id,
        client_token: order.client_token.clone(),
        launch_index,
        image: order.image.id,
        instance_type: order.instance_type.clone(),
        architecture: order.image.architecture,
        kernel: order.image.kernel,
        ramdisk: order.image.ramdisk,
        root_device_name: order.image.root_device_name.clone(),
        state: InstanceState::Pending,
        reason: None,
        ran: false,
        rebooting: false,
        launched: reservation.created,
        terminated: None,
        shutdown_behavior: order.shutdown_behavior,
        user_data: order.user_data.clone(),
        key: order.key.clone(),
        metadata_options: order.metadata_options,
        attributes: order.attributes,
    };
    store::instances::add(connection, &instance)?;
    let requested = Milestone {
        stage: Stage::Requested,
        at: reservation.created,
    };
    store::instances::reach(connection, instance.id, requested)?;
    for tag in &order.instance_tags {
        store::tags::put(connection, ResourceId::Instance(instance.id), tag)?;
    }
    store::instance_store::put(connection, ResourceId::Instance(instance.id), &order.instance_store)?;
    for volume in &order.volumes {
        record_volume(connection, order, volume, &instance)?;
    }
    interfaces::record(connection, &order.interfaces, pool, instance.id)?;
    Ok(instance)
}

fn record_volume(
    connection: &Connection,
    order: &LaunchOrder,
    volume: &VolumeOrder,
    instance: &Instance,
) -> Result<(), StoreError> {
    let id = VolumeId::from_random(random_bits());
    let row = Volume {
        id,
        size: volume.size,
        snapshot: volume.snapshot,
        state: VolumeState::Creating,
        limits: volume.limits,
        created: instance.launched,
    };
    store::volumes::add(connection, &row)?;
    let attachment = Attachment {
        volume: id,
        instance: instance.id,
        device_name: volume.device_name.clone(),
        delete_on_termination: volume.delete_on_termination,
        attached: instance.launched,
        state: AttachmentState::Attached,
    };
    store::volumes::attach(connection, &attachment)?;
    for tag in &order.volume_tags {
        store::tags::put(connection, ResourceId::Volume(id), tag)?;
    }
    Ok(())
}
