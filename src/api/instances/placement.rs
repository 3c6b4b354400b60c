//! Placement: there is one host, and no part of it is anybody's alone.

use super::super::{ApiError, Call, Code, found};
use super::amend::amend;
use super::names::Done;
use crate::model::Amendment;
use serde::Deserialize;

/// Refuses hosts for one tenant alone.
pub(super) fn must_be_shared(tenancy: Option<&str>) -> Result<(), ApiError> {
    match tenancy {
        None | Some("default") => Ok(()),
        Some(other) => {
            let message = format!("The tenancy {other} is not served: all instances are on this one host");
            Err(ApiError::new(Code::UnsupportedOperation, message))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyInstancePlacement {
    instance_id: String,
    affinity: Option<String>,
    group_id: Option<String>,
    group_name: Option<String>,
    host_id: Option<String>,
    host_resource_group_arn: Option<String>,
    partition_number: Option<i64>,
    tenancy: Option<String>,
}

/// ModifyInstancePlacement: what is asked for is so already, or can't be.
pub(super) async fn modify(call: Call, request: ModifyInstancePlacement) -> Result<Done, ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    let unserved = |message: &str| Err(ApiError::new(Code::UnsupportedOperation, message));
    must_be_shared(request.tenancy.as_deref())?;
    if request.host_id.is_some() || request.host_resource_group_arn.is_some() {
        return unserved("Dedicated hosts are not served: all instances are on this one host");
    }
    if request.partition_number.is_some() {
        return unserved("Partitions are not served: all instances are on this one host");
    }
    if request
        .affinity
        .as_deref()
        .is_some_and(|affinity| affinity != "default")
    {
        return unserved("An affinity to a dedicated host is not served: it may be default");
    }
    // An empty name takes an instance out of its group, and none is in one.
    let group = request.group_id.as_deref().or(request.group_name.as_deref());
    if group.is_some_and(|group| !group.is_empty()) {
        return unserved("Placement groups are not served: all instances are on this one host");
    }
    if group
        .or(request.tenancy.as_deref())
        .or(request.affinity.as_deref())
        .is_none()
    {
        let message = "Name what to change: Tenancy, Affinity or GroupName";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    amend(&call, id, |_, _| Ok(Amendment::Placement)).await?;
    Ok(Done::new())
}
