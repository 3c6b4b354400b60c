//! DescribeVolumeStatus.

use super::super::filter::Filter;
use super::super::listing::{Asked, Kind, Shown, list};
use super::super::places::zone_id;
use super::super::tagging::WireTag;
use super::super::{ApiError, Call, Code, paging};
use crate::model::{VolumeId, VolumeState};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeVolumeStatus {
    volume_ids: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
    /// Volumes that another service made are shown too; there are none.
    #[serde(rename = "IncludeManagedResources")]
    _include_managed_resources: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedStatuses {
    volume_statuses: Vec<WireStatus>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireStatus {
    volume_id: String,
    availability_zone: String,
    availability_zone_id: String,
    volume_status: Status,
    actions: [(); 0],
    events: [(); 0],
}

/// `VolumeStatusInfo`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    status: &'static str,
    details: [Detail; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    name: &'static str,
    status: &'static str,
}

impl Status {
    /// Whether I/O is possible: not of a volume whose file is not what the record says.
    fn of(state: VolumeState) -> Self {
        let (status, io) = match state {
            VolumeState::Creating => ("insufficient-data", "not-applicable"),
            VolumeState::Available | VolumeState::InUse | VolumeState::Deleting => ("ok", "passed"),
            VolumeState::Error => ("impaired", "failed"),
        };
        Self {
            status,
            details: [Detail {
                name: "io-enabled",
                status: io,
            }],
        }
    }
}

const STATUSES: Kind = Kind {
    what: "volume",
    malformed: Code::InvalidVolumeIdMalformed,
    not_found: Code::InvalidVolumeNotFound,
    filters: &[
        "action.code",
        "action.description",
        "action.event-id",
        "action.event-type",
        "attachment-status.instance-id",
        "attachment-status.io-performance",
        "availability-zone",
        "availability-zone-id",
        "event.description",
        "event.event-id",
        "event.event-type",
        "event.not-after",
        "event.not-before",
        "operator.managed",
        "operator.principal",
        "volume-status.details-name",
        "volume-status.details-status",
        "volume-status.status",
    ],
    max_results: paging::MAX_RESULTS,
};

impl Shown for WireStatus {
    fn id(&self) -> &str {
        &self.volume_id
    }

    fn tags(&self) -> &[WireTag] {
        &[]
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let [detail] = &self.volume_status.details;
        vec![match filter {
            "availability-zone" => self.availability_zone.clone(),
            "availability-zone-id" => self.availability_zone_id.clone(),
            "volume-status.details-name" => detail.name.into(),
            "volume-status.details-status" => detail.status.into(),
            "volume-status.status" => self.volume_status.status.into(),
            "operator.managed" => "false".into(),
            // Nothing has happened to it, and nothing is to be done.
            _ => return Vec::new(),
        }]
    }
}

pub(super) async fn describe(call: Call, request: DescribeVolumeStatus) -> Result<DescribedStatuses, ApiError> {
    let asked = Asked::new(
        request.volume_ids,
        request.filters,
        request.max_results,
        request.next_token,
    );
    let place = &call.world.config.place;
    let (zone, zone_id) = (place.zone().to_owned(), zone_id(place));
    let read = move |store: &Connection| {
        let all = store::volumes::list(store)?.into_iter().map(|volume| WireStatus {
            volume_id: volume.id.to_string(),
            availability_zone: zone.clone(),
            availability_zone_id: zone_id.clone(),
            volume_status: Status::of(volume.state),
            actions: [],
            events: [],
        });
        Ok::<_, StoreError>(all.collect())
    };
    let (volume_statuses, next_token) = list::<VolumeId, _, _>(&call, asked, &STATUSES, read).await?;
    Ok(DescribedStatuses {
        volume_statuses,
        next_token,
    })
}
