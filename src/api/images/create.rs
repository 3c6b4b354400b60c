//! CreateImage: of an instance with all its volumes, which may run meanwhile.

use super::super::change::{Changed, change, tag};
use super::super::snapshots::{add_pending, to_api};
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::{ApiError, Call, Code, found, instance_store};
use super::register::{name_is_free, parse_device_name, parse_name};
use crate::instance::{CopyInstant, CopyOrder};
use crate::model::{
    Attachment, AttachmentState, BlockDevice, GIB, Image, ImageId, ImageOwner, ImageSource, ImageState, Instance,
    InstanceState, InstanceStoreMapping, ResourceId, SnapshotId, Tag, Volume,
};
use crate::store::{self, random_bits};
use crate::volumes::Original;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateImage {
    instance_id: String,
    name: String,
    description: Option<String>,
    #[serde(default)]
    no_reboot: bool,
    #[serde(default)]
    block_device_mappings: Vec<Mapping>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

/// What the image has otherwise than the instance.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Mapping {
    device_name: String,
    /// Whatever it says: the image is without the device.
    no_device: Option<String>,
    /// Which disk of the type of the image's instances it is.
    virtual_name: Option<String>,
    ebs: Option<Ebs>,
}

impl Mapping {
    fn leaves_volume_out(&self) -> bool {
        self.no_device.is_some() || self.virtual_name.is_some()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Ebs {
    volume_size: Option<i64>,
    delete_on_termination: Option<bool>,
    /// All volumes are files on this host; EC2's types of them mean nothing here.
    #[serde(rename = "VolumeType")]
    _volume_type: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    image_id: String,
}

/// A request that is right in itself.
struct Wanted {
    name: String,
    description: Option<String>,
    mappings: Vec<Mapping>,
    image_tags: Vec<Tag>,
    snapshot_tags: Vec<Tag>,
}

pub(super) async fn create(call: Call, request: CreateImage) -> Result<Created, ApiError> {
    let instance = found::instance_id(&request.instance_id)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["image", "snapshot"])?;
    let wanted = Wanted {
        name: parse_name(&request.name)?,
        description: request.description,
        mappings: request.block_device_mappings,
        image_tags: tags.of("image").to_vec(),
        snapshot_tags: tags.of("snapshot").to_vec(),
    };
    let begun = change(&call, move |store| {
        let instance = found::instance(store, instance)?;
        Ok(Changed::nothing(wanted.record(store, &instance)?))
    });
    let (image, copies) = begun.await?;
    let order = CopyOrder {
        instance: Some(instance),
        copies,
        image: Some(image),
        instant: match request.no_reboot {
            true => CopyInstant::Now,
            false => CopyInstant::Reboot,
        },
    };
    let copied = call.world.instances.copy(order).await;
    copied.map_err(|error| to_api(&error))?;
    Ok(Created {
        image_id: image.to_string(),
    })
}

impl Wanted {
    /// Puts the image and its snapshots on record, as pending.
    fn record(
        self,
        store: &Connection,
        instance: &Instance,
    ) -> Result<(ImageId, Vec<(Original, SnapshotId)>), ApiError> {
        if !matches!(instance.state, InstanceState::Running | InstanceState::Stopped) {
            let message = format!(
                "Instance '{}' is '{}': images are made of those that are 'running' or 'stopped'",
                instance.id, instance.state
            );
            return Err(ApiError::new(Code::IncorrectState, message));
        }
        name_is_free(store, ImageOwner::Account, &self.name)?;
        let attached = self.chosen(store, instance)?;
        let disks = self.disks(store, instance, &attached)?;
        let id = ImageId::from_random(random_bits());
        let (mut copies, mut devices) = (Vec::new(), Vec::new());
        for (volume, attachment) in attached {
            let description = format!("Created by CreateImage({}) for {id}", instance.id);
            let snapshot = add_pending(store, &volume, Some(description), &self.snapshot_tags)?;
            copies.push((Original::Volume(volume.id), snapshot.id));
            devices.push(self.device(&volume, attachment, snapshot.id)?);
        }
        let image = Image {
            id,
            name: self.name,
            description: self.description,
            owner: ImageOwner::Account,
            state: ImageState::Pending,
            state_reason: None,
            architecture: instance.architecture,
            root_device_name: instance.root_device_name.clone(),
            block_devices: devices,
            instance_store: disks,
            kernel: instance.kernel,
            ramdisk: instance.ramdisk,
            source: ImageSource {
                image: Some(instance.image),
                instance: Some(instance.id),
            },
            attributes: crate::model::ImageAttributes::default(),
            created: OffsetDateTime::now_utc(),
        };
        store::images::put(store, &image)?;
        tag(store, ResourceId::Image(id), &self.image_tags)?;
        Ok((id, copies))
    }

