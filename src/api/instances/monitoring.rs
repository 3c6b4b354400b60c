//! MonitorInstances, UnmonitorInstances: the guest reads which it is; nothing else here depends on it.

use super::super::change::tell;
use super::super::{ApiError, Call};
use super::amend::amend_all;
use super::wire::WireMonitoring;
use super::{must_exist, some_ids};
use crate::model::Amendment;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OfInstances {
    instance_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Monitorings {
    instance_monitorings: Vec<InstanceMonitoring>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceMonitoring {
    instance_id: String,
    monitoring: WireMonitoring,
}

pub(super) async fn monitor(call: Call, request: OfInstances) -> Result<Monitorings, ApiError> {
    set(&call, &request.instance_ids, true).await
}

pub(super) async fn unmonitor(call: Call, request: OfInstances) -> Result<Monitorings, ApiError> {
    set(&call, &request.instance_ids, false).await
}

/// Of all of them, or of none.
async fn set(call: &Call, texts: &[String], on: bool) -> Result<Monitorings, ApiError> {
    let ids = some_ids(texts)?;
    let amended = ids.clone();
    amend_all(call, move |store| {
        must_exist(store, &amended)?;
        Ok(amended.into_iter().map(|id| (id, Amendment::Monitoring(on))).collect())
    })
    .await?;
    tell(call, ids.iter().copied()).await?;
    let shown = ids.into_iter().map(|id| InstanceMonitoring {
        instance_id: id.to_string(),
        monitoring: WireMonitoring::new(on),
    });
    Ok(Monitorings {
        instance_monitorings: shown.collect(),
    })
}
