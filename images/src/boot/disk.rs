//! The disk that is looked at, with the bounds that hold for all looking.

use super::{BootError, Limit};
use crate::ReadAt;
use std::cell::Cell;
use std::io;
use std::time::Instant;

/// Why something on the disk can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FsError {
    /// The whole disk is given up.
    #[error(transparent)]
    Disk(#[from] BootError),
    /// It is not there.
    #[error("not found")]
    NotFound,
    /// It is another kind of thing: a directory, a socket.
    #[error("not a regular file")]
    NotAFile,
    /// The disk contradicts itself.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// It is as it should be, but nothing that is read here.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// It is longer than anything of its kind.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
}

impl FsError {
    /// Passes on what ends all looking; everything else is only about one thing on the disk.
    pub(super) fn fatal(self) -> Result<Self, BootError> {
        match self {
            Self::Disk(error) => Err(error),
            other => Ok(other),
        }
    }
}

impl From<super::file::TooFragmented> for FsError {
    fn from(_: super::file::TooFragmented) -> Self {
        Self::Damaged("a file is in too many pieces")
    }
}

/// A disk of which only so much is read.
pub(super) struct Disk<'d> {
    bytes: &'d dyn ReadAt,
    size: u64,
    read: Cell<u64>,
    started: Instant,
}

impl<'d> Disk<'d> {
    pub(super) fn new(bytes: &'d dyn ReadAt) -> Result<Self, BootError> {
        let size = bytes.size().map_err(|source| BootError::Read { offset: 0, source })?;
        Ok(Self {
            bytes,
            size,
            read: Cell::new(0),
            started: Instant::now(),
        })
    }

    /// In bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What files on it are read from.
    pub(super) fn bytes(&self) -> &'d dyn ReadAt {
        self.bytes
    }

    /// Counts `len` bytes, and looks at the clock.
    pub(super) fn charge(&self, len: u64) -> Result<(), BootError> {
        self.read.set(self.read.get().saturating_add(len));
        if self.read.get() > Limit::MAX_BYTES {
            return Err(BootError::Limit(Limit::Bytes));
        }
        match self.started.elapsed() > Limit::MAX_TIME {
            true => Err(BootError::Limit(Limit::Time)),
            false => Ok(()),
        }
    }

    /// Reads `buf.len()` bytes at `offset`.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), FsError> {
        let len = buf.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(FsError::Damaged("something lies beyond the disk's end"));
        }
        // A small read costs about as much as a page.
        self.charge(len.max(4096))?;
        Ok(self
            .bytes
            .read_exact_at(buf, offset)
            .map_err(|source| BootError::Read { offset, source })?)
    }

    /// Reads a whole file of at most `limit` bytes.
    pub(super) fn read_file(&self, file: &super::BootFile<'_>, limit: u64) -> Result<Vec<u8>, FsError> {
        if file.len() > limit {
            return Err(FsError::TooLarge(limit));
        }
        self.charge(file.len().max(4096))?;
        let mut bytes = vec![0; usize::try_from(file.len()).map_err(|_| FsError::TooLarge(limit))?];
        file.read_exact_at(&mut bytes, 0)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => FsError::Damaged("a file lies beyond the disk's end"),
                _ => BootError::Read {
                    offset: file.extents().first().map_or(0, |e| e.disk),
                    source,
                }
                .into(),
            })?;
        Ok(bytes)
    }
}

/// A part of the disk: a partition, or all of it.
#[derive(Clone, Copy)]
pub(super) struct Window<'w, 'd> {
    pub(super) disk: &'w Disk<'d>,
    /// In bytes from the disk's start.
    pub(super) start: u64,
    /// In bytes; the window lies within the disk.
    pub(super) len: u64,
}

impl Window<'_, '_> {
    /// Reads `buf.len()` bytes at `offset` of the window.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), FsError> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            return Err(FsError::Damaged("something lies beyond the file system's end"));
        }
        self.disk.read(buf, self.start + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk whose every byte can't be read.
    struct Broken;

    impl ReadAt for Broken {
        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::PermissionDenied.into())
        }

        fn size(&self) -> io::Result<u64> {
            Ok(1 << 20)
        }
    }

    #[test]
    fn a_disk_that_can_t_be_read_ends_all_looking() {
        let error = crate::boot::find(&Broken).unwrap_err();
        assert!(matches!(error, BootError::Read { offset: 0, .. }), "{error:?}");
    }

    #[test]
    fn only_so_much_of_a_disk_is_read() {
        let bytes = vec![0; 1 << 20];
        let disk = Disk::new(&bytes).unwrap();
        let mut buffer = vec![0; 1 << 20];
        for _ in 0..Limit::MAX_BYTES >> 20 {
            disk.read(&mut buffer, 0).unwrap();
        }
        let error = disk.read(&mut buffer[..1], 0).unwrap_err();
        assert!(
            matches!(error, FsError::Disk(BootError::Limit(Limit::Bytes))),
            "{error:?}"
        );
    }

    #[test]
    fn many_small_reads_are_no_way_around_the_bound() {
        let bytes = vec![0; 4096];
        let disk = Disk::new(&bytes).unwrap();
        let most = Limit::MAX_BYTES / 4096;
        let done = (0..=most).take_while(|_| disk.read(&mut [0], 0).is_ok()).count();
        assert_eq!(done as u64, most);
    }

    #[test]
    fn what_lies_beyond_the_end_is_said_to_be_damaged() {
        let bytes = vec![0; 4096];
        let disk = Disk::new(&bytes).unwrap();
        for offset in [4096, u64::MAX] {
            assert!(matches!(disk.read(&mut [0], offset), Err(FsError::Damaged(_))));
        }
    }
}
