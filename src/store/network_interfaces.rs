//! Network interfaces, their groups and their places in instances.

use super::columns::{Micros, Text};
use super::related::{Ids, by_owner};
use super::{StoreError, numbers};
use crate::model::{
    AttachmentState, InstanceId, InterfaceAttachment, NetworkInterface, NetworkInterfaceId, PublicAddress,
    SecurityGroupId, SubnetId,
};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashSet;
use std::net::Ipv4Addr;

fn read_address(row: &Row<'_>) -> rusqlite::Result<Ipv4Addr> {
    let address: String = row.get("address")?;
    Ok(address.parse().map_err(FromSqlError::other)?)
}

/// A row without its groups and secondary addresses, which lie in tables of their own.
fn read(row: &Row<'_>) -> rusqlite::Result<NetworkInterface> {
    let attachment = match row.get("attachment")? {
        Some(id) => Some(InterfaceAttachment {
            id,
            instance: row.get("instance")?,
            device_index: row.get("device_index")?,
            delete_on_termination: row.get("delete_on_termination")?,
            attached: row.get::<_, Micros>("attached")?.0,
            state: row.get("state")?,
        }),
        None => None,
    };
    let of_start: bool = row.get::<_, Option<_>>("of_start")?.unwrap_or_default();
    let public = match row.get("allocation")? {
        Some(allocation) => Some(PublicAddress {
            address: row.get::<_, Text<Ipv4Addr>>("public_address")?.0,
            allocation: Some(allocation).filter(|_| !of_start),
            association: row.get("association")?,
        }),
        None => None,
    };
    Ok(NetworkInterface {
        id: row.get("id")?,
        number: row.get("number")?,
        subnet: row.get("subnet")?,
        mac: row.get("mac")?,
        address: read_address(row)?,
        secondary: Vec::new(),
        description: row.get("description")?,
        source_dest_check: row.get("source_dest_check")?,
        groups: Vec::new(),
        public_at_start: row.get("public_at_start")?,
        public,
        attachment,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds an interface; its attachment, if it has one, too.
///
/// # Errors
/// The database's; an address that is taken in the subnet is one.
pub fn add(connection: &Connection, interface: &NetworkInterface) -> Result<(), StoreError> {
    let sql = "INSERT INTO network_interfaces \
               (id, number, subnet, mac, address, description, source_dest_check, created, public_at_start) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        interface.id,
        interface.number,
        interface.subnet,
        interface.mac,
        interface.address.to_string(),
        interface.description,
        interface.source_dest_check,
        Micros(interface.created),
        interface.public_at_start,
    ])?;
    set_groups(connection, interface.id, &interface.groups)?;
    set_secondary(connection, interface, &interface.secondary)?;
    match &interface.attachment {
        Some(attachment) => attach(connection, interface.id, attachment),
        None => Ok(()),
    }
}

/// Puts an interface into these groups and no others.
///
/// # Errors
/// The database's; a group that is not there is one.
pub fn set_groups(
    connection: &Connection,
    id: NetworkInterfaceId,
    groups: &[SecurityGroupId],
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM network_interface_groups WHERE interface = ?1")?
        .execute([id])?;
    let sql = "INSERT INTO network_interface_groups (interface, security_group) VALUES (?1, ?2)";
    let mut statement = connection.prepare_cached(sql)?;
    for group in groups {
        statement.execute(params![id, group])?;
    }
    Ok(())
}

/// Attaches an interface to an instance.
///
/// # Errors
/// The database's; an interface or a place that is taken is one.
pub fn attach(
    connection: &Connection,
    id: NetworkInterfaceId,
    attachment: &InterfaceAttachment,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO network_interface_attachments \
               (id, interface, instance, device_index, delete_on_termination, attached, state) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        attachment.id,
        id,
        attachment.instance,
        attachment.device_index,
        attachment.delete_on_termination,
        Micros(attachment.attached),
        attachment.state,
    ])?;
    Ok(())
}

/// Says how far an interface's attachment has come; nothing if it has none.
///
/// # Errors
/// The database's.
pub fn set_attachment_state(
    connection: &Connection,
    id: NetworkInterfaceId,
    state: AttachmentState,
) -> Result<(), StoreError> {
    let sql = "UPDATE network_interface_attachments SET state = ?2 WHERE interface = ?1";
    connection.prepare_cached(sql)?.execute(params![id, state])?;
    Ok(())
}

/// Says whether an attached interface goes with its instance.
///
/// # Errors
/// The database's.
pub fn set_delete_on_termination(
    connection: &Connection,
    id: NetworkInterfaceId,
    delete: bool,
) -> Result<(), StoreError> {
    let sql = "UPDATE network_interface_attachments SET delete_on_termination = ?2 WHERE interface = ?1";
    connection.prepare_cached(sql)?.execute(params![id, delete])?;
    Ok(())
}

