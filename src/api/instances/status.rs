//! DescribeInstanceStatus.

use super::super::filter::{Filter, Filters};
use super::super::paging::{MAX_RESULTS, Page};
use super::super::{ApiError, Call};
use super::parse_ids;
use super::search::{Portions, named};
use super::wire::WireState;
use crate::api::instant::instant;
use crate::api::places::zone_id;
use crate::config::Place;
use crate::instance::{Check, Checked};
use crate::model::{Instance, InstanceState};
use crate::store::StoreError;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

const FILTERS: [&str; 18] = [
    "application-status.status",
    "attached-ebs-status.status",
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "operator.managed",
    "operator.principal",
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
    availability_zone_id: String,
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
    let looks = Looks::new(filters, request.include_all_instances);
    let mut found = Vec::new();
    if ids.is_empty() {
        let mut portions = Portions::new(&page);
        while found.len() < page.needed() {
            let read = call.world.store.read(move |tx| {
                let portion = portions.instances(tx)?;
                Ok::<_, StoreError>((portion, portions))
            });
            let (portion, rest) = read.await?;
            if portion.is_empty() {
                break;
            }
            portions = rest;
            // No more guests are asked than a page needs.
            for few in portion.chunks(page.needed().saturating_sub(found.len()).max(1)) {
                found.extend(looks.at(&call, few).await?);
                if found.len() >= page.needed() {
                    break;
                }
            }
        }
    } else {
        let instances = call.world.store.read(move |tx| named(tx, &ids)).await?;
        found = looks.at(&call, &instances).await?;
    }
    let (instance_statuses, next_token) = page.cut(found, |one| one.instance_id.clone());
    Ok(DescribedStatuses {
        instance_statuses,
        next_token,
    })
}

/// How instances are looked at, and which of them are listed.
struct Looks {
    /// Those that look at the instance's own row: whom they leave out need not be asked how they are.
    own: Filters,
    /// Those that look at the checks.
    checks: Filters,
    /// Also instances that do not run.
    all: bool,
}

impl Looks {
    fn new(filters: Filters, all: bool) -> Self {
        let of_checks = |name: &str| name.starts_with("instance-status.") || name.starts_with("system-status.");
        Self {
            own: filters.part(|name| !of_checks(name)),
            checks: filters.part(of_checks),
            all,
        }
    }

    async fn at(&self, call: &Call, instances: &[Instance]) -> Result<Vec<WireStatus>, ApiError> {
        let place = &call.world.config.place;
        let listed = instances.iter().filter(|instance| {
            let shown = self.all || instance.state == InstanceState::Running;
            shown && self.own.pass(|name| own_values(instance.state, name, place), [])
        });
        let listed: Vec<&Instance> = listed.collect();
        let looks = listed.iter().map(|instance| call.world.instances.check(instance));
        let checked = try_join_all(looks).await?;
        let statuses = listed
            .iter()
            .zip(checked)
            .map(|(instance, checked)| WireStatus::new(instance, checked, place));
        Ok(statuses
            .filter(|status| self.checks.pass(|name| status.check_values(name), []))
            .collect())
    }
}

impl WireStatus {
    fn new(instance: &Instance, checked: Checked, place: &Place) -> Self {
        Self {
            instance_id: instance.id.to_string(),
            availability_zone: place.zone().to_owned(),
            availability_zone_id: zone_id(place),
            instance_state: instance.state.into(),
            instance_status: Summary::of(checked.instance),
            system_status: Summary::of(checked.system),
        }
    }

    fn check_values(&self, name: &str) -> Vec<String> {
        match name {
            "instance-status.status" => vec![self.instance_status.status.to_owned()],
            "system-status.status" => vec![self.system_status.status.to_owned()],
            "instance-status.reachability" => self.instance_status.reachability(),
            _ => self.system_status.reachability(),
        }
    }
}

fn own_values(state: InstanceState, name: &str, place: &Place) -> Vec<String> {
    match name {
        "availability-zone" => vec![place.zone().to_owned()],
        "availability-zone-id" => vec![zone_id(place)],
        "instance-state-code" => vec![state.code().to_string()],
        "instance-state-name" => vec![state.name().to_owned()],
        "operator.managed" => vec!["false".into()],
        // Events that are to come, and what is told of applications and volumes: there is none.
        _ => Vec::new(),
    }
}
