//! Import tasks.

use super::StoreError;
use super::columns::Micros;
use crate::model::{ImportTask, ImportTaskId};
use rusqlite::{Connection, Row, params};

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

super::tasks::queries!("import_tasks", ImportTask, ImportTaskId);
super::tasks::forgetting!("import_tasks");