/// Gives an interface these private addresses beside its primary one.
///
/// # Errors
/// The database's; a secondary address that another interface of the subnet has is one.
pub fn set_secondary(
    connection: &Connection,
    interface: &NetworkInterface,
    addresses: &[Ipv4Addr],
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM secondary_addresses WHERE interface = ?1")?
        .execute([interface.id])?;
    let sql = "INSERT INTO secondary_addresses (interface, subnet, address, place) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    for (place, address) in (0_u32..).zip(addresses) {
        statement.execute(params![interface.id, interface.subnet, Text(address), place])?;
    }
    Ok(())
}

/// Changes what is for people, and the check of addresses.
///
/// # Errors
/// The database's.
pub fn set_attributes(
    connection: &Connection,
    id: NetworkInterfaceId,
    description: &str,
    source_dest_check: bool,
) -> Result<(), StoreError> {
    let sql = "UPDATE network_interfaces SET description = ?2, source_dest_check = ?3 WHERE id = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![id, description, source_dest_check])?;
    Ok(())
}

super::tokens::queries!("network_interfaces", NetworkInterfaceId);

/// Detaches an interface.
///
/// # Errors
/// The database's.
pub fn detach(connection: &Connection, id: NetworkInterfaceId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM network_interface_attachments WHERE interface = ?1")?
        .execute([id])?;
    Ok(())
}

/// Removes an interface and its attachment; it must have no public address any more.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, id: NetworkInterfaceId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM network_interfaces WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// The lowest number that no interface has.
///
/// # Errors
/// The database's.
pub fn free_number(connection: &Connection) -> Result<u32, StoreError> {
    numbers::lowest_free(connection, "network_interfaces")
}

/// The addresses that are taken in a subnet.
///
/// # Errors
/// The database's.
pub fn addresses(connection: &Connection, subnet: SubnetId) -> Result<HashSet<Ipv4Addr>, StoreError> {
    let sql = "SELECT address FROM network_interfaces WHERE subnet = ?1 \
               UNION ALL SELECT address FROM secondary_addresses WHERE subnet = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([subnet], read_address)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All interfaces, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<NetworkInterface>, StoreError> {
    select(connection, "ORDER BY network_interfaces.id", params![])
}

/// The interface of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: NetworkInterfaceId) -> Result<Option<NetworkInterface>, StoreError> {
    Ok(select(connection, "WHERE network_interfaces.id = ?1", params![id])?.pop())
}

/// The interfaces of an instance, by place.
///
/// # Errors
/// The database's.
pub fn of_instance(connection: &Connection, id: InstanceId) -> Result<Vec<NetworkInterface>, StoreError> {
    select(connection, "WHERE instance = ?1 ORDER BY device_index", params![id])
}

/// The interfaces of these instances, by instance and place.
///
/// # Errors
/// The database's.
pub fn of_instances(connection: &Connection, ids: &[InstanceId]) -> Result<Vec<NetworkInterface>, StoreError> {
    // By the attachment's own index: SQLite would go through all interfaces if the condition were one on the join's.
    let which = "WHERE network_interfaces.id IN (SELECT interface FROM network_interface_attachments \
                 WHERE instance IN (SELECT value FROM json_each(?1))) ORDER BY instance, device_index";
    select(connection, which, params![Ids(ids)])
}

/// The interfaces whose address is of a subnet, by id.
///
/// # Errors
/// The database's.
pub fn of_subnet(connection: &Connection, id: SubnetId) -> Result<Vec<NetworkInterface>, StoreError> {
    select(
        connection,
        "WHERE network_interfaces.subnet = ?1 ORDER BY network_interfaces.id",
        params![id],
    )
}

fn select(
    connection: &Connection,
    which: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<NetworkInterface>, StoreError> {
    let sql = format!(
        "SELECT network_interfaces.*, attachments.id AS attachment, instance, device_index, delete_on_termination, attached, state, \
         addresses.id AS allocation, addresses.address AS public_address, association, of_start \
         FROM network_interfaces \
         LEFT JOIN addresses ON addresses.interface = network_interfaces.id \
         LEFT JOIN network_interface_attachments AS attachments ON attachments.interface = network_interfaces.id {which}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut interfaces: Vec<NetworkInterface> = statement.query_map(parameters, read)?.collect::<Result<_, _>>()?;
    let ids: Vec<NetworkInterfaceId> = interfaces.iter().map(|interface| interface.id).collect();
    let sql = "SELECT interface, security_group FROM network_interface_groups \
               WHERE interface IN (SELECT value FROM json_each(?1)) ORDER BY interface, security_group";
    let mut groups = by_owner(connection, sql, &ids, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT interface, address FROM secondary_addresses \
               WHERE interface IN (SELECT value FROM json_each(?1)) ORDER BY interface, place";
    let mut secondary = by_owner(connection, sql, &ids, |row| Ok((row.get(0)?, read_address(row)?)))?;
    for interface in &mut interfaces {
        interface.groups = groups.remove(&interface.id).unwrap_or_default();
        interface.secondary = secondary.remove(&interface.id).unwrap_or_default();
    }
    Ok(interfaces)
}
