//! The ledger of host objects: a row before the thing is made, none after it is gone.
//!
//! So whatever a crash leaves behind has a row, and whatever has no row is not ours to touch.

use super::StoreError;
use super::columns::Micros;
use rusqlite::{Connection, Row, params};
use time::OffsetDateTime;

/// What kind of host object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A regular file; the name is its path.
    File,
    /// A directory with what is in it; the name is its path.
    Directory,
    /// A systemd scope; the name is the unit's.
    Scope,
    /// A control group of ours; the name is its path below each controller's root.
    Cgroup,
    /// A network link.
    Link,
    /// An nftables table of the family `ip`.
    Table,
}

impl ObjectKind {
    const ALL: [Self; 6] = [
        Self::File,
        Self::Directory,
        Self::Scope,
        Self::Cgroup,
        Self::Link,
        Self::Table,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Scope => "scope",
            Self::Cgroup => "cgroup",
            Self::Link => "link",
            Self::Table => "table",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A host object on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostObject {
    /// What it is.
    pub kind: ObjectKind,
    /// What the host calls it.
    pub name: String,
    /// The id of the resource that it belongs to.
    pub owner: String,
}

fn read(row: &Row<'_>) -> rusqlite::Result<HostObject> {
    Ok(HostObject {
        kind: row.get("kind")?,
        name: row.get("name")?,
        owner: row.get("owner")?,
    })
}

/// Puts an object on record, before it is made. One that is on record already stays as it is.
///
/// # Errors
/// The database's.
pub fn record(connection: &Connection, object: &HostObject) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger (kind, name, owner, recorded) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let now = Micros(OffsetDateTime::now_utc());
    connection
        .prepare_cached(sql)?
        .execute(params![object.kind, object.name, object.owner, now])?;
    Ok(())
}

/// Strikes an object off the record, after it is gone.
///
/// # Errors
/// The database's.
pub fn forget(connection: &Connection, kind: ObjectKind, name: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM ledger WHERE kind = ?1 AND name = ?2")?
        .execute(params![kind, name])?;
    Ok(())
}

/// What is on record for one resource.
///
/// # Errors
/// The database's.
pub fn of(connection: &Connection, owner: &str) -> Result<Vec<HostObject>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM ledger WHERE owner = ?1 ORDER BY kind, name")?;
    let rows = statement.query_map([owner], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All that is on record.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<HostObject>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM ledger ORDER BY owner, kind, name")?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