    /// The volumes that the image is to have.
    fn chosen(&self, store: &Connection, instance: &Instance) -> Result<Vec<(Volume, Attachment)>, ApiError> {
        let invalid = |message: String| Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
        let mut attached = store::volumes::of_instance(store, instance.id)?;
        attached.retain(|(_, attachment)| attachment.state == AttachmentState::Attached);
        for mapping in &self.mappings {
            let name = &mapping.device_name;
            let is_there = attached.iter().any(|(_, attachment)| attachment.device_name == *name);
            if !is_there && !mapping.leaves_volume_out() {
                return invalid(format!(
                    "The instance has no device {name:?}; attach a volume there first"
                ));
            }
            if mapping.leaves_volume_out() && *name == instance.root_device_name {
                return invalid(format!("The image can't be without its root device {name}"));
            }
        }
        let excluded = |name: &str| self.mapping(name).is_some_and(Mapping::leaves_volume_out);
        attached.retain(|(_, attachment)| !excluded(&attachment.device_name));
        Ok(attached)
    }

    /// The names of its instances' own disks: those that the instance has, and the request's.
    fn disks(
        &self,
        store: &Connection,
        instance: &Instance,
        attached: &[(Volume, Attachment)],
    ) -> Result<Vec<InstanceStoreMapping>, ApiError> {
        let mut disks = store::instance_store::of(store, ResourceId::Instance(instance.id))?;
        // A disk that the instance's type has not may have a name that was given to a volume.
        let is_volume = |name: &str| attached.iter().any(|(_, attachment)| attachment.device_name == name);
        disks.retain(|disk| self.mapping(&disk.device_name).is_none() && !is_volume(&disk.device_name));
        for mapping in &self.mappings {
            if let Some(disk) = &mapping.virtual_name {
                let name = parse_device_name(mapping.device_name.clone())?;
                disks.push(instance_store::mapping(name, disk, mapping.ebs.is_some())?);
            }
        }
        instance_store::once_each(&disks)?;
        Ok(disks)
    }

    fn mapping(&self, name: &str) -> Option<&Mapping> {
        self.mappings.iter().find(|mapping| mapping.device_name == name)
    }

    fn device(&self, volume: &Volume, attachment: Attachment, snapshot: SnapshotId) -> Result<BlockDevice, ApiError> {
        let ebs = self
            .mapping(&attachment.device_name)
            .and_then(|mapping| mapping.ebs.as_ref());
        let size = ebs.and_then(|ebs| ebs.volume_size);
        let size = size.map_or(Some(volume.size), |gib| u64::try_from(gib).ok()?.checked_mul(GIB));
        let size = size.filter(|size| *size >= volume.size).ok_or_else(|| {
            let message = format!(
                "The volume of {} can't be smaller than the {} GiB that it has",
                attachment.device_name,
                volume.size.div_ceil(GIB)
            );
            ApiError::new(Code::InvalidBlockDeviceMapping, message)
        })?;
        let delete = ebs.and_then(|ebs| ebs.delete_on_termination);
        Ok(BlockDevice {
            device_name: attachment.device_name,
            snapshot,
            size,
            delete_on_termination: delete.unwrap_or(attachment.delete_on_termination),
        })
    }
}
