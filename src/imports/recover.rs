//! What the daemon's death left of imports is taken away at the next start.

use super::{Imports, TakeAwayError};
use crate::model::{ResourceId, TaskState};
use crate::store::ledger::{self, ObjectKind};
use crate::store::{self, StoreError};
use crate::tasks::RETENTION;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

impl Imports {
    /// Ends the tasks that were active when the daemon died, forgets those that ended long ago, and removes the files that belong to nothing: those of
    /// imports that were never completed, and of images and snapshots whose records are gone because a user removed
    /// them. To be called once, before the first [`Imports::begin`].
    ///
    /// # Errors
    /// See [`TakeAwayError`].
    pub async fn recover(&self) -> Result<(), TakeAwayError> {
        let tasks = self.store.read(store::imports::list).await?;
        for task in tasks.into_iter().filter(|task| task.state == TaskState::Active) {
            tracing::info!(task = %task.id, "An import was interrupted and is taken away");
            let file = self.layout.snapshot(task.snapshot);
            let why = "The daemon died while the import ran; import it again";
            self.take_away(task, &[&file], why.into()).await?;
        }
        let before = OffsetDateTime::now_utc() - RETENTION;
        let forget = self
            .store
            .write(move |store| store::imports::forget_ended(store, before));
        forget.await?;
        for path in self.store.read(orphans).await? {
            self.files.remove(&path).await?;
        }
        Ok(())
    }
}

fn orphans(store: &Connection) -> Result<Vec<PathBuf>, StoreError> {
    let mut orphans = Vec::new();
    for object in ledger::list(store)?
        .into_iter()
        .filter(|object| object.kind == ObjectKind::File)
    {
        let has_record = match object.owner.parse() {
            Ok(ResourceId::Snapshot(id)) => store::snapshots::get(store, id)?.is_some(),
            Ok(ResourceId::Kernel(id)) => store::kernels::get(store, id)?.is_some(),
            Ok(ResourceId::Ramdisk(id)) => store::kernels::get_ramdisk(store, id)?.is_some(),
            // Others have owners that look after them.
            _ => true,
        };
        if !has_record {
            orphans.push(Path::new(&object.name).to_owned());
        }
    }
    Ok(orphans)
}
