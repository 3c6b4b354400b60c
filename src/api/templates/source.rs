//! GetLaunchTemplateData: what a template has to say for another instance like one that is there.
//!
//! What only that one can have is left out: its addresses and its network interfaces' ids; and what its image brings: a
//! kernel and a RAM disk.

use super::super::tagging::WireTag;
use super::{ApiError, Call, found};
use crate::base64;
use crate::config::Place;
use crate::instance::InterfaceFacts;
use crate::model::{Attachment, GIB, Instance, MetadataOptions, RESERVED_KEY, ResourceId, Volume};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct GetLaunchTemplateData {
    instance_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Got {
    launch_template_data: SourceData,
}

/// `ResponseLaunchTemplateData`, with the members that another launch takes.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SourceData {
    image_id: String,
    instance_type: String,
    key_name: Option<String>,
    user_data: Option<String>,
    instance_initiated_shutdown_behavior: &'static str,
    placement: Placement,
    metadata_options: Metadata,
    block_device_mappings: Vec<Mapping>,
    network_interfaces: Vec<Interface>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tag_specifications: Vec<Tags>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Placement {
    availability_zone: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    http_endpoint: &'static str,
    http_tokens: &'static str,
    http_put_response_hop_limit: u8,
    instance_metadata_tags: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Mapping {
    device_name: String,
    ebs: Option<Ebs>,
    virtual_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ebs {
    snapshot_id: Option<String>,
    volume_size: u64,
    volume_type: &'static str,
    iops: Option<u32>,
    throughput: Option<u32>,
    delete_on_termination: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Interface {
    device_index: u16,
    subnet_id: String,
    groups: Vec<String>,
    description: String,
    delete_on_termination: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    resource_type: &'static str,
    tags: Vec<WireTag>,
}

pub(super) async fn get(call: Call, request: GetLaunchTemplateData) -> Result<Got, ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    let place = call.world.config.place.clone();
    let read = call.world.store.read(move |store| {
        let instance = found::instance(store, id)?;
        let launch_template_data = SourceData::read(store, &place, instance)?;
        Ok(Got { launch_template_data })
    });
    read.await
}

impl SourceData {
    fn read(store: &Connection, place: &Place, instance: Instance) -> Result<Self, ApiError> {
        let resource = ResourceId::Instance(instance.id);
        let volumes = store::volumes::of_instance(store, instance.id)?;
        let disks = store::instance_store::of(store, resource)?;
        let disks = disks.into_iter().map(|disk| Mapping {
            device_name: disk.device_name,
            ebs: None,
            virtual_name: Some(disk.virtual_name.to_string()),
        });
        let interfaces = InterfaceFacts::of_instance(store, instance.id)?;
        let tags = store::tags::of(store, resource)?.into_iter();
        let tags: Vec<WireTag> = tags
            .filter(|tag| !tag.key.starts_with(RESERVED_KEY))
            .map(Into::into)
            .collect();
        let specification = (!tags.is_empty()).then_some(Tags {
            resource_type: "instance",
            tags,
        });
        Ok(Self {
            image_id: instance.image.to_string(),
            instance_type: instance.instance_type.name,
            key_name: instance.key.map(|key| key.name.to_string()),
            user_data: instance.user_data.map(|data| base64::encode(&data)),
            instance_initiated_shutdown_behavior: instance.shutdown_behavior.name(),
            placement: Placement {
                availability_zone: place.zone().into(),
            },
            metadata_options: instance.metadata_options.into(),
            block_device_mappings: volumes.into_iter().map(Mapping::from).chain(disks).collect(),
            network_interfaces: interfaces.iter().filter_map(Interface::new).collect(),
            tag_specifications: specification.into_iter().collect(),
        })
    }
}

impl From<MetadataOptions> for Metadata {
    fn from(options: MetadataOptions) -> Self {
        let switch = |on| if on { "enabled" } else { "disabled" };
        Self {
            http_endpoint: switch(options.endpoint),
            http_tokens: match options.tokens_required {
                true => "required",
                false => "optional",
            },
            http_put_response_hop_limit: options.hop_limit,
            instance_metadata_tags: switch(options.tags),
        }
    }
}

impl From<(Volume, Attachment)> for Mapping {
    fn from((volume, attachment): (Volume, Attachment)) -> Self {
        Self {
            device_name: attachment.device_name,
            ebs: Some(Ebs {
                snapshot_id: volume.snapshot.map(|id| id.to_string()),
                volume_size: volume.size.div_ceil(GIB),
                volume_type: "gp3",
                iops: volume.limits.iops,
                throughput: volume.limits.throughput,
                delete_on_termination: attachment.delete_on_termination,
            }),
            virtual_name: None,
        }
    }
}

impl Interface {
    fn new(facts: &InterfaceFacts) -> Option<Self> {
        let attachment = facts.interface.attachment.as_ref()?;
        Some(Self {
            device_index: attachment.device_index,
            subnet_id: facts.subnet.id.to_string(),
            groups: facts.groups.iter().map(|group| group.id.to_string()).collect(),
            description: facts.interface.description.clone(),
            delete_on_termination: attachment.delete_on_termination,
        })
    }
}
