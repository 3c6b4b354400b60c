//! CreateSnapshot, CreateSnapshots: of volumes that guests use, too.

use super::super::change::{Changed, change, tag};
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::{ApiError, Call, Code};
use super::describe::WireSnapshot;
use super::found;
use crate::chain::chain;
use crate::instance::{CopyError, CopyInstant, CopyOrder};
use crate::model::{InstanceId, ResourceId, Snapshot, SnapshotId, SnapshotState, Tag, Volume, VolumeId, VolumeState};
use crate::store::{self, StoreError, random_bits};
use crate::volumes::Original;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The name of the resource type in tags.
const RESOURCE_TYPE: &str = "snapshot";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateSnapshot {
    volume_id: String,
    description: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

pub(super) async fn create(call: Call, request: CreateSnapshot) -> Result<WireSnapshot, ApiError> {
    let id = found::volume_id(&request.volume_id)?;
    let tags = TagSpecifications::new(request.tag_specifications, &[RESOURCE_TYPE])?;
    let begun = change(&call, move |store| {
        let volume = found::volume(store, id)?;
        let attachment = store::volumes::attachment(store, id)?;
        let description = request.description.filter(|text| !text.is_empty());
        let snapshot = add_pending(store, &volume, description, tags.of(RESOURCE_TYPE))?;
        Ok(Changed::nothing((
            snapshot,
            attachment.map(|attachment| attachment.instance),
        )))
    });
    let (snapshot, instance) = begun.await?;
    let order = CopyOrder {
        instance,
        copies: vec![(Original::Volume(id), snapshot.id)],
        image: None,
        instant: CopyInstant::Now,
    };
    let copied = call.world.instances.copy(order).await;
    copied.map_err(|error| to_api(&error))?;
    shown(&call, snapshot.id).await
}

/// Records a snapshot of a volume that is yet to be made.
pub(in super::super) fn add_pending(
    store: &Connection,
    volume: &Volume,
    description: Option<String>,
    tags: &[Tag],
) -> Result<Snapshot, ApiError> {
    if !matches!(volume.state, VolumeState::Available | VolumeState::InUse) {
        let message = format!(
            "Volume '{}' is '{}', not 'available' or 'in-use'",
            volume.id,
            volume.state.name()
        );
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    let snapshot = Snapshot {
        volume: Some(volume.id),
        description,
        ..pending(volume.size)
    };
    store::snapshots::put(store, &snapshot)?;
    tag(store, ResourceId::Snapshot(snapshot.id), tags)?;
    Ok(snapshot)
}

fn pending(size: u64) -> Snapshot {
    Snapshot {
        id: SnapshotId::from_random(random_bits()),
        size,
        volume: None,
        state: SnapshotState::Pending,
        state_message: None,
        description: None,
        digest: None,
        created: OffsetDateTime::now_utc(),
    }
}

/// Records a copy of a snapshot that is yet to be made.
pub(in super::super) fn add_pending_copy(
    store: &Connection,
    original: SnapshotId,
    description: Option<String>,
    tags: &[Tag],
) -> Result<Snapshot, ApiError> {
    let original = found::snapshot(store, original)?;
    if original.state != SnapshotState::Completed {
        let message = format!(
            "The snapshot '{}' is {}, not completed",
            original.id,
            original.state.name()
        );
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    let snapshot = Snapshot {
        digest: original.digest,
        description: description.or(original.description),
        ..pending(original.size)
    };
    store::snapshots::put(store, &snapshot)?;
    tag(store, ResourceId::Snapshot(snapshot.id), tags)?;
    Ok(snapshot)
}

/// Why volumes were not copied, for clients.
pub(in super::super) fn to_api(error: &CopyError) -> ApiError {
    match error {
        CopyError::Store(_) => ApiError::internal(error),
        _ => ApiError::new(Code::Unavailable, chain(error)),
    }
}

async fn shown(call: &Call, id: SnapshotId) -> Result<WireSnapshot, ApiError> {
    let account = call.world.config.place.account().to_owned();
    let read = call.world.store.read(move |store| {
        let snapshot = found::snapshot(store, id)?;
        let tags = store::tags::of(store, ResourceId::Snapshot(id))?;
        let progress = progress(&snapshot);
        Ok::<_, ApiError>(WireSnapshot::new(&account, snapshot, progress, tags))
    });
    read.await
}

/// In percent. How far a copy is nobody knows: mostly it is there at once.
fn progress(snapshot: &Snapshot) -> u8 {
    match snapshot.state {
        SnapshotState::Completed => 100,
        SnapshotState::Pending | SnapshotState::Error => 0,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateSnapshots {
    instance_specification: InstanceSpecification,
    description: Option<String>,
    copy_tags_from_source: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct InstanceSpecification {
    instance_id: String,
    #[serde(default)]
    exclude_boot_volume: bool,
    #[serde(default)]
    exclude_data_volume_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreatedSnapshots {
    snapshots: Vec<SnapshotInfo>,
}

/// `SnapshotInfo`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapshotInfo {
    snapshot_id: String,
    volume_id: String,
    volume_size: u64,
    owner_id: String,
    description: String,
    state: &'static str,
    progress: String,
    start_time: String,
    encrypted: bool,
    tags: Vec<super::super::tagging::WireTag>,
}

/// All copies are of the same instant.
pub(super) async fn create_several(call: Call, request: CreateSnapshots) -> Result<CreatedSnapshots, ApiError> {
    let specification = request.instance_specification;
    let instance = found::instance_id(&specification.instance_id)?;
    let excluded = specification
        .exclude_data_volume_ids
        .iter()
        .map(|id| found::volume_id(id));
    let excluded = excluded.collect::<Result<Vec<_>, _>>()?;
    let tags = TagSpecifications::new(request.tag_specifications, &[RESOURCE_TYPE])?;
    let copies_tags = match request.copy_tags_from_source.as_deref() {
        None => false,
        Some("volume") => true,
        Some(other) => {
            let message = format!("Value ({other}) for parameter CopyTagsFromSource is invalid: volume is possible");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
    };
    let (boot, description) = (!specification.exclude_boot_volume, request.description);
    let begun = change(&call, move |store| {
        let chosen = chosen(store, instance, boot, &excluded)?;
        let mut copies = Vec::with_capacity(chosen.len());
        for volume in chosen {
            let mut all = tags.of(RESOURCE_TYPE).to_vec();
            if copies_tags {
                let own = store::tags::of(store, ResourceId::Volume(volume.id))?;
                all.extend(
                    own.into_iter()
                        .filter(|own| !tags.of(RESOURCE_TYPE).iter().any(|tag| tag.key == own.key)),
                );
            }
            let snapshot = add_pending(store, &volume, description.clone(), &all)?;
            copies.push((Original::Volume(volume.id), snapshot.id));
        }
        Ok(Changed::nothing(copies))
    });
    let copies = begun.await?;
    let order = CopyOrder {
        instance: Some(instance),
        copies: copies.clone(),
        image: None,
        instant: CopyInstant::Now,
    };
    let copied = call.world.instances.copy(order).await;
    copied.map_err(|error| to_api(&error))?;
    let mut snapshots = Vec::with_capacity(copies.len());
    for (_, snapshot) in copies {
        snapshots.push(shown(&call, snapshot).await?.into());
    }
    Ok(CreatedSnapshots { snapshots })
}

impl From<WireSnapshot> for SnapshotInfo {
    fn from(snapshot: WireSnapshot) -> Self {
        Self {
            snapshot_id: snapshot.snapshot_id,
            volume_id: snapshot.volume_id,
            volume_size: snapshot.volume_size,
            owner_id: snapshot.owner_id,
            description: snapshot.description,
            state: snapshot.state,
            progress: snapshot.progress,
            start_time: snapshot.start_time,
            encrypted: snapshot.encrypted,
            tags: snapshot.tags,
        }
    }
}

/// The volumes of an instance, without those that are excluded.
fn chosen(store: &Connection, id: InstanceId, boot: bool, excluded: &[VolumeId]) -> Result<Vec<Volume>, ApiError> {
    let instance = found::instance(store, id)?;
    let attached: Result<_, StoreError> = store::volumes::of_instance(store, id);
    let (root, data): (Vec<_>, Vec<_>) = attached?
        .into_iter()
        .partition(|(_, attachment)| attachment.device_name == instance.root_device_name);
    if let Some(foreign) = excluded
        .iter()
        .find(|id| !data.iter().any(|(volume, _)| volume.id == **id))
    {
        let message = format!("The volume '{foreign}' is no data volume of {id}");
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    let root = root.into_iter().filter(|_| boot);
    let chosen = root.chain(data).map(|(volume, _)| volume);
    let chosen: Vec<Volume> = chosen.filter(|volume| !excluded.contains(&volume.id)).collect();
    if chosen.is_empty() {
        let message = "No volume of the instance is left to make snapshots of";
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    Ok(chosen)
}
