//! Tags on resources. Whether a resource exists ([`has_resource`]) is for the caller to check, in the same transaction.

use super::StoreError;
use super::related::by_owner;
use crate::model::{InstanceId, RESERVED_KEY, ResourceId, Tag, TaggedResource};
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// Puts a tag on a resource, in the place of the one with that key.
///
/// # Errors
/// The database's.
pub fn put(connection: &Connection, resource: ResourceId, tag: &Tag) -> Result<(), StoreError> {
    let sql = "INSERT INTO tags (resource, key, value) VALUES (?1, ?2, ?3) \
               ON CONFLICT (resource, key) DO UPDATE SET value = excluded.value";
    connection
        .prepare_cached(sql)?
        .execute(params![resource, tag.key, tag.value])?;
    Ok(())
}

/// Takes the tag with that key off a resource; with `value`, only if it has that value.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, resource: ResourceId, key: &str, value: Option<&str>) -> Result<(), StoreError> {
    let sql = "DELETE FROM tags WHERE resource = ?1 AND key = ?2 AND (?3 IS NULL OR value = ?3)";
    connection.prepare_cached(sql)?.execute(params![resource, key, value])?;
    Ok(())
}

/// Takes all tags off a resource, as is due when it goes.
///
/// # Errors
/// The database's.
pub fn remove_all(connection: &Connection, resource: ResourceId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM tags WHERE resource = ?1")?
        .execute([resource])?;
    Ok(())
}

/// Takes all tags off a resource that a client may have given it.
///
/// # Errors
/// The database's.
pub fn remove_given(connection: &Connection, resource: ResourceId) -> Result<(), StoreError> {
    let sql = "DELETE FROM tags WHERE resource = ?1 AND substr(key, 1, length(?2)) <> ?2";
    connection
        .prepare_cached(sql)?
        .execute(params![resource, RESERVED_KEY])?;
    Ok(())
}

/// The tags of one resource, by key.
///
/// # Errors
/// The database's.
pub fn of(connection: &Connection, resource: ResourceId) -> Result<Vec<Tag>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM tags WHERE resource = ?1 ORDER BY key")?;
    let rows = statement.query_map([resource], |row| {
        Ok(Tag {
            key: row.get(0)?,
            value: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The tags of each of these instances that has any, by key.
///
/// # Errors
/// The database's.
pub fn of_instances(connection: &Connection, ids: &[InstanceId]) -> Result<HashMap<InstanceId, Vec<Tag>>, StoreError> {
    let sql = "SELECT resource, key, value FROM tags \
               WHERE resource IN (SELECT value FROM json_each(?1)) ORDER BY resource, key";
    by_owner(connection, sql, ids, |row| {
        let tag = Tag {
            key: row.get(1)?,
            value: row.get(2)?,
        };
        Ok((row.get(0)?, tag))
    })
}

/// Whether there is such a resource.
///
/// # Errors
/// The database's.
pub fn has_resource(connection: &Connection, resource: ResourceId) -> Result<bool, StoreError> {
    let sql = format!("SELECT 1 FROM {} WHERE id = ?1", table(resource));
    Ok(connection.prepare_cached(&sql)?.exists([resource])?)
}

/// Where resources of that kind are kept.
const fn table(resource: ResourceId) -> &'static str {
    match resource {
        ResourceId::Instance(_) => "instances",
        ResourceId::Image(_) => "images",
        ResourceId::Volume(_) => "volumes",
        ResourceId::Snapshot(_) => "snapshots",
        ResourceId::ImportTask(_) => "import_tasks",
        ResourceId::ExportTask(_) => "export_tasks",
        ResourceId::ReplaceRootVolumeTask(_) => "replace_root_volume_tasks",
        ResourceId::Kernel(_) => "kernels",
        ResourceId::Ramdisk(_) => "ramdisks",
        ResourceId::KeyPair(_) => "key_pairs",
        ResourceId::Vpc(_) => "vpcs",
        ResourceId::Subnet(_) => "subnets",
        ResourceId::DhcpOptions(_) => "dhcp_options",
        ResourceId::InternetGateway(_) => "internet_gateways",
        ResourceId::RouteTable(_) => "route_tables",
        ResourceId::NetworkAcl(_) => "network_acls",
        ResourceId::SecurityGroup(_) => "security_groups",
        ResourceId::SecurityGroupRule(_) => "security_group_rules",
        ResourceId::PrefixList(_) => "prefix_lists",
        ResourceId::LaunchTemplate(_) => "launch_templates",
        ResourceId::NetworkInterface(_) => "network_interfaces",
        ResourceId::ElasticIp(_) => "addresses",
    }
}

/// All tags, by resource and key.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<TaggedResource>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT resource, key, value FROM tags ORDER BY resource, key")?;
    let rows = statement.query_map([], |row| {
        Ok(TaggedResource {
            resource: row.get(0)?,
            tag: Tag {
                key: row.get(1)?,
                value: row.get(2)?,
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
