//! The operations of the EBS direct API: a snapshot is read, compared and written block by block.
//!
//! Called by `wire::ebs`, which has taken a request's parts out of path, query and headers. Beside EC2's operations this
//! is a service of its own, with errors of its own ([`DirectError`]).
//!
//! What is simpler here than at Amazon: any two snapshots may be compared, of one volume or not; the tokens of blocks and pages
//! protect nothing and never expire, for who may ask the daemon at all may read every snapshot anyway.

mod complete;
mod error;
mod list;
mod put;
mod read;
mod start;
mod tokens;

pub use complete::{Completion, complete};
pub use error::{DirectError, Kind, Reason};
pub use list::{PageRequest, list_blocks, list_changed_blocks};
pub use put::{Put, put_block};
pub use read::{Block, get_block};
pub use start::start;

use crate::api::World;
use crate::api::shown::shown;
use crate::base64;
use crate::model::{Snapshot, SnapshotId, SnapshotState};
use crate::store::{self, StoreError};
use crate::volumes::blocks::BLOCK;
use crate::volumes::drafts::Sum;
use std::fs::File;
use std::io;

/// The only algorithm of checksums there is.
pub const ALGORITHM: &str = "SHA256";

/// The identifier of a snapshot.
fn snapshot_id(text: &str) -> Result<SnapshotId, DirectError> {
    text.parse().map_err(|_| {
        let shown = shown(text);
        DirectError::validation(Reason::SnapshotId, format!("Invalid snapshot id: \"{shown}\""))
    })
}

fn no_snapshot(id: SnapshotId) -> DirectError {
    DirectError::not_found(format!("The snapshot '{id}' does not exist"))
}

async fn record(world: &World, id: SnapshotId) -> Result<Snapshot, DirectError> {
    let read = world.store.read(move |store| store::snapshots::get(store, id));
    let found: Result<_, StoreError> = read.await;
    found?.ok_or_else(|| no_snapshot(id))
}

/// Opens the file of a snapshot that can be read.
async fn open(world: &World, id: SnapshotId) -> Result<(Snapshot, File), DirectError> {
    let snapshot = record(world, id).await?;
    if snapshot.state != SnapshotState::Completed {
        return Err(wrong_state(&snapshot, "completed"));
    }
    let path = world.layout.snapshot(id);
    match waiting((), move || File::open(path)).await {
        Ok(file) => Ok((snapshot, file)),
        // It was deleted just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_snapshot(id)),
        Err(error) => Err(DirectError::internal(&error)),
    }
}

fn wrong_state(snapshot: &Snapshot, wanted: &str) -> DirectError {
    let state = snapshot.state.name();
    let why = snapshot.state_message.as_deref().unwrap_or_default();
    let message = format!("The snapshot '{}' is {state}, not {wanted}. {why}", snapshot.id);
    DirectError::validation(Reason::SnapshotId, message.trim_end())
}

/// Why a snapshot can't be written to.
async fn no_draft(world: &World, id: SnapshotId) -> DirectError {
    match record(world, id).await {
        Ok(snapshot) => wrong_state(&snapshot, "one that StartSnapshot began and that waits for blocks"),
        Err(error) => error,
    }
}

/// Does file work on a thread that may wait. It has `held` to its end, also when nobody waits for it any more.
async fn waiting<T: Send + 'static>(
    held: impl Send + 'static,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(held);
        result
    })
    .await;
    done.unwrap_or_else(|died| Err(io::Error::other(died)))
}

/// A checksum of a request.
fn checksum(text: &str) -> Result<Sum, DirectError> {
    let decoded = base64::decode(text).and_then(|bytes| Sum::try_from(bytes).ok());
    decoded.ok_or_else(|| DirectError::parameter("The checksum must be a SHA-256 in Base64, 44 characters"))
}

/// The size of a block, as the API says it.
const fn block_size() -> usize {
    BLOCK
}
