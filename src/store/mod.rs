//! What the daemon knows, kept in SQLite: the objects of the model, their tags, and the ledger of host objects.
//!
//! `api`, `instance` and `volumes` use it; nobody else opens the database. The submodules are functions over a
//! connection: those that read work in [`Store::read`] and [`Store::write`] alike, those that write only in the
//! latter. What a [`Store::write`] answered is on disk (WAL, `synchronous=FULL`). Reads run beside the writer and see
//! the last commit.

pub mod access_keys;
pub mod addresses;
mod columns;
pub mod dhcp_options;
pub mod drafts;
pub mod exports;
pub mod identity_key;
pub mod images;
pub mod imports;
pub mod instance_attributes;
pub mod instance_store;
pub mod instances;
pub mod internet_gateways;
pub mod kernels;
pub mod key_pairs;
pub mod launch_templates;
pub mod layout;
pub mod ledger;
pub mod machines;
pub mod metadata_defaults;
pub mod network_acls;
pub mod network_interfaces;
mod numbers;
pub mod prefix_lists;
mod related;
pub mod replace_root_volume_tasks;
pub mod reservations;
pub mod route_tables;
mod schema;
pub mod security_groups;
pub mod snapshots;
pub mod subnets;
pub mod tags;
mod tasks;
mod tokens;
pub mod volumes;
pub mod vpcs;
mod writer;

use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use writer::Writer;

/// How many reading connections are kept open while nobody reads.
const IDLE_READERS: usize = 4;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// SQLite could not open, check or migrate the database.
    #[error("Can't open the database {path}")]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database has a schema of the future.
    #[error(
        "The database {path} was written by a newer kiln (schema {version}, this one knows {known}): run that version"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        version: u32,
        /// The newest schema of this program.
        known: u32,
    },
    /// The writer's thread could not be started.
    #[error("Can't start the thread that writes to the database")]
    Thread(#[source] std::io::Error),
}

/// Why something could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A statement failed, or a row is not what it should be.
    #[error("The database refused a statement")]
    Statement(#[source] Arc<rusqlite::Error>),
    /// The transaction could not be made durable; nothing of it was done.
    #[error("The database could not commit a change")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// The store is closed, or the work died.
    #[error("The database is closed")]
    Gone,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Statement(Arc::new(error))
    }
}

/// The store; clones are the same one.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: Arc<Readers>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.readers.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database at `path`, making and migrating it as needed.
    ///
    /// # Errors
    /// The file can't be used, or is one of a newer kiln.
    pub fn open(path: &Path) -> Result<Self, OpenStoreError> {
        let sqlite = |source| OpenStoreError::Sqlite {
            path: path.into(),
            source,
        };
        let mut connection = Connection::open(path).map_err(sqlite)?;
        configure(&connection).map_err(sqlite)?;
        schema::migrate(&mut connection, path)?;
        let writer = Writer::start(connection).map_err(OpenStoreError::Thread)?;
        Ok(Self {
            writer,
            readers: Arc::new(Readers {
                path: path.into(),
                idle: Mutex::default(),
            }),
        })
    }

    /// Does `work` in a transaction and returns once it is durable. If it fails, nothing of it was done.
    ///
    /// # Errors
    /// What `work` returns, or the store's own failure.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// Does `work` on a connection that can only read, in one consistent view.
    ///
    /// # Errors
    /// What `work` returns, or the store's own failure.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let done = tokio::task::spawn_blocking(move || {
            let mut connection = readers.take().map_err(StoreError::from)?;
            let view = connection.transaction().map_err(StoreError::from)?;
            let result = work(&view);
            drop(view);
            readers.give_back(connection);
            result
        });
        done.await.unwrap_or_else(|_| Err(StoreError::Gone.into()))
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn take(&self) -> rusqlite::Result<Connection> {
        if let Some(connection) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(connection);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.path, flags)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
    }
}

/// Sixteen bytes of the kernel's randomness, for identifiers.
pub fn random_bits() -> u128 {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // Sixteen bytes come whole once the kernel's pool is ready; until then the call waits, or a signal breaks it off.
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    u128::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests;
