//! Files of the daemon's own making: on the ledger before they are made, off it after they are gone.

use crate::store::ledger::{self, HostObject, ObjectKind};
use crate::store::{Store, StoreError};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why a file could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum HostFileError {
    /// The file system refused.
    #[error("Can't {doing} {path}")]
    Io {
        /// What was being done: `create`, `remove`, ….
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The ledger could not be written.
    #[error("Can't put {path} on record")]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// Makes and removes files and directories, by the ledger.
#[derive(Debug, Clone)]
pub struct HostFiles {
    store: Store,
}

impl HostFiles {
    /// With the ledger of `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Makes an empty file, readable and writable by the daemon alone. `owner` is the id of the resource it is for.
    ///
    /// # Errors
    /// The file is there already, or can't be made or recorded.
    pub async fn create(&self, owner: &str, path: &Path) -> Result<File, HostFileError> {
        self.record(ObjectKind::File, owner, path).await?;
        blocking("create", path, |path| {
            let mut options = File::options();
            options.read(true).write(true).create_new(true).mode(0o600).open(path)
        })
        .await
    }

    /// Makes a file that is one hole of `size` bytes, in the place of one that may be there. When this returns, it is on
    /// disk.
    ///
    /// # Errors
    /// It can't be made or recorded; what was made of it is removed again.
    pub async fn create_sparse(&self, owner: &str, path: &Path, size: u64) -> Result<(), HostFileError> {
        self.remove(path).await?;
        let file = self.create(owner, path).await?;
        let made = blocking("size", path, move |path| {
            file.set_len(size)?;
            file.sync_all()?;
            sync_parent(path)
        });
        if let Err(error) = made.await {
            self.remove(path).await?;
            return Err(error);
        }
        Ok(())
    }

    /// Makes an empty file in a directory that is on record, in the place of one that may be there.
    ///
    /// # Errors
    /// It can't be made.
    pub async fn create_anew(&self, path: &Path) -> Result<(), HostFileError> {
        blocking("create", path, |path| {
            gone(std::fs::remove_file(path))?;
            File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map(drop)
        })
        .await
    }

    /// Makes a directory that only the daemon enters; one that is there already will do.
    ///
    /// # Errors
    /// It can't be made or recorded.
    pub async fn create_dir(&self, owner: &str, path: &Path) -> Result<(), HostFileError> {
        self.record(ObjectKind::Directory, owner, path).await?;
        blocking("create", path, |path| {
            std::fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
        })
        .await
    }

    /// Removes a file; when this returns it is gone for good and off the ledger. One that isn't there is fine.
    ///
    /// # Errors
    /// It can't be removed, or the ledger can't be written.
    pub async fn remove(&self, path: &Path) -> Result<(), HostFileError> {
        blocking("remove", path, |path| {
            gone(std::fs::remove_file(path)).and_then(|()| sync_parent(path))
        })
        .await?;
        self.forget(ObjectKind::File, path).await
    }

    /// Removes a directory with all that is in it; when this returns it is gone for good and off the ledger.
    ///
    /// # Errors
    /// It can't be removed, or the ledger can't be written.
    pub async fn remove_dir(&self, path: &Path) -> Result<(), HostFileError> {
        blocking("remove", path, |path| {
            gone(std::fs::remove_dir_all(path)).and_then(|()| sync_parent(path))
        })
        .await?;
        self.forget(ObjectKind::Directory, path).await
    }

    async fn record(&self, kind: ObjectKind, owner: &str, path: &Path) -> Result<(), HostFileError> {
        let object = HostObject {
            kind,
            name: path.to_string_lossy().into_owned(),
            owner: owner.to_owned(),
        };
        let recorded = self.store.write(move |tx| ledger::record(tx, &object)).await;
        recorded.map_err(|source| HostFileError::Ledger {
            path: path.into(),
            source,
        })
    }

    async fn forget(&self, kind: ObjectKind, path: &Path) -> Result<(), HostFileError> {
        let name = path.to_string_lossy().into_owned();
        let forgotten = self.store.write(move |tx| ledger::forget(tx, kind, &name)).await;
        forgotten.map_err(|source| HostFileError::Ledger {
            path: path.into(),
            source,
        })
    }
}

/// Does file work on a thread that may wait.
pub(crate) async fn blocking<T, F>(doing: &'static str, path: &Path, work: F) -> Result<T, HostFileError>
where
    T: Send + 'static,
    F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
{
    let owned = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&owned)).await;
    let result = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    result.map_err(|source| HostFileError::Io {
        doing,
        path: path.into(),
        source,
    })
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the coming or going of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    match File::open(parent) {
        Ok(parent) => parent.sync_all(),
        // Whoever removed the directory has synced its parent.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_on_the_ledger_exactly_while_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kiln.db")).unwrap();
        let files = HostFiles::new(store.clone());
        let path = dir.path().join("vol-1.raw");
        files.create("vol-1", &path).await.unwrap();
        assert_eq!(store.read(|tx| ledger::of(tx, "vol-1")).await.unwrap().len(), 1);
        assert!(
            matches!(files.create("vol-1", &path).await, Err(HostFileError::Io { .. })),
            "made twice"
        );
        files.remove(&path).await.unwrap();
        files.remove(&path).await.unwrap();
        assert!(!path.exists());
        assert!(store.read(ledger::list).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_could_not_be_made_stays_on_the_ledger_to_be_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kiln.db")).unwrap();
        let files = HostFiles::new(store.clone());
        let path = dir.path().join("missing/vol-1.raw");
        assert!(files.create("vol-1", &path).await.is_err());
        assert_eq!(store.read(ledger::list).await.unwrap().len(), 1);
        files.remove(&path).await.unwrap();
        assert!(store.read(ledger::list).await.unwrap().is_empty());
    }
}
