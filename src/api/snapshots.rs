//! DescribeSnapshots, DeleteSnapshot.

use super::filter::{Filter, Filters};
use super::instant::instant;
use super::paging::{MAX_RESULTS, Page};
use super::tagging::WireTag;
use super::{ApiError, Call, Code, Operation, ids};
use crate::model::{GIB, ResourceId, Snapshot, SnapshotId, SnapshotState, Tag};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// The operations of this file.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("DeleteSnapshot", delete),
        Operation::new("DescribeSnapshots", describe),
    ]
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct DescribeSnapshots {
    snapshot_ids: Vec<String>,
    owner_ids: Vec<String>,
    restorable_by_user_ids: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedSnapshots {
    snapshots: Vec<WireSnapshot>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireSnapshot {
    snapshot_id: String,
    owner_id: String,
    state: &'static str,
    state_message: Option<String>,
    progress: String,
    start_time: String,
    description: String,
    volume_id: &'static str,
    volume_size: u64,
    full_snapshot_size_in_bytes: u64,
    encrypted: bool,
    storage_tier: &'static str,
    tags: Vec<WireTag>,
}

/// What EC2 shows for a snapshot that was made of no volume.
const NO_VOLUME: &str = "vol-ffffffff";

impl WireSnapshot {
    fn new(account: &str, snapshot: Snapshot, progress: u8, tags: Vec<Tag>) -> Self {
        Self {
            snapshot_id: snapshot.id.to_string(),
            owner_id: account.into(),
            state: snapshot.state.name(),
            state_message: snapshot.state_message,
            progress: format!("{progress}%"),
            start_time: instant(snapshot.created),
            description: snapshot.description.unwrap_or_default(),
            volume_id: NO_VOLUME,
            volume_size: snapshot.size.div_ceil(GIB),
            full_snapshot_size_in_bytes: snapshot.size,
            encrypted: false,
            storage_tier: "standard",
            tags: tags.into_iter().map(Into::into).collect(),
        }
    }

    fn filter_values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "description" => self.description.clone(),
            "encrypted" => self.encrypted.to_string(),
            "owner-id" => self.owner_id.clone(),
            "progress" => self.progress.clone(),
            "snapshot-id" => self.snapshot_id.clone(),
            "start-time" => self.start_time.clone(),
            "status" => self.state.into(),
            "storage-tier" => self.storage_tier.into(),
            "volume-id" => self.volume_id.into(),
            "volume-size" => self.volume_size.to_string(),
            // Snapshots have no owner but the account.
            _ => return Vec::new(),
        }]
    }
}

const FILTERS: [&str; 11] = [
    "description",
    "encrypted",
    "owner-alias",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "volume-id",
    "volume-size",
];

async fn describe(call: Call, request: DescribeSnapshots) -> Result<DescribedSnapshots, ApiError> {
    let filters = Filters::new(request.filters, &FILTERS, true)?;
    let ids: Vec<SnapshotId> = ids::parse_all(&request.snapshot_ids, Code::InvalidSnapshotIdMalformed)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &MAX_RESULTS, !ids.is_empty())?;
    let account = call.world.config.place.account().to_owned();
    let all = call.world.store.read(list).await?;
    if let Some(missing) = ids
        .iter()
        .find(|id| !all.iter().any(|(snapshot, _)| snapshot.id == **id))
    {
        return Err(ids::not_found(Code::InvalidSnapshotNotFound, "snapshot", &[missing]));
    }
    let is_owner = |names: &[String]| names.is_empty() || names.iter().any(|name| name == "self" || *name == account);
    let listed = is_owner(&request.owner_ids) && is_owner(&request.restorable_by_user_ids);
    let chosen = all
        .into_iter()
        .filter(|(snapshot, _)| listed && (ids.is_empty() || ids.contains(&snapshot.id)));
    let described = chosen.map(|(snapshot, tags)| {
        let progress = call.world.imports.snapshot_progress(&snapshot);
        WireSnapshot::new(&account, snapshot, progress, tags)
    });
    let passing = described.filter(|snapshot| {
        let tags = snapshot.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
        filters.pass(|name| snapshot.filter_values(name), tags)
    });
    let (snapshots, next_token) = page.cut(passing, |snapshot| snapshot.snapshot_id.clone());
    Ok(DescribedSnapshots { snapshots, next_token })
}

fn list(store: &Connection) -> Result<Vec<(Snapshot, Vec<Tag>)>, StoreError> {
    let with_tags = |snapshot: Snapshot| {
        let tags = store::tags::of(store, ResourceId::Snapshot(snapshot.id))?;
        Ok((snapshot, tags))
    };
    store::snapshots::list(store)?.into_iter().map(with_tags).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteSnapshot {
    snapshot_id: String,
}

async fn delete(call: Call, request: DeleteSnapshot) -> Result<(), ApiError> {
    let id: SnapshotId = ids::parse(&request.snapshot_id, Code::InvalidSnapshotIdMalformed)?;
    let dry_run = call.dry_run;
    let removed = call.world.store.write(move |store| {
        let snapshot = store::snapshots::get(store, id)?;
        let snapshot = snapshot.ok_or_else(|| ids::not_found(Code::InvalidSnapshotNotFound, "snapshot", &[id]))?;
        if snapshot.state == SnapshotState::Pending {
            let message = format!("The snapshot {id} is still being imported; cancel its import task instead");
            return Err(ApiError::new(Code::IncorrectState, message));
        }
        if store::snapshots::in_use(store, id)? {
            let message = format!("The snapshot {id} is currently in use by an image; deregister that first");
            return Err(ApiError::new(Code::InvalidSnapshotInUse, message));
        }
        remove_snapshot(store, id)?;
        // An error undoes the transaction, so a dry run checks all that the real one does.
        if dry_run { Err(super::call::dry_run()) } else { Ok(()) }
    });
    removed.await?;
    // The record is gone; a file that a crash leaves now is found by the ledger at the next start.
    let path = call.world.layout.snapshot(id);
    call.world
        .volumes
        .files()
        .remove(&path)
        .await
        .map_err(|error| ApiError::internal(&error))
}

/// Takes a snapshot off the records; its file is to be removed after the commit.
pub(super) fn remove_snapshot(store: &Connection, id: SnapshotId) -> Result<(), StoreError> {
    store::tags::remove_all(store, ResourceId::Snapshot(id))?;
    store::snapshots::remove(store, id)
}
