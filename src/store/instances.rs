//! Instances and the steps of their last start.

use super::columns::{Micros, Size};
use super::related::Ids;
use super::{StoreError, instance_attributes};
use crate::model::{
    Instance, InstanceId, InstanceState, InstanceStore, InstanceType, LaunchKey, MetadataOptions, Milestone,
    ReservationId, ResourceId, Stage, StateReason,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::num::{NonZeroU8, NonZeroU32};
use time::OffsetDateTime;

const SELECT: &str = "SELECT instances.*, reservations.client_token AS client_token FROM instances \
                      JOIN reservations ON reservations.id = instances.reservation";

fn read(row: &Row<'_>) -> rusqlite::Result<Instance> {
    Ok(Instance {
        id: row.get("id")?,
        reservation: row.get("reservation")?,
        client_token: row.get("client_token")?,
        launch_index: row.get("launch_index")?,
        image: row.get("image")?,
        instance_type: InstanceType {
            name: row.get("type_name")?,
            vcpus: row.get("vcpus")?,
            threads_per_core: row.get("threads_per_core")?,
            memory: row.get::<_, Size>("memory")?.0,
            network_mbps: row.get::<_, Option<u32>>("network_mbps")?.and_then(NonZeroU32::new),
            instance_store: read_instance_store(row)?,
        },
        architecture: row.get("architecture")?,
        kernel: row.get("kernel")?,
        ramdisk: row.get("ramdisk")?,
        root_device_name: row.get("root_device_name")?,
        state: row.get("state")?,
        reason: read_reason(row)?,
        ran: row.get("ran")?,
        rebooting: row.get("rebooting")?,
        launched: row.get::<_, Micros>("launched")?.0,
        terminated: row.get::<_, Option<Micros>>("terminated")?.map(|at| at.0),
        shutdown_behavior: row.get("shutdown_behavior")?,
        user_data: row.get("user_data")?,
        key: read_key(row)?,
        metadata_options: MetadataOptions {
            endpoint: row.get("metadata_endpoint")?,
            tokens_required: row.get("metadata_tokens_required")?,
            hop_limit: row.get("metadata_hop_limit")?,
            tags: row.get("metadata_tags")?,
        },
        attributes: instance_attributes::read(row)?,
    })
}

fn read_instance_store(row: &Row<'_>) -> rusqlite::Result<Option<InstanceStore>> {
    let disks = row.get::<_, Option<u8>>("instance_store_disks")?;
    let Some(disks) = disks.and_then(NonZeroU8::new) else {
        return Ok(None);
    };
    let disk_size = row.get::<_, Size>("instance_store_disk_size")?.0;
    Ok(Some(InstanceStore { disks, disk_size }))
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<Option<LaunchKey>> {
    let Some(name) = row.get("key_name")? else {
        return Ok(None);
    };
    let public_key = row.get("public_key")?;
    Ok(Some(LaunchKey { name, public_key }))
}

fn read_reason(row: &Row<'_>) -> rusqlite::Result<Option<StateReason>> {
    let Some(code) = row.get("reason_code")? else {
        return Ok(None);
    };
    let at = row.get::<_, Micros>("reason_at")?.0;
    Ok(Some(StateReason {
        code,
        detail: row.get("reason_detail")?,
        at,
    }))
}

/// Adds an instance.
///
/// # Errors
/// The database's.
pub fn add(connection: &Connection, instance: &Instance) -> Result<(), StoreError> {
    let sql = "INSERT INTO instances (id, reservation, launch_index, image, type_name, vcpus, threads_per_core, memory, \
               architecture, kernel, ramdisk, root_device_name, shutdown_behavior, user_data, \
               state, rebooting, launched, ran, key_name, public_key, network_mbps, instance_store_disks, \
               instance_store_disk_size) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
               ?22, ?23)";
    let key = instance.key.as_ref();
    let instance_store = instance.instance_type.instance_store;
    connection.prepare_cached(sql)?.execute(params![
        instance.id,
        instance.reservation,
        instance.launch_index,
        instance.image,
        instance.instance_type.name,
        instance.instance_type.vcpus,
        instance.instance_type.threads_per_core,
        Size(instance.instance_type.memory),
        instance.architecture,
        instance.kernel,
        instance.ramdisk,
        instance.root_device_name,
        instance.shutdown_behavior,
        instance.user_data,
        instance.state,
        instance.rebooting,
        Micros(instance.launched),
        instance.ran,
        key.map(|key| &key.name),
        key.map(|key| &key.public_key),
        instance.instance_type.network_mbps.map(NonZeroU32::get),
        instance_store.map(|store| store.disks.get()),
        instance_store.map(|store| Size(store.disk_size)),
    ])?;
    set_metadata_options(connection, instance.id, instance.metadata_options)?;
    instance_attributes::put(connection, instance)?;
    update(connection, instance)
}

/// Writes how an instance's guest may ask for metadata.
///
/// # Errors
/// The database's.
pub fn set_metadata_options(
    connection: &Connection,
    id: InstanceId,
    options: MetadataOptions,
) -> Result<(), StoreError> {
    let sql = "UPDATE instances SET metadata_endpoint = ?2, metadata_tokens_required = ?3, metadata_hop_limit = ?4, \
               metadata_tags = ?5 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![
        id,
        options.endpoint,
        options.tokens_required,
        options.hop_limit,
        options.tags,
    ])?;
    Ok(())
}

