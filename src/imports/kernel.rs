//! Kernels and RAM disks: taken in as they are, with a digest.

use super::order::{Makes, Order};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The largest kernel or RAM disk, in bytes.
const MAX_SIZE: u64 = 1 << 30;
/// How much is read at once, in bytes.
const CHUNK: usize = 1 << 20;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Kernel,
    Ramdisk,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Ramdisk => "RAM disk",
        }
    }

    /// The file of an order that has one.
    pub(super) fn source(self, order: &Order) -> Result<&File, StoreFileError> {
        let Makes::Image(image) = &order.makes else {
            return Err(StoreFileError::Size { size: 0 });
        };
        let file = match self {
            Self::Kernel => image.kernel.as_ref().map(|kernel| &kernel.file),
            Self::Ramdisk => image.ramdisk.as_ref(),
        };
        file.ok_or(StoreFileError::Size { size: 0 })
    }
}

/// A file that was taken in and is on disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// In bytes.
    pub size: u64,
    /// SHA-256, in hexadecimal digits.
    pub digest: String,
}

/// Why a kernel or RAM disk was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum StoreFileError {
    /// There is nothing in it, or too much.
    #[error("It has {size} bytes; expecting 1 to {MAX_SIZE}")]
    Size {
        /// Its size in bytes.
        size: u64,
    },
    /// It is no kernel.
    #[error("It is neither a bzImage (\"HdrS\" at byte 514) nor an ELF file")]
    NotAKernel,
    /// It could not be read.
    #[error("It can't be read")]
    Read(#[source] io::Error),
    /// It could not be written; a full disk is the likeliest cause.
    #[error("It can't be written to the state directory")]
    Write(#[source] io::Error),
}

/// Copies `source` to the empty file `dest` at `path`; when this returns it is on disk.
pub(super) fn store(source: &File, mut dest: File, path: &Path, kind: Kind) -> Result<Stored, StoreFileError> {
    let size = source.metadata().map_err(StoreFileError::Read)?.len();
    if !(1..=MAX_SIZE).contains(&size) {
        return Err(StoreFileError::Size { size });
    }
    if kind == Kind::Kernel && !is_kernel(source).map_err(StoreFileError::Read)? {
        return Err(StoreFileError::NotAKernel);
    }
    let mut sum = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let read = source.read_at(&mut buffer, at).map_err(StoreFileError::Read)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
        // A file that grows while it is read ends at the bound, too.
        if at > MAX_SIZE {
            return Err(StoreFileError::Size { size: at });
        }
        sum.update(bytes);
        dest.write_all(bytes).map_err(StoreFileError::Write)?;
    }
    dest.sync_all().map_err(StoreFileError::Write)?;
    let dir = File::open(path.parent().unwrap_or(path)).map_err(StoreFileError::Write)?;
    dir.sync_all().map_err(StoreFileError::Write)?;
    let digest = hex::encode(sum.finalize());
    Ok(Stored { size: at, digest })
}

/// Whether the file begins as kernels do. Whether the machine can start it is for the monitor to find out.
fn is_kernel(file: &File) -> io::Result<bool> {
    let has = |at: u64, magic: &[u8; 4]| {
        let mut found = [0; 4];
        match file.read_exact_at(&mut found, at) {
            Ok(()) => Ok(found == *magic),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    };
    Ok(has(0, b"\x7fELF")? || has(514, b"HdrS")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8], kind: Kind) -> Result<Stored, StoreFileError> {
        let dir = tempfile::tempdir().unwrap();
        let mut source = tempfile::tempfile().unwrap();
        source.write_all(bytes).unwrap();
        let path = dir.path().join("aki");
        let stored = store(&source, File::create(&path).unwrap(), &path, kind);
        if stored.is_ok() {
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        stored
    }

    #[test]
    fn a_kernel_is_taken_in_as_it_is_with_its_digest() {
        let stored = taken(b"\x7fELF and more", Kind::Kernel).unwrap();
        assert_eq!(stored.size, 13);
        assert_eq!(stored.digest.len(), 64);
        let mut bzimage = vec![0; 1024];
        bzimage[514..518].copy_from_slice(b"HdrS");
        assert!(taken(&bzimage, Kind::Kernel).is_ok());
    }

    #[test]
    fn what_is_no_kernel_is_refused_and_a_ram_disk_may_be_anything_but_empty() {
        assert!(matches!(
            taken(b"#!/bin/sh", Kind::Kernel),
            Err(StoreFileError::NotAKernel)
        ));
        assert!(taken(b"#!/bin/sh", Kind::Ramdisk).is_ok());
        assert!(matches!(
            taken(b"", Kind::Ramdisk),
            Err(StoreFileError::Size { size: 0 })
        ));
    }
}
