//! ImportSnapshot.

use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code};
use super::disk;
use super::tasks::{SnapshotTask, describe_snapshot_task};
use crate::imports::{Makes, Order};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct ImportSnapshot {
    client_token: Option<String>,
    description: Option<String>,
    disk_container: Option<Container>,
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Container {
    description: Option<String>,
    format: Option<String>,
    url: Option<String>,
}

/// Begins the import; the answer is its task.
pub(super) async fn import_snapshot(mut call: Call, request: ImportSnapshot) -> Result<SnapshotTask, ApiError> {
    let Some(container) = request.disk_container else {
        let message = "The request must contain the parameter DiskContainer";
        return Err(ApiError::new(Code::MissingParameter, message));
    };
    let tags = TagSpecifications::new(request.tag_specifications, &["import-snapshot-task", "snapshot"])?;
    let token = ClientToken::new(request.client_token, call.digest)?;
    let (format, url) = (container.format.as_deref(), container.url.as_deref());
    let order = Order {
        client_token: token.map(|token| token.token),
        request_digest: call.digest.to_string(),
        description: request.description.or(container.description),
        disk: disk(&mut call.files, "DiskContainer", format, url)?,
        makes: Makes::Snapshot,
        task_tags: tags.of("import-snapshot-task").to_vec(),
        snapshot_tags: tags.of("snapshot").to_vec(),
    };
    let tags = order.task_tags.clone();
    let task = call.world.imports.begin(order, call.dry_run).await?;
    Ok(describe_snapshot_task(&call.world.imports, task, tags))
}
