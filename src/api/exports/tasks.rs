//! DescribeExportImageTasks and CancelExportTask.

use super::super::listing::{self, Asked, Kind, Shown};
use super::super::tagging::WireTag;
use super::super::tasks::{self, Standing};
use super::super::{ApiError, Call, Code, found};
use crate::exports::Exports;
use crate::model::{ExportTask, ExportTaskId, ResourceId, Tag};
use crate::store;
use serde::{Deserialize, Serialize};

/// A task as EC2 shows it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    export_image_task_id: String,
    description: Option<String>,
    image_id: String,
    progress: String,
    status: &'static str,
    status_message: Option<String>,
    tags: Vec<WireTag>,
}

impl Task {
    pub(super) fn new(exports: &Exports, task: ExportTask, tags: Vec<Tag>) -> Self {
        let watch = exports.jobs.watch(task.id);
        let Standing {
            status,
            progress,
            message,
        } = Standing::new(task.state, task.progress, task.message.as_deref(), watch.as_deref());
        Self {
            export_image_task_id: task.id.to_string(),
            description: task.description,
            image_id: task.image.to_string(),
            progress,
            status,
            status_message: message,
            tags: tags.into_iter().map(Into::into).collect(),
        }
    }
}

impl Shown for Task {
    fn id(&self) -> &str {
        &self.export_image_task_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, _filter: &str) -> Vec<String> {
        vec![self.status.into()]
    }
}

const KIND: Kind = Kind {
    what: "export task",
    malformed: Code::InvalidExportTaskIdMalformed,
    not_found: Code::InvalidExportTaskIdNotFound,
    filters: &["task-state"],
    max_results: 1..=500,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tasks {
    export_image_tasks: Vec<Task>,
    next_token: Option<String>,
}

pub(super) async fn describe(call: Call, asked: Asked) -> Result<Tasks, ApiError> {
    let exports = call.world.exports.clone();
    let read = listing::list::<ExportTaskId, _, _>(&call, asked, &KIND, move |store| {
        let shown = |task: ExportTask| {
            let tags = store::tags::of(store, ResourceId::ExportTask(task.id))?;
            Ok(Task::new(&exports, task, tags))
        };
        store::exports::list(store)?.into_iter().map(shown).collect()
    });
    let (export_image_tasks, next_token) = read.await?;
    Ok(Tasks {
        export_image_tasks,
        next_token,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CancelExportTask {
    export_task_id: String,
}

pub(super) async fn cancel(call: Call, request: CancelExportTask) -> Result<(), ApiError> {
    let id = found::export_id(&request.export_task_id)?;
    let task = call.world.store.read(move |store| found::export(store, id)).await?;
    let why = "Cancelled by a user; the file is not whole".to_owned();
    tasks::cancel(&call, &call.world.exports.jobs, ("export task", id, task.state), why)
}
