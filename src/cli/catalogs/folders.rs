//! Where catalogs are kept: subscriptions under `$XDG_CONFIG_HOME/kiln`, indices and disks that are being fetched under
//! `$XDG_CACHE_HOME/kiln/catalog`. Files are replaced whole, and are on the disk before their names are.

use super::error::CatalogError;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folders of who runs the command.
#[derive(Debug, Clone)]
pub struct Folders {
    config: PathBuf,
    cache: PathBuf,
}

impl Folders {
    /// Those that the environment names.
    pub fn of_user() -> Result<Folders, CatalogError> {
        let config = base("XDG_CONFIG_HOME", ".config")?;
        let cache = base("XDG_CACHE_HOME", ".cache")?;
        Ok(Folders {
            config: config.join("kiln"),
            cache: cache.join("kiln/catalog"),
        })
    }

    /// Both under one folder.
    #[cfg(test)]
    pub fn under(folder: &Path) -> Folders {
        Folders {
            config: folder.join("config/kiln"),
            cache: folder.join("cache/kiln/catalog"),
        }
    }

    /// The list of subscriptions.
    pub fn subscriptions(&self) -> PathBuf {
        self.config.join("catalogs.json")
    }

    /// Where the user's access keys are kept.
    pub fn access_keys(&self) -> PathBuf {
        self.config.join("access-keys")
    }

    /// The index of a catalog, as it was fetched last.
    pub fn index(&self, catalog: &str) -> PathBuf {
        self.cache.join("indices").join(format!("{catalog}.json"))
    }

    /// Where disks lie until they are imported.
    pub fn disks(&self) -> PathBuf {
        self.cache.join("disks")
    }

    /// Holds the subscriptions until the lock is dropped.
    pub fn lock(&self) -> Result<File, CatalogError> {
        make(&self.config)?;
        let failed = |source| CatalogError::File {
            path: self.config.clone(),
            source,
        };
        let folder = File::open(&self.config).map_err(failed)?;
        folder.lock().map_err(failed)?;
        Ok(folder)
    }
}

/// The specification has relative paths in these variables ignored.
fn base(variable: &'static str, under_home: &str) -> Result<PathBuf, CatalogError> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable)
        .or_else(|| absolute("HOME").map(|home| home.join(under_home)))
        .ok_or(CatalogError::NoHome(variable))
}

/// Makes a folder that is its owner's alone, and those above it.
pub fn make(folder: &Path) -> Result<(), CatalogError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(CatalogError::file(folder))
}

/// Puts a file in the place of what is there: readers see the one or the other, also after a power failure.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), CatalogError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    make(folder)?;
    let put = || {
        let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
        fresh.write_all(contents)?;
        fresh.as_file().sync_all()?;
        fresh.persist(path)?;
        File::open(folder)?.sync_all()
    };
    put().map_err(CatalogError::file(path))
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), CatalogError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CatalogError::file(path)(error)),
        _ => Ok(()),
    }
}
