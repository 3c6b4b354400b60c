//! DescribeVolumes.

use super::super::filter::{Filter, Filters};
use super::super::instant::instant;
use super::super::paging::{MAX_RESULTS, Page};
use super::super::places::zone_id;
use super::super::tagging::WireTag;
use super::super::{ApiError, Call, Code, ids};
use crate::config::Place;
use crate::model::{Attachment, AttachmentState, GIB, ResourceId, Tag, Volume, VolumeId, VolumeState};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

const FILTERS: [&str; 18] = [
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "fast-restored",
    "multi-attach-enabled",
    "operator.managed",
    "operator.principal",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeVolumes {
    volume_ids: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedVolumes {
    volumes: Vec<WireVolume>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireVolume {
    volume_id: String,
    size: u64,
    snapshot_id: String,
    state: &'static str,
    create_time: String,
    availability_zone: String,
    availability_zone_id: String,
    volume_type: &'static str,
    iops: Option<u32>,
    throughput: Option<u32>,
    encrypted: bool,
    multi_attach_enabled: bool,
    attachments: Vec<WireAttachment>,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireAttachment {
    volume_id: String,
    instance_id: String,
    device: String,
    state: &'static str,
    attach_time: String,
    delete_on_termination: bool,
}

/// A volume with what hangs on it.
struct Described {
    volume: Volume,
    attachment: Option<Attachment>,
    tags: Vec<Tag>,
}

pub(super) async fn describe(call: Call, request: DescribeVolumes) -> Result<DescribedVolumes, ApiError> {
    let filters = Filters::new(request.filters, &FILTERS, true)?;
    let ids: Vec<VolumeId> = ids::parse_all(&request.volume_ids, Code::InvalidVolumeIdMalformed)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &MAX_RESULTS, !ids.is_empty())?;
    let place = call.world.config.place.clone();
    let all = call.world.store.read(move |tx| read(tx, &ids)).await?;
    let passing = all.into_iter().filter(|one| {
        let tags = one.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
        filters.pass(|name| one.filter_values(name, &place), tags)
    });
    let (volumes, next_token) = page.cut(passing, |one| one.volume.id.to_string());
    let volumes = volumes.into_iter().map(|one| one.into_wire(&place)).collect();
    Ok(DescribedVolumes { volumes, next_token })
}

/// All volumes, or those that a request names, by id.
fn read(connection: &Connection, ids: &[VolumeId]) -> Result<Vec<Described>, ApiError> {
    let mut volumes = store::volumes::list(connection)?;
    if !ids.is_empty() {
        volumes.retain(|volume| ids.contains(&volume.id));
        let missing = |id: &&VolumeId| !volumes.iter().any(|volume| volume.id == **id);
        let missing: Vec<VolumeId> = ids.iter().filter(missing).copied().collect();
        if !missing.is_empty() {
            return Err(ids::not_found(Code::InvalidVolumeNotFound, "volume", &missing));
        }
    }
    let attachments = store::volumes::attachments(connection)?;
    let mut attachments: HashMap<VolumeId, Attachment> = attachments
        .into_iter()
        .map(|attachment| (attachment.volume, attachment))
        .collect();
    let describe = |volume: Volume| {
        let tags = store::tags::of(connection, ResourceId::Volume(volume.id))?;
        Ok(Described {
            attachment: attachments.remove(&volume.id),
            tags,
            volume,
        })
    };
    volumes.into_iter().map(describe).collect()
}

impl Described {
    fn attachment_state(&self) -> &'static str {
        let state = self.attachment.as_ref().map(|attachment| attachment.state);
        match self.volume.state {
            VolumeState::Creating => "attaching",
            _ => state.map_or("detached", AttachmentState::name),
        }
    }

    fn snapshot(&self) -> String {
        self.volume.snapshot.map(|id| id.to_string()).unwrap_or_default()
    }

    fn filter_values(&self, name: &str, place: &Place) -> Vec<String> {
        if let Some(of_attachment) = name.strip_prefix("attachment.") {
            let value = |attachment: &Attachment| match of_attachment {
                "attach-time" => instant(attachment.attached),
                "delete-on-termination" => attachment.delete_on_termination.to_string(),
                "device" => attachment.device_name.clone(),
                "instance-id" => attachment.instance.to_string(),
                _ => self.attachment_state().to_owned(),
            };
            return self.attachment.iter().map(value).collect();
        }
        vec![match name {
            "availability-zone" => place.zone().to_owned(),
            "availability-zone-id" => zone_id(place),
            "create-time" => instant(self.volume.created),
            "encrypted" | "fast-restored" | "multi-attach-enabled" | "operator.managed" => "false".into(),
            // Nobody else manages them.
            "operator.principal" => return Vec::new(),
            "size" => self.volume.size.div_ceil(GIB).to_string(),
            "snapshot-id" => self.snapshot(),
            "status" => self.volume.state.name().to_owned(),
            "volume-id" => self.volume.id.to_string(),
            _ => "gp3".into(),
        }]
    }

    fn into_wire(self, place: &Place) -> WireVolume {
        let state = self.attachment_state();
        let attachments = self.attachment.iter().map(|attachment| WireAttachment {
            state,
            ..WireAttachment::new(attachment)
        });
        WireVolume {
            volume_id: self.volume.id.to_string(),
            size: self.volume.size.div_ceil(GIB),
            snapshot_id: self.snapshot(),
            state: self.volume.state.name(),
            create_time: instant(self.volume.created),
            availability_zone: place.zone().to_owned(),
            availability_zone_id: zone_id(place),
            volume_type: "gp3",
            iops: self.volume.limits.iops,
            throughput: self.volume.limits.throughput,
            encrypted: false,
            multi_attach_enabled: false,
            attachments: attachments.collect(),
            tags: self.tags.into_iter().map(WireTag::from).collect(),
        }
    }
}

impl WireAttachment {
    /// An attachment as its own record has it.
    pub(super) fn new(attachment: &Attachment) -> Self {
        Self {
            volume_id: attachment.volume.to_string(),
            instance_id: attachment.instance.to_string(),
            device: attachment.device_name.clone(),
            state: attachment.state.name(),
            attach_time: instant(attachment.attached),
            delete_on_termination: attachment.delete_on_termination,
        }
    }
}

impl WireVolume {
    /// A volume as it is now.
    pub(super) fn read(store: &Connection, volume: Volume, place: &Place) -> Result<Self, ApiError> {
        let described = Described {
            attachment: store::volumes::attachment(store, volume.id)?,
            tags: store::tags::of(store, ResourceId::Volume(volume.id))?,
            volume,
        };
        Ok(described.into_wire(place))
    }
}
