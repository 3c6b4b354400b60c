//! Why a disk could not be exported.

use super::Format;
use crate::sparse::is_full;
use std::io;

/// Why a disk was not exported. The destination may hold a part of the image: its owner removes it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The format can't hold so much.
    #[error("The disk has {size} bytes, which is more than fits in a {format} image; export it as raw or qcow2")]
    TooLarge {
        /// The format.
        format: Format,
        /// The disk's size in bytes.
        size: u64,
    },
    /// The destination is not an empty file.
    #[error("The file to export to is not empty: it has {size} bytes")]
    NotEmpty {
        /// Its size in bytes.
        size: u64,
    },
    /// The file system of the destination has no room for the image.
    #[error("There is no room for the image: the disk was full after {written} bytes")]
    NoSpace {
        /// What was written, in bytes.
        written: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk could not be read.
    #[error("The disk can't be read at byte {offset}")]
    Read {
        /// Where, in bytes from the disk's start.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The destination could not be written.
    #[error("The image can't be written after {written} bytes")]
    Write {
        /// What was written before, in bytes.
        written: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody asked for an end.
    #[error("The export was cancelled")]
    Cancelled,
}

impl ExportError {
    /// What a failed write means.
    pub(super) fn write(written: u64) -> impl Fn(io::Error) -> Self {
        move |source| match is_full(&source) {
            true => Self::NoSpace { written, source },
            false => Self::Write { written, source },
        }
    }

    /// What a failed read means.
    pub(super) fn read(offset: u64) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read { offset, source }
    }
}
