//! Snapshots that clients write block by block: what there is of them beside the snapshot's own record.

use super::StoreError;
use super::snapshots;
use crate::model::{Draft, DraftToken, Snapshot, SnapshotId, SnapshotState};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<Draft> {
    let token: (Option<String>, Option<String>) = (row.get("client_token")?, row.get("request_digest")?);
    Ok(Draft {
        snapshot: row.get("snapshot")?,
        parent: row.get("parent")?,
        timeout: row.get("timeout")?,
        blocks: row.get("blocks")?,
        token: match token {
            (Some(token), Some(digest)) => Some(DraftToken { token, digest }),
            _ => None,
        },
    })
}

/// Adds a draft, whose snapshot is on record.
///
/// # Errors
/// The database's; a second draft with the same token is one.
pub fn add(connection: &Connection, draft: &Draft) -> Result<(), StoreError> {
    let sql = "INSERT INTO snapshot_drafts (snapshot, parent, timeout, blocks, client_token, request_digest) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let token = draft.token.as_ref();
    connection.prepare_cached(sql)?.execute(params![
        draft.snapshot,
        draft.parent,
        draft.timeout,
        draft.blocks,
        token.map(|token| &token.token),
        token.map(|token| &token.digest),
    ])?;
    Ok(())
}

/// The draft of that snapshot, if it is or was one.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, snapshot: SnapshotId) -> Result<Option<Draft>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM snapshot_drafts WHERE snapshot = ?1")?;
    Ok(statement.query_row([snapshot], read).optional()?)
}

/// The draft that was begun with that token.
///
/// # Errors
/// The database's.
pub fn by_token(connection: &Connection, token: &str) -> Result<Option<Draft>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM snapshot_drafts WHERE client_token = ?1")?;
    Ok(statement.query_row([token], read).optional()?)
}

/// All drafts with their snapshots, those that were completed or given up, too.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<(Draft, Snapshot)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM snapshot_drafts ORDER BY snapshot")?;
    let drafts: Vec<Draft> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    let mut all = Vec::with_capacity(drafts.len());
    for draft in drafts {
        if let Some(snapshot) = snapshots::get(connection, draft.snapshot)? {
            all.push((draft, snapshot));
        }
    }
    Ok(all)
}

/// How many drafts are being written.
///
/// # Errors
/// The database's.
pub fn count_pending(connection: &Connection) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM snapshot_drafts JOIN snapshots ON id = snapshot WHERE state = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([SnapshotState::Pending], |row| row.get(0))?)
}

/// Notes how many blocks were written to a draft that is completed.
///
/// # Errors
/// The database's.
pub fn set_blocks(connection: &Connection, snapshot: SnapshotId, blocks: u32) -> Result<(), StoreError> {
    let sql = "UPDATE snapshot_drafts SET blocks = ?2 WHERE snapshot = ?1";
    connection.prepare_cached(sql)?.execute(params![snapshot, blocks])?;
    Ok(())
}
