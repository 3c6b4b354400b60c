//! The numbers by which host objects are named, where the kernel allows a name 15 characters.

use super::StoreError;
use rusqlite::Connection;

/// The lowest number, from 1, that no row of the table has.
pub(super) fn lowest_free(connection: &Connection, table: &'static str) -> Result<u32, StoreError> {
    let sql = format!(
        "SELECT MIN(n) FROM (SELECT 1 AS n UNION SELECT number + 1 FROM {table}) \
         WHERE n NOT IN (SELECT number FROM {table})"
    );
    Ok(connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
}
