//! StartSnapshot.

use super::{DirectError, Reason, block_size, snapshot_id};
use crate::api::World;
use crate::api::tagging::{WireTag, parse_tags};
use crate::model::{DraftToken, GIB, SnapshotId};
use crate::volumes::drafts::{Order, StartError, Started};
use crate::volumes::{HostFileError, SnapshotError, SpaceError};
use kiln_images::clone::CloneError;
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::RangeInclusive;

/// How large a disk may be, in GiB: as large as volumes.
const SIZES: RangeInclusive<i64> = 1..=65_536;
/// After how many minutes without a write a snapshot may be given up.
const TIMEOUTS: RangeInclusive<i64> = 10..=4320;
/// The same, if the client does not say.
const TIMEOUT: i64 = 60;
/// The longest token, description: in characters.
const MAX_TEXT: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Request {
    volume_size: i64,
    parent_snapshot_id: Option<String>,
    tags: Option<Vec<WireTag>>,
    description: Option<String>,
    client_token: Option<String>,
    encrypted: Option<bool>,
    kms_key_arn: Option<String>,
    timeout: Option<i64>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    snapshot_id: String,
    owner_id: String,
    status: &'static str,
    start_time: i64,
    volume_size: u64,
    block_size: usize,
    tags: Vec<WireTag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_snapshot_id: Option<String>,
    sse_type: &'static str,
}

/// Begins a snapshot that the client writes. `digest` is the request's, blind to its token.
///
/// # Errors
/// The request is wrong, or there is no room.
pub async fn start(world: &World, request: serde_json::Value, digest: String) -> Result<Answer, DirectError> {
    let request: Request = serde_json::from_value(request).map_err(DirectError::parameter)?;
    let order = order(request, digest)?;
    let started = world.drafts.start(order).await.map_err(|error| refused(&error))?;
    Ok(answer(world.config.place.account(), started))
}

fn order(request: Request, digest: String) -> Result<Order, DirectError> {
    if request.encrypted == Some(true) || request.kms_key_arn.is_some() {
        return Err(DirectError::parameter("Encrypted snapshots are not served"));
    }
    let gib = request.volume_size;
    let size = u64::try_from(gib).ok().filter(|_| SIZES.contains(&gib));
    let size = size.ok_or_else(|| {
        let message = format!("The volume size is {gib}; it must be from 1 to {} GiB", SIZES.end());
        DirectError::validation(Reason::VolumeSize, message)
    })?;
    let asked = request.timeout.unwrap_or(TIMEOUT);
    let timeout = u32::try_from(asked).ok().filter(|_| TIMEOUTS.contains(&asked));
    let timeout = timeout.ok_or_else(|| {
        let (least, most) = (TIMEOUTS.start(), TIMEOUTS.end());
        DirectError::parameter(format!(
            "The timeout is {asked}; it must be from {least} to {most} minutes"
        ))
    })?;
    let tags = parse_tags(request.tags.unwrap_or_default());
    let tags = tags.map_err(|error| DirectError::validation(Reason::Tag, error.message))?;
    let description = request.description.filter(|text| !text.is_empty());
    if description.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT) {
        return Err(DirectError::parameter(format!(
            "A description may have {MAX_TEXT} characters"
        )));
    }
    let parent = request.parent_snapshot_id.as_deref().map(snapshot_id);
    Ok(Order {
        size: size * GIB,
        parent: parent.transpose()?,
        description,
        tags,
        timeout,
        token: request
            .client_token
            .map(|token| self::token(token, digest))
            .transpose()?,
    })
}

fn token(token: String, digest: String) -> Result<DraftToken, DirectError> {
    if token.is_empty() || token.chars().count() > MAX_TEXT || token.contains(char::is_whitespace) {
        let message = format!("A client token has 1 to {MAX_TEXT} characters, and no white space");
        return Err(DirectError::parameter(message));
    }
    Ok(DraftToken { token, digest })
}

fn refused(error: &StartError) -> DirectError {
    match error {
        StartError::NoParent(_) => DirectError::not_found(error),
        StartError::ParentState { .. } => DirectError::validation(Reason::SnapshotId, error),
        StartError::Shrinks { .. } => DirectError::validation(Reason::VolumeSize, error),
        StartError::TokenReused => DirectError::conflict(error),
        StartError::TooMany => DirectError::quota(error),
        StartError::Space(full @ SpaceError::Full { .. }) => DirectError::quota(full),
        StartError::Clone(SnapshotError::Clone {
            source: full @ CloneError::NoSpace { .. },
            ..
        }) => DirectError::quota(full),
        StartError::File(HostFileError::Io { source, .. }) if is_too_much(source) => DirectError::quota(source),
        StartError::Ended => DirectError::throttled(error),
        _ => DirectError::internal(error),
    }
}

/// Whether the disk is full, or its file system knows no files of that size.
fn is_too_much(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge)
}

fn answer(account: &str, started: Started) -> Answer {
    let Started { snapshot, parent, tags } = started;
    Answer {
        description: snapshot.description,
        snapshot_id: snapshot.id.to_string(),
        owner_id: account.into(),
        status: snapshot.state.name(),
        start_time: snapshot.created.unix_timestamp(),
        volume_size: snapshot.size.div_ceil(GIB),
        block_size: block_size(),
        tags: tags.into_iter().map(Into::into).collect(),
        parent_snapshot_id: parent.map(|id: SnapshotId| id.to_string()),
        sse_type: "none",
    }
}
