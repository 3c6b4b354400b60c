//! Why an image could not be imported.

use super::{Format, OvaError};
use crate::sparse::is_full;
use std::io;

/// Why an image was not imported. The destination may hold part of it: its owner removes it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The image is of a kind that is not read.
    #[error("The image can't be imported: {what} is not supported; convert it with `qemu-img convert -O raw`")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// The image holds only what differs from another one.
    #[error(
        "The image can't be imported: it needs another file, {name:?}, which is never opened; make it whole with \
         `qemu-img convert -O raw`"
    )]
    NeedsFile {
        /// The other file's name, as far as the image says.
        name: String,
    },
    /// The image is not in the format that it was said to be in.
    #[error("The image is not a {format} image")]
    NotThat {
        /// The format that was said.
        format: Format,
    },
    /// The image contradicts itself, or its end is missing.
    #[error("The {format} image is damaged: {what}")]
    Damaged {
        /// Its format.
        format: Format,
        /// What is wrong.
        what: &'static str,
    },
    /// The image is an OVA that is not as it must be.
    #[error(transparent)]
    Ova(#[from] OvaError),
    /// The disk in the image has no bytes, or more than any volume.
    #[error("The image holds a disk of {size} bytes; it must have at least 512 and at most 64 TiB")]
    Size {
        /// The disk's size in bytes.
        size: u64,
    },
    /// The source is no regular file.
    #[error("The image is no regular file")]
    NotAFile,
    /// The destination is not an empty file.
    #[error("The file to import to is not empty: it has {size} bytes")]
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
    /// The image could not be read.
    #[error("The image can't be read at byte {offset}")]
    Read {
        /// Where, in bytes from the file's start.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The destination could not be written.
    #[error("The imported disk can't be written after {written} bytes")]
    Write {
        /// What was written before, in bytes.
        written: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody asked for an end.
    #[error("The import was cancelled")]
    Cancelled,
}

impl ImportError {
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
