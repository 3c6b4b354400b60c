//! The indices as they were fetched last: what `kiln catalog images` lists and `kiln pull` goes by, without a connection.

use super::error::CatalogError;
use super::folders::{self, Folders};
use super::index::Index;
use super::subscriptions::Subscription;
use std::time::SystemTime;

/// Keeps a catalog's index, in the place of the one before.
pub fn keep(folders: &Folders, catalog: &str, text: &[u8]) -> Result<(), CatalogError> {
    folders::replace(&folders.index(catalog), text)
}

/// A catalog's index and when it was fetched; nothing if it never was.
pub fn read(folders: &Folders, subscription: &Subscription) -> Result<Option<(Index, SystemTime)>, CatalogError> {
    let path = folders.index(&subscription.name);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CatalogError::file(path)(error)),
    };
    let fetched = std::fs::metadata(&path).and_then(|about| about.modified());
    let fetched = fetched.map_err(CatalogError::file(path))?;
    let index = Index::parse(&text, subscription.key.is_some()).map_err(|source| CatalogError::Index {
        catalog: subscription.name.clone(),
        source,
    })?;
    Ok(Some((index, fetched)))
}

/// Removes a catalog's index.
pub fn forget(folders: &Folders, catalog: &str) -> Result<(), CatalogError> {
    folders::remove(&folders.index(catalog))
}
