//! The key that signs identity documents. There is one.

use super::StoreError;
use rusqlite::{Connection, OptionalExtension};

/// The private key as PKCS #8, if one was made.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = connection.prepare_cached("SELECT pkcs8 FROM identity_key")?;
    Ok(select.query_row([], |row| row.get(0)).optional()?)
}

/// Keeps a key, unless there is one; gives the one that is kept.
///
/// # Errors
/// The database's.
pub fn keep(connection: &Connection, pkcs8: &[u8]) -> Result<Vec<u8>, StoreError> {
    let sql =
        "INSERT INTO identity_key (one, pkcs8) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET one = 1 RETURNING pkcs8";
    Ok(connection.prepare_cached(sql)?.query_row([pkcs8], |row| row.get(0))?)
}
