//! Security groups and their rules.

use super::StoreError;
use super::columns::{Micros, Text};
use crate::model::{
    NetworkInterfaceId, Peer, SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId, Traffic, VpcId,
};
use ipnet::IpNet;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<SecurityGroup> {
    Ok(SecurityGroup {
        id: row.get("id")?,
        vpc: row.get("vpc")?,
        name: row.get("name")?,
        description: row.get("description")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

fn read_rule(row: &Row<'_>) -> rusqlite::Result<SecurityGroupRule> {
    let (protocol, from, to) = (row.get("protocol")?, row.get("from_port")?, row.get("to_port")?);
    let traffic = Traffic::from_numbers(protocol, from, to).map_err(FromSqlError::other)?;
    let peer = match (row.get::<_, Option<Text<IpNet>>>("peer_cidr")?, row.get("peer_group")?) {
        (Some(block), _) => Peer::Block(block.0),
        (None, Some(group)) => Peer::Group(group),
        (None, None) => Peer::PrefixList(row.get("peer_list")?),
    };
    Ok(SecurityGroupRule {
        id: row.get("id")?,
        group: row.get("security_group")?,
        direction: row.get("direction")?,
        traffic,
        peer,
        description: row.get("description")?,
    })
}

/// Adds a group, without rules.
///
/// # Errors
/// The database's; another of that name in the VPC is one.
pub fn add(connection: &Connection, group: &SecurityGroup) -> Result<(), StoreError> {
    let sql = "INSERT INTO security_groups (id, vpc, name, description, created) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        group.id,
        group.vpc,
        group.name,
        group.description,
        Micros(group.created),
    ])?;
    Ok(())
}

/// Adds a rule to its group.
///
/// # Errors
/// The database's.
pub fn add_rule(connection: &Connection, rule: &SecurityGroupRule) -> Result<(), StoreError> {
    let sql = "INSERT INTO security_group_rules \
               (id, security_group, direction, protocol, from_port, to_port, peer_cidr, peer_group, peer_list, description) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let (from, to) = rule.traffic.numbers().unzip();
    let (block, group, list) = match rule.peer {
        Peer::Block(block) => (Some(Text(block)), None, None),
        Peer::Group(group) => (None, Some(group), None),
        Peer::PrefixList(list) => (None, None, Some(list)),
    };
    connection.prepare_cached(sql)?.execute(params![
        rule.id,
        rule.group,
        rule.direction,
        rule.traffic.protocol(),
        from,
        to,
        block,
        group,
        list,
        rule.description,
    ])?;
    Ok(())
}

/// The group of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: SecurityGroupId) -> Result<Option<SecurityGroup>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM security_groups WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// The group of that name in a VPC.
///
/// # Errors
/// The database's.
pub fn named(connection: &Connection, vpc: VpcId, name: &str) -> Result<Option<SecurityGroup>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM security_groups WHERE vpc = ?1 AND name = ?2")?;
    Ok(statement.query_row(params![vpc, name], read).optional()?)
}

/// All groups, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<SecurityGroup>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM security_groups ORDER BY id")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All rules, by group and id.
///
/// # Errors
/// The database's.
pub fn rules(connection: &Connection) -> Result<Vec<SecurityGroupRule>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM security_group_rules ORDER BY security_group, id")?;
    let rows = statement.query_map([], read_rule)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The rules of one group, by id.
///
/// # Errors
/// The database's.
pub fn rules_of(connection: &Connection, group: SecurityGroupId) -> Result<Vec<SecurityGroupRule>, StoreError> {
    let sql = "SELECT * FROM security_group_rules WHERE security_group = ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([group], read_rule)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes what a rule lets through, and its description.
///
/// # Errors
/// The database's.
pub fn update_rule(connection: &Connection, rule: &SecurityGroupRule) -> Result<(), StoreError> {
    remove_rule(connection, rule.id)?;
    add_rule(connection, rule)
}

/// Removes a rule.
///
/// # Errors
/// The database's.
pub fn remove_rule(connection: &Connection, id: SecurityGroupRuleId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM security_group_rules WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// The interfaces that are in a group.
///
/// # Errors
/// The database's.
pub fn members(connection: &Connection, id: SecurityGroupId) -> Result<Vec<NetworkInterfaceId>, StoreError> {
    let sql = "SELECT interface FROM network_interface_groups WHERE security_group = ?1 ORDER BY interface";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The other groups that have a rule that names this one.
///
/// # Errors
/// The database's.
pub fn users(connection: &Connection, id: SecurityGroupId) -> Result<Vec<SecurityGroupId>, StoreError> {
    let sql = "SELECT DISTINCT security_group FROM security_group_rules \
               WHERE peer_group = ?1 AND security_group != ?1 ORDER BY security_group";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a group and its rules.
///
/// # Errors
/// The database's; an interface that is in it, or a rule that names it, is one.
pub fn remove(connection: &Connection, id: SecurityGroupId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM security_groups WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
