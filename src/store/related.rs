//! Rows that belong to others, read in one query for many owners: a query for each takes longer than all else that an
//! operation which describes thousands of them does.

use super::StoreError;
use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Connection, Row};
use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

/// Identifiers as one parameter of a statement: a JSON array, which `json_each` takes apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids<'a, T>(pub &'a [T]);

impl<T: Display> ToSql for Ids<'_, T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let texts: serde_json::Value = self.0.iter().map(ToString::to_string).collect();
        Ok(texts.to_string().into())
    }
}

/// What `sql` finds for the owners that its one parameter names, by owner and else in its order.
pub(super) fn by_owner<K: Display + Eq + Hash, V>(
    connection: &Connection,
    sql: &str,
    owners: &[K],
    read: impl Fn(&Row<'_>) -> rusqlite::Result<(K, V)>,
) -> Result<HashMap<K, Vec<V>>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found: HashMap<K, Vec<V>> = HashMap::with_capacity(owners.len());
    for row in statement.query_map([Ids(owners)], |row| read(row))? {
        let (owner, value) = row?;
        found.entry(owner).or_default().push(value);
    }
    Ok(found)
}
