//! One writer a volume: an open-file-description lock, which goes when the last descriptor of that opening is closed.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Why a volume was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("The volume is in use by another machine or program")]
    InUse,
    /// The file takes no locks.
    #[error("The volume could not be locked")]
    Refused(#[source] io::Error),
}

/// Locks all of `file`: for this opening alone, or, if `shared`, together with others that only read. A machine that is
/// built again locks the same opening again, which is no conflict.
///
/// # Errors
/// It is in use, or takes no locks.
pub fn lock(file: &File, shared: bool) -> Result<(), LockError> {
    // The constants are small; `flock` has them as shorts.
    let kind = if shared { libc::F_RDLCK } else { libc::F_WRLCK };
    let request = libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and the call only reads `request`.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &request) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Err(LockError::InUse),
        _ => Err(LockError::Refused(error)),
    }
}
