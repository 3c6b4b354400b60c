//! Elastic addresses and the interfaces that have them.

use super::StoreError;
use super::columns::{Micros, Text};
use crate::model::{AddressAssociation, AllocationId, ElasticAddress, NetworkInterfaceId};
use rusqlite::{Connection, OptionalExtension, Row, params};
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
    let mut select = connection.prepare_cached("SELECT * FROM addresses WHERE id = ?1")?;
    Ok(select.query_row([id], read).optional()?)
}

/// All addresses, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<ElasticAddress>, StoreError> {
    let mut select = connection.prepare_cached("SELECT * FROM addresses ORDER BY id")?;
    Ok(select.query_map([], read)?.collect::<Result<_, _>>()?)
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

/// Takes an interface's address from it, if it has one.
///
/// # Errors
/// The database's.
pub fn take_from(connection: &Connection, interface: NetworkInterfaceId) -> Result<(), StoreError> {
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
