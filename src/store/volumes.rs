//! Volumes and their places in instances.

use super::StoreError;
use super::columns::{Micros, Size};
use crate::model::{Attachment, InstanceId, Volume, VolumeId, VolumeState};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<Volume> {
    Ok(Volume {
        id: row.get("id")?,
        size: row.get::<_, Size>("size")?.0,
        snapshot: row.get("snapshot")?,
        state: row.get("state")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

fn read_attachment(row: &Row<'_>) -> rusqlite::Result<Attachment> {
    Ok(Attachment {
        volume: row.get("volume")?,
        instance: row.get("instance")?,
        device_name: row.get("device_name")?,
        delete_on_termination: row.get("delete_on_termination")?,
        attached: row.get::<_, Micros>("attached")?.0,
    })
}

/// Adds a volume.
///
/// # Errors
/// The database's.
pub fn add(connection: &Connection, volume: &Volume) -> Result<(), StoreError> {
    let sql = "INSERT INTO volumes (id, size, snapshot, state, created) VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = params![
        volume.id,
        Size(volume.size),
        volume.snapshot,
        volume.state,
        Micros(volume.created)
    ];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Puts a volume into a state.
///
/// # Errors
/// The database's.
pub fn set_state(connection: &Connection, id: VolumeId, state: VolumeState) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE volumes SET state = ?2 WHERE id = ?1")?
        .execute(params![id, state])?;
    Ok(())
}

/// The volume of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: VolumeId) -> Result<Option<Volume>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM volumes WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// All volumes, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<Volume>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM volumes ORDER BY id")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes the record of a volume whose file is gone.
///
/// # Errors
/// The database's; an attachment that is left is one.
pub fn remove(connection: &Connection, id: VolumeId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM volumes WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Attaches a volume to an instance.
///
/// # Errors
/// The database's; a volume or device name that is taken is one.
pub fn attach(connection: &Connection, attachment: &Attachment) -> Result<(), StoreError> {
    let sql = "INSERT INTO attachments (volume, instance, device_name, delete_on_termination, attached) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        attachment.volume,
        attachment.instance,
        attachment.device_name,
        attachment.delete_on_termination,
        Micros(attachment.attached),
    ])?;
    Ok(())
}

/// Detaches a volume from its instance.
///
/// # Errors
/// The database's.
pub fn detach(connection: &Connection, volume: VolumeId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM attachments WHERE volume = ?1")?
        .execute([volume])?;
    Ok(())
}

/// The volumes of an instance with their attachments, by device name.
///
/// # Errors
/// The database's.
pub fn of_instance(connection: &Connection, id: InstanceId) -> Result<Vec<(Volume, Attachment)>, StoreError> {
    let sql = "SELECT * FROM attachments JOIN volumes ON volumes.id = attachments.volume \
               WHERE instance = ?1 ORDER BY device_name";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id], |row| Ok((read(row)?, read_attachment(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All attachments, by volume.
///
/// # Errors
/// The database's.
pub fn attachments(connection: &Connection) -> Result<Vec<Attachment>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM attachments ORDER BY volume")?;
    let rows = statement.query_map([], read_attachment)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
