//! CopySnapshot: within this host's one region.

use super::super::change::{Changed, change};
use super::super::tagging::{TagSpecification, TagSpecifications, WireTag};
use super::super::{ApiError, Call, Code};
use super::create::{add_pending_copy, to_api};
use super::found;
use crate::api::shown::shown;
use crate::instance::{CopyInstant, CopyOrder};
use crate::volumes::Original;
use serde::{Deserialize, Serialize};

/// The name of the resource type in tags.
const RESOURCE_TYPE: &str = "snapshot";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CopySnapshot {
    source_region: String,
    source_snapshot_id: String,
    destination_region: Option<String>,
    description: Option<String>,
    /// By this another region would be asked; SDKs send it always.
    #[serde(rename = "PresignedUrl")]
    _presigned_url: Option<String>,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Copied {
    snapshot_id: String,
    tags: Vec<WireTag>,
}

pub(super) async fn copy(call: Call, request: CopySnapshot) -> Result<Copied, ApiError> {
    let original = found::snapshot_id(&request.source_snapshot_id)?;
    must_be_here(&call, &request.source_region)?;
    request
        .destination_region
        .iter()
        .try_for_each(|region| must_be_here(&call, region))?;
    if request.encrypted {
        let message = "Encrypted snapshots are not served";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    let tags = TagSpecifications::new(request.tag_specifications, &[RESOURCE_TYPE])?;
    let shown = tags.of(RESOURCE_TYPE).iter().cloned().map(Into::into).collect();
    let begun = change(&call, move |store| {
        let copy = add_pending_copy(store, original, request.description, tags.of(RESOURCE_TYPE))?;
        Ok(Changed::nothing(copy.id))
    });
    let copy = begun.await?;
    let order = CopyOrder {
        instance: None,
        copies: vec![(Original::Snapshot(original), copy)],
        image: None,
        instant: CopyInstant::Now,
    };
    let copied = call.world.instances.copy(order).await;
    copied.map_err(|error| to_api(&error))?;
    Ok(Copied {
        snapshot_id: copy.to_string(),
        tags: shown,
    })
}

/// Refuses a region that is not this host's.
pub(in super::super) fn must_be_here(call: &Call, region: &str) -> Result<(), ApiError> {
    let here = call.world.config.place.region();
    if region == here {
        return Ok(());
    }
    let shown = shown(region);
    let message = format!("The region '{shown}' is not this host's, which is {here}");
    Err(ApiError::new(Code::InvalidParameterValue, message))
}
