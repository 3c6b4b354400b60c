//! DescribeInstances.

use super::super::filter::Filters;
use super::super::instant::instant;
use super::super::{ApiError, Call};
use super::asked::{Asked, Wanted};
use super::wire::{Described, WireMonitoring, WireReservation};
use super::{chosen, network_filters};
use crate::config::Place;
use crate::model::{MetadataOptions, PrivateName};
use crate::store;
use serde::Serialize;
use std::collections::BTreeMap;

const FILTERS: [&str; 81] = [
    "architecture",
    "availability-zone",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "boot-mode",
    "client-token",
    "current-instance-boot-mode",
    "dns-name",
    "hypervisor",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "kernel-id",
    "key-name",
    "launch-index",
    "launch-time",
    "maintenance-options.auto-recovery",
    "metadata-options.http-endpoint",
    "metadata-options.http-put-response-hop-limit",
    "metadata-options.http-tokens",
    "metadata-options.instance-metadata-tags",
    "monitoring-state",
    "network-interface.addresses.association.public-ip",
    "network-interface.addresses.primary",
    "network-interface.addresses.private-ip-address",
    "network-interface.association.public-ip",
    "network-interface.attachment.attach-time",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.delete-on-termination",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.instance-owner-id",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
    "network-interface.requester-id",
    "network-interface.requester-managed",
    "network-interface.source-dest-check",
    "network-interface.status",
    "network-interface.subnet-id",
    "network-interface.vpc-id",
    "owner-id",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-dns-name-options.enable-resource-name-dns-a-record",
    "private-dns-name-options.enable-resource-name-dns-aaaa-record",
    "private-dns-name-options.hostname-type",
    "private-ip-address",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "reason",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "spot-instance-request-id",
    "state-reason-code",
    "subnet-id",
    "tenancy",
    "usage-operation",
    "virtualization-type",
    "vpc-id",
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedInstances {
    reservations: Vec<WireReservation>,
    next_token: Option<String>,
}

pub(super) async fn describe(call: Call, request: Asked) -> Result<DescribedInstances, ApiError> {
    let Wanted { ids, filters, page } = request.parse(&call, &FILTERS, true)?;
    let place = call.world.config.place.clone();
    let read = call.world.store.read(move |tx| {
        let mut all = Vec::new();
        for instance in chosen(tx, &ids)? {
            all.push(Described::read(tx, instance)?);
        }
        let passing = all.into_iter().filter(|described| passes(described, &filters, &place));
        let (described, next_token) = page.cut(passing, |described| described.instance.id.to_string());
        let mut reservations = BTreeMap::new();
        for one in described {
            reservations
                .entry(one.instance.reservation)
                .or_insert_with(Vec::new)
                .push(one.to_wire(&place));
        }
        let mut answer = Vec::with_capacity(reservations.len());
        for (id, instances) in reservations {
            if let Some(reservation) = store::reservations::get(tx, id)? {
                answer.push(WireReservation::new(&reservation, &place, instances));
            }
        }
        Ok(DescribedInstances {
            reservations: answer,
            next_token,
        })
    });
    read.await
}

fn passes(described: &Described, filters: &Filters, place: &Place) -> bool {
    let tags = described.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
    filters.pass(|name| filter_values(described, name, place), tags)
}

fn filter_values(described: &Described, name: &str, place: &Place) -> Vec<String> {
    let instance = &described.instance;
    if let Some(of_volume) = name.strip_prefix("block-device-mapping.") {
        return volume_values(described, of_volume);
    }
    if let Some(of_interface) = name.strip_prefix("network-interface.") {
        return network_filters::of_interfaces(described, of_interface, place);
    }
    if let Some(of_groups) = name.strip_prefix("instance.") {
        return network_filters::of_groups(described, of_groups);
    }
    if let Some(option) = name.strip_prefix("metadata-options.") {
        return vec![metadata_option(instance.metadata_options, option)];
    }
    if let Some(option) = name.strip_prefix("private-dns-name-options.") {
        return vec![name_option(instance.attributes.private_name, option)];
    }
    of_instance(described, name, place).into_iter().collect()
}

fn of_instance(described: &Described, name: &str, place: &Place) -> Option<String> {
    let instance = &described.instance;
    let reason = instance.reason.as_ref();
    match name {
        "architecture" => Some(instance.architecture.name().to_owned()),
        "availability-zone" => Some(place.zone().to_owned()),
        "boot-mode" | "current-instance-boot-mode" => Some("legacy-bios".into()),
        "client-token" => instance.client_token.clone(),
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
        "tenancy" => Some("default".into()),
        "usage-operation" => Some("RunInstances".into()),
        "virtualization-type" => Some("hvm".into()),
        // Spot instances, Windows and products: there are none.
        _ => network_filters::of_primary(described, name, place),
    }
}

fn metadata_option(of: MetadataOptions, option: &str) -> String {
    let switch = |on: bool| if on { "enabled" } else { "disabled" };
    match option {
        "http-endpoint" => switch(of.endpoint).into(),
        "http-put-response-hop-limit" => of.hop_limit.to_string(),
        "http-tokens" if of.tokens_required => "required".into(),
        "http-tokens" => "optional".into(),
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
