//! DescribeImportImageTasks, DescribeImportSnapshotTasks.

use super::super::filter::{Filter, Filters};
use super::super::paging::{MAX_RESULTS, Page};
use super::super::tagging::WireTag;
use super::super::tasks::Standing;
use super::super::{ApiError, Call, Code, ids};
use crate::imports::Imports;
use crate::model::{Architecture, ImportTask, ImportTaskId, ResourceId, Tag, TaskState};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeTasks {
    import_task_ids: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageTasks {
    import_image_tasks: Vec<ImageTask>,
    next_token: Option<String>,
}

/// A task that makes an image; also the answer of ImportImage.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageTask {
    import_task_id: String,
    architecture: &'static str,
    description: Option<String>,
    encrypted: bool,
    image_id: Option<String>,
    platform: &'static str,
    progress: String,
    snapshot_details: [SnapshotDetail; 1],
    status: &'static str,
    status_message: Option<String>,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapshotDetail {
    format: String,
    snapshot_id: Option<String>,
    progress: String,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SnapshotTasks {
    import_snapshot_tasks: Vec<SnapshotTask>,
    next_token: Option<String>,
}

/// A task that makes a snapshot; also the answer of ImportSnapshot.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SnapshotTask {
    import_task_id: String,
    description: Option<String>,
    snapshot_task_detail: SnapshotTaskDetail,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapshotTaskDetail {
    description: Option<String>,
    encrypted: bool,
    format: String,
    progress: String,
    snapshot_id: Option<String>,
    status: &'static str,
    status_message: Option<String>,
}

fn standing(imports: &Imports, task: &ImportTask) -> Standing {
    let watch = imports.jobs.watch(task.id);
    Standing::new(task.state, task.progress, task.message.as_deref(), watch.as_deref())
}

/// A task as EC2 shows it.
pub(super) fn describe_image_task(imports: &Imports, task: ImportTask, tags: Vec<Tag>) -> ImageTask {
    let Standing {
        status,
        progress,
        message,
    } = standing(imports, &task);
    let made = task.state == TaskState::Completed;
    ImageTask {
        import_task_id: task.id.to_string(),
        architecture: Architecture::X86_64.name(),
        description: task.description,
        encrypted: false,
        image_id: task.image.filter(|_| made).map(|id| id.to_string()),
        platform: "Linux",
        snapshot_details: [SnapshotDetail {
            format: task.format,
            snapshot_id: made.then(|| task.snapshot.to_string()),
            progress: progress.clone(),
            status,
        }],
        progress,
        status,
        status_message: message,
        tags: tags.into_iter().map(Into::into).collect(),
    }
}

/// A task as EC2 shows it.
pub(super) fn describe_snapshot_task(imports: &Imports, task: ImportTask, tags: Vec<Tag>) -> SnapshotTask {
    let Standing {
        status,
        progress,
        message,
    } = standing(imports, &task);
    let made = task.state == TaskState::Completed;
    SnapshotTask {
        import_task_id: task.id.to_string(),
        description: task.description.clone(),
        snapshot_task_detail: SnapshotTaskDetail {
            description: task.description,
            encrypted: false,
            format: task.format,
            progress,
            snapshot_id: made.then(|| task.snapshot.to_string()),
            status,
            status_message: message,
        },
        tags: tags.into_iter().map(Into::into).collect(),
    }
}

pub(super) async fn image_tasks(call: Call, request: DescribeTasks) -> Result<ImageTasks, ApiError> {
    let (tasks, next_token) = describe(&call, request, |id| matches!(id, ImportTaskId::Image(_))).await?;
    let imports = &call.world.imports;
    let shown = tasks
        .into_iter()
        .map(|(task, tags)| describe_image_task(imports, task, tags));
    Ok(ImageTasks {
        import_image_tasks: shown.collect(),
        next_token,
    })
}

pub(super) async fn snapshot_tasks(call: Call, request: DescribeTasks) -> Result<SnapshotTasks, ApiError> {
    let (tasks, next_token) = describe(&call, request, |id| matches!(id, ImportTaskId::Snapshot(_))).await?;
    let imports = &call.world.imports;
    let shown = tasks
        .into_iter()
        .map(|(task, tags)| describe_snapshot_task(imports, task, tags));
    Ok(SnapshotTasks {
        import_snapshot_tasks: shown.collect(),
        next_token,
    })
}

type Tagged = (ImportTask, Vec<Tag>);

/// The tasks of one kind that a request asks for.
async fn describe(
    call: &Call,
    request: DescribeTasks,
    is_of_kind: fn(&ImportTaskId) -> bool,
) -> Result<(Vec<Tagged>, Option<String>), ApiError> {
    let filters = Filters::new(request.filters, &["task-state"], true)?;
    let ids: Vec<ImportTaskId> = ids::parse_all(&request.import_task_ids, Code::InvalidConversionTaskIdMalformed)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &MAX_RESULTS, !ids.is_empty())?;
    let mut all = call.world.store.read(list).await?;
    all.retain(|(task, _)| is_of_kind(&task.id));
    if let Some(missing) = ids.iter().find(|id| !all.iter().any(|(task, _)| task.id == **id)) {
        return Err(ids::not_found(Code::InvalidConversionTaskId, "import task", &[missing]));
    }
    let passing = all.into_iter().filter(|(task, tags)| {
        let tags = tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
        let asked = ids.is_empty() || ids.contains(&task.id);
        asked && filters.pass(|_| vec![standing(&call.world.imports, task).status.into()], tags)
    });
    Ok(page.cut(passing, |(task, _)| task.id.to_string()))
}

fn list(store: &Connection) -> Result<Vec<Tagged>, StoreError> {
    let with_tags = |task: ImportTask| {
        let tags = store::tags::of(store, ResourceId::ImportTask(task.id))?;
        Ok((task, tags))
    };
    store::imports::list(store)?.into_iter().map(with_tags).collect()
}
