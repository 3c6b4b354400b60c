//! Export tasks.

use super::StoreError;
use super::columns::Micros;
use crate::model::{ExportTask, ExportTaskId};
use rusqlite::{Connection, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<ExportTask> {
    Ok(ExportTask {
        id: row.get("id")?,
        client_token: row.get("client_token")?,
        request_digest: row.get("request_digest")?,
        state: row.get("state")?,
        progress: row.get("progress")?,
        message: row.get("message")?,
        description: row.get("description")?,
        format: row.get("format")?,
        image: row.get("image")?,
        snapshot: row.get("snapshot")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a task or replaces the record of the one with its id.
///
/// # Errors
/// The database's; a second task with the same token is one.
pub fn put(connection: &Connection, task: &ExportTask) -> Result<(), StoreError> {
    let sql = "INSERT INTO export_tasks (id, client_token, request_digest, state, progress, message, description, \
               format, image, snapshot, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
               ON CONFLICT (id) DO UPDATE SET state = excluded.state, progress = excluded.progress, \
               message = excluded.message";
    connection.prepare_cached(sql)?.execute(params![
        task.id,
        task.client_token,
        task.request_digest,
        task.state,
        task.progress,
        task.message,
        task.description,
        task.format,
        task.image,
        task.snapshot,
        Micros(task.created),
    ])?;
    Ok(())
}

super::tasks::queries!("export_tasks", ExportTask, ExportTaskId);
super::tasks::forgetting!("export_tasks");
