//! DescribeInstances.

use super::super::filter::Filters;
use super::super::instant::instant;
use super::super::{ApiError, Call};
use super::asked::{Asked, Wanted};
use super::chosen;
use super::wire::{Described, WireMonitoring, WireReservation};
use crate::config::Place;
use crate::model::PrivateName;
use crate::store;
use serde::Serialize;
use std::collections::BTreeMap;

const FILTERS: [&str; 32] = [
    "architecture",
    "availability-zone",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "client-token",
    "hypervisor",
    "image-id",
    "instance-id",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "kernel-id",
    "launch-index",
    "launch-time",
    "maintenance-options.auto-recovery",
    "monitoring-state",
    "owner-id",
    "private-dns-name-options.enable-resource-name-dns-a-record",
    "private-dns-name-options.enable-resource-name-dns-aaaa-record",
    "private-dns-name-options.hostname-type",
    "ramdisk-id",
    "reason",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "state-reason-code",
    "tenancy",
    "virtualization-type",
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
    if let Some(option) = name.strip_prefix("private-dns-name-options.") {
        return vec![name_option(instance.attributes.private_name, option)];
    }
    let reason = instance.reason.as_ref();
    let value = match name {
        "architecture" => Some(instance.architecture.name().to_owned()),
        "availability-zone" => Some(place.zone().to_owned()),
        "client-token" => instance.client_token.clone(),
        "hypervisor" => Some("xen".into()),
        "image-id" => Some(instance.image.to_string()),
        "instance-id" => Some(instance.id.to_string()),
        "instance-state-code" => Some(instance.state.code().to_string()),
        "instance-state-name" => Some(instance.state.name().to_owned()),
        "instance-type" => Some(instance.instance_type.name.clone()),
        "kernel-id" => instance.kernel.map(|id| id.to_string()),
        "launch-index" => Some(instance.launch_index.to_string()),
        "launch-time" => Some(instant(instance.launched)),
        "maintenance-options.auto-recovery" => Some(instance.attributes.auto_recovery.name().into()),
        "monitoring-state" => Some(WireMonitoring::new(instance.attributes.monitoring).state.into()),
        "owner-id" => Some(place.account().to_owned()),
        "ramdisk-id" => instance.ramdisk.map(|id| id.to_string()),
        "reason" => reason.map(crate::model::StateReason::transition),
        "reservation-id" => Some(instance.reservation.to_string()),
        "root-device-name" => Some(instance.root_device_name.clone()),
        "root-device-type" => Some("ebs".into()),
        "source-dest-check" => {
            let primary = described.interfaces.first();
            primary.map(|primary| primary.interface.source_dest_check.to_string())
        }
        "state-reason-code" => reason.map(|reason| reason.code.name().to_owned()),
        "tenancy" => Some("default".into()),
        "virtualization-type" => Some("hvm".into()),
        _ => None,
    };
    value.into_iter().collect()
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
