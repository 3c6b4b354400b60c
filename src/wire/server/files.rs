//! The open files that came over a connection and wait for the request that they belong to.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// The most files that wait at one time; what comes beyond them is closed.
pub const MAX_FILES: usize = 8;

/// The waiting files of one connection. A request takes all of them once its body is there; so a client that sends
/// files sends one request after another, not several at once.
#[derive(Debug, Clone, Default)]
pub struct FileBag(Arc<Mutex<Vec<OwnedFd>>>);

impl FileBag {
    /// Keeps files as long as there is room.
    pub fn put(&self, files: impl IntoIterator<Item = OwnedFd>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files {
            // Beyond the bound the file is dropped, and so closed.
            if waiting.len() < MAX_FILES {
                waiting.push(file);
            }
        }
    }

    /// Takes all files, in the order in which they came.
    #[must_use]
    pub fn take(&self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
