//! The instances that a Describe operation finds. They may be many: they are read a portion at a time until the page is full.
//! For DescribeInstances, what is cheap to read of a portion and leaves few is read first.

use super::super::ApiError;
use super::super::filter::Filters;
use super::super::instant::instant;
use super::super::paging::Page;
use super::super::places::zone_id;
use super::wire::{Described, WireMonitoring};
use super::{must_exist, network_filters};
use crate::config::Place;
use crate::model::{Instance, InstanceId, MetadataOptions, PrivateName};
use crate::store::{self, StoreError};
use rusqlite::Connection;

/// The most instances that are read at once, unless a page needs more.
const PORTION: usize = 1000;
/// How the filters begin that look at attached volumes, and at interfaces and their groups.
const OF_VOLUMES: &str = "block-device-mapping.";
const OF_INTERFACES: &str = "network-interface.";
const OF_GROUPS: &str = "instance.";

/// The instances by id, from a page's beginning on, a portion at a time: as many as the page needs, and more at a time when
/// those have not filled it.
pub(super) struct Portions {
    after: String,
    size: usize,
}

impl Portions {
    pub(super) fn new(page: &Page) -> Self {
        Self {
            after: page.after().to_owned(),
            size: page.needed(),
        }
    }

    /// The ids of the next portion; none when there are no more.
    pub(super) fn ids(&mut self, connection: &Connection) -> Result<Vec<InstanceId>, StoreError> {
        let ids = store::instances::ids_after(connection, &self.after, self.size)?;
        if let Some(last) = ids.last() {
            self.after = last.to_string();
        }
        // The filters leave few.
        self.size = PORTION.max(self.size);
        Ok(ids)
    }

    /// The next portion; none when there are no more.
    pub(super) fn instances(&mut self, connection: &Connection) -> Result<Vec<Instance>, StoreError> {
        let ids = self.ids(connection)?;
        store::instances::of(connection, &ids)
    }
}

/// The instances that a request names; all of them must be there.
pub(super) fn named(connection: &Connection, ids: &[InstanceId]) -> Result<Vec<Instance>, ApiError> {
    must_exist(connection, ids)?;
    Ok(store::instances::of(connection, ids)?)
}

/// Looks for the instances that pass all filters.
pub(super) struct Search<'p> {
    /// Those that look at tags only.
    tags: Filters,
    /// Those that look at the instance's own row.
    own: Filters,
    /// Those that look at what is attached to it.
    attached: Filters,
    place: &'p Place,
}

impl<'p> Search<'p> {
    pub(super) fn new(filters: &Filters, place: &'p Place) -> Self {
        let of_tags = |name: &str| name.starts_with("tag:") || name == "tag-key" || name == "tag-value";
        let of_attached = |name: &str| {
            let parts = [OF_VOLUMES, OF_INTERFACES, OF_GROUPS];
            parts.iter().any(|part| name.starts_with(part)) || network_filters::PRIMARY.contains(&name)
        };
        Self {
            tags: filters.part(of_tags),
            own: filters.part(|name| !of_tags(name) && !of_attached(name)),
            attached: filters.part(of_attached),
            place,
        }
    }

    /// Of all instances as many as a page needs, by id.
    pub(super) fn all(&self, connection: &Connection, page: &Page) -> Result<Vec<Described>, StoreError> {
        let (mut found, mut portions) = (Vec::new(), Portions::new(page));
        while found.len() < page.needed() {
            let ids = portions.ids(connection)?;
            if ids.is_empty() {
                break;
            }
            found.extend(self.among(connection, ids)?);
        }
        Ok(found)
    }

    /// Of those that a request names, by id; all of them must be there.
    pub(super) fn named(&self, connection: &Connection, ids: Vec<InstanceId>) -> Result<Vec<Described>, ApiError> {
        must_exist(connection, &ids)?;
        Ok(self.among(connection, ids)?)
    }

    fn among(&self, connection: &Connection, mut ids: Vec<InstanceId>) -> Result<Vec<Described>, StoreError> {
        if !self.tags.is_empty() {
            let tags = store::tags::of_instances(connection, &ids)?;
            ids.retain(|id| {
                let tags = tags.get(id).map(Vec::as_slice).unwrap_or_default();
                let pairs = tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
                self.tags.pass(|_| Vec::new(), pairs)
            });
        }
        let mut instances = store::instances::of(connection, &ids)?;
        instances.retain(|instance| self.own.pass(|name| own_values(instance, name, self.place), []));
        let mut all = Described::read_all(connection, instances)?;
        all.retain(|one| self.attached.pass(|name| attached_values(one, name, self.place), []));
        Ok(all)
    }
}

