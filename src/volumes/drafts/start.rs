//! The beginning of a draft: on record, then its files, then the answer.

use super::super::{HostFileError, Original, SnapshotError, SpaceError, files};
use super::{Draft, Drafts, Files, MAX_DRAFTS, blocks, minutes};
use crate::model::{Draft as Record, DraftToken, ResourceId, Snapshot, SnapshotId, SnapshotState, Tag};
use crate::store::{self, StoreError, random_bits};
use rusqlite::Connection;
use std::fs::File;
use std::sync::Arc;
use time::OffsetDateTime;

/// What a client wants to write.
#[derive(Debug, Clone)]
pub struct Order {
    /// The size of the disk, in bytes.
    pub size: u64,
    /// The snapshot whose content it begins with.
    pub parent: Option<SnapshotId>,
    /// For people.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// After how many minutes without a write it is given up.
    pub timeout: u32,
    /// What makes the request the same as another one.
    pub token: Option<DraftToken>,
}

/// A draft that was begun, now or by the same request before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The snapshot, as it is now.
    pub snapshot: Snapshot,
    /// The snapshot whose content it began with.
    pub parent: Option<SnapshotId>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Why no draft was begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The parent is not there.
    #[error("The snapshot '{0}' does not exist")]
    NoParent(SnapshotId),
    /// The parent is not what it must be.
    #[error("The snapshot '{parent}' is {}, not completed", state.name())]
    ParentState {
        /// The parent.
        parent: SnapshotId,
        /// Its state.
        state: SnapshotState,
    },
    /// The parent is larger.
    #[error("The snapshot '{parent}' has {size} bytes, which is more than the volume size that was asked for")]
    Shrinks {
        /// The parent.
        parent: SnapshotId,
        /// Its size, in bytes.
        size: u64,
    },
    /// The token was used with another request.
    #[error("The client token was used before, with other parameters")]
    TokenReused,
    /// There are enough of them.
    #[error("{MAX_DRAFTS} snapshots are being written; complete or delete one of them first")]
    TooMany,
    /// The disk is too full.
    #[error("There is no room for the snapshot")]
    Space(#[from] SpaceError),
    /// The same request came before, and what it began has ended.
    #[error("The snapshot that this client token began could not be made or is gone; ask again")]
    Ended,
    /// The parent could not be cloned.
    #[error("The snapshot can't be begun")]
    Clone(#[from] SnapshotError),
    /// A file could not be made.
    #[error("A file of the snapshot can't be made")]
    File(#[from] HostFileError),
    /// The record could not be made.
    #[error("The snapshot can't be put on record")]
    Record(#[from] StoreError),
}

/// What a request is answered with.
enum Begun {
    New(Snapshot),
    /// The same request came before.
    Before(SnapshotId),
}

impl Drafts {
    /// Begins a draft; when this returns it is on record, its files are on disk, and blocks can be written. The same token with the
    /// same request gives the first one's.
    ///
    /// # Errors
    /// See [`StartError`]; then there is nothing of it.
    pub async fn start(&self, order: Order) -> Result<Started, StartError> {
        let id = SnapshotId::from_random(random_bits());
        let draft = Arc::new(Draft::default());
        let mut files = Arc::clone(&draft.files).write_owned().await;
        // Whoever hears of it before its files are made waits for them.
        self.keep(id, &draft);
        let recorded = order.clone();
        let begun = self.0.store.write(move |store| record(store, id, &recorded)).await;
        let snapshot = match begun {
            Ok(Begun::New(snapshot)) => snapshot,
            other => {
                self.forget(id);
                return match other? {
                    Begun::Before(id) => self.begun_before(id).await,
                    Begun::New(_) => Err(StartError::Ended),
                };
            }
        };
        match self.make(&snapshot, &order).await {
            Ok(made) => *files = Some(made),
            Err(error) => {
                // Who waits for the files hears of nothing before there is nothing.
                let undone = self.unmake(id).await;
                self.forget(id);
                return Err(undone.err().unwrap_or(error));
            }
        }
        drop(files);
        self.watch(id, &draft);
        tracing::info!(snapshot = %id, parent = ?order.parent, size = order.size, "A snapshot is to be written");
        Ok(Started {
            snapshot,
            parent: order.parent,
            tags: order.tags,
        })
    }

    /// What the same request has begun, once it is there.
    async fn begun_before(&self, id: SnapshotId) -> Result<Started, StartError> {
        if let Some(draft) = self.find(id) {
            drop(draft.files.read().await);
        }
        let read = self.0.store.read(move |store| {
            let snapshot = store::snapshots::get(store, id)?;
            let record = store::drafts::get(store, id)?;
            let tags = store::tags::of(store, ResourceId::Snapshot(id))?;
            Ok::<_, StoreError>(snapshot.zip(record).map(|(snapshot, record)| Started {
                snapshot,
                parent: record.parent,
                tags,
            }))
        });
        read.await?.ok_or(StartError::Ended)
    }

    /// Makes the files. The one of the checksums comes last: where it is, the other one is whole.
    async fn make(&self, snapshot: &Snapshot, order: &Order) -> Result<Files, StartError> {
        let (id, size) = (snapshot.id, order.size);
        let (path, owner) = (self.0.layout.snapshot(id), id.to_string());
        match order.parent {
            Some(parent) => {
                self.0.volumes.check_room(parent, 1).await?;
                let original = Original::Snapshot(parent);
                self.0.volumes.snapshot_of_size(original, id, Some(size)).await?;
            }
            None => {
                let file = self.files().create(&owner, &path).await?;
                files::blocking("size", &path, move |path| {
                    file.set_len(size)?;
                    file.sync_all()?;
                    files::sync_parent(path)
                })
                .await?;
            }
        }
        let open = |path: &std::path::Path| File::options().read(true).write(true).open(path);
        let data = files::blocking("open", &path, open).await?;
        let path = self.0.layout.snapshot_sums(id);
        let sums = self.files().create(&owner, &path).await?;
        files::blocking("sync the directory of", &path, files::sync_parent).await?;
        Ok(Files {
            data,
            sums,
            blocks: blocks::count(size),
            timeout: minutes(order.timeout),
        })
    }

    /// Takes away what was never begun.
    pub(super) async fn unmake(&self, id: SnapshotId) -> Result<(), StartError> {
        self.remove_files(id).await?;
        let removed = self.0.store.write(move |store| {
            store::tags::remove_all(store, ResourceId::Snapshot(id))?;
            store::snapshots::remove(store, id)
        });
        Ok(removed.await?)
    }
}

fn record(store: &Connection, id: SnapshotId, order: &Order) -> Result<Begun, StartError> {
    if let Some(token) = &order.token
        && let Some(before) = store::drafts::by_token(store, &token.token)?
    {
        return match before.token.is_some_and(|of| of.digest == token.digest) {
            true => Ok(Begun::Before(before.snapshot)),
            false => Err(StartError::TokenReused),
        };
    }
    if let Some(parent) = order.parent {
        let found = store::snapshots::get(store, parent)?.ok_or(StartError::NoParent(parent))?;
        let (state, size) = (found.state, found.size);
        if state != SnapshotState::Completed {
            return Err(StartError::ParentState { parent, state });
        }
        if size > order.size {
            return Err(StartError::Shrinks { parent, size });
        }
    }
    if store::drafts::count_pending(store)? >= MAX_DRAFTS {
        return Err(StartError::TooMany);
    }
    let snapshot = Snapshot {
        id,
        size: order.size,
        volume: None,
        state: SnapshotState::Pending,
        state_message: None,
        description: order.description.clone(),
        digest: None,
        created: OffsetDateTime::now_utc(),
    };
    store::snapshots::put(store, &snapshot)?;
    let record = Record {
        snapshot: id,
        parent: order.parent,
        timeout: order.timeout,
        blocks: None,
        token: order.token.clone(),
    };
    store::drafts::add(store, &record)?;
    for tag in &order.tags {
        store::tags::put(store, ResourceId::Snapshot(id), tag)?;
    }
    Ok(Begun::New(snapshot))
}
