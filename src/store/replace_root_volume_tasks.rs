//! Tasks that replace root volumes.

use super::StoreError;
use super::columns::Micros;
use crate::model::{InstanceId, ReplaceRootVolumeTask, ReplaceRootVolumeTaskId, ResourceId};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<ReplaceRootVolumeTask> {
    Ok(ReplaceRootVolumeTask {
        id: row.get("id")?,
        client_token: row.get("client_token")?,
        request_digest: row.get("request_digest")?,
        instance: row.get("instance")?,
        image: row.get("image")?,
        snapshot: row.get("snapshot")?,
        volume: row.get("volume")?,
        replaced: row.get("replaced")?,
        replaced_image: row.get("replaced_image")?,
        delete_replaced: row.get("delete_replaced")?,
        state: row.get("state")?,
        started: row.get::<_, Micros>("started")?.0,
        completed: row.get::<_, Option<Micros>>("completed")?.map(|at| at.0),
    })
}

/// Adds a task or replaces the state of the one with its id.
///
/// # Errors
/// The database's; a second task with the same token is one, and a second unfinished one of an instance.
pub fn put(connection: &Connection, task: &ReplaceRootVolumeTask) -> Result<(), StoreError> {
    let sql = "INSERT INTO replace_root_volume_tasks (id, client_token, request_digest, instance, image, snapshot, \
               volume, replaced, replaced_image, delete_replaced, state, started, completed) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
               ON CONFLICT (id) DO UPDATE SET state = excluded.state, completed = excluded.completed";
    connection.prepare_cached(sql)?.execute(params![
        task.id,
        task.client_token,
        task.request_digest,
        task.instance,
        task.image,
        task.snapshot,
        task.volume,
        task.replaced,
        task.replaced_image,
        task.delete_replaced,
        task.state,
        Micros(task.started),
        task.completed.map(Micros),
    ])?;
    Ok(())
}

super::tasks::queries!(
    "replace_root_volume_tasks",
    ReplaceRootVolumeTask,
    ReplaceRootVolumeTaskId
);

/// The task of an instance that has not ended.
///
/// # Errors
/// The database's.
pub fn unfinished_of(
    connection: &Connection,
    instance: InstanceId,
) -> Result<Option<ReplaceRootVolumeTask>, StoreError> {
    let sql = "SELECT * FROM replace_root_volume_tasks WHERE instance = ?1 AND completed IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([instance], read).optional()?)
}

/// All tasks that have not ended.
///
/// # Errors
/// The database's.
pub fn unfinished(connection: &Connection) -> Result<Vec<ReplaceRootVolumeTask>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM replace_root_volume_tasks WHERE completed IS NULL ORDER BY id")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets the tasks of an instance that is purged, with their tags.
///
/// # Errors
/// The database's.
pub fn remove_of(connection: &Connection, instance: InstanceId) -> Result<(), StoreError> {
    let sql = "DELETE FROM replace_root_volume_tasks WHERE instance = ?1 RETURNING id";
    let mut statement = connection.prepare_cached(sql)?;
    let forgotten = statement.query_map([instance], |row| row.get::<_, ResourceId>(0))?;
    for id in forgotten.collect::<Result<Vec<_>, _>>()? {
        super::tags::remove_all(connection, id)?;
    }
    Ok(())
}
