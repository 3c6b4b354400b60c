//! Kernel and RAM disk images.

use super::StoreError;
use super::columns::{Micros, Size};
use crate::model::{KernelId, KernelImage, RamdiskId, RamdiskImage};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read_kernel(row: &Row<'_>) -> rusqlite::Result<KernelImage> {
    Ok(KernelImage {
        id: row.get("id")?,
        description: row.get("description")?,
        command_line: row.get("command_line")?,
        digest: row.get("digest")?,
        size: row.get::<_, Size>("size")?.0,
        created: row.get::<_, Micros>("created")?.0,
    })
}

fn read_ramdisk(row: &Row<'_>) -> rusqlite::Result<RamdiskImage> {
    Ok(RamdiskImage {
        id: row.get("id")?,
        description: row.get("description")?,
        digest: row.get("digest")?,
        size: row.get::<_, Size>("size")?.0,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a kernel image.
///
/// # Errors
/// The database's.
pub fn add(connection: &Connection, kernel: &KernelImage) -> Result<(), StoreError> {
    let sql = "INSERT INTO kernels (id, description, command_line, digest, size, created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        kernel.id,
        kernel.description,
        kernel.command_line,
        kernel.digest,
        Size(kernel.size),
        Micros(kernel.created),
    ])?;
    Ok(())
}

/// Adds a RAM disk image.
///
/// # Errors
/// The database's.
pub fn add_ramdisk(connection: &Connection, ramdisk: &RamdiskImage) -> Result<(), StoreError> {
    let sql = "INSERT INTO ramdisks (id, description, digest, size, created) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        ramdisk.id,
        ramdisk.description,
        ramdisk.digest,
        Size(ramdisk.size),
        Micros(ramdisk.created),
    ])?;
    Ok(())
}

/// The kernel image of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: KernelId) -> Result<Option<KernelImage>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM kernels WHERE id = ?1")?;
    Ok(statement.query_row([id], read_kernel).optional()?)
}

/// The RAM disk image of that id.
///
/// # Errors
/// The database's.
pub fn get_ramdisk(connection: &Connection, id: RamdiskId) -> Result<Option<RamdiskImage>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM ramdisks WHERE id = ?1")?;
    Ok(statement.query_row([id], read_ramdisk).optional()?)
}

/// All kernel images, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<KernelImage>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM kernels ORDER BY id")?;
    let rows = statement.query_map([], read_kernel)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All RAM disk images, by id.
///
/// # Errors
/// The database's.
pub fn list_ramdisks(connection: &Connection) -> Result<Vec<RamdiskImage>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM ramdisks ORDER BY id")?;
    let rows = statement.query_map([], read_ramdisk)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether an image, or an instance that is not terminated, needs the kernel image.
///
/// # Errors
/// The database's.
pub fn in_use(connection: &Connection, id: KernelId) -> Result<bool, StoreError> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM images WHERE kernel = ?1) OR EXISTS (SELECT 1 FROM instances WHERE kernel = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// Whether an image, or an instance that is not terminated, needs the RAM disk image.
///
/// # Errors
/// The database's.
pub fn ramdisk_in_use(connection: &Connection, id: RamdiskId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM images WHERE ramdisk = ?1) OR EXISTS (SELECT 1 FROM instances WHERE ramdisk = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// Removes the record of a kernel image whose file is gone.
///
/// # Errors
/// The database's; an image or instance that still needs it is one.
pub fn remove(connection: &Connection, id: KernelId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM kernels WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Removes the record of a RAM disk image whose file is gone.
///
/// # Errors
/// The database's; an image or instance that still needs it is one.
pub fn remove_ramdisk(connection: &Connection, id: RamdiskId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM ramdisks WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
