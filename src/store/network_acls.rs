//! Network ACLs, their entries and which subnets use them.

use super::StoreError;
use super::columns::{Micros, Text};
use crate::model::{
    Direction, NetworkAcl, NetworkAclAssociation, NetworkAclAssociationId, NetworkAclEntry, NetworkAclId, SubnetId,
    Traffic, VpcId,
};
use ipnet::IpNet;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Adds an ACL with its entries; subnets are associated later. `request` is the client token that the ACL was asked for
/// with, and the digest of that request.
///
/// # Errors
/// The database's; a token that is taken, or a second default ACL of the VPC, is one.
pub fn add(connection: &Connection, acl: &NetworkAcl, request: Option<(&str, &str)>) -> Result<(), StoreError> {
    let sql = "INSERT INTO network_acls (id, vpc, is_default, client_token, request_digest, created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (token, digest) = request.unzip();
    connection.prepare_cached(sql)?.execute(params![
        acl.id,
        acl.vpc,
        acl.is_default,
        token,
        digest,
        Micros(acl.created)
    ])?;
    acl.entries
        .iter()
        .try_for_each(|entry| put_entry(connection, acl.id, entry))
}

/// The ACL that was asked for with that client token, and the digest of that request.
///
/// # Errors
/// The database's.
pub fn asked_with(connection: &Connection, token: &str) -> Result<Option<(NetworkAclId, String)>, StoreError> {
    let sql = "SELECT id, request_digest FROM network_acls WHERE client_token = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement
        .query_row([token], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Puts an entry into an ACL, in the place of the one with that direction and number.
///
/// # Errors
/// The database's.
pub fn put_entry(connection: &Connection, acl: NetworkAclId, entry: &NetworkAclEntry) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO network_acl_entries \
               (acl, direction, number, protocol, from_port, to_port, cidr, allow) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (from, to) = entry.traffic.numbers().unzip();
    connection.prepare_cached(sql)?.execute(params![
        acl,
        entry.direction,
        entry.number,
        entry.traffic.protocol(),
        from,
        to,
        Text(entry.block),
        entry.allow,
    ])?;
    Ok(())
}

/// Removes an entry of an ACL.
///
/// # Errors
/// The database's.
pub fn remove_entry(
    connection: &Connection,
    acl: NetworkAclId,
    direction: Direction,
    number: u16,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM network_acl_entries WHERE acl = ?1 AND direction = ?2 AND number = ?3")?
        .execute(params![acl, direction, number])?;
    Ok(())
}

/// Has a subnet use an ACL, instead of the one that it used.
///
/// # Errors
/// The database's.
pub fn associate(
    connection: &Connection,
    acl: NetworkAclId,
    association: NetworkAclAssociation,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO network_acl_associations (id, acl, subnet) VALUES (?1, ?2, ?3)";
    connection
        .prepare_cached(sql)?
        .execute(params![association.id, acl, association.subnet])?;
    Ok(())
}

/// Removes the association of a subnet, as is due when the subnet goes.
///
/// # Errors
/// The database's.
pub fn disassociate(connection: &Connection, subnet: SubnetId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM network_acl_associations WHERE subnet = ?1")?
        .execute([subnet])?;
    Ok(())
}

/// The ACL of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: NetworkAclId) -> Result<Option<NetworkAcl>, StoreError> {
    Ok(select(connection, "WHERE id = ?1", params![id])?.pop())
}

/// The ACL that has this association.
///
/// # Errors
/// The database's.
pub fn associated(
    connection: &Connection,
    association: NetworkAclAssociationId,
) -> Result<Option<NetworkAcl>, StoreError> {
    let which = "WHERE id = (SELECT acl FROM network_acl_associations WHERE id = ?1)";
    Ok(select(connection, which, params![association])?.pop())
}

/// The ACL that a VPC came with, and that goes with it.
///
/// # Errors
/// The database's; that there is none is one.
pub fn default_of(connection: &Connection, vpc: VpcId) -> Result<NetworkAclId, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM network_acls WHERE vpc = ?1 AND is_default")?;
    Ok(statement.query_row([vpc], |row| row.get(0))?)
}

/// All ACLs, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<NetworkAcl>, StoreError> {
    select(connection, "ORDER BY id", params![])
}

/// The ACLs of a VPC, by id.
///
/// # Errors
/// The database's.
pub fn of_vpc(connection: &Connection, vpc: VpcId) -> Result<Vec<NetworkAcl>, StoreError> {
    select(connection, "WHERE vpc = ?1 ORDER BY id", params![vpc])
}

/// Removes an ACL and its entries.
///
/// # Errors
/// The database's; a subnet that uses it is one.
pub fn remove(connection: &Connection, id: NetworkAclId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM network_acls WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

fn select(
    connection: &Connection,
    which: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<NetworkAcl>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT * FROM network_acls {which}"))?;
    let rows = statement.query_map(parameters, |row| {
        Ok(NetworkAcl {
            id: row.get("id")?,
            vpc: row.get("vpc")?,
            is_default: row.get("is_default")?,
            associations: Vec::new(),
            entries: Vec::new(),
            created: row.get::<_, Micros>("created")?.0,
        })
    })?;
    let mut acls: Vec<NetworkAcl> = rows.collect::<Result<_, _>>()?;
    let sql = "SELECT id, subnet FROM network_acl_associations WHERE acl = ?1 ORDER BY id";
    let mut associations = connection.prepare_cached(sql)?;
    let sql = "SELECT * FROM network_acl_entries WHERE acl = ?1 ORDER BY direction, number";
    let mut entries = connection.prepare_cached(sql)?;
    for acl in &mut acls {
        let rows = associations.query_map([acl.id], |row| {
            Ok(NetworkAclAssociation {
                id: row.get(0)?,
                subnet: row.get(1)?,
            })
        })?;
        acl.associations = rows.collect::<Result<_, _>>()?;
        acl.entries = entries.query_map([acl.id], read_entry)?.collect::<Result<_, _>>()?;
    }
    Ok(acls)
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<NetworkAclEntry> {
    let (protocol, from, to) = (row.get("protocol")?, row.get("from_port")?, row.get("to_port")?);
    Ok(NetworkAclEntry {
        direction: row.get("direction")?,
        number: row.get("number")?,
        traffic: Traffic::from_numbers(protocol, from, to).map_err(FromSqlError::other)?,
        block: row.get::<_, Text<IpNet>>("cidr")?.0,
        allow: row.get("allow")?,
    })
}
