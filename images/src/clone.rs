//! Copies of raw files that cost as little as the file system lets them.
//!
//! The daemon makes volumes and snapshots with [`clone_file`]: by reflink (XFS, btrfs), else by `copy_file_range` of
//! the data only, else by reading and writing the data only. Holes stay holes.

use crate::sparse::{is_full, next_data};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// How much is copied with one call, so that a call can be interrupted in good time.
const STEP: u64 = 128 << 20;
/// The buffer for copying by hand.
const BUFFER: usize = 1 << 20;

/// How a file was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The copy shares the original's blocks until one of them is written (`FICLONE`).
    Reflink,
    /// The kernel copied the data (`copy_file_range`).
    CopyRange,
    /// The data was read and written.
    ReadWrite,
}

/// A copy that was made and is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cloned {
    /// How.
    pub method: Method,
    /// The bytes that were copied; none by reflink.
    pub bytes_copied: u64,
}

/// Why a file was not copied. The destination may hold part of it: its owner removes it.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// The file system of the copy has no room for it, or a quota or limit on the size of files was met.
    #[error("There is no room for the copy: {copied} bytes of the data were copied before the disk was full")]
    NoSpace {
        /// What had been copied, in bytes.
        copied: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The copy would be shorter than the original.
    #[error("A copy of {wanted} bytes can't hold the original's {original} bytes")]
    Shrinks {
        /// The size asked for, in bytes.
        wanted: u64,
        /// The original's size, in bytes.
        original: u64,
    },
    /// The destination is not an empty file.
    #[error("The file to copy to is not empty: it has {size} bytes")]
    NotEmpty {
        /// Its size in bytes.
        size: u64,
    },
    /// Something else that the system refused.
    #[error("The file can't be copied: {doing} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Copies `source` to the empty file `dest`, lets it grow to `size` bytes if that is given, and syncs it and
/// `dest_dir`, the directory that it was made in. What lies beyond the original's end is a hole. In a copy that
/// grew, the backup of a GPT stays where the original ended: Linux finds the first one, and growpart in the guest moves it.
///
/// # Errors
/// See [`CloneError`]; the caller removes the destination then.
pub fn clone_file(source: &File, dest: &File, dest_dir: &File, size: Option<u64>) -> Result<Cloned, CloneError> {
    let length = |file: &File| file.metadata().map(|m| m.len()).map_err(failed("reading a size"));
    let original = length(source)?;
    let wanted = size.unwrap_or(original);
    if wanted < original {
        return Err(CloneError::Shrinks { wanted, original });
    }
    match length(dest)? {
        0 => {}
        size => return Err(CloneError::NotEmpty { size }),
    }
    let reflinked = reflink(source, dest).map_err(write_failed(0, "sharing its blocks"))?;
    dest.set_len(wanted)
        .map_err(write_failed(0, "setting the copy's size"))?;
    let cloned = match reflinked {
        true => Cloned {
            method: Method::Reflink,
            bytes_copied: 0,
        },
        false => copy_data(source, dest, original)?,
    };
    dest.sync_all()
        .map_err(write_failed(cloned.bytes_copied, "syncing the copy"))?;
    dest_dir
        .sync_all()
        .map_err(write_failed(cloned.bytes_copied, "syncing the copy's directory"))?;
    Ok(cloned)
}

/// Has the empty file `dest` share all blocks of `source`; false where the file systems can't.
pub(crate) fn reflink(source: &File, dest: &File) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(dest, source) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS | Errno::PERM) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Copies what is not a hole.
fn copy_data(source: &File, dest: &File, end: u64) -> Result<Cloned, CloneError> {
    let mut copy = Copy {
        source,
        dest,
        method: Method::CopyRange,
        copied: 0,
        buffer: Vec::new(),
    };
    let mut at = 0;
    while let Some(data) = next_data(source, at, end).map_err(failed("looking for data"))? {
        at = data.end;
        copy.range(data)?;
    }
    Ok(Cloned {
        method: copy.method,
        bytes_copied: copy.copied,
    })
}

/// A copy under way.
struct Copy<'a> {
    source: &'a File,
    dest: &'a File,
    method: Method,
    copied: u64,
    buffer: Vec<u8>,
}

impl Copy<'_> {
    fn range(&mut self, range: Range<u64>) -> Result<(), CloneError> {
        let mut at = range.start;
        while at < range.end {
            let step = (range.end - at).min(STEP);
            let done = match self.method {
                Method::CopyRange => self.by_kernel(at, step)?,
                _ => self.by_hand(at, step)?,
            };
            at += done;
            self.copied += done;
        }
        Ok(())
    }

    /// Gives how many bytes were copied, none if the kernel can't copy between these files.
    fn by_kernel(&mut self, at: u64, len: u64) -> Result<u64, CloneError> {
        let (mut from, mut to) = (at, at);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(self.source, Some(&mut from), self.dest, Some(&mut to), len) {
            Ok(0) => Err(failed("reading the original")(io::ErrorKind::UnexpectedEof.into())),
            Ok(done) => Ok(done as u64),
            Err(Errno::INTR) => Ok(0),
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::BADF) => {
                self.method = Method::ReadWrite;
                Ok(0)
            }
            Err(error) => Err(write_failed(self.copied, "copying data")(error.into())),
        }
    }

    fn by_hand(&mut self, at: u64, len: u64) -> Result<u64, CloneError> {
        self.buffer.resize(BUFFER, 0);
        let step = usize::try_from(len).unwrap_or(usize::MAX).min(BUFFER);
        let buffer = &mut self.buffer[..step];
        self.source
            .read_exact_at(buffer, at)
            .map_err(failed("reading the original"))?;
        self.dest
            .write_all_at(buffer, at)
            .map_err(write_failed(self.copied, "writing the copy"))?;
        Ok(step as u64)
    }
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> CloneError {
    move |source| CloneError::Io { doing, source }
}

fn write_failed(copied: u64, doing: &'static str) -> impl Fn(io::Error) -> CloneError {
    move |source| match is_full(&source) {
        true => CloneError::NoSpace { copied, source },
        false => CloneError::Io { doing, source },
    }
}
