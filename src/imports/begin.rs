//! The beginning of an import: one transaction that puts task, snapshot and image on record, then the job.

use super::Imports;
use super::order::{ImageOrder, Makes, Order};
use crate::model::{Image, ImageId, ImageState, ImportTask, ResourceId, Snapshot, SnapshotState, Tag};
use crate::store::{self, StoreError};
use crate::tasks::{Begun, MAX_JOBS};
use rusqlite::Connection;
use std::sync::Arc;

/// Why an import was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginImportError {
    /// Another image of the owner has the name.
    #[error("AMI name {name} is already in use by AMI {image}")]
    NameTaken {
        /// The name.
        name: String,
        /// The image that has it.
        image: ImageId,
    },
    /// The token was used with another request.
    #[error("The ClientToken was used before, with other parameters")]
    TokenReused,
    /// Too many imports are under way.
    #[error("{max} imports are under way; wait for one of them to end")]
    Busy {
        /// As many as there may be.
        max: u32,
    },
    /// All is well, but the client only wanted to know.
    #[error("A dry run begins nothing")]
    DryRun,
    /// The record could not be made.
    #[error("The import task can't be put on record")]
    Record(#[from] StoreError),
}

impl Imports {
    /// Begins an import; when this returns the task is on record and goes on by itself. The same token with the same
    /// request gives the first one's task.
    ///
    /// # Errors
    /// See [`BeginImportError`].
    pub async fn begin(&self, order: Order, dry_run: bool) -> Result<ImportTask, BeginImportError> {
        let place = self.jobs.place().ok_or(BeginImportError::Busy { max: MAX_JOBS })?;
        let order = Arc::new(order);
        let recorded = Arc::clone(&order);
        let begun = self.store.write(move |store| {
            let begun = record(store, &recorded)?;
            // An error undoes the transaction, so a dry run checks all that the real one does.
            if dry_run {
                Err(BeginImportError::DryRun)
            } else {
                Ok(begun)
            }
        });
        match begun.await? {
            Begun::Before(task) => Ok(task),
            Begun::New(task) => {
                let job = self.jobs.begin(task.id, task.snapshot, place);
                tokio::spawn(self.clone().job(task.clone(), order, job));
                Ok(task)
            }
        }
    }
}

fn record(store: &Connection, order: &Order) -> Result<Begun<ImportTask>, BeginImportError> {
    if let Some(token) = &order.client_token
        && let Some(before) = store::imports::by_token(store, token)?
    {
        return match before.request_digest == order.request_digest {
            true => Ok(Begun::Before(before)),
            false => Err(BeginImportError::TokenReused),
        };
    }
    let task = order.task();
    let snapshot = Snapshot {
        id: task.snapshot,
        size: 0,
        volume: None,
        state: SnapshotState::Pending,
        state_message: None,
        description: task.description.clone(),
        digest: None,
        created: task.created,
    };
    store::snapshots::put(store, &snapshot)?;
    put_tags(store, ResourceId::Snapshot(task.snapshot), &order.snapshot_tags)?;
    if let (Makes::Image(wanted), Some(id)) = (&order.makes, task.image) {
        record_image(store, &task, wanted, id)?;
    }
    store::imports::put(store, &task)?;
    put_tags(store, ResourceId::ImportTask(task.id), &order.task_tags)?;
    Ok(Begun::New(task))
}

/// Puts the image on record as pending, which reserves its name.
fn record_image(
    store: &Connection,
    task: &ImportTask,
    wanted: &ImageOrder,
    id: ImageId,
) -> Result<(), BeginImportError> {
    let name = wanted.name.clone().unwrap_or_else(|| task.id.to_string());
    if let Some(other) = store::images::by_name(store, wanted.owner, &name)? {
        return Err(BeginImportError::NameTaken { name, image: other.id });
    }
    let image = Image {
        id,
        name,
        description: task.description.clone(),
        owner: wanted.owner,
        state: ImageState::Pending,
        state_reason: None,
        architecture: wanted.architecture,
        root_device_name: super::job::ROOT_DEVICE.into(),
        block_devices: Vec::new(),
        instance_store: Vec::new(),
        kernel: None,
        ramdisk: None,
        source: crate::model::ImageSource::default(),
        attributes: crate::model::ImageAttributes {
            product_codes: wanted.product_codes.clone(),
            ..crate::model::ImageAttributes::default()
        },
        created: task.created,
    };
    store::images::put(store, &image)?;
    store::images::set_attributes(store, id, &image.attributes)?;
    put_tags(store, ResourceId::Image(id), &wanted.tags)?;
    Ok(())
}

fn put_tags(store: &Connection, resource: ResourceId, tags: &[Tag]) -> Result<(), StoreError> {
    tags.iter().try_for_each(|tag| store::tags::put(store, resource, tag))
}
