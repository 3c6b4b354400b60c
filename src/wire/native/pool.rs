//! `GET /pool`: the file system that images and volumes lie on, what they take of it, and what could be freed.

use crate::api::{ApiError, World};
use crate::volumes::{Freeable, Kind, Use};
use serde_json::{Value, json};

pub(super) async fn pool(world: &World) -> Result<Value, ApiError> {
    let pool = world.volumes.pool().await.map_err(|error| ApiError::internal(&error))?;
    Ok(json!({
        "Path": pool.path.to_string_lossy(),
        "FileSystem": pool.file_system,
        "BackingFile": pool.backing_file.map(|file| file.to_string_lossy().into_owned()),
        "ClonesShareBlocks": pool.shares_blocks,
        "SizeBytes": pool.size,
        "FreeBytes": pool.free,
        "Uses": pool.uses.iter().map(use_of).collect::<Vec<_>>(),
        "Freeable": pool.freeable.iter().map(freeable).collect::<Vec<_>>(),
    }))
}

fn use_of(one: &Use) -> Value {
    let kind = match one.kind {
        Kind::Snapshots => "snapshots",
        Kind::Volumes => "volumes",
        Kind::InstanceStore => "instance-store",
    };
    json!({
        "Kind": kind, "Count": one.count, "SizeBytes": one.size,
        "OnDiskBytes": one.occupied.on_disk, "OwnBytes": one.occupied.own,
    })
}

fn freeable(one: &Freeable) -> Value {
    json!({"ResourceId": one.resource.to_string(), "Bytes": one.bytes})
}
