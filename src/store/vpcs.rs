//! VPCs.

use super::columns::Micros;
use super::{StoreError, numbers};
use crate::model::{Vpc, VpcId};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<Vpc> {
    Ok(Vpc {
        id: row.get("id")?,
        number: row.get("number")?,
        block: row.get("cidr")?,
        dhcp_options: row.get("dhcp_options")?,
        is_default: row.get("is_default")?,
        dns_support: row.get("dns_support")?,
        dns_hostnames: row.get("dns_hostnames")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a VPC, with nothing in it.
///
/// # Errors
/// The database's; a second default VPC is one.
pub fn add(connection: &Connection, vpc: &Vpc) -> Result<(), StoreError> {
    let sql = "INSERT INTO vpcs (id, number, cidr, dhcp_options, is_default, dns_support, dns_hostnames, created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        vpc.id,
        vpc.number,
        vpc.block,
        vpc.dhcp_options,
        vpc.is_default,
        vpc.dns_support,
        vpc.dns_hostnames,
        Micros(vpc.created),
    ])?;
    Ok(())
}

/// Writes what may change in the life of a VPC: its DHCP options and what it does about names.
///
/// # Errors
/// The database's.
pub fn update(connection: &Connection, vpc: &Vpc) -> Result<(), StoreError> {
    let sql = "UPDATE vpcs SET dhcp_options = ?2, dns_support = ?3, dns_hostnames = ?4 WHERE id = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![vpc.id, vpc.dhcp_options, vpc.dns_support, vpc.dns_hostnames])?;
    Ok(())
}

/// The lowest number that no VPC has.
///
/// # Errors
/// The database's.
pub fn free_number(connection: &Connection) -> Result<u32, StoreError> {
    numbers::lowest_free(connection, "vpcs")
}

/// The VPC of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: VpcId) -> Result<Option<Vpc>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM vpcs WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// The default VPC.
///
/// # Errors
/// The database's.
pub fn default(connection: &Connection) -> Result<Option<Vpc>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM vpcs WHERE is_default")?;
    Ok(statement.query_row([], read).optional()?)
}

/// All VPCs, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<Vpc>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM vpcs ORDER BY id")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a VPC.
///
/// # Errors
/// The database's; anything that is still in it is one.
pub fn remove(connection: &Connection, id: VpcId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM vpcs WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
