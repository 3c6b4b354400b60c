//! Disk images in raw and foreign formats, and their import to a sparse raw file.
//!
//! The daemon calls [`import`] once for each image that is brought in; while a guest runs, nothing but raw files is
//! read. Whoever sends an image may have made it to hurt: every table is bounded, no other file is ever opened
//! because an image names it, and what doesn't add up is refused.

mod detect;
mod digest;
mod error;
mod import;
mod qcow2;
mod raw;
mod vhd;
mod vmdk;

pub use detect::detect;
pub use digest::Digest;
pub use error::ImportError;
pub use import::{Imported, Progress, import};

use std::fmt;
use std::str::FromStr;

/// The largest disk that is taken in, in bytes: EC2's largest volume.
pub const MAX_SIZE: u64 = 64 << 40;

/// The formats of images that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// QEMU's, versions 2 and 3.
    Qcow2,
    /// VMware's hosted sparse extents, `monolithicSparse` and `streamOptimized`.
    Vmdk,
    /// Microsoft's virtual hard disk, fixed and dynamic.
    Vhd,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
        })
    }
}

/// A name that stands for no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no image format: raw, qcow2, vmdk and vhd are")]
pub struct ParseFormatError(String);

impl FromStr for Format {
    type Err = ParseFormatError;

    /// Reads a format's name, in capitals or not, as EC2's ImportImage has it.
    fn from_str(name: &str) -> Result<Self, ParseFormatError> {
        match name.to_ascii_lowercase().as_str() {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            "vmdk" => Ok(Self::Vmdk),
            "vhd" | "vpc" => Ok(Self::Vhd),
            _ => Err(ParseFormatError(name.chars().take(40).collect())),
        }
    }
}

/// An image that is read from its start to its end.
trait Source {
    /// The size of the disk in bytes, at most [`MAX_SIZE`].
    fn size(&self) -> u64;

    /// The first byte from `at` on that need not be zero; [`Source::size`] if there is none.
    fn next_data(&mut self, at: u64) -> Result<u64, ImportError>;

    /// Fills `buf` with the disk's bytes from `at` on; they lie within its size.
    fn read(&mut self, buf: &mut [u8], at: u64) -> Result<(), ImportError>;
}
