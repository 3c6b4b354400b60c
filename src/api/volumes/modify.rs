//! ModifyVolume, DescribeVolumesModifications: volumes grow and get other limits, also while their guests use them.

use super::super::change::{Changed, change};
use super::super::filter::Filter;
use super::super::instant::instant;
use super::super::listing::{Asked, Kind, Shown, list};
use super::super::tagging::WireTag;
use super::super::{ApiError, Call, Code, paging};
use super::create::{limits, must_be_served, size};
use super::found;
use crate::model::{GIB, VolumeId, VolumeModification, VolumeState};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyVolume {
    volume_id: String,
    size: Option<i64>,
    volume_type: Option<String>,
    iops: Option<i64>,
    throughput: Option<i64>,
    #[serde(default)]
    multi_attach_enabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Modified {
    volume_modification: WireModification,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireModification {
    volume_id: String,
    modification_state: &'static str,
    original_size: u64,
    original_volume_type: &'static str,
    target_size: u64,
    target_volume_type: &'static str,
    original_iops: Option<u32>,
    original_throughput: Option<u32>,
    target_iops: Option<u32>,
    target_throughput: Option<u32>,
    progress: u8,
    start_time: String,
    end_time: Option<String>,
}

impl From<VolumeModification> for WireModification {
    fn from(one: VolumeModification) -> Self {
        let done = one.ended.is_some();
        Self {
            volume_id: one.volume.to_string(),
            modification_state: if done { "completed" } else { "modifying" },
            original_size: one.original_size.div_ceil(GIB),
            original_volume_type: "gp3",
            target_size: one.target_size.div_ceil(GIB),
            target_volume_type: "gp3",
            original_iops: one.original_limits.iops,
            original_throughput: one.original_limits.throughput,
            target_iops: one.target_limits.iops,
            target_throughput: one.target_limits.throughput,
            progress: if done { 100 } else { 0 },
            start_time: instant(one.started),
            end_time: one.ended.map(instant),
        }
    }
}

/// A running guest knows the new size, and its monitor the new limits, when this returns.
pub(super) async fn modify(call: Call, request: ModifyVolume) -> Result<Modified, ApiError> {
    let id = found::volume_id(&request.volume_id)?;
    must_be_served(request.volume_type.as_deref(), false, request.multi_attach_enabled)?;
    let size = request.size.map(size).transpose()?;
    let asked = (request.iops, request.throughput);
    let begun = change(&call, move |store| {
        let volume = found::volume(store, id)?;
        if !matches!(volume.state, VolumeState::Available | VolumeState::InUse) {
            let message = format!("Volume '{id}' is '{}' and can't be modified", volume.state.name());
            return Err(ApiError::new(Code::IncorrectModificationState, message));
        }
        let target_size = size.unwrap_or(volume.size);
        if target_size < volume.size {
            let (target, now) = (target_size / GIB, volume.size / GIB);
            let message =
                format!("New size cannot be smaller than existing size: {target}GiB is asked for, {now}GiB there");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        let modification = VolumeModification {
            volume: id,
            original_size: volume.size,
            target_size,
            original_limits: volume.limits,
            target_limits: limits(volume.limits, asked, target_size)?,
            started: OffsetDateTime::now_utc(),
            ended: None,
        };
        store::volumes::put_modification(store, &modification)?;
        Ok(Changed::nothing(modification))
    });
    let begun = begun.await?;
    let modified = call.world.instances.modify_volume(begun.volume).await;
    modified.map_err(|error| ApiError::new(Code::Unavailable, crate::chain::chain(&error)))?;
    let read = move |store: &Connection| Ok::<_, ApiError>(store::volumes::modification(store, id)?);
    let now = call.world.store.read(read).await?.unwrap_or(begun);
    Ok(Modified {
        volume_modification: now.into(),
    })
}

/// DescribeVolumesModifications names its ids in its own way.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeVolumesModifications {
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
pub(super) struct DescribedModifications {
    volumes_modifications: Vec<WireModification>,
    next_token: Option<String>,
}

const MODIFICATIONS: Kind = Kind {
    what: "volume modification",
    malformed: Code::InvalidVolumeIdMalformed,
    not_found: Code::InvalidVolumeModificationNotFound,
    filters: &[
        "modification-state",
        "original-iops",
        "original-size",
        "original-volume-type",
        "originalMultiAttachEnabled",
        "start-time",
        "target-iops",
        "target-size",
        "target-volume-type",
        "targetMultiAttachEnabled",
        "volume-id",
    ],
    max_results: paging::MAX_RESULTS,
};

impl Shown for WireModification {
    fn id(&self) -> &str {
        &self.volume_id
    }

    fn tags(&self) -> &[WireTag] {
        &[]
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let iops = |iops: Option<u32>| iops.iter().map(ToString::to_string).collect();
        vec![match filter {
            "original-iops" => return iops(self.original_iops),
            "target-iops" => return iops(self.target_iops),
            "originalMultiAttachEnabled" | "targetMultiAttachEnabled" => "false".into(),
            "modification-state" => self.modification_state.into(),
            "original-size" => self.original_size.to_string(),
            "original-volume-type" => self.original_volume_type.into(),
            "start-time" => self.start_time.clone(),
            "target-size" => self.target_size.to_string(),
            "target-volume-type" => self.target_volume_type.into(),
            _ => self.volume_id.clone(),
        }]
    }
}

pub(super) async fn describe(
    call: Call,
    request: DescribeVolumesModifications,
) -> Result<DescribedModifications, ApiError> {
    let asked = Asked::new(
        request.volume_ids,
        request.filters,
        request.max_results,
        request.next_token,
    );
    let read = |store: &Connection| {
        let all = store::volumes::modifications(store)?.into_iter();
        Ok::<_, StoreError>(all.map(WireModification::from).collect())
    };
    let (volumes_modifications, next_token) = list::<VolumeId, _, _>(&call, asked, &MODIFICATIONS, read).await?;
    Ok(DescribedModifications {
        volumes_modifications,
        next_token,
    })
}
