//! The device names that images and instances give to the disks of an instance's type.

use super::StoreError;
use crate::model::{InstanceStoreMapping, ResourceId};
use rusqlite::{Connection, params};

/// Gives an image or an instance these mappings, in the place of those that it had.
///
/// # Errors
/// The database's; a disk or a device name that is mapped twice is one.
pub fn put(connection: &Connection, of: ResourceId, mappings: &[InstanceStoreMapping]) -> Result<(), StoreError> {
    remove(connection, of)?;
    let sql = "INSERT INTO instance_store_mappings (resource, virtual_name, device_name) VALUES (?1, ?2, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    for mapping in mappings {
        statement.execute(params![of, mapping.virtual_name, mapping.device_name])?;
    }
    Ok(())
}

/// The mappings of an image or an instance, by device name.
///
/// # Errors
/// The database's.
pub fn of(connection: &Connection, of: ResourceId) -> Result<Vec<InstanceStoreMapping>, StoreError> {
    let sql = "SELECT * FROM instance_store_mappings WHERE resource = ?1 ORDER BY device_name";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([of], |row| {
        Ok(InstanceStoreMapping {
            virtual_name: row.get("virtual_name")?,
            device_name: row.get("device_name")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets the mappings of an image or an instance.
///
/// # Errors
/// The database's.
pub(super) fn remove(connection: &Connection, of: ResourceId) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM instance_store_mappings WHERE resource = ?1")?;
    statement.execute([of])?;
    Ok(())
}
