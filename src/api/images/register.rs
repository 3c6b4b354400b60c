//! RegisterImage: an image out of snapshots that are there, with a kernel of its own if it names one.

use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::{ApiError, Call, Code, ids, instance_store};
use crate::model::{
    Architecture, BlockDevice, GIB, Image, ImageId, ImageOwner, ImageState, InstanceStoreMapping, KernelId, RamdiskId,
    ResourceId, Snapshot, SnapshotId, SnapshotState, Tag,
};
use crate::store::{self, random_bits};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use time::OffsetDateTime;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RegisterImage {
    name: Option<String>,
    description: Option<String>,
    architecture: Option<String>,
    kernel_id: Option<String>,
    ramdisk_id: Option<String>,
    root_device_name: Option<String>,
    block_device_mappings: Vec<Mapping>,
    virtualization_type: Option<String>,
    boot_mode: Option<String>,
    /// Instances have virtio devices whatever is said here.
    #[serde(rename = "EnaSupport")]
    _ena_support: bool,
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Mapping {
    device_name: Option<String>,
    ebs: Option<Ebs>,
    /// Which disk of its instances' type it is.
    virtual_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Ebs {
    snapshot_id: Option<String>,
    volume_size: Option<i64>,
    delete_on_termination: Option<bool>,
    /// All volumes are files on this host; EC2's types of them mean nothing here.
    #[serde(rename = "VolumeType")]
    _volume_type: Option<String>,
    encrypted: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Registered {
    image_id: String,
}

/// A request that is right in itself; whether its snapshot, kernel and RAM disk are there is yet to be seen.
struct Registration {
    name: String,
    description: Option<String>,
    architecture: Architecture,
    kernel: Option<KernelId>,
    ramdisk: Option<RamdiskId>,
    root_device_name: String,
    devices: Vec<Device>,
    instance_store: Vec<InstanceStoreMapping>,
    tags: Vec<Tag>,
}

/// A volume of the image.
struct Device {
    name: String,
    snapshot: SnapshotId,
    size: Option<u64>,
    delete_on_termination: Option<bool>,
}

impl TryFrom<RegisterImage> for Registration {
    type Error = ApiError;

    fn try_from(request: RegisterImage) -> Result<Self, ApiError> {
        let unserved = |message: String| Err(ApiError::new(Code::UnsupportedOperation, message));
        if let Some(other) = request.virtualization_type.filter(|kind| kind != "hvm") {
            return unserved(format!("VirtualizationType must be hvm, not {}", other.escape_debug()));
        }
        if request.boot_mode.as_deref() == Some("uefi") {
            return unserved("Images that need UEFI are not served".into());
        }
        let architecture = request
            .architecture
            .unwrap_or_else(|| Architecture::X86_64.name().into());
        let Some(architecture) = Architecture::from_name(&architecture) else {
            return unserved(format!("Images for {architecture} are not served"));
        };
        let kernel = request
            .kernel_id
            .map(|id| ids::parse(&id, Code::InvalidAkiIdMalformed))
            .transpose()?;
        let ramdisk = request
            .ramdisk_id
            .map(|id| ids::parse(&id, Code::InvalidAriIdMalformed))
            .transpose()?;
        if ramdisk.is_some() && kernel.is_none() {
            let message = "A RamdiskId needs a KernelId that goes with it";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
        let Some(name) = request.name else {
            return Err(ApiError::new(
                Code::MissingParameter,
                "The request must contain the parameter Name",
            ));
        };
        let (devices, instance_store) = devices(request.block_device_mappings)?;
        Ok(Self {
            name: parse_name(&name)?,
            description: request.description,
            architecture,
            kernel,
            ramdisk,
            root_device_name: root(&devices, request.root_device_name)?,
            devices,
            instance_store,
            tags: TagSpecifications::new(request.tag_specifications, &["image"])?
                .of("image")
                .to_vec(),
        })
    }
}

/// The volumes of the image, and the names of its instances' own disks.
fn devices(mappings: Vec<Mapping>) -> Result<(Vec<Device>, Vec<InstanceStoreMapping>), ApiError> {
    let (mut devices, mut disks, mut names) = (Vec::new(), Vec::new(), HashSet::new());
    for mapping in mappings {
        let name = parse_device_name(mapping.device_name.unwrap_or_default())?;
        if !names.insert(name.clone()) {
            let message = "Each device of an image is mapped once";
            return Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
        }
        match mapping.virtual_name {
            Some(disk) => disks.push(instance_store::mapping(name, &disk, mapping.ebs.is_some())?),
            None => devices.push(Device::new(name, mapping.ebs.unwrap_or_default())?),
        }
    }
    instance_store::once_each(&disks)?;
    Ok((devices, disks))
}

/// The device that the image boots from: of several it must be named.
fn root(devices: &[Device], named: Option<String>) -> Result<String, ApiError> {
    let invalid = |message: String| Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
    let Some(first) = devices.first() else {
        let message = "The request must contain the parameter BlockDeviceMappings, with the root device's snapshot";
        return Err(ApiError::new(Code::MissingParameter, message));
    };
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    match named {
        None if devices.len() == 1 => Ok(first.name.clone()),
        None => Err(ApiError::new(
            Code::MissingParameter,
            "An image with several volumes must name its RootDeviceName",
        )),
        Some(named) if names.contains(&named.as_str()) => Ok(named),
        Some(_) => invalid(format!("The root device is not mapped; {} is", names.join(", "))),
    }
}

impl Device {
    fn new(name: String, ebs: Ebs) -> Result<Self, ApiError> {
        let Some(snapshot) = ebs.snapshot_id else {
            let message = format!("The device {name} needs an Ebs.SnapshotId");
            return Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
        };
        if ebs.encrypted {
            let message = "Encrypted volumes are not served";
            return Err(ApiError::new(Code::UnsupportedOperation, message));
        }
        Ok(Self {
            name,
            snapshot: ids::parse(&snapshot, Code::InvalidSnapshotIdMalformed)?,
            size: ebs.volume_size.map(gibibytes).transpose()?,
            delete_on_termination: ebs.delete_on_termination,
        })
    }

    /// As images have it, if its snapshot is there.
    fn block_device(&self, store: &Connection, is_root: bool) -> Result<BlockDevice, ApiError> {
        let snapshot = completed(store, self.snapshot)?;
        let least = snapshot.size.div_ceil(GIB) * GIB;
        let size = self.size.unwrap_or(least);
        if size < least {
            let (size, least) = (size / GIB, least / GIB);
            let message = format!(
                "Volume of size {size}GB is smaller than snapshot '{}', expect size >= {least}GB",
                snapshot.id
            );
            return Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
        }
        Ok(BlockDevice {
            device_name: self.name.clone(),
            snapshot: self.snapshot,
            size,
            // As EC2 has it: the root goes with its instance, and others stay.
            delete_on_termination: self.delete_on_termination.unwrap_or(is_root),
        })
    }
}

/// The largest volume, in GiB, as EC2 has it for gp3.
const MAX_VOLUME: i64 = 65_536;

fn gibibytes(size: i64) -> Result<u64, ApiError> {
    match u64::try_from(size) {
        Ok(gib) if (1..=MAX_VOLUME).contains(&size) => Ok(gib * GIB),
        _ => {
            let message =
                format!("Value ({size}) for parameter Ebs.VolumeSize is invalid. Expecting 1 to {MAX_VOLUME} GiB");
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
    }
}

/// Checks the name of an image's device.
pub(super) fn parse_device_name(name: String) -> Result<String, ApiError> {
    let rest = name.strip_prefix("/dev/").unwrap_or(&name);
    if (1..=32).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(name);
    }
    let message = "A device name is like /dev/sda1: /dev/ and letters and digits";
    Err(ApiError::new(Code::InvalidBlockDeviceMapping, message))
}

/// Checks an image's name: 3 to 128 characters of those that EC2 allows.
///
/// # Errors
/// `InvalidAMIName.Malformed`.
pub fn parse_name(name: &str) -> Result<String, ApiError> {
    if Image::is_name(name) {
        return Ok(name.into());
    }
    let message = "An image's name has 3 to 128 characters: letters, digits, spaces and ()[]./-'@_";
    Err(ApiError::new(Code::InvalidAmiNameMalformed, message))
}

pub(super) async fn register(call: Call, request: RegisterImage) -> Result<Registered, ApiError> {
    let registration = Registration::try_from(request)?;
    let dry_run = call.dry_run;
    let id = ImageId::from_random(random_bits());
    let done = call.world.store.write(move |store| {
        let image = registration.image(store, id)?;
        store::images::put(store, &image)?;
        for tag in &registration.tags {
            store::tags::put(store, ResourceId::Image(id), tag)?;
        }
        // An error undoes the transaction, so a dry run checks all that the real one does.
        if dry_run {
            Err(super::super::call::dry_run())
        } else {
            Ok(())
        }
    });
    done.await?;
    Ok(Registered {
        image_id: id.to_string(),
    })
}

impl Registration {
    /// The image, if all that it is made of is there.
    fn image(&self, store: &Connection, id: ImageId) -> Result<Image, ApiError> {
        name_is_free(store, ImageOwner::Account, &self.name)?;
        let is_root = |device: &Device| device.name == self.root_device_name;
        let devices = self
            .devices
            .iter()
            .map(|device| device.block_device(store, is_root(device)));
        let block_devices = devices.collect::<Result<_, _>>()?;
        if let Some(kernel) = self.kernel
            && store::kernels::get(store, kernel)?.is_none()
        {
            return Err(ids::not_found(Code::InvalidAkiIdNotFound, "kernel", &[kernel]));
        }
        if let Some(ramdisk) = self.ramdisk
            && store::kernels::get_ramdisk(store, ramdisk)?.is_none()
        {
            return Err(ids::not_found(Code::InvalidAriIdNotFound, "ramdisk", &[ramdisk]));
        }
        Ok(Image {
            id,
            name: self.name.clone(),
            description: self.description.clone(),
            owner: ImageOwner::Account,
            state: ImageState::Available,
            state_reason: None,
            architecture: self.architecture,
            root_device_name: self.root_device_name.clone(),
            block_devices,
            instance_store: self.instance_store.clone(),
            kernel: self.kernel,
            ramdisk: self.ramdisk,
            source: crate::model::ImageSource::default(),
            attributes: crate::model::ImageAttributes::default(),
            created: OffsetDateTime::now_utc(),
        })
    }
}

/// The snapshot, if an image can be made of it.
fn completed(store: &Connection, id: SnapshotId) -> Result<Snapshot, ApiError> {
    let snapshot = store::snapshots::get(store, id)?;
    let snapshot = snapshot.ok_or_else(|| ids::not_found(Code::InvalidSnapshotNotFound, "snapshot", &[id]))?;
    match snapshot.state {
        SnapshotState::Completed => Ok(snapshot),
        state => {
            let message = format!("The snapshot {id} is {}, not completed", state.name());
            Err(ApiError::new(Code::IncorrectState, message))
        }
    }
}

/// Refuses a name that the owner has given to another image.
pub(super) fn name_is_free(store: &Connection, owner: ImageOwner, name: &str) -> Result<(), ApiError> {
    match store::images::by_name(store, owner, name)? {
        Some(other) => {
            let message = format!("AMI name {name} is already in use by AMI {}", other.id);
            Err(ApiError::new(Code::InvalidAmiNameDuplicate, message))
        }
        None => Ok(()),
    }
}
