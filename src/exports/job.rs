//! The job of an export: the file, then the end of the task on record.

use super::Exports;
use crate::chain::chain;
use crate::model::{ExportTask, ExportTaskId, TaskState};
use crate::store::{self, random_bits};
use crate::tasks::Job;
use crate::volumes::HostFileError;
use kiln_images::formats::{ExportError, Format, export};
use std::fs::File;
use std::sync::Arc;
use tracing::{error, info, warn};

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
enum ExportJobError {
    /// It was told to end.
    #[error("{0}")]
    Ended(String),
    #[error("The disk can't be exported")]
    Disk(#[source] ExportError),
    #[error("The disk can't be read")]
    Snapshot(#[source] HostFileError),
    #[error("The thread that exported died")]
    Thread(#[source] tokio::task::JoinError),
}

impl Exports {
    /// Does it, and puts the end on record. The task is under way until then.
    pub(super) async fn job(
        self,
        mut task: ExportTask,
        source: Result<File, HostFileError>,
        dest: File,
        format: Format,
        job: Job<ExportTaskId>,
    ) {
        let id = task.id;
        match write_file(source, dest, format, &job).await {
            Ok(()) => {
                info!(task = %id, "An export was completed");
                (task.state, task.progress, task.message) = (TaskState::Completed, 100, None);
            }
            Err(failure) => {
                let why = chain(&failure);
                warn!(task = %id, why, "An export failed");
                (task.state, task.message) = (TaskState::Deleted, Some(why));
            }
        }
        let ended = self.store.write(move |store| store::exports::put(store, &task));
        if let Err(failure) = ended.await {
            // The next start of the daemon finds the task active still, and ends it.
            error!(task = %id, error = %chain(&failure), "The end of an export can't be put on record");
        }
    }
}

/// Writes the file; when this returns, it is on disk, and the daemon has it open no longer.
async fn write_file(
    source: Result<File, HostFileError>,
    dest: File,
    format: Format,
    job: &Job<ExportTaskId>,
) -> Result<(), ExportJobError> {
    let source = source.map_err(ExportJobError::Snapshot)?;
    let _turn = job.turn().await;
    let watch = Arc::clone(&job.watch);
    let written = tokio::task::spawn_blocking(move || {
        let mut progress = |progress| watch.reach(progress);
        let exported = export(&source, &dest, format, random_bits(), &mut progress, watch.ending());
        match watch.why() {
            Some(why) => Err(ExportJobError::Ended(why)),
            None => exported.map(drop).map_err(ExportJobError::Disk),
        }
    });
    written.await.map_err(ExportJobError::Thread)?
}
