//! DescribeSnapshots.

use super::super::filter::{Filter, Filters};
use super::super::instant::instant;
use super::super::paging::{MAX_RESULTS, Page};
use super::super::tagging::WireTag;
use super::super::{ApiError, Call, Code, ids};
use crate::model::{GIB, Grantee, ResourceId, Snapshot, SnapshotId, Tag};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeSnapshots {
    snapshot_ids: Vec<String>,
    owner_ids: Vec<String>,
    restorable_by_user_ids: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedSnapshots {
    snapshots: Vec<WireSnapshot>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireSnapshot {
    pub(super) snapshot_id: String,
    pub(super) owner_id: String,
    pub(super) state: &'static str,
    pub(super) state_message: Option<String>,
    pub(super) progress: String,
    pub(super) start_time: String,
    pub(super) description: String,
    pub(super) volume_id: String,
    pub(super) volume_size: u64,
    pub(super) full_snapshot_size_in_bytes: u64,
    pub(super) encrypted: bool,
    pub(super) storage_tier: &'static str,
    pub(super) tags: Vec<WireTag>,
}

/// What EC2 shows for a snapshot that was made of no volume.
const NO_VOLUME: &str = "vol-ffffffff";

impl WireSnapshot {
    pub(super) fn new(account: &str, snapshot: Snapshot, progress: u8, tags: Vec<Tag>) -> Self {
        Self {
            snapshot_id: snapshot.id.to_string(),
            owner_id: account.into(),
            state: snapshot.state.name(),
            state_message: snapshot.state_message,
            progress: format!("{progress}%"),
            start_time: instant(snapshot.created),
            description: snapshot.description.unwrap_or_default(),
            volume_id: snapshot.volume.map_or_else(|| NO_VOLUME.into(), |id| id.to_string()),
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
            "volume-id" => self.volume_id.clone(),
            "volume-size" => self.volume_size.to_string(),
            // Snapshots have no owner but the account, and are carried nowhere.
            _ => return Vec::new(),
        }]
    }
}

const FILTERS: [&str; 12] = [
    "description",
    "encrypted",
    "owner-alias",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "transfer-type",
    "volume-id",
    "volume-size",
];

pub(super) async fn describe(call: Call, request: DescribeSnapshots) -> Result<DescribedSnapshots, ApiError> {
    let filters = Filters::new(request.filters, &FILTERS, true)?;
    let ids: Vec<SnapshotId> = ids::parse_all(&request.snapshot_ids, Code::InvalidSnapshotIdMalformed)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &MAX_RESULTS, !ids.is_empty())?;
    let account = call.world.config.place.account().to_owned();
    let all = call.world.store.read(list).await?;
    if let Some(missing) = ids.iter().find(|id| !all.iter().any(|one| one.snapshot.id == **id)) {
        return Err(ids::not_found(Code::InvalidSnapshotNotFound, "snapshot", &[missing]));
    }
    let is_owner = |names: &[String]| names.is_empty() || names.iter().any(|name| name == "self" || *name == account);
    let (listed, users) = (is_owner(&request.owner_ids), &request.restorable_by_user_ids);
    let restorable = |permissions: &[Grantee]| {
        is_owner(users)
            || permissions
                .iter()
                .any(|one| users.iter().any(|user| user == one.as_str()))
    };
    let chosen = all
        .into_iter()
        .filter(|one| listed && restorable(&one.permissions) && (ids.is_empty() || ids.contains(&one.snapshot.id)));
    let described = chosen.map(|Listed { snapshot, tags, .. }| {
        let written = call.world.drafts.progress(snapshot.id);
        let progress = written.unwrap_or_else(|| call.world.imports.snapshot_progress(&snapshot));
        WireSnapshot::new(&account, snapshot, progress, tags)
    });
    let passing = described.filter(|snapshot| {
        let tags = snapshot.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
        filters.pass(|name| snapshot.filter_values(name), tags)
    });
    let (snapshots, next_token) = page.cut(passing, |snapshot| snapshot.snapshot_id.clone());
    Ok(DescribedSnapshots { snapshots, next_token })
}

/// A snapshot, and what hangs on it.
struct Listed {
    snapshot: Snapshot,
    tags: Vec<Tag>,
    /// Who may make volumes of it beside its owner.
    permissions: Vec<Grantee>,
}

fn list(store: &Connection) -> Result<Vec<Listed>, StoreError> {
    let with_all = |snapshot: Snapshot| {
        Ok(Listed {
            tags: store::tags::of(store, ResourceId::Snapshot(snapshot.id))?,
            permissions: store::snapshots::permissions(store, snapshot.id)?,
            snapshot,
        })
    };
    store::snapshots::list(store)?.into_iter().map(with_all).collect()
}
