//! DescribeInstances.

use super::super::{ApiError, Call};
use super::asked::{Asked, Wanted};
use super::search::Search;
use super::wire::{Described, WireReservation};
use crate::config::Place;
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
        let search = Search::new(&filters, &place);
        let found = if ids.is_empty() {
            search.all(tx, &page)?
        } else {
            search.named(tx, ids)?
        };
        let (described, next_token) = page.cut(found, |described| described.instance.id.to_string());
        Ok(DescribedInstances {
            reservations: by_reservation(&described, &place),
            next_token,
        })
    });
    read.await
}

fn by_reservation(described: &[Described], place: &Place) -> Vec<WireReservation> {
    let mut reservations = BTreeMap::new();
    for one in described {
        let instances: &mut Vec<_> = reservations.entry(one.instance.reservation).or_default();
        instances.push(one.to_wire(place));
    }
    let reservations = reservations.into_iter();
    reservations
        .map(|(id, instances)| WireReservation::new(id, place, instances))
        .collect()
}
