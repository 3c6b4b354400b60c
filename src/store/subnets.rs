//! Subnets.

use super::StoreError;
use super::columns::Micros;
use crate::model::{Subnet, SubnetId, VpcId};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<Subnet> {
    Ok(Subnet {
        id: row.get("id")?,
        vpc: row.get("vpc")?,
        block: row.get("cidr")?,
        is_default: row.get("is_default")?,
        map_public_ip: row.get("map_public_ip")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a subnet.
///
/// # Errors
/// The database's; a second default subnet is one.
pub fn add(connection: &Connection, subnet: &Subnet) -> Result<(), StoreError> {
    let sql = "INSERT INTO subnets (id, vpc, cidr, is_default, map_public_ip, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        subnet.id,
        subnet.vpc,
        subnet.block,
        subnet.is_default,
        subnet.map_public_ip,
        Micros(subnet.created),
    ])?;
    Ok(())
}

/// Whether instances that are launched in the subnet get a public address.
///
/// # Errors
/// The database's.
pub fn set_map_public_ip(connection: &Connection, id: SubnetId, map: bool) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE subnets SET map_public_ip = ?2 WHERE id = ?1")?
        .execute(params![id, map])?;
    Ok(())
}

/// The subnet of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: SubnetId) -> Result<Option<Subnet>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM subnets WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// The default VPC's default subnet.
///
/// # Errors
/// The database's.
pub fn default(connection: &Connection) -> Result<Option<Subnet>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM subnets WHERE is_default")?;
    Ok(statement.query_row([], read).optional()?)
}

/// All subnets, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<Subnet>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM subnets ORDER BY id")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The subnets of a VPC, by id.
///
/// # Errors
/// The database's.
pub fn of_vpc(connection: &Connection, vpc: VpcId) -> Result<Vec<Subnet>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM subnets WHERE vpc = ?1 ORDER BY id")?;
    let rows = statement.query_map([vpc], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a subnet.
///
/// # Errors
/// The database's; an interface that is in it, or an association of it, is one.
pub fn remove(connection: &Connection, id: SubnetId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM subnets WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
