//! DescribeImages.

use super::super::filter::{Filter, Filters};
use super::super::instant::instant;
use super::super::paging::{MAX_RESULTS, Page};
use super::super::tagging::WireTag;
use super::super::{ApiError, Call};
use super::{WireProductCode, image_not_found, parse_image_id};
use crate::config::{ImageAlias, ImageAliases, Place};
use crate::model::{
    Architecture, GIB, Grantee, Image, ImageOwner, ImageState, KernelImage, RamdiskImage, ResourceId, Tag,
};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeImages {
    image_ids: Vec<String>,
    owners: Vec<String>,
    executable_users: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
    /// Deprecated images are listed, too. Their owner sees them anyway, as EC2 has it, and here is no other.
    #[serde(rename = "IncludeDeprecated")]
    _include_deprecated: bool,
    include_disabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedImages {
    images: Vec<WireImage>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireImage {
    #[serde(skip)]
    owner: ImageOwner,
    /// By what names and owners it is found beside its own.
    #[serde(skip)]
    alias: Option<ImageAlias>,
    image_id: String,
    image_location: String,
    image_type: &'static str,
    name: Option<String>,
    description: Option<String>,
    owner_id: String,
    image_owner_alias: Option<&'static str>,
    public: bool,
    state: &'static str,
    state_reason: Option<StateReason>,
    deprecation_time: Option<String>,
    deregistration_protection: &'static str,
    architecture: &'static str,
    creation_date: String,
    kernel_id: Option<String>,
    ramdisk_id: Option<String>,
    root_device_type: &'static str,
    root_device_name: Option<String>,
    source_image_id: Option<String>,
    source_image_region: Option<String>,
    source_instance_id: Option<String>,
    block_device_mappings: Vec<Mapping>,
    virtualization_type: &'static str,
    hypervisor: &'static str,
    ena_support: bool,
    platform_details: &'static str,
    usage_operation: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    product_codes: Vec<WireProductCode>,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StateReason {
    code: &'static str,
    message: String,
}

/// `BlockDeviceMapping`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Mapping {
    device_name: String,
    ebs: Option<Ebs>,
    virtual_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ebs {
    snapshot_id: String,
    volume_size: u64,
    volume_type: &'static str,
    delete_on_termination: bool,
    encrypted: bool,
}

/// The volumes of an image, and the names of its instances' own disks.
pub(super) fn mappings(image: &Image) -> Vec<Mapping> {
    let volumes = image.block_devices.iter().map(|device| Mapping {
        device_name: device.device_name.clone(),
        ebs: Some(Ebs {
            snapshot_id: device.snapshot.to_string(),
            volume_size: device.size.div_ceil(GIB),
            volume_type: "gp3",
            delete_on_termination: device.delete_on_termination,
            encrypted: false,
        }),
        virtual_name: None,
    });
    let disks = image.instance_store.iter().map(|disk| Mapping {
        device_name: disk.device_name.clone(),
        ebs: None,
        virtual_name: Some(disk.virtual_name.to_string()),
    });
    volumes.chain(disks).collect()
}

/// The account that EC2 shows as the owner of Amazon's own images.
const AMAZON: &str = "137112412989";
/// The account that EC2 shows as the owner of the Marketplace's images.
const MARKETPLACE: &str = "679593333241";

/// What all images have in common.
struct Common {
    id: ResourceId,
    image_type: &'static str,
    owner: ImageOwner,
    description: Option<String>,
    created: OffsetDateTime,
}

impl WireImage {
    fn new(place: &Place, common: Common, tags: Vec<Tag>) -> Self {
        let owner_id = match common.owner {
            ImageOwner::Account => place.account().into(),
            ImageOwner::QuickStart => AMAZON.into(),
            ImageOwner::Marketplace => MARKETPLACE.into(),
            ImageOwner::Other(account) => account.to_string(),
        };
        Self {
            image_id: common.id.to_string(),
            image_location: format!("{owner_id}/{}", common.id),
            image_type: common.image_type,
            name: None,
            description: common.description,
            owner_id,
            image_owner_alias: common.owner.alias(),
            // Another's image is here because everybody may launch it.
            public: common.owner != ImageOwner::Account,
            owner: common.owner,
            alias: None,
            state: "available",
            state_reason: None,
            deprecation_time: None,
            deregistration_protection: "disabled",
            architecture: Architecture::X86_64.name(),
            creation_date: instant(common.created),
            kernel_id: None,
            ramdisk_id: None,
            root_device_type: "ebs",
            root_device_name: None,
            source_image_id: None,
            source_image_region: None,
            source_instance_id: None,
            block_device_mappings: Vec::new(),
            virtualization_type: "hvm",
            hypervisor: "xen",
            ena_support: false,
            platform_details: "Linux/UNIX",
            usage_operation: "RunInstances",
            product_codes: Vec::new(),
            tags: tags.into_iter().map(Into::into).collect(),
        }
    }

    fn machine(place: &Place, image: Image, tags: Vec<Tag>) -> Self {
        let mappings = mappings(&image);
        let common = Common {
            id: ResourceId::Image(image.id),
            image_type: "machine",
            owner: image.owner,
            description: image.description,
            created: image.created,
        };
        let shown = Self::new(place, common, tags);
        Self {
            image_location: format!("{}/{}", shown.owner_id, image.name),
            name: Some(image.name),
            public: image.state != ImageState::Disabled
                && (shown.public || image.attributes.launch_permissions.contains(&Grantee::All)),
            deprecation_time: image.attributes.deprecated.map(instant),
            deregistration_protection: match image.attributes.protected {
                true => "enabled-without-cooldown",
                false => "disabled",
            },
            state: image.state.name(),
            state_reason: image.state_reason.map(|message| StateReason {
                code: "Server.InternalError",
                message,
            }),
            architecture: image.architecture.name(),
            product_codes: image.attributes.product_codes.into_iter().map(Into::into).collect(),
            kernel_id: image.kernel.map(|id| id.to_string()),
            ramdisk_id: image.ramdisk.map(|id| id.to_string()),
            root_device_name: Some(image.root_device_name),
            source_image_id: image.source.image.map(|id| id.to_string()),
            source_image_region: image.source.image.map(|_| place.region().to_owned()),
            source_instance_id: image.source.instance.map(|id| id.to_string()),
            block_device_mappings: mappings,
            ..shown
        }
    }

    fn kernel(place: &Place, image: KernelImage, tags: Vec<Tag>) -> Self {
        let common = Common {
            id: ResourceId::Kernel(image.id),
            image_type: "kernel",
            owner: ImageOwner::Account,
            description: image.description,
            created: image.created,
        };
        Self::new(place, common, tags)
    }

    fn ramdisk(place: &Place, image: RamdiskImage, tags: Vec<Tag>) -> Self {
        let common = Common {
            id: ResourceId::Ramdisk(image.id),
            image_type: "ramdisk",
            owner: ImageOwner::Account,
            description: image.description,
            created: image.created,
        };
        Self::new(place, common, tags)
    }

    /// Whether one of the owners that were asked for has it; all do if none was.
    fn is_of(&self, owners: &[String]) -> bool {
        let is = |owner: &String| match owner.as_str() {
            "self" => self.owner == ImageOwner::Account,
            owner => {
                let elsewhere = self.alias.iter().flat_map(|alias| &alias.owners);
                self.image_owner_alias == Some(owner)
                    || self.owner_id == owner
                    || elsewhere.into_iter().any(|own| own == owner)
            }
        };
        owners.is_empty() || owners.iter().any(is)
    }

    /// Whether one of those who were asked for may launch it: `all` may launch what is public; explicit permissions
    /// (`self`) there are none.
    fn is_for(&self, users: &[String]) -> bool {
        users.is_empty() || self.public && users.iter().any(|user| user == "all")
    }
}

const FILTERS: [&str; 51] = [
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "boot-mode",
    "creation-date",
    "description",
    "ena-support",
    "free-tier-eligible",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "image-watermark.source-image-creation-time",
    "image-watermark.source-image-id",
    "image-watermark.source-image-region",
    "image-watermark.watermark-creation-time",
    "image-watermark.watermark-key",
    "instance-type-specification.supported-instance-type",
    "instance-type-specification.unsupported-instance-type",
    "is-public",
    "kernel-id",
    "manifest-location",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "product-code",
    "product-code.type",
    "public-ssm-parameter-name",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "scan-result.critical-fix-available-since",
    "scan-result.finding-scan-date",
    "scan-result.high-fix-available-since",
    "scan-result.highest-finding-severity-label",
    "scan-result.informational-fix-available-since",
    "scan-result.low-fix-available-since",
    "scan-result.medium-fix-available-since",
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "sriov-net-support",
    "state",
    "state-reason-code",
    "state-reason-message",
    "virtualization-type",
];

impl WireImage {
    fn filter_values(&self, name: &str) -> Vec<String> {
        if let Some(name) = name.strip_prefix("block-device-mapping.") {
            return self
                .block_device_mappings
                .iter()
                .filter_map(|mapping| mapping.filter_value(name))
                .collect();
        }
        let one = match name {
            "architecture" => self.architecture.into(),
            "creation-date" => self.creation_date.clone(),
            "ena-support" => self.ena_support.to_string(),
            "hypervisor" => self.hypervisor.into(),
            "image-id" => self.image_id.clone(),
            "image-type" => self.image_type.into(),
            "is-public" => self.public.to_string(),
            "manifest-location" => self.image_location.clone(),
            "owner-id" => self.owner_id.clone(),
            "root-device-type" => self.root_device_type.into(),
            "state" => self.state.into(),
            "virtualization-type" => self.virtualization_type.into(),
            "description" => return self.description.iter().cloned().collect(),
            "kernel-id" => return self.kernel_id.iter().cloned().collect(),
            "name" => {
                let elsewhere = self.alias.iter().flat_map(|alias| &alias.names);
                return self.name.iter().chain(elsewhere).cloned().collect();
            }
            "owner-alias" => return self.image_owner_alias.iter().map(ToString::to_string).collect(),
            "product-code" => {
                return self
                    .product_codes
                    .iter()
                    .map(|code| code.product_code_id.clone())
                    .collect();
            }
            "product-code.type" => {
                let types = self.product_codes.iter().map(|code| code.product_code_type.to_owned());
                return types.collect();
            }
            "ramdisk-id" => return self.ramdisk_id.iter().cloned().collect(),
            "root-device-name" => return self.root_device_name.iter().cloned().collect(),
            "source-image-id" => return self.source_image_id.iter().cloned().collect(),
            "source-image-region" => return self.source_image_region.iter().cloned().collect(),
            "source-instance-id" => return self.source_instance_id.iter().cloned().collect(),
            "state-reason-code" => return self.state_reason.iter().map(|reason| reason.code.into()).collect(),
            "state-reason-message" => return self.state_reason.iter().map(|reason| reason.message.clone()).collect(),
            // No image is for Windows, the only platform that EC2 names; nor has any what EC2's own machines and services give.
            _ => return Vec::new(),
        };
        vec![one]
    }

    /// Scripts that were written for EC2 ask for others' images by their names there; the account's own have none.
    fn find_alias(&mut self, aliases: &ImageAliases) {
        let name = self.name.as_deref().filter(|_| self.owner != ImageOwner::Account);
        self.alias = name.and_then(|name| aliases.of(name)).cloned();
    }

    fn passes(&self, filters: &Filters) -> bool {
        let tags = self.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
        filters.pass(|name| self.filter_values(name), tags)
    }
}

impl Mapping {
    fn filter_value(&self, name: &str) -> Option<String> {
        if name == "device-name" {
            return Some(self.device_name.clone());
        }
        let ebs = self.ebs.as_ref()?;
        Some(match name {
            "delete-on-termination" => ebs.delete_on_termination.to_string(),
            "encrypted" => ebs.encrypted.to_string(),
            "snapshot-id" => ebs.snapshot_id.clone(),
            "volume-size" => ebs.volume_size.to_string(),
            _ => ebs.volume_type.into(),
        })
    }
}

pub(super) async fn describe(call: Call, request: DescribeImages) -> Result<DescribedImages, ApiError> {
    let filters = Filters::new(request.filters, &FILTERS, true)?;
    let ids: Vec<ResourceId> = request
        .image_ids
        .iter()
        .map(|id| parse_image_id(id))
        .collect::<Result<_, _>>()?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &MAX_RESULTS, !ids.is_empty())?;
    let place = call.world.config.place.clone();
    let mut all = call.world.store.read(move |store| list(store, &place)).await?;
    for image in all.values_mut() {
        image.find_alias(&call.world.image_aliases);
    }
    if let Some(missing) = ids.iter().find(|id| !all.contains_key(&id.to_string())) {
        return Err(image_not_found(*missing));
    }
    if !ids.is_empty() {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        all.retain(|id, _| ids.contains(id));
    }
    let passing = all.into_values().filter(|image| {
        let hidden = image.state == ImageState::Disabled.name() && !request.include_disabled;
        !hidden && image.is_of(&request.owners) && image.is_for(&request.executable_users) && image.passes(&filters)
    });
    let (images, next_token) = page.cut(passing, |image| image.image_id.clone());
    Ok(DescribedImages { images, next_token })
}

/// All images of all kinds, by id.
fn list(store: &Connection, place: &Place) -> Result<BTreeMap<String, WireImage>, StoreError> {
    let mut images = Vec::new();
    for image in store::images::list(store)? {
        let tags = store::tags::of(store, ResourceId::Image(image.id))?;
        images.push(WireImage::machine(place, image, tags));
    }
    for kernel in store::kernels::list(store)? {
        let tags = store::tags::of(store, ResourceId::Kernel(kernel.id))?;
        images.push(WireImage::kernel(place, kernel, tags));
    }
    for ramdisk in store::kernels::list_ramdisks(store)? {
        let tags = store::tags::of(store, ResourceId::Ramdisk(ramdisk.id))?;
        images.push(WireImage::ramdisk(place, ramdisk, tags));
    }
    Ok(images
        .into_iter()
        .map(|image| (image.image_id.clone(), image))
        .collect())
}
