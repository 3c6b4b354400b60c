//! The beginning of an export: one transaction that checks the image and puts the task on record, then the job.

use super::Exports;
use crate::model::{
    ExportTask, ExportTaskId, ImageId, ImageState, ResourceId, SnapshotId, SnapshotState, Tag, TaskState,
};
use crate::store::{self, StoreError, random_bits};
use crate::tasks::{Begun, MAX_JOBS};
use crate::volumes::blocking;
use kiln_images::formats::Format;
use rusqlite::Connection;
use std::fs::File;
use time::OffsetDateTime;

/// An export to be done.
#[derive(Debug)]
pub struct ExportOrder {
    /// The client's token.
    pub client_token: Option<String>,
    /// The digest of the request.
    pub request_digest: String,
    /// For people.
    pub description: Option<String>,
    /// What is exported.
    pub image: ImageId,
    /// As what.
    pub format: Format,
    /// Tags for the task.
    pub tags: Vec<Tag>,
}

/// Why an export was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginExportError {
    /// There is no such image.
    #[error("The image id '[{0}]' does not exist")]
    NoImage(ImageId),
    /// The image can't be used.
    #[error("The image '{image}' is {}: only one that is available can be exported", state.name())]
    NotAvailable {
        /// The image.
        image: ImageId,
        /// What it is.
        state: ImageState,
    },
    /// The image has no root volume.
    #[error("The image '{0}' has no root volume to export")]
    NoRoot(ImageId),
    /// The root volume's snapshot is not whole.
    #[error("The snapshot '{snapshot}' of the image '{image}' is not whole: {why}")]
    Damaged {
        /// The image.
        image: ImageId,
        /// The snapshot of its root volume.
        snapshot: SnapshotId,
        /// Its state, or what was found.
        why: String,
    },
    /// The token was used with another request.
    #[error("The ClientToken was used before, with other parameters")]
    TokenReused,
    /// Too many exports are under way.
    #[error("{max} exports are under way; wait for one of them to end")]
    Busy {
        /// As many as there may be.
        max: u32,
    },
    /// All is well, but the client only wanted to know.
    #[error("A dry run begins nothing")]
    DryRun,
    /// The record could not be made.
    #[error("The export task can't be put on record")]
    Record(#[from] StoreError),
}

impl Exports {
    /// Begins an export to `dest`, an empty file that is open for writing; when this returns the task is on record and goes on by
    /// itself. The same token with the same request gives the first one's task, and leaves the file alone.
    ///
    /// # Errors
    /// See [`BeginExportError`].
    pub async fn begin(&self, order: ExportOrder, dest: File, dry_run: bool) -> Result<ExportTask, BeginExportError> {
        let place = self.jobs.place().ok_or(BeginExportError::Busy { max: MAX_JOBS })?;
        let format = order.format;
        let begun = self.store.write(move |store| {
            let begun = order.record(store)?;
            // An error undoes the transaction, so a dry run checks all that the real one does.
            if dry_run {
                Err(BeginExportError::DryRun)
            } else {
                Ok(begun)
            }
        });
        match begun.await? {
            Begun::Before(task) => Ok(task),
            Begun::New(task) => {
                let job = self.jobs.begin(task.id, task.snapshot, place);
                // Opened now, however long the task waits for its turn. If it is gone already, the task says so.
                let source = blocking("open", &self.layout.snapshot(task.snapshot), |path| {
                    File::options().read(true).open(path)
                })
                .await;
                tokio::spawn(self.clone().job(task.clone(), source, dest, format, job));
                Ok(task)
            }
        }
    }
}

impl ExportOrder {
    fn record(&self, store: &Connection) -> Result<Begun<ExportTask>, BeginExportError> {
        if let Some(token) = &self.client_token
            && let Some(before) = store::exports::by_token(store, token)?
        {
            return match before.request_digest == self.request_digest {
                true => Ok(Begun::Before(before)),
                false => Err(BeginExportError::TokenReused),
            };
        }
        let task = ExportTask {
            id: ExportTaskId::from_random(random_bits()),
            client_token: self.client_token.clone(),
            request_digest: self.request_digest.clone(),
            state: TaskState::Active,
            progress: 0,
            message: None,
            description: self.description.clone(),
            format: self.format.to_string(),
            image: self.image,
            snapshot: root_snapshot(store, self.image)?,
            created: OffsetDateTime::now_utc(),
        };
        store::exports::put(store, &task)?;
        for tag in &self.tags {
            store::tags::put(store, ResourceId::ExportTask(task.id), tag)?;
        }
        Ok(Begun::New(task))
    }
}

/// The snapshot of the root volume of an image that can be exported.
fn root_snapshot(store: &Connection, id: ImageId) -> Result<SnapshotId, BeginExportError> {
    let image = store::images::get(store, id)?.ok_or(BeginExportError::NoImage(id))?;
    if image.state != ImageState::Available {
        let state = image.state;
        return Err(BeginExportError::NotAvailable { image: id, state });
    }
    let root = image.root().ok_or(BeginExportError::NoRoot(id))?.snapshot;
    let found = store::snapshots::get(store, root)?;
    let why = match found {
        Some(snapshot) if snapshot.state == SnapshotState::Completed => return Ok(root),
        Some(snapshot) => snapshot
            .state_message
            .unwrap_or_else(|| format!("it is {}", snapshot.state.name())),
        None => "it is gone".into(),
    };
    Err(BeginExportError::Damaged {
        image: id,
        snapshot: root,
        why,
    })
}
