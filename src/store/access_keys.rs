//! Access keys.

use super::StoreError;
use super::columns::Micros;
use crate::model::{AccessKey, AccessKeyId, Secret};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<AccessKey> {
    Ok(AccessKey {
        id: row.get("id")?,
        secret: Secret::new(row.get("secret")?),
        uid: row.get("uid")?,
        gid: row.get("gid")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds an access key.
///
/// # Errors
/// The database's.
pub fn add(connection: &Connection, key: &AccessKey) -> Result<(), StoreError> {
    let sql = "INSERT INTO access_keys (id, secret, uid, gid, created) VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = params![key.id, key.secret.reveal(), key.uid, key.gid, Micros(key.created)];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// The access key of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: &AccessKeyId) -> Result<Option<AccessKey>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM access_keys WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// All access keys, the oldest first.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<AccessKey>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM access_keys ORDER BY created, id")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes an access key.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, id: &AccessKeyId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM access_keys WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
