//! Route tables, their routes and which subnets use them.

use super::StoreError;
use super::columns::{Micros, Text};
use crate::model::{Route, RouteTable, RouteTableAssociation, RouteTableAssociationId, RouteTableId, SubnetId, VpcId};
use ipnet::Ipv4Net;
use rusqlite::{Connection, OptionalExtension, params};

/// Adds a table with its routes; subnets are associated later. `request` is the client token that the table was asked
/// for with, and the digest of that request.
///
/// # Errors
/// The database's; a token that is taken, or a second main table, is one.
pub fn add(connection: &Connection, table: &RouteTable, request: Option<(&str, &str)>) -> Result<(), StoreError> {
    let sql = "INSERT INTO route_tables (id, vpc, main_association, client_token, request_digest, created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (token, digest) = request.unzip();
    connection.prepare_cached(sql)?.execute(params![
        table.id,
        table.vpc,
        table.main,
        token,
        digest,
        Micros(table.created)
    ])?;
    table
        .routes
        .iter()
        .try_for_each(|route| put_route(connection, table.id, route))
}

/// The table that was asked for with that client token, and the digest of that request.
///
/// # Errors
/// The database's.
pub fn asked_with(connection: &Connection, token: &str) -> Result<Option<(RouteTableId, String)>, StoreError> {
    let sql = "SELECT id, request_digest FROM route_tables WHERE client_token = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement
        .query_row([token], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Makes a table its VPC's main one, by this association, or no longer so. The one that was is to be unmade first.
///
/// # Errors
/// The database's; a second main table is one.
pub fn set_main(
    connection: &Connection,
    id: RouteTableId,
    association: Option<RouteTableAssociationId>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE route_tables SET main_association = ?2 WHERE id = ?1")?
        .execute(params![id, association])?;
    Ok(())
}

/// Puts a route into a table, in the place of the one with that destination.
///
/// # Errors
/// The database's.
pub fn put_route(connection: &Connection, table: RouteTableId, route: &Route) -> Result<(), StoreError> {
    let sql = "INSERT INTO routes (route_table, destination, gateway) VALUES (?1, ?2, ?3) \
               ON CONFLICT (route_table, destination) DO UPDATE SET gateway = excluded.gateway";
    connection
        .prepare_cached(sql)?
        .execute(params![table, Text(route.destination), route.gateway])?;
    Ok(())
}

/// Removes the route with that destination from a table.
///
/// # Errors
/// The database's.
pub fn remove_route(connection: &Connection, table: RouteTableId, destination: Ipv4Net) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM routes WHERE route_table = ?1 AND destination = ?2")?
        .execute(params![table, Text(destination)])?;
    Ok(())
}

/// Has a subnet use a table.
///
/// # Errors
/// The database's; a subnet that is associated already is one.
pub fn associate(
    connection: &Connection,
    table: RouteTableId,
    association: RouteTableAssociation,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO route_table_associations (id, route_table, subnet) VALUES (?1, ?2, ?3)";
    connection
        .prepare_cached(sql)?
        .execute(params![association.id, table, association.subnet])?;
    Ok(())
}

/// Has a subnet use the main table again, if it used another.
///
/// # Errors
/// The database's.
pub fn disassociate(connection: &Connection, subnet: SubnetId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM route_table_associations WHERE subnet = ?1")?
        .execute([subnet])?;
    Ok(())
}

/// The table of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: RouteTableId) -> Result<Option<RouteTable>, StoreError> {
    Ok(select(connection, "WHERE id = ?1", params![id])?.pop())
}

/// The table that has this association, of a subnet or as the main one.
///
/// # Errors
/// The database's.
pub fn associated(
    connection: &Connection,
    association: RouteTableAssociationId,
) -> Result<Option<RouteTable>, StoreError> {
    let which = "WHERE main_association = ?1 OR id = (SELECT route_table FROM route_table_associations WHERE id = ?1)";
    Ok(select(connection, which, params![association])?.pop())
}

/// All tables, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<RouteTable>, StoreError> {
    select(connection, "ORDER BY id", params![])
}

/// The tables of a VPC, by id.
///
/// # Errors
/// The database's.
pub fn of_vpc(connection: &Connection, vpc: VpcId) -> Result<Vec<RouteTable>, StoreError> {
    select(connection, "WHERE vpc = ?1 ORDER BY id", params![vpc])
}

/// Removes a table and its routes.
///
/// # Errors
/// The database's; a subnet that uses it is one.
pub fn remove(connection: &Connection, id: RouteTableId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM route_tables WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

fn select(
    connection: &Connection,
    which: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<RouteTable>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT * FROM route_tables {which}"))?;
    let rows = statement.query_map(parameters, |row| {
        Ok(RouteTable {
            id: row.get("id")?,
            vpc: row.get("vpc")?,
            main: row.get("main_association")?,
            associations: Vec::new(),
            routes: Vec::new(),
            created: row.get::<_, Micros>("created")?.0,
        })
    })?;
    let mut tables: Vec<RouteTable> = rows.collect::<Result<_, _>>()?;
    let sql = "SELECT id, subnet FROM route_table_associations WHERE route_table = ?1 ORDER BY id";
    let mut associations = connection.prepare_cached(sql)?;
    let sql = "SELECT destination, gateway FROM routes WHERE route_table = ?1 ORDER BY destination";
    let mut routes = connection.prepare_cached(sql)?;
    for table in &mut tables {
        let rows = associations.query_map([table.id], |row| {
            Ok(RouteTableAssociation {
                id: row.get(0)?,
                subnet: row.get(1)?,
            })
        })?;
        table.associations = rows.collect::<Result<_, _>>()?;
        let rows = routes.query_map([table.id], |row| {
            Ok(Route {
                destination: row.get::<_, Text<Ipv4Net>>(0)?.0,
                gateway: row.get(1)?,
            })
        })?;
        table.routes = rows.collect::<Result<_, _>>()?;
    }
    Ok(tables)
}
