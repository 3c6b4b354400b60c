//! Snapshots.

use super::StoreError;
use super::columns::{Micros, Size};
use crate::model::{Grantee, Snapshot, SnapshotId, VolumeState};
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "id, size, state, state_message, description, digest, created, volume";

fn read(row: &Row<'_>) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        id: row.get("id")?,
        size: row.get::<_, Size>("size")?.0,
        volume: row.get("volume")?,
        state: row.get("state")?,
        state_message: row.get("state_message")?,
        description: row.get("description")?,
        digest: row.get("digest")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a snapshot or replaces the record of the one with its id.
///
/// # Errors
/// The database's.
pub fn put(connection: &Connection, snapshot: &Snapshot) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO snapshots ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET \
         size = excluded.size, state = excluded.state, state_message = excluded.state_message, \
         description = excluded.description, digest = excluded.digest"
    );
    connection.prepare_cached(&sql)?.execute(params![
        snapshot.id,
        Size(snapshot.size),
        snapshot.state,
        snapshot.state_message,
        snapshot.description,
        snapshot.digest,
        Micros(snapshot.created),
        snapshot.volume,
    ])?;
    Ok(())
}

/// The snapshot of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: SnapshotId) -> Result<Option<Snapshot>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM snapshots WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// All snapshots, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<Snapshot>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM snapshots ORDER BY id"))?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Who may make volumes of a snapshot beside its owner.
///
/// # Errors
/// The database's.
pub fn permissions(connection: &Connection, id: SnapshotId) -> Result<Vec<Grantee>, StoreError> {
    let sql = "SELECT grantee FROM snapshot_permissions WHERE snapshot = ?1 ORDER BY grantee";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id], |row| Ok(Grantee::from(row.get::<_, String>(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Says who may make volumes of a snapshot.
///
/// # Errors
/// The database's.
pub fn set_permissions(connection: &Connection, id: SnapshotId, permissions: &[Grantee]) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM snapshot_permissions WHERE snapshot = ?1")?
        .execute([id])?;
    let sql = "INSERT INTO snapshot_permissions (snapshot, grantee) VALUES (?1, ?2)";
    let mut statement = connection.prepare_cached(sql)?;
    for permission in permissions {
        statement.execute(params![id, permission.as_str()])?;
    }
    Ok(())
}

/// Whether an image needs the snapshot.
///
/// # Errors
/// The database's.
pub fn in_use(connection: &Connection, id: SnapshotId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM image_devices WHERE snapshot = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// Whether a volume is being made of it.
///
/// # Errors
/// The database's.
pub fn is_read(connection: &Connection, id: SnapshotId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM volumes WHERE snapshot = ?1 AND state = ?2)";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params![id, VolumeState::Creating], |row| row.get(0))?)
}

/// Removes the record of a snapshot whose file is gone.
///
/// # Errors
/// The database's; an image that still needs it is one.
pub fn remove(connection: &Connection, id: SnapshotId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM snapshots WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
