//! The volumes of a launch: those of the image, with what the request says of them, and more; and the names of instance
//! store.

use super::super::error::Code;
use super::super::volumes::limits;
use super::super::{ApiError, found, ids, instance_store};
use crate::instance::{VolumeOrder, max_volumes};
use crate::model::{
    DeviceName, GIB, Image, InstanceStoreMapping, InstanceType, Snapshot, SnapshotId, SnapshotState, VolumeLimits,
};
use rusqlite::Connection;
use serde::Deserialize;

/// The largest volume, in GiB, as EC2 has it.
const MAX_VOLUME: u64 = 65536;
/// The volume types that are all one here.
const VOLUME_TYPES: [&str; 2] = ["gp2", "gp3"];

/// `BlockDeviceMapping`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Mapping {
    device_name: Option<String>,
    /// Whatever it says: the instance is without that device of the image.
    no_device: Option<String>,
    /// Which disk of the instance's type it is.
    virtual_name: Option<String>,
    ebs: Option<Ebs>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Ebs {
    volume_size: Option<i64>,
    delete_on_termination: Option<bool>,
    volume_type: Option<String>,
    snapshot_id: Option<String>,
    iops: Option<i64>,
    throughput: Option<i64>,
    encrypted: bool,
}

/// What each instance gets.
pub(super) struct Devices {
    pub(super) volumes: Vec<VolumeOrder>,
    pub(super) instance_store: Vec<InstanceStoreMapping>,
}

/// The image's devices, and what the request says of them and of others.
pub(super) fn order(
    store: &Connection,
    (image, instance_type): (&Image, &InstanceType),
    mappings: Vec<Mapping>,
) -> Result<Devices, ApiError> {
    let mut devices = Devices::of(store, image)?;
    for mapping in mappings {
        devices.apply(store, image, mapping)?;
    }
    instance_store::once_each(&devices.instance_store)?;
    let most = max_volumes(instance_type);
    if devices.volumes.len() > most {
        let of = &instance_type.name;
        return Err(invalid(format!(
            "An instance of the type {of} may have {most} volumes at most"
        )));
    }
    Ok(devices)
}

impl Devices {
    fn of(store: &Connection, image: &Image) -> Result<Self, ApiError> {
        for device in &image.block_devices {
            must_be_whole(&found::snapshot(store, device.snapshot)?)?;
        }
        let volumes = image.block_devices.iter().map(|device| VolumeOrder {
            device_name: device.device_name.clone(),
            snapshot: Some(device.snapshot),
            size: device.size.div_ceil(GIB).max(1).saturating_mul(GIB),
            delete_on_termination: device.delete_on_termination,
            limits: VolumeLimits::default(),
        });
        Ok(Self {
            volumes: volumes.collect(),
            instance_store: image.instance_store.clone(),
        })
    }

    /// What a mapping says of a device is in the place of what was said of it before.
    fn apply(&mut self, store: &Connection, image: &Image, mapping: Mapping) -> Result<(), ApiError> {
        let name = mapping.device_name.unwrap_or_default();
        self.instance_store.retain(|disk| !is_same(&name, &disk.device_name));
        match (mapping.no_device, mapping.virtual_name, mapping.ebs) {
            (Some(_), _, _) => self.remove_volume(image, &name),
            (None, Some(virtual_name), ebs) => {
                must_be_a_device_name(&name)?;
                self.remove_volume(image, &name)?;
                self.instance_store
                    .push(instance_store::mapping(name, &virtual_name, ebs.is_some())?);
                Ok(())
            }
            (None, None, ebs) => {
                let ebs = ebs.unwrap_or_default();
                match self
                    .volumes
                    .iter_mut()
                    .find(|volume| is_same(&name, &volume.device_name))
                {
                    Some(volume) => change(volume, ebs),
                    None => {
                        self.volumes.push(new(store, name, ebs)?);
                        Ok(())
                    }
                }
            }
        }
    }

    fn remove_volume(&mut self, image: &Image, name: &str) -> Result<(), ApiError> {
        if is_same(name, &image.root_device_name) {
            return Err(invalid(format!("An instance can't be without its root device {name}")));
        }
        self.volumes.retain(|volume| !is_same(name, &volume.device_name));
        Ok(())
    }
}

