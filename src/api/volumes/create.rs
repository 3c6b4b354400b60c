//! CreateVolume, DeleteVolume.

use super::super::change::{Changed, change, tag};
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code, ids, places};
use super::describe::WireVolume;
use super::found;
use crate::model::{GIB, ResourceId, SnapshotId, SnapshotState, Volume, VolumeId, VolumeLimits, VolumeState};
use crate::store::{self, random_bits};
use rusqlite::Connection;
use serde::Deserialize;
use time::OffsetDateTime;

/// The name of the resource type in tags.
const RESOURCE_TYPE: &str = "volume";
/// The largest volume, in GiB, as EC2 has it.
pub(super) const MAX_SIZE: u64 = 65536;
/// The volume types that are all one here.
pub(super) const VOLUME_TYPES: [&str; 2] = ["gp2", "gp3"];

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct CreateVolume {
    availability_zone: Option<String>,
    availability_zone_id: Option<String>,
    size: Option<i64>,
    snapshot_id: Option<String>,
    volume_type: Option<String>,
    iops: Option<i64>,
    throughput: Option<i64>,
    encrypted: bool,
    multi_attach_enabled: bool,
    client_token: Option<String>,
    tag_specifications: Vec<TagSpecification>,
}

pub(super) async fn create(call: Call, request: CreateVolume) -> Result<WireVolume, ApiError> {
    let place = call.world.config.place.clone();
    let zone = (
        request.availability_zone.as_deref(),
        request.availability_zone_id.as_deref(),
    );
    places::zone_must_be_here(&place, zone, Code::InvalidZoneNotFound)?;
    if zone == (None, None) {
        let message = "The request must contain the parameter AvailabilityZone";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    must_be_served(
        request.volume_type.as_deref(),
        request.encrypted,
        request.multi_attach_enabled,
    )?;
    let size = request.size.map(self::size).transpose()?;
    let snapshot = request.snapshot_id.filter(|id| !id.is_empty());
    let snapshot: Option<SnapshotId> = snapshot
        .map(|id| ids::parse(&id, Code::InvalidSnapshotIdMalformed))
        .transpose()?;
    let tags = TagSpecifications::new(request.tag_specifications, &[RESOURCE_TYPE])?;
    let token = ClientToken::new(request.client_token, call.digest)?;
    let asked = (request.iops, request.throughput);
    let made = change(&call, move |store| {
        if let Some(id) = made_before(store, token.as_ref())? {
            return Ok(Changed::nothing((found::volume(store, id)?, false)));
        }
        let size = whole(store, size, snapshot)?;
        let volume = Volume {
            id: VolumeId::from_random(random_bits()),
            size,
            snapshot,
            state: VolumeState::Creating,
            limits: limits(VolumeLimits::default(), asked, size)?,
            created: OffsetDateTime::now_utc(),
        };
        store::volumes::add(store, &volume)?;
        if let Some(token) = &token {
            store::volumes::set_token(store, volume.id, &token.token, &token.digest.to_string())?;
        }
        tag(store, ResourceId::Volume(volume.id), tags.of(RESOURCE_TYPE))?;
        Ok(Changed::nothing((volume, true)))
    });
    let (volume, is_new) = made.await?;
    if is_new {
        call.world.volumes.begin(volume.clone());
    }
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| WireVolume::read(store, volume, &place);
    call.world.store.read(read).await
}

/// Refuses what volumes here can't be.
pub(super) fn must_be_served(kind: Option<&str>, encrypted: bool, multi_attach: bool) -> Result<(), ApiError> {
    let unserved = |message: String| Err(ApiError::new(Code::UnsupportedOperation, message));
    if let Some(kind) = kind.filter(|kind| !VOLUME_TYPES.contains(kind)) {
        return unserved(format!("Volumes of the type {kind} are not served: gp3 is"));
    }
    if encrypted {
        return unserved("Encrypted volumes are not served".into());
    }
    if multi_attach {
        return unserved("Volumes that several instances have are not served".into());
    }
    Ok(())
}

/// The limits of a volume of `size` bytes when `Iops` and `Throughput` are asked for.
pub(in super::super) fn limits(
    now: VolumeLimits,
    (iops, throughput): (Option<i64>, Option<i64>),
    size: u64,
) -> Result<VolumeLimits, ApiError> {
    let changed = now.change(iops, throughput, size);
    changed.map_err(|error| ApiError::new(Code::InvalidParameterValue, error.to_string()))
}

/// A size in GiB, as bytes.
pub(super) fn size(gib: i64) -> Result<u64, ApiError> {
    let size = u64::try_from(gib).ok().filter(|size| (1..=MAX_SIZE).contains(size));
    size.map(|size| size * GIB).ok_or_else(|| {
        let message = format!("Volume of {gib}GiB is invalid: expecting 1 to {MAX_SIZE}");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

/// The size of a volume that is asked for, which must hold its snapshot.
fn whole(store: &Connection, size: Option<u64>, snapshot: Option<SnapshotId>) -> Result<u64, ApiError> {
    let Some(id) = snapshot else {
        return size.ok_or_else(|| {
            let message = "The request must contain the parameter size/snapshot";
            ApiError::new(Code::MissingParameter, message)
        });
    };
    let least = least_size(store, id)?;
    let size = size.unwrap_or(least);
    if size < least {
        let message = format!(
            "Volume of size {}GiB is smaller than snapshot '{id}', expect size >= {}GiB",
            size / GIB,
            least / GIB
        );
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    Ok(size)
}

/// The size of the smallest volume that can be made of a snapshot.
pub(super) fn least_size(store: &Connection, id: SnapshotId) -> Result<u64, ApiError> {
    let snapshot = found::snapshot(store, id)?;
    if snapshot.state != SnapshotState::Completed {
        let message = format!(
            "Snapshot '{id}' is not 'completed'. The snapshot is {}",
            snapshot.state.name()
        );
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    Ok(snapshot.size.div_ceil(GIB).max(1) * GIB)
}

/// The volume that the same request has made before.
fn made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<VolumeId>, ApiError> {
    ClientToken::made_before(token, |token| store::volumes::by_token(store, token))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteVolume {
    volume_id: String,
}

pub(super) async fn delete(call: Call, request: DeleteVolume) -> Result<(), ApiError> {
    let id = found::volume_id(&request.volume_id)?;
    let marked = change(&call, move |store| {
        let volume = found::volume(store, id)?;
        if let Some(attachment) = store::volumes::attachment(store, id)? {
            let message = format!("Volume {id} is currently attached to {}", attachment.instance);
            return Err(ApiError::new(Code::VolumeInUse, message));
        }
        match volume.state {
            VolumeState::Available | VolumeState::Error | VolumeState::Deleting => {}
            state => {
                let message = format!("The volume '{id}' is '{}'", state.name());
                return Err(ApiError::new(Code::IncorrectState, message));
            }
        }
        store::volumes::set_state(store, id, VolumeState::Deleting)?;
        Ok(Changed::nothing(()))
    });
    marked.await?;
    // It is gone for everybody; a crash from here on is made good at the next start.
    let deleted = call.world.volumes.delete(id).await;
    deleted.map_err(|error| ApiError::internal(&error))
}
