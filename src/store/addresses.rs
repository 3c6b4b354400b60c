//! Public addresses and the interfaces that have them. Those that a start has given are of no user's and found by their
//! interface alone.

use super::StoreError;
use super::columns::{Micros, Text};
use crate::model::{AddressAssociation, AllocationId, ElasticAddress, NetworkInterfaceId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashSet;
use std::net::Ipv4Addr;

fn read(row: &Row<'_>) -> rusqlite::Result<ElasticAddress> {
    let association = match row.get("association")? {
        Some(id) => Some(AddressAssociation {
            id,
            interface: row.get("interface")?,
        }),
        None => None,
    };
    Ok(ElasticAddress {
        id: row.get("id")?,
        address: row.get::<_, Text<Ipv4Addr>>("address")?.0,
        association,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds an address that nothing has yet.
///
/// # Errors
/// The database's; an address that is there already is one.
pub fn add(connection: &Connection, address: &ElasticAddress) -> Result<(), StoreError> {
    let sql = "INSERT INTO addresses (id, address, created) VALUES (?1, ?2, ?3)";
    let row = params![address.id, Text(address.address), Micros(address.created)];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The address of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: AllocationId) -> Result<Option<ElasticAddress>, StoreError> {
    let mut select = connection.prepare_cached("SELECT * FROM addresses WHERE id = ?1 AND NOT of_start")?;
    Ok(select.query_row([id], read).optional()?)
}

/// All addresses that were allocated, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<ElasticAddress>, StoreError> {
    let mut select = connection.prepare_cached("SELECT * FROM addresses WHERE NOT of_start ORDER BY id")?;
    Ok(select.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// All addresses that are in use or allocated, of whatever kind.
///
/// # Errors
/// The database's.
pub fn taken(connection: &Connection) -> Result<HashSet<Ipv4Addr>, StoreError> {
    let mut select = connection.prepare_cached("SELECT address FROM addresses")?;
    let rows = select.query_map([], |row| Ok(row.get::<_, Text<Ipv4Addr>>("address")?.0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that an address was given by a start.
///
/// # Errors
/// The database's.
pub fn set_of_start(connection: &Connection, id: AllocationId) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE addresses SET of_start = 1 WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Gives the address of an interface that a start has given back to the pool, if it has one.
///
/// # Errors
/// The database's.
pub fn remove_of_start(connection: &Connection, interface: NetworkInterfaceId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM addresses WHERE interface = ?1 AND of_start")?
        .execute([interface])?;
    Ok(())
}

/// Gives an address to an interface, or, with none, to nobody.
///
/// # Errors
/// The database's; an interface that has another one is one.
pub fn associate(
    connection: &Connection,
    id: AllocationId,
    association: Option<AddressAssociation>,
) -> Result<(), StoreError> {
    let sql = "UPDATE addresses SET association = ?2, interface = ?3 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![
        id,
        association.map(|one| one.id),
        association.map(|one| one.interface),
    ])?;
    Ok(())
}

/// Takes an interface's address from it, if it has one: it is its owner's, or goes back to the pool.
///
/// # Errors
/// The database's.
pub fn take_from(connection: &Connection, interface: NetworkInterfaceId) -> Result<(), StoreError> {
    remove_of_start(connection, interface)?;
    let sql = "UPDATE addresses SET association = NULL, interface = NULL WHERE interface = ?1";
    connection.prepare_cached(sql)?.execute([interface])?;
    Ok(())
}

/// Gives an address back to the pool.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, id: AllocationId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM addresses WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