/// Whether both names are one device's.
pub(super) fn is_same(asked: &str, there: &str) -> bool {
    asked == there || asked.parse().is_ok_and(|name: DeviceName| name.is_that_of(there))
}

fn must_be_a_device_name(name: &str) -> Result<(), ApiError> {
    match name.parse::<DeviceName>() {
        Ok(_) => Ok(()),
        Err(_) => Err(invalid(format!("Invalid device name {name:?}: it is like /dev/sdf"))),
    }
}

fn must_be_whole(snapshot: &Snapshot) -> Result<(), ApiError> {
    if snapshot.state == SnapshotState::Completed {
        return Ok(());
    }
    let (id, state) = (snapshot.id, snapshot.state.name());
    let why = snapshot.state_message.as_deref().unwrap_or_default();
    Err(invalid(
        format!("The snapshot '{id}' is {state}, not completed. {why}")
            .trim_end()
            .to_owned(),
    ))
}

fn must_be_served(ebs: &Ebs) -> Result<(), ApiError> {
    let unserved = |what: String| Err(ApiError::new(Code::UnsupportedOperation, what));
    if ebs.encrypted {
        return unserved("Encrypted volumes are not served".into());
    }
    if let Some(kind) = ebs
        .volume_type
        .as_ref()
        .filter(|kind| !VOLUME_TYPES.contains(&kind.as_str()))
    {
        return unserved(format!("Volumes of the type {kind} are not served: gp3 is"));
    }
    Ok(())
}

/// What the request says of a volume of the image.
fn change(volume: &mut VolumeOrder, ebs: Ebs) -> Result<(), ApiError> {
    must_be_served(&ebs)?;
    let own = volume.snapshot.map(|id| id.to_string());
    if ebs.snapshot_id.is_some() && ebs.snapshot_id != own {
        let message = "Another snapshot than the image's own is not served: register an image of it";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    if let Some(size) = ebs.volume_size {
        volume.size = at_least(size, volume.size, volume.snapshot)?;
    }
    volume.limits = limits(volume.limits, (ebs.iops, ebs.throughput), volume.size)?;
    if let Some(delete) = ebs.delete_on_termination {
        volume.delete_on_termination = delete;
    }
    Ok(())
}

/// A volume beside those of the image.
fn new(store: &Connection, name: String, ebs: Ebs) -> Result<VolumeOrder, ApiError> {
    must_be_served(&ebs)?;
    must_be_a_device_name(&name)?;
    let snapshot: Option<SnapshotId> = ebs
        .snapshot_id
        .map(|id| ids::parse(&id, Code::InvalidSnapshotIdMalformed))
        .transpose()?;
    let least = match snapshot {
        Some(id) => {
            let snapshot = found::snapshot(store, id)?;
            must_be_whole(&snapshot)?;
            snapshot.size.div_ceil(GIB).max(1) * GIB
        }
        None if ebs.volume_size.is_none() => {
            return Err(invalid(format!(
                "The device {name} needs an Ebs.VolumeSize or Ebs.SnapshotId"
            )));
        }
        None => GIB,
    };
    let size = ebs
        .volume_size
        .map(|size| at_least(size, least, snapshot))
        .transpose()?
        .unwrap_or(least);
    Ok(VolumeOrder {
        device_name: name,
        snapshot,
        size,
        limits: limits(VolumeLimits::default(), (ebs.iops, ebs.throughput), size)?,
        // As EC2 has it, volumes that a launch makes go with their instance.
        delete_on_termination: ebs.delete_on_termination.unwrap_or(true),
    })
}

/// A size in GiB, as bytes.
fn at_least(gib: i64, least: u64, snapshot: Option<SnapshotId>) -> Result<u64, ApiError> {
    let size = u64::try_from(gib).ok().filter(|size| *size <= MAX_VOLUME);
    size.map(|size| size * GIB)
        .filter(|size| *size >= least)
        .ok_or_else(|| {
            let of = snapshot
                .map(|id| format!(" of the snapshot '{id}'"))
                .unwrap_or_default();
            let least = least / GIB;
            invalid(format!(
                "Volume of size {gib}GB{of} is invalid (expecting {least} to {MAX_VOLUME})"
            ))
        })
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidBlockDeviceMapping, message)
}
