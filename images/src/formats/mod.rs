//! Disk images in raw and foreign formats: their import to a sparse raw file, and the export of such a file.
//!
//! The daemon calls [`import`] once for each image that is brought in, and [`export`] for each that a user takes out; while a guest
//! runs, nothing but raw files is read. Whoever sends an image may have made it to hurt: every table is bounded, no other file
//! is ever opened because an image names it, and what doesn't add up is refused.

mod detect;
mod digest;
mod error;
mod export;
mod import;
mod ova;
mod qcow2;
mod raw;
mod vhd;
mod vmdk;
mod window;

pub use detect::detect;
pub use digest::{Digest, digest_of};
pub use error::ImportError;
pub use export::{ExportError, Exported, export};
pub use import::{Imported, Progress, import};
pub use ova::OvaError;

use std::fmt;
use std::str::FromStr;

/// The largest disk that is taken in, in bytes: EC2's largest volume.
pub const MAX_SIZE: u64 = 64 << 40;

/// The formats of disks that are read and written.
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

/// What a file is that is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// A disk.
    Disk(Format),
    /// An Open Virtual Appliance: an archive with one disk, in any of the formats, and its descriptor in OVF.
    Ova,
}

impl From<Format> for FileFormat {
    fn from(format: Format) -> Self {
        Self::Disk(format)
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(format) => format.fmt(f),
            Self::Ova => f.write_str("ova"),
        }
    }
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
#[error("{name:?} is no image format: {there} are")]
pub struct ParseFormatError {
    name: String,
    there: &'static str,
}

impl ParseFormatError {
    fn new(name: &str, there: &'static str) -> Self {
        let name = name.chars().take(40).collect();
        Self { name, there }
    }
}

impl FromStr for FileFormat {
    type Err = ParseFormatError;

    /// Reads a format's name, in capitals or not, as EC2's ImportImage has it.
    fn from_str(name: &str) -> Result<Self, ParseFormatError> {
        if name.eq_ignore_ascii_case("ova") {
            return Ok(Self::Ova);
        }
        let disk = name.parse().map(Self::Disk);
        disk.map_err(|_| ParseFormatError::new(name, "raw, qcow2, vmdk, vhd and ova"))
    }
}

impl FromStr for Format {
    type Err = ParseFormatError;

    /// Reads a format's name, in capitals or not, as EC2 has it.
    fn from_str(name: &str) -> Result<Self, ParseFormatError> {
        match name.to_ascii_lowercase().as_str() {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            "vmdk" => Ok(Self::Vmdk),
            "vhd" | "vpc" => Ok(Self::Vhd),
            _ => Err(ParseFormatError::new(name, "raw, qcow2, vmdk and vhd")),
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
