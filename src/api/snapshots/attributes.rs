//! DescribeSnapshotAttribute, ModifySnapshotAttribute, ResetSnapshotAttribute: with whom a snapshot is shared. Its product codes
//! can't be changed, and are none: no snapshot here is sold.

use super::super::change::{Changed, change};
use super::super::permissions::{Modifications, Permissions, WirePermission};
use super::super::{ApiError, Call, Code};
use super::found;
use crate::model::SnapshotId;
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// The attribute that can be changed.
const PERMISSION: &str = "createVolumePermission";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OfSnapshot {
    snapshot_id: String,
    attribute: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedAttribute {
    snapshot_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_volume_permissions: Option<Vec<WirePermission>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_codes: Option<[(); 0]>,
}

pub(super) async fn describe(call: Call, request: OfSnapshot) -> Result<DescribedAttribute, ApiError> {
    let id = found::snapshot_id(&request.snapshot_id)?;
    let permissions = call.world.store.read(move |store| {
        found::snapshot(store, id)?;
        Ok::<_, ApiError>(store::snapshots::permissions(store, id)?)
    });
    let permissions = permissions.await?;
    let asked = request.attribute == PERMISSION;
    Ok(DescribedAttribute {
        snapshot_id: id.to_string(),
        create_volume_permissions: asked.then(|| permissions.iter().map(Into::into).collect()),
        product_codes: (!asked).then_some([]),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifySnapshotAttribute {
    snapshot_id: String,
    attribute: Option<String>,
    #[serde(default)]
    create_volume_permission: Modifications,
    operation_type: Option<String>,
    #[serde(default)]
    group_names: Vec<String>,
    #[serde(default)]
    user_ids: Vec<String>,
}

pub(super) async fn modify(call: Call, request: ModifySnapshotAttribute) -> Result<(), ApiError> {
    let id = found::snapshot_id(&request.snapshot_id)?;
    must_be_permission(request.attribute.as_deref())?;
    let listed = (request.group_names, request.user_ids);
    let operation = request.operation_type.as_deref();
    let permissions = Permissions::new(request.create_volume_permission, operation, listed)?;
    if permissions.is_empty() {
        let message = "Name those to share the snapshot with, or no more: CreateVolumePermission";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    if permissions.adds() && permissions.removes() {
        let message = "Permissions can be added or removed, but not both in one request";
        return Err(ApiError::new(Code::InvalidParameterCombination, message));
    }
    set(call, id, move |store| {
        let mut all = store::snapshots::permissions(store, id)?;
        permissions.apply(&mut all);
        Ok(store::snapshots::set_permissions(store, id, &all)?)
    })
    .await
}

pub(super) async fn reset(call: Call, request: OfSnapshot) -> Result<(), ApiError> {
    let id = found::snapshot_id(&request.snapshot_id)?;
    must_be_permission(Some(&request.attribute))?;
    set(call, id, move |store| {
        Ok(store::snapshots::set_permissions(store, id, &[])?)
    })
    .await
}

fn must_be_permission(attribute: Option<&str>) -> Result<(), ApiError> {
    if attribute.is_none_or(|attribute| attribute == PERMISSION) {
        return Ok(());
    }
    let message = format!("The attribute of a snapshot that can be changed is {PERMISSION}");
    Err(ApiError::new(Code::InvalidParameterValue, message))
}

/// Changes a snapshot that is there.
async fn set(
    call: Call,
    id: SnapshotId,
    work: impl FnOnce(&Connection) -> Result<(), ApiError> + Send + 'static,
) -> Result<(), ApiError> {
    let done = change(&call, move |store| {
        found::snapshot(store, id)?;
        work(store)?;
        Ok(Changed::nothing(()))
    });
    done.await
}
