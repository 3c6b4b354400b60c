//! Sets of DHCP options.

use super::StoreError;
use super::columns::Micros;
use crate::model::{DhcpOption, DhcpOptions, DhcpOptionsId};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, params};

/// Adds a set with its options.
///
/// # Errors
/// The database's; a second default set is one.
pub fn add(connection: &Connection, set: &DhcpOptions) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO dhcp_options (id, is_default, created) VALUES (?1, ?2, ?3)")?
        .execute(params![set.id, set.is_default, Micros(set.created)])?;
    let sql = "INSERT INTO dhcp_configurations (options, key, place, value) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    for option in &set.options {
        for (place, value) in (0_i64..).zip(option.values()) {
            statement.execute(params![set.id, option.key(), place, value])?;
        }
    }
    Ok(())
}

/// The set of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: DhcpOptionsId) -> Result<Option<DhcpOptions>, StoreError> {
    Ok(select(connection, "WHERE id = ?1", params![id])?.pop())
}

/// The set that new VPCs get.
///
/// # Errors
/// The database's.
pub fn default(connection: &Connection) -> Result<Option<DhcpOptions>, StoreError> {
    Ok(select(connection, "WHERE is_default", params![])?.pop())
}

/// All sets, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<DhcpOptions>, StoreError> {
    select(connection, "ORDER BY id", params![])
}

/// Removes a set and its options.
///
/// # Errors
/// The database's; a VPC that has it is one.
pub fn remove(connection: &Connection, id: DhcpOptionsId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM dhcp_options WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

fn select(
    connection: &Connection,
    which: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<DhcpOptions>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT * FROM dhcp_options {which}"))?;
    let rows = statement.query_map(parameters, |row| {
        Ok(DhcpOptions {
            id: row.get("id")?,
            is_default: row.get("is_default")?,
            options: Vec::new(),
            created: row.get::<_, Micros>("created")?.0,
        })
    })?;
    let mut sets: Vec<DhcpOptions> = rows.collect::<Result<_, _>>()?;
    for set in &mut sets {
        set.options = options(connection, set.id)?;
    }
    Ok(sets)
}

fn options(connection: &Connection, id: DhcpOptionsId) -> Result<Vec<DhcpOption>, StoreError> {
    let sql = "SELECT key, value FROM dhcp_configurations WHERE options = ?1 ORDER BY key, place";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
    let of_key = rows.chunk_by(|(one, _), (other, _)| one == other).filter_map(|rows| {
        let values: Vec<String> = rows.iter().map(|(_, value)| value.clone()).collect();
        rows.first().map(|(key, _)| DhcpOption::from_values(key, &values))
    });
    let options: Result<Vec<DhcpOption>, _> = of_key.collect();
    options.map_err(|error| rusqlite::Error::from(FromSqlError::other(error)).into())
}
