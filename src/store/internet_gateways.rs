//! Internet gateways.

use super::StoreError;
use super::columns::Micros;
use crate::model::{InternetGateway, InternetGatewayId, VpcId};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<InternetGateway> {
    Ok(InternetGateway {
        id: row.get("id")?,
        vpc: row.get("vpc")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a gateway.
///
/// # Errors
/// The database's; a second one of its VPC is one.
pub fn add(connection: &Connection, gateway: &InternetGateway) -> Result<(), StoreError> {
    let sql = "INSERT INTO internet_gateways (id, vpc, created) VALUES (?1, ?2, ?3)";
    connection
        .prepare_cached(sql)?
        .execute(params![gateway.id, gateway.vpc, Micros(gateway.created)])?;
    Ok(())
}

/// Attaches a gateway to a VPC, or to none.
///
/// # Errors
/// The database's; a VPC that has another gateway is one.
pub fn attach(connection: &Connection, id: InternetGatewayId, vpc: Option<VpcId>) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE internet_gateways SET vpc = ?2 WHERE id = ?1")?
        .execute(params![id, vpc])?;
    Ok(())
}

/// The gateway of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: InternetGatewayId) -> Result<Option<InternetGateway>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM internet_gateways WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// The gateway that is attached to a VPC.
///
/// # Errors
/// The database's.
pub fn of_vpc(connection: &Connection, vpc: VpcId) -> Result<Option<InternetGateway>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM internet_gateways WHERE vpc = ?1")?;
    Ok(statement.query_row([vpc], read).optional()?)
}

/// All gateways, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<InternetGateway>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM internet_gateways ORDER BY id")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a gateway.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, id: InternetGatewayId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM internet_gateways WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