/// What an instance has by itself under a filter's name.
pub(super) fn own_values(instance: &Instance, name: &str, place: &Place) -> Vec<String> {
    if let Some(option) = name.strip_prefix("metadata-options.") {
        return vec![metadata_option(instance.metadata_options, option)];
    }
    if let Some(option) = name.strip_prefix("private-dns-name-options.") {
        return vec![name_option(instance.attributes.private_name, option)];
    }
    let reason = instance.reason.as_ref();
    let value = match name {
        "architecture" => Some(instance.architecture.name().to_owned()),
        "availability-zone" => Some(place.zone().to_owned()),
        "availability-zone-id" => Some(zone_id(place)),
        "boot-mode" | "current-instance-boot-mode" => Some("legacy-bios".into()),
        "client-token" => instance.client_token.clone(),
        "ebs-optimized" => Some(instance.attributes.ebs_optimized.to_string()),
        "ena-support" => Some(instance.attributes.ena_support.to_string()),
        // What none has, and what is nobody else's.
        "enclave-options.enabled" | "hibernation-options.configured" | "operator.managed" => Some("false".into()),
        "hypervisor" => Some("xen".into()),
        "image-id" => Some(instance.image.to_string()),
        "instance-id" => Some(instance.id.to_string()),
        "instance-state-code" => Some(instance.state.code().to_string()),
        "instance-state-name" => Some(instance.state.name().to_owned()),
        "instance-type" => Some(instance.instance_type.name.clone()),
        "key-name" => instance.key.as_ref().map(|key| key.name.to_string()),
        "kernel-id" => instance.kernel.map(|id| id.to_string()),
        "launch-index" => Some(instance.launch_index.to_string()),
        "launch-time" => Some(instant(instance.launched)),
        "maintenance-options.auto-recovery" => Some(instance.attributes.auto_recovery.name().into()),
        "monitoring-state" => Some(WireMonitoring::new(instance.attributes.monitoring).state.into()),
        "owner-id" => Some(place.account().to_owned()),
        "platform-details" => Some("Linux/UNIX".into()),
        "ramdisk-id" => instance.ramdisk.map(|id| id.to_string()),
        "reason" => reason.map(crate::model::StateReason::transition),
        "reservation-id" => Some(instance.reservation.to_string()),
        "root-device-name" => Some(instance.root_device_name.clone()),
        "root-device-type" => Some("ebs".into()),
        "state-reason-code" => reason.map(|reason| reason.code.name().to_owned()),
        "state-reason-message" => reason.map(crate::model::StateReason::message),
        "tenancy" => Some("default".into()),
        "usage-operation" => Some("RunInstances".into()),
        "virtualization-type" => Some("hvm".into()),
        // Spot instances, Windows, products, IPv6, profiles, reserved capacity and hosts of one's own: there are none.
        _ => None,
    };
    value.into_iter().collect()
}

fn metadata_option(of: MetadataOptions, option: &str) -> String {
    let switch = |on: bool| if on { "enabled" } else { "disabled" };
    match option {
        "http-endpoint" => switch(of.endpoint).into(),
        "http-protocol-ipv4" => switch(true).into(),
        "http-protocol-ipv6" => switch(false).into(),
        "http-put-response-hop-limit" => of.hop_limit.to_string(),
        "http-tokens" if of.tokens_required => "required".into(),
        "http-tokens" => "optional".into(),
        "state" => "applied".into(),
        _ => switch(of.tags).into(),
    }
}

fn name_option(of: PrivateName, option: &str) -> String {
    match option {
        "enable-resource-name-dns-a-record" => of.a_record.to_string(),
        "enable-resource-name-dns-aaaa-record" => of.aaaa_record.to_string(),
        _ => of.hostname_type.name().into(),
    }
}

/// What it has by what is attached to it.
pub(super) fn attached_values(described: &Described, name: &str, place: &Place) -> Vec<String> {
    if let Some(of_volume) = name.strip_prefix(OF_VOLUMES) {
        return volume_values(described, of_volume);
    }
    if let Some(of_interface) = name.strip_prefix(OF_INTERFACES) {
        return network_filters::of_interfaces(described, of_interface, place);
    }
    if let Some(of_groups) = name.strip_prefix(OF_GROUPS) {
        return network_filters::of_groups(described, of_groups);
    }
    network_filters::of_primary(described, name, place)
        .into_iter()
        .collect()
}

fn volume_values(described: &Described, name: &str) -> Vec<String> {
    let of = |(volume, attachment): &(crate::model::Volume, crate::model::Attachment)| match name {
        "attach-time" => instant(attachment.attached),
        "delete-on-termination" => attachment.delete_on_termination.to_string(),
        "device-name" => attachment.device_name.clone(),
        "status" if volume.state == crate::model::VolumeState::Creating => "attaching".into(),
        "status" => "attached".into(),
        _ => volume.id.to_string(),
    };
    described.volumes.iter().map(of).collect()
}
