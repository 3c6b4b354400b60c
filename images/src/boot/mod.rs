//! What a root volume boots, read as its distribution's own loader would read it.
//!
//! `kiln-vmm` calls [`find`] in its sandbox, on a disk that a guest may have written to hurt it. Everything is
//! read-only and bounded (see [`Limit`]): no disk makes this panic, hang or allocate without end.

mod disk;
mod file;
mod fs;
pub mod kernel;
mod partitions;
mod sources;
mod version;
mod volume;

pub use file::{BootFile, Extent};

use crate::ReadAt;
use std::fmt;
use std::io;

/// What a disk boots.
#[derive(Debug, Clone)]
pub struct BootEntry<'d> {
    /// What the loader's menu calls it: `Debian GNU/Linux`.
    pub title: String,
    /// What told it.
    pub found_by: FoundBy,
    /// The kernel, a bzImage or an ELF file as far as its name can tell; [`kernel`] looks at it.
    pub kernel: BootFile<'d>,
    /// The initial RAM disk; several that the loader would load one after another are one here, each at a multiple of
    /// four bytes as the kernel wants them.
    pub initrd: Option<BootFile<'d>>,
    /// The kernel's command line, as the loader would give it.
    pub command_line: String,
}

/// What told what to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// An entry of the Boot Loader Specification, type 1 (`loader/entries/*.conf`).
    BootLoaderSpec,
    /// A unified kernel image in the EFI system partition (Boot Loader Specification, type 2).
    UnifiedKernelImage,
    /// GRUB's `grub.cfg`.
    GrubConfig,
    /// The links `/vmlinuz` or `/boot/vmlinuz`, or the newest `/boot/vmlinuz-*`: no loader's configuration was found.
    KernelFile,
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BootLoaderSpec => "Boot Loader Specification entry",
            Self::UnifiedKernelImage => "unified kernel image",
            Self::GrubConfig => "grub.cfg",
            Self::KernelFile => "kernel file",
        })
    }
}

/// Why a disk can't be booted.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The disk could not be read.
    #[error("The root volume can't be read at byte {offset}")]
    Read {
        /// Where, in bytes from the disk's start.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Looking took more than any honest disk needs.
    #[error("The root volume was given up on: looking for a kernel took more than {0}")]
    Limit(Limit),
    /// Nothing on it can be booted.
    #[error("The root volume holds nothing that can be booted. {0}")]
    NothingFound(Survey),
}

/// The bounds on looking at one disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes read, [`Limit::MAX_BYTES`].
    Bytes,
    /// Time, [`Limit::MAX_TIME`].
    Time,
}

impl Limit {
    /// The most bytes that are read of a disk to find its boot entry; kernel and RAM disk don't count.
    pub const MAX_BYTES: u64 = 1 << 30;
    /// The longest that looking may take.
    pub const MAX_TIME: std::time::Duration = std::time::Duration::from_secs(10);
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => write!(f, "{} MiB of reading", Self::MAX_BYTES >> 20),
            Self::Time => write!(f, "{} seconds", Self::MAX_TIME.as_secs()),
        }
    }
}

/// What was looked for on a disk, and what was found on each of its partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    lines: Vec<String>,
}

impl Survey {
    /// The most lines that are kept, and the most characters of each.
    const MAX: (usize, usize) = (64, 300);

    pub(crate) fn note(&mut self, line: impl fmt::Display) {
        if self.lines.len() < Self::MAX.0 {
            // What a disk says goes to a log: no control characters.
            let line = line.to_string();
            self.lines
                .push(line.chars().filter(|c| !c.is_control()).take(Self::MAX.1).collect());
        }
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("; "))
    }
}

/// Finds what `disk` boots.
///
/// # Errors
/// See [`BootError`].
pub fn find(disk: &dyn ReadAt) -> Result<BootEntry<'_>, BootError> {
    let disk = disk::Disk::new(disk)?;
    let mut survey = Survey::default();
    let volumes = volume::Volumes::open(&disk, &mut survey)?;
    sources::find(&volumes, &mut survey)?.ok_or(BootError::NothingFound(survey))
}
