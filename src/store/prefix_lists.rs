//! Managed prefix lists, and what they had in each of their versions.

use super::StoreError;
use super::columns::{Micros, Text};
use crate::model::{PrefixList, PrefixListEntry, PrefixListId, SecurityGroupId, VpcId};
use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A row without its entries, which lie in a table of their own.
fn read(row: &Row<'_>) -> rusqlite::Result<PrefixList> {
    Ok(PrefixList {
        id: row.get("id")?,
        name: row.get("name")?,
        family: row.get("family")?,
        max_entries: row.get("max_entries")?,
        version: row.get("version")?,
        entries: Vec::new(),
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a list with its entries. `request` is the client token that it was asked for with, and the digest of that request.
///
/// # Errors
/// The database's; a token that is taken is one.
pub fn add(connection: &Connection, list: &PrefixList, request: Option<(&str, &str)>) -> Result<(), StoreError> {
    let sql = "INSERT INTO prefix_lists \
               (id, name, family, max_entries, version, client_token, request_digest, created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (token, digest) = request.unzip();
    connection.prepare_cached(sql)?.execute(params![
        list.id,
        list.name,
        list.family,
        list.max_entries,
        list.version,
        token,
        digest,
        Micros(list.created),
    ])?;
    list.entries
        .iter()
        .try_for_each(|entry| add_entry(connection, list, entry))
}

/// The list that was asked for with that client token, and the digest of that request.
///
/// # Errors
/// The database's.
pub fn asked_with(connection: &Connection, token: &str) -> Result<Option<(PrefixListId, String)>, StoreError> {
    let sql = "SELECT id, request_digest FROM prefix_lists WHERE client_token = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement
        .query_row([token], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Writes what may change in the life of a list. What its entries were in earlier versions stays on record.
///
/// # Errors
/// The database's.
pub fn update(connection: &Connection, list: &PrefixList) -> Result<(), StoreError> {
    let sql = "UPDATE prefix_lists SET name = ?2, max_entries = ?3, version = ?4 WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![list.id, list.name, list.max_entries, list.version])?;
    let before = entries(connection, list.id, None)?;
    let sql = "UPDATE prefix_list_entries SET last_version = ?3 \
               WHERE prefix_list = ?1 AND cidr = ?2 AND last_version IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    for entry in before.iter().filter(|entry| !list.entries.contains(entry)) {
        statement.execute(params![list.id, Text(entry.block), list.version.saturating_sub(1)])?;
    }
    list.entries
        .iter()
        .filter(|entry| !before.contains(entry))
        .try_for_each(|entry| add_entry(connection, list, entry))
}

fn add_entry(connection: &Connection, list: &PrefixList, entry: &PrefixListEntry) -> Result<(), StoreError> {
    let sql = "INSERT INTO prefix_list_entries (prefix_list, cidr, description, first_version) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![list.id, Text(entry.block), entry.description, list.version])?;
    Ok(())
}

/// What a list has in a version, or in the current one, by block as it is written.
///
/// # Errors
/// The database's.
pub fn entries(
    connection: &Connection,
    list: PrefixListId,
    version: Option<u32>,
) -> Result<Vec<PrefixListEntry>, StoreError> {
    let sql = "SELECT cidr, description FROM prefix_list_entries WHERE prefix_list = ?1 AND CASE \
               WHEN ?2 IS NULL THEN last_version IS NULL \
               ELSE first_version <= ?2 AND (last_version IS NULL OR last_version >= ?2) END ORDER BY cidr";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![list, version], |row| {
        Ok(PrefixListEntry {
            block: row.get::<_, Text<IpNet>>(0)?.0,
            description: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The list of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: PrefixListId) -> Result<Option<PrefixList>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM prefix_lists WHERE id = ?1")?;
    let Some(list) = statement.query_row([id], read).optional()? else {
        return Ok(None);
    };
    Ok(Some(PrefixList {
        entries: entries(connection, id, None)?,
        ..list
    }))
}

/// All lists, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<PrefixList>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM prefix_lists ORDER BY id")?;
    let rows = statement.query_map([], read)?;
    let mut lists: Vec<PrefixList> = rows.collect::<Result<_, _>>()?;
    for list in &mut lists {
        list.entries = entries(connection, list.id, None)?;
    }
    Ok(lists)
}

/// The groups that have a rule that names the list, each with its VPC.
///
/// # Errors
/// The database's.
pub fn users(connection: &Connection, id: PrefixListId) -> Result<Vec<(SecurityGroupId, VpcId)>, StoreError> {
    let sql = "SELECT DISTINCT id, vpc FROM security_groups \
               WHERE id IN (SELECT security_group FROM security_group_rules WHERE peer_list = ?1) ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a list and its entries of all versions.
///
/// # Errors
/// The database's; a rule that names it is one.
pub fn remove(connection: &Connection, id: PrefixListId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM prefix_lists WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
