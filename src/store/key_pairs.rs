//! Key pairs.

use super::StoreError;
use super::columns::Micros;
use crate::model::{KeyName, KeyPair, KeyPairId};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<KeyPair> {
    Ok(KeyPair {
        id: row.get("id")?,
        name: row.get("name")?,
        kind: row.get("kind")?,
        fingerprint: row.get("fingerprint")?,
        public_key: row.get("public_key")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a key pair.
///
/// # Errors
/// The database's; another of that name is one.
pub fn add(connection: &Connection, pair: &KeyPair) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO key_pairs (id, name, kind, fingerprint, public_key, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        pair.id,
        pair.name,
        pair.kind,
        pair.fingerprint,
        pair.public_key,
        Micros(pair.created),
    ])?;
    Ok(())
}

/// The key pair of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: KeyPairId) -> Result<Option<KeyPair>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM key_pairs WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// The key pair of that name.
///
/// # Errors
/// The database's.
pub fn named(connection: &Connection, name: &KeyName) -> Result<Option<KeyPair>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM key_pairs WHERE name = ?1")?;
    Ok(statement.query_row([name], read).optional()?)
}

/// All key pairs, by name.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<KeyPair>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM key_pairs ORDER BY name")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a key pair.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, id: KeyPairId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM key_pairs WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
