//! DescribeInstanceStatus.

use super::super::filter::{Filter, Filters};
use super::super::paging::{MAX_RESULTS, Page};
use super::super::{ApiError, Call};
use super::wire::WireState;
use super::{chosen, parse_ids};
use crate::api::instant::instant;
use crate::config::Place;
use crate::instance::{Check, Checked};
use crate::model::{Instance, InstanceState};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

const FILTERS: [&str; 7] = [
    "availability-zone",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "system-status.reachability",
    "system-status.status",
];

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeInstanceStatus {
    instance_ids: Vec<String>,
    include_all_instances: bool,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedStatuses {
    instance_statuses: Vec<WireStatus>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireStatus {
    instance_id: String,
    availability_zone: String,
    instance_state: WireState,
    instance_status: Summary,
    system_status: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    status: &'static str,
    details: Vec<Detail>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    name: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    impaired_since: Option<String>,
}

impl Summary {
    fn of(check: Check) -> Self {
        let (status, reachability) = match check {
            Check::NotApplicable => ("not-applicable", None),
            Check::InsufficientData => ("insufficient-data", Some("insufficient-data")),
            Check::Initializing => ("initializing", Some("initializing")),
            Check::Passed => ("ok", Some("passed")),
            Check::Failed(_) => ("impaired", Some("failed")),
        };
        let impaired_since = match check {
            Check::Failed(since) => Some(instant(since)),
            _ => None,
        };
        let detail = reachability.map(|status| Detail {
            name: "reachability",
            status,
            impaired_since,
        });
        Self {
            status,
            details: detail.into_iter().collect(),
        }
    }

    fn reachability(&self) -> Vec<String> {
        self.details.iter().map(|detail| detail.status.to_owned()).collect()
    }
}

pub(super) async fn describe(call: Call, request: DescribeInstanceStatus) -> Result<DescribedStatuses, ApiError> {
    let filters = Filters::new(request.filters, &FILTERS, false)?;
    let ids = parse_ids(&request.instance_ids)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &MAX_RESULTS, !ids.is_empty())?;
    let place = call.world.config.place.clone();
    let instances = call.world.store.read(move |tx| chosen(tx, &ids)).await?;
    let listed = |instance: &Instance| request.include_all_instances || instance.state == InstanceState::Running;
    let chosen: Vec<Instance> = instances.into_iter().filter(listed).collect();
    let looks = chosen.iter().map(|instance| call.world.instances.check(instance));
    let checked = try_join_all(looks).await?;
    let statuses = chosen.iter().zip(checked).map(|(instance, checked)| {
        let Checked {
            system,
            instance: guest,
        } = checked;
        let status = WireStatus {
            instance_id: instance.id.to_string(),
            availability_zone: place.zone().to_owned(),
            instance_state: instance.state.into(),
            instance_status: Summary::of(guest),
            system_status: Summary::of(system),
        };
        (status, instance.state)
    });
    let passing =
        statuses.filter(|(status, state)| filters.pass(|name| filter_values(status, *state, name, &place), []));
    let (instance_statuses, next_token) = page.cut(passing.map(|(status, _)| status), |one| one.instance_id.clone());
    Ok(DescribedStatuses {
        instance_statuses,
        next_token,
    })
}

fn filter_values(status: &WireStatus, state: InstanceState, name: &str, place: &Place) -> Vec<String> {
    match name {
        "availability-zone" => vec![place.zone().to_owned()],
        "instance-state-code" => vec![state.code().to_string()],
        "instance-state-name" => vec![state.name().to_owned()],
        "instance-status.status" => vec![status.instance_status.status.to_owned()],
        "system-status.status" => vec![status.system_status.status.to_owned()],
        "instance-status.reachability" => status.instance_status.reachability(),
        _ => status.system_status.reachability(),
    }
}