/// Writes what changes in an instance's life: its state and reason, its times, whether it is rebooting, the image it is of.
///
/// # Errors
/// The database's.
pub fn update(connection: &Connection, instance: &Instance) -> Result<(), StoreError> {
    let sql = "UPDATE instances SET state = ?2, reason_code = ?3, reason_detail = ?4, reason_at = ?5, rebooting = ?6, \
               launched = ?7, terminated = ?8, kernel = ?9, ramdisk = ?10, ran = ?11, image = ?12 WHERE id = ?1";
    let reason = instance.reason.as_ref();
    connection.prepare_cached(sql)?.execute(params![
        instance.id,
        instance.state,
        reason.map(|reason| reason.code),
        reason.map(|reason| &reason.detail),
        reason.map(|reason| Micros(reason.at)),
        instance.rebooting,
        Micros(instance.launched),
        instance.terminated.map(Micros),
        instance.kernel,
        instance.ramdisk,
        instance.ran,
        instance.image,
    ])?;
    Ok(())
}

/// The instance of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: InstanceId) -> Result<Option<Instance>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE instances.id = ?1"))?;
    Ok(statement.query_row([id], read).optional()?)
}

/// Those of these instances that are there, by id.
///
/// # Errors
/// The database's.
pub fn of(connection: &Connection, ids: &[InstanceId]) -> Result<Vec<Instance>, StoreError> {
    let which = "WHERE instances.id IN (SELECT value FROM json_each(?1)) ORDER BY instances.id";
    let mut statement = connection.prepare_cached(&format!("{SELECT} {which}"))?;
    let rows = statement.query_map([Ids(ids)], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Which of these instances are there, by id.
///
/// # Errors
/// The database's.
pub fn present(connection: &Connection, ids: &[InstanceId]) -> Result<Vec<InstanceId>, StoreError> {
    let sql = "SELECT id FROM instances WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([Ids(ids)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The ids of up to `count` instances, in order, of those whose text comes after `after`.
///
/// # Errors
/// The database's.
pub fn ids_after(connection: &Connection, after: &str, count: usize) -> Result<Vec<InstanceId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM instances WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![after, count], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All instances, by id; terminated ones too, until they are purged.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<Instance>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY instances.id"))?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The instances of one launch, in its order.
///
/// # Errors
/// The database's.
pub fn of_reservation(connection: &Connection, id: ReservationId) -> Result<Vec<Instance>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE reservation = ?1 ORDER BY launch_index"))?;
    let rows = statement.query_map([id], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// vCPUs and bytes of memory that instances hold of the host.
///
/// # Errors
/// The database's.
pub fn held_capacity(connection: &Connection) -> Result<(u64, u64), StoreError> {
    let mut held = (0, 0);
    let sql = "SELECT state, vcpus, memory FROM instances WHERE state NOT IN ('stopped', 'terminated')";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, InstanceState>(0)?,
            row.get::<_, Size>(1)?.0,
            row.get::<_, Size>(2)?.0,
        ))
    })?;
    for row in rows {
        let (state, vcpus, memory) = row?;
        if state.holds_capacity() {
            held = (held.0 + vcpus, held.1 + memory);
        }
    }
    Ok(held)
}

/// Instances that were terminated before `before`.
///
/// # Errors
/// The database's.
pub fn terminated_before(connection: &Connection, before: OffsetDateTime) -> Result<Vec<InstanceId>, StoreError> {
    let sql = "SELECT id FROM instances WHERE state = 'terminated' AND terminated < ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([Micros(before)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes the record of an instance of which nothing is left.
///
/// # Errors
/// The database's; a volume or machine that is left is one.
pub fn remove(connection: &Connection, id: InstanceId) -> Result<(), StoreError> {
    super::instance_store::remove(connection, ResourceId::Instance(id))?;
    connection
        .prepare_cached("DELETE FROM instances WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Records that an instance reached a step of its start; the latest time counts. Returns whether that was news.
///
/// # Errors
/// The database's.
pub fn reach(connection: &Connection, id: InstanceId, milestone: Milestone) -> Result<bool, StoreError> {
    let sql = "INSERT INTO milestones (instance, stage, at) VALUES (?1, ?2, ?3) \
               ON CONFLICT (instance, stage) DO UPDATE SET at = excluded.at WHERE excluded.at > milestones.at";
    let changed = connection
        .prepare_cached(sql)?
        .execute(params![id, milestone.stage, Micros(milestone.at)])?;
    Ok(changed > 0)
}

/// Forgets the steps of the last start, as a new one begins.
///
/// # Errors
/// The database's.
pub fn forget_milestones(connection: &Connection, id: InstanceId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM milestones WHERE instance = ?1")?
        .execute([id])?;
    Ok(())
}

/// The steps that an instance reached since its last start, by time.
///
/// # Errors
/// The database's.
pub fn milestones(connection: &Connection, id: InstanceId) -> Result<Vec<Milestone>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT stage, at FROM milestones WHERE instance = ?1 ORDER BY at")?;
    let rows = statement.query_map([id], |row| {
        Ok(Milestone {
            stage: row.get::<_, Stage>(0)?,
            at: row.get::<_, Micros>(1)?.0,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
