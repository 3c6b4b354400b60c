//! DeleteSnapshot.

use super::super::change::{Changed, change};
use super::super::{ApiError, Call, Code};
use super::found;
use crate::model::{ResourceId, SnapshotId, SnapshotState};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteSnapshot {
    snapshot_id: String,
}

pub(super) async fn delete(call: Call, request: DeleteSnapshot) -> Result<(), ApiError> {
    let id = found::snapshot_id(&request.snapshot_id)?;
    // What a client writes is its own to give up; what the daemon makes is not.
    let draft = call.world.drafts.close(id).await;
    let is_draft = draft.is_some();
    let removed = change(&call, move |store| {
        let snapshot = found::snapshot(store, id)?;
        if snapshot.state == SnapshotState::Pending && !is_draft {
            let message = format!("The snapshot {id} is still being made; an import is ended by CancelImportTask");
            return Err(ApiError::new(Code::IncorrectState, message));
        }
        if store::snapshots::in_use(store, id)? {
            let message = format!("The snapshot {id} is currently in use by an image; deregister that first");
            return Err(ApiError::new(Code::InvalidSnapshotInUse, message));
        }
        if store::snapshots::is_read(store, id)? {
            let message = format!("The snapshot {id} is currently in use: a volume is being made of it");
            return Err(ApiError::new(Code::InvalidSnapshotInUse, message));
        }
        remove_snapshot(store, id)?;
        Ok(Changed::nothing(()))
    });
    removed.await?;
    // The record is gone; a file that a crash leaves now is found by the ledger at the next start.
    let removed = match draft {
        Some(draft) => draft.finish().await,
        None => {
            let path = call.world.layout.snapshot(id);
            call.world.volumes.files().remove(&path).await
        }
    };
    removed.map_err(|error| ApiError::internal(&error))
}

/// Takes a snapshot off the records; its file is to be removed after the commit.
pub(in super::super) fn remove_snapshot(store: &Connection, id: SnapshotId) -> Result<(), StoreError> {
    store::tags::remove_all(store, ResourceId::Snapshot(id))?;
    store::snapshots::remove(store, id)
}
