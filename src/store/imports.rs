//! Import tasks.

use super::StoreError;
use super::columns::Micros;
use crate::model::{ImportTask, ImportTaskId, ResourceId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use time::OffsetDateTime;

fn read(row: &Row<'_>) -> rusqlite::Result<ImportTask> {
    Ok(ImportTask {
        id: row.get("id")?,
        client_token: row.get("client_token")?,
        request_digest: row.get("request_digest")?,
        state: row.get("state")?,
        progress: row.get("progress")?,
        message: row.get("message")?,
        description: row.get("description")?,
        format: row.get("format")?,
        snapshot: row.get("snapshot")?,
        image: row.get("image")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a task or replaces the record of the one with its id.
///
/// # Errors
/// The database's; a second task with the same token is one.
pub fn put(connection: &Connection, task: &ImportTask) -> Result<(), StoreError> {
    let sql = "INSERT INTO import_tasks (id, client_token, request_digest, state, progress, message, description, \
               format, snapshot, image, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
               ON CONFLICT (id) DO UPDATE SET state = excluded.state, progress = excluded.progress, \
               message = excluded.message, format = excluded.format, snapshot = excluded.snapshot, \
               image = excluded.image";
    connection.prepare_cached(sql)?.execute(params![
        task.id,
        task.client_token,
        task.request_digest,
        task.state,
        task.progress,
        task.message,
        task.description,
        task.format,
        task.snapshot,
        task.image,
        Micros(task.created),
    ])?;
    Ok(())
}

/// The task of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: ImportTaskId) -> Result<Option<ImportTask>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM import_tasks WHERE id = ?1")?;
    Ok(statement.query_row([id], read).optional()?)
}

/// The task that was begun with that token.
///
/// # Errors
/// The database's.
pub fn by_token(connection: &Connection, token: &str) -> Result<Option<ImportTask>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM import_tasks WHERE client_token = ?1")?;
    Ok(statement.query_row([token], read).optional()?)
}

/// All tasks, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<ImportTask>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM import_tasks ORDER BY id")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets the tasks that ended and were begun before `before`, with their tags.
///
/// # Errors
/// The database's.
pub fn forget_ended(connection: &Connection, before: OffsetDateTime) -> Result<(), StoreError> {
    let sql = "DELETE FROM import_tasks WHERE state <> 'active' AND created < ?1 RETURNING id";
    let mut statement = connection.prepare_cached(sql)?;
    let forgotten = statement.query_map([Micros(before)], |row| row.get::<_, ImportTaskId>(0))?;
    for id in forgotten.collect::<Result<Vec<_>, _>>()? {
        super::tags::remove_all(connection, ResourceId::ImportTask(id))?;
    }
    Ok(())
}
