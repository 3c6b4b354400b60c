//! Drafts at the daemon's start: those that are being written are taken up, and what others left is removed.

use super::super::{HostFileError, files};
use super::{Draft, Drafts, Files, StartError, blocks, minutes};
use crate::chain::chain;
use crate::model::{self, Snapshot, SnapshotId, SnapshotState};
use crate::store::layout::Layout;
use crate::store::ledger::{self, ObjectKind};
use crate::store::{self, Store, StoreError};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Volumes;

impl Drafts {
    /// The drafts on record. To be called once, before clients are served. Those whose time is over are given up.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn open(store: Store, layout: Layout, volumes: Volumes) -> Result<Self, StoreError> {
        let this = Self::new(store, layout, volumes);
        for (draft, snapshot) in this.0.store.read(store::drafts::list).await? {
            let id = snapshot.id;
            let done = match snapshot.state {
                SnapshotState::Pending => this.take_up(&draft, &snapshot).await,
                SnapshotState::Completed | SnapshotState::Error => this.clear(&snapshot).await,
            };
            if let Err(error) = done {
                let error = chain(&error);
                tracing::warn!(snapshot = %id, error, "A snapshot that a client wrote can't be seen to yet");
            }
        }
        Ok(this)
    }

    async fn take_up(&self, record: &model::Draft, snapshot: &Snapshot) -> Result<(), StartError> {
        let id = snapshot.id;
        let open = |path: PathBuf| async move {
            files::blocking("open", &path, |path| File::options().read(true).write(true).open(path)).await
        };
        let sums = match open(self.0.layout.snapshot_sums(id)).await {
            // Its start was never answered, so it is none.
            Err(HostFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return self.unmake(id).await;
            }
            other => other?,
        };
        let data = open(self.0.layout.snapshot(id)).await?;
        let draft = Arc::new(Draft::default());
        *draft.files.write().await = Some(Files {
            data,
            sums,
            blocks: blocks::count(snapshot.size),
            timeout: minutes(record.timeout),
        });
        self.keep(id, &draft);
        self.end_if_over(id).await;
        self.watch(id, &draft);
        Ok(())
    }

    /// Removes what a draft should not have any more.
    async fn clear(&self, snapshot: &Snapshot) -> Result<(), StartError> {
        let owner = snapshot.id.to_string();
        let recorded = self.0.store.read(move |store| ledger::of(store, &owner)).await?;
        for object in recorded.into_iter().filter(|object| object.kind == ObjectKind::File) {
            let path = PathBuf::from(object.name);
            if self.is_spent(&path, snapshot) {
                self.files().remove(&path).await?;
            }
        }
        Ok(())
    }

    fn is_spent(&self, path: &std::path::Path, snapshot: &Snapshot) -> bool {
        let id: SnapshotId = snapshot.id;
        path == self.0.layout.snapshot_sums(id)
            || (snapshot.state == SnapshotState::Error && path == self.0.layout.snapshot(id))
    }
}
