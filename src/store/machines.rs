//! The ledger of monitor processes: which user id each has, and who the process is.

use super::StoreError;
use super::columns::Size;
use crate::model::InstanceId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashSet;
use std::ops::Range;

/// Who a process is: a number alone may be another's by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its id.
    pub pid: i32,
    /// When it was started, in clock ticks since the boot (`/proc/PID/stat`, field 22).
    pub start_time: u64,
}

/// A monitor process on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineRecord {
    /// The instance that it runs.
    pub instance: InstanceId,
    /// The user and group that are its alone.
    pub uid: u32,
    /// The boot of the host that it was started in.
    pub boot_id: String,
    /// Who it is; none when the daemon ended between the record and the start.
    pub process: Option<ProcessIdentity>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<MachineRecord> {
    let pid: Option<i32> = row.get("pid")?;
    let start_time: Option<Size> = row.get("start_time")?;
    let process = pid.zip(start_time).map(|(pid, start)| ProcessIdentity {
        pid,
        start_time: start.0,
    });
    Ok(MachineRecord {
        instance: row.get("instance")?,
        uid: row.get("uid")?,
        boot_id: row.get("boot_id")?,
        process,
    })
}

/// Puts a process on record before it is started, with the lowest user id of `uids` that no other has. Returns the
/// user id; none if all are taken.
///
/// # Errors
/// The database's; an instance that has a process on record is one.
pub fn record(
    connection: &Connection,
    instance: InstanceId,
    boot_id: &str,
    mut uids: Range<u32>,
) -> Result<Option<u32>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT uid FROM machines")?;
    let taken: HashSet<u32> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let Some(uid) = uids.find(|uid| !taken.contains(uid)) else {
        return Ok(None);
    };
    let sql = "INSERT INTO machines (instance, uid, boot_id) VALUES (?1, ?2, ?3)";
    connection
        .prepare_cached(sql)?
        .execute(params![instance, uid, boot_id])?;
    Ok(Some(uid))
}

/// Records who the process is, once it is started.
///
/// # Errors
/// The database's.
pub fn identify(connection: &Connection, instance: InstanceId, process: ProcessIdentity) -> Result<(), StoreError> {
    let sql = "UPDATE machines SET pid = ?2, start_time = ?3 WHERE instance = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![instance, process.pid, Size(process.start_time)])?;
    Ok(())
}

/// Strikes a process off the record, after it is gone.
///
/// # Errors
/// The database's.
pub fn forget(connection: &Connection, instance: InstanceId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM machines WHERE instance = ?1")?
        .execute([instance])?;
    Ok(())
}

/// The process on record for an instance.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, instance: InstanceId) -> Result<Option<MachineRecord>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM machines WHERE instance = ?1")?;
    Ok(statement.query_row([instance], read).optional()?)
}

/// All processes on record.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<MachineRecord>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM machines ORDER BY instance")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
