//! Volumes and their places in instances.

use super::StoreError;
use super::columns::{Micros, Size};
use super::related::by_owner;
use crate::model::{
    Attachment, AttachmentState, InstanceId, Volume, VolumeId, VolumeLimits, VolumeModification, VolumeState,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;

fn read(row: &Row<'_>) -> rusqlite::Result<Volume> {
    Ok(Volume {
        id: row.get("id")?,
        size: row.get::<_, Size>("size")?.0,
        snapshot: row.get("snapshot")?,
        state: row.get("state")?,
        limits: VolumeLimits {
            iops: row.get("iops")?,
            throughput: row.get("throughput")?,
        },
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
        state: row.get("attachment_state")?,
    })
}

/// Adds a volume.
///
/// # Errors
/// The database's.
pub fn add(connection: &Connection, volume: &Volume) -> Result<(), StoreError> {
    // As EC2 has it, I/O that was stopped goes on only when it is told to, unless its owner says otherwise.
    let sql = "INSERT INTO volumes (id, size, snapshot, state, created, iops, throughput, auto_enable_io) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)";
    let row = params![
        volume.id,
        Size(volume.size),
        volume.snapshot,
        volume.state,
        Micros(volume.created),
        volume.limits.iops,
        volume.limits.throughput
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

/// Whether a volume's I/O is to go on by itself after it was stopped.
///
/// # Errors
/// The database's; no such volume is one.
pub fn auto_enables_io(connection: &Connection, id: VolumeId) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT auto_enable_io FROM volumes WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0))?)
}

/// Says whether a volume's I/O is to go on by itself.
///
/// # Errors
/// The database's.
pub fn set_auto_enable_io(connection: &Connection, id: VolumeId, auto: bool) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE volumes SET auto_enable_io = ?2 WHERE id = ?1")?
        .execute(params![id, auto])?;
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
    let sql = "INSERT INTO attachments (volume, instance, device_name, delete_on_termination, attached, state) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        attachment.volume,
        attachment.instance,
        attachment.device_name,
        attachment.delete_on_termination,
        Micros(attachment.attached),
        attachment.state,
    ])?;
    Ok(())
}

/// Says how far a volume's attachment has come; nothing if it has none.
///
/// # Errors
/// The database's.
pub fn set_attachment_state(
    connection: &Connection,
    volume: VolumeId,
    state: AttachmentState,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE attachments SET state = ?2 WHERE volume = ?1")?
        .execute(params![volume, state])?;
    Ok(())
}

/// Says whether an attached volume goes with its instance.
///
/// # Errors
/// The database's.
pub fn set_delete_on_termination(connection: &Connection, volume: VolumeId, delete: bool) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE attachments SET delete_on_termination = ?2 WHERE volume = ?1")?
        .execute(params![volume, delete])?;
    Ok(())
}

/// Where a volume is attached.
///
/// # Errors
/// The database's.
pub fn attachment(connection: &Connection, volume: VolumeId) -> Result<Option<Attachment>, StoreError> {
    let sql = "SELECT *, state AS attachment_state FROM attachments WHERE volume = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([volume], read_attachment).optional()?)
}

/// Gives a volume another size, in bytes, and other limits.
///
/// # Errors
/// The database's.
pub fn modify(connection: &Connection, id: VolumeId, size: u64, limits: VolumeLimits) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE volumes SET size = ?2, iops = ?3, throughput = ?4 WHERE id = ?1")?
        .execute(params![id, Size(size), limits.iops, limits.throughput])?;
    Ok(())
}

/// Notes that a volume is changed; what was noted of it before is forgotten.
///
/// # Errors
/// The database's.
pub fn put_modification(connection: &Connection, one: &VolumeModification) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO volume_modifications (volume, original_size, target_size, started, ended, \
               original_iops, original_throughput, target_iops, target_throughput) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        one.volume,
        Size(one.original_size),
        Size(one.target_size),
        Micros(one.started),
        one.ended.map(Micros),
        one.original_limits.iops,
        one.original_limits.throughput,
        one.target_limits.iops,
        one.target_limits.throughput,
    ])?;
    Ok(())
}

/// How a volume was changed last.
///
/// # Errors
/// The database's.
pub fn modification(connection: &Connection, volume: VolumeId) -> Result<Option<VolumeModification>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM volume_modifications WHERE volume = ?1")?;
    Ok(statement.query_row([volume], read_modification).optional()?)
}

/// How all volumes were changed last, by volume.
///
/// # Errors
/// The database's.
pub fn modifications(connection: &Connection) -> Result<Vec<VolumeModification>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM volume_modifications ORDER BY volume")?;
    let rows = statement.query_map([], read_modification)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_modification(row: &Row<'_>) -> rusqlite::Result<VolumeModification> {
    Ok(VolumeModification {
        volume: row.get("volume")?,
        original_size: row.get::<_, Size>("original_size")?.0,
        target_size: row.get::<_, Size>("target_size")?.0,
        original_limits: VolumeLimits {
            iops: row.get("original_iops")?,
            throughput: row.get("original_throughput")?,
        },
        target_limits: VolumeLimits {
            iops: row.get("target_iops")?,
            throughput: row.get("target_throughput")?,
        },
        started: row.get::<_, Micros>("started")?.0,
        ended: row.get::<_, Option<Micros>>("ended")?.map(|ended| ended.0),
    })
}

super::tokens::queries!("volumes", VolumeId);

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
    Ok(of_instances(connection, &[id])?.remove(&id).unwrap_or_default())
}

/// The volumes of each of these instances that has any, by device name.
///
/// # Errors
/// The database's.
pub fn of_instances(
    connection: &Connection,
    ids: &[InstanceId],
) -> Result<HashMap<InstanceId, Vec<(Volume, Attachment)>>, StoreError> {
    let sql = "SELECT volumes.*, attachments.*, attachments.state AS attachment_state \
               FROM attachments JOIN volumes ON volumes.id = attachments.volume \
               WHERE instance IN (SELECT value FROM json_each(?1)) ORDER BY instance, device_name";
    by_owner(connection, sql, ids, |row| {
        let attachment = read_attachment(row)?;
        Ok((attachment.instance, (read(row)?, attachment)))
    })
}

/// All attachments, by volume.
///
/// # Errors
/// The database's.
pub fn attachments(connection: &Connection) -> Result<Vec<Attachment>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT *, state AS attachment_state FROM attachments ORDER BY volume")?;
    let rows = statement.query_map([], read_attachment)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
