//! What the account says of the metadata options of instances to come. There is one such record.

use super::StoreError;
use crate::model::MetadataDefaults;
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<MetadataDefaults> {
    Ok(MetadataDefaults {
        endpoint: row.get("endpoint")?,
        tokens_required: row.get("tokens_required")?,
        hop_limit: row.get("hop_limit")?,
        tags: row.get("tags")?,
        tokens_enforced: row.get("tokens_enforced")?,
    })
}

/// The record; nothing is said in it until somebody says something.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection) -> Result<MetadataDefaults, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM metadata_defaults")?;
    Ok(statement.query_row([], read).optional()?.unwrap_or_default())
}

/// Writes the record.
///
/// # Errors
/// The database's.
pub fn put(connection: &Connection, defaults: &MetadataDefaults) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO metadata_defaults (one, endpoint, tokens_required, hop_limit, tags, \
               tokens_enforced) VALUES (1, ?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        defaults.endpoint,
        defaults.tokens_required,
        defaults.hop_limit,
        defaults.tags,
        defaults.tokens_enforced,
    ])?;
    Ok(())
}
