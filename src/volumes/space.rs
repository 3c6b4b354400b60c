//! Room on the disk.

use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is left alone, for the database and console logs, in bytes.
const RESERVE: u64 = 64 << 20;

/// Why there is no room.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// The disk is too full.
    #[error("The volumes need {needed} bytes in {pool} and {free} are free there, of which {RESERVE} are kept back")]
    Full {
        /// The directory whose file system it is.
        pool: PathBuf,
        /// What would be written, in bytes.
        needed: u64,
        /// What is free, in bytes.
        free: u64,
    },
    /// The file system could not be asked.
    #[error("The room on the disk can't be found out")]
    Io(#[source] io::Error),
}

/// Checks that `count` clones of `snapshot` fit into the file system of `dir`. Where clones share blocks only a reserve
/// is asked for: volumes are sparse, and what guests will write is not known.
pub(super) fn check(snapshot: &Path, dir: &Path, reflinks: bool, count: u64) -> Result<(), SpaceError> {
    let data = std::fs::metadata(snapshot)
        .map_err(SpaceError::Io)?
        .blocks()
        .saturating_mul(512);
    let needed = if reflinks { 0 } else { data.saturating_mul(count) };
    check_free(dir, needed)
}

/// Checks that `needed` bytes can be written to the file system of `dir`, and the reserve is left.
pub(super) fn check_free(dir: &Path, needed: u64) -> Result<(), SpaceError> {
    let disk = rustix::fs::statvfs(dir).map_err(|error| SpaceError::Io(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if needed.saturating_add(RESERVE) > free {
        let pool = dir.to_owned();
        return Err(SpaceError::Full { pool, needed, free });
    }
    Ok(())
}

/// Tries whether two files in `dir` can share blocks.
pub(super) fn shares_blocks(dir: &Path) -> io::Result<bool> {
    // Files without a name: a crash leaves nothing.
    let unnamed = || -> io::Result<File> {
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        Ok(rustix::fs::open(dir, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?.into())
    };
    let pair = unnamed().and_then(|from| Ok((from, unnamed()?)));
    let (from, to) = match pair {
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => return Ok(false),
        other => other?,
    };
    rustix::io::write(&from, &[1; 4096])?;
    Ok(rustix::fs::ioctl_ficlone(&to, &from).is_ok())
}
