//! Importing: an image of any format becomes a sparse raw file.

use super::digest::{BLOCK, Digester};
use super::window::Window;
use super::{Digest, FileFormat, Format, ImportError, MAX_SIZE, Source, detect, ova, qcow2, raw, vhd, vmdk};
use crate::sparse::{is_zero, write_data};
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

/// How much is read at once: a multiple of [`BLOCK`].
const STEP: usize = 1 << 20;

/// A disk that was imported and is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Its size in bytes; a multiple of 512.
    pub virtual_size: u64,
    /// The digest of its contents; see [`Digest`].
    pub digest: Digest,
    /// The format that it came in.
    pub format: FileFormat,
    /// The bytes that were written: what is not a hole.
    pub bytes_written: u64,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the disk that are done; holes count.
    pub done: u64,
    /// Bytes of the whole disk.
    pub total: u64,
}

/// Imports the image in `source` to the empty file `dest`, and syncs that and `dest_dir`, the directory that it was
/// made in. Without `format` it is told by magic numbers. Zeroes become holes.
///
/// `progress` is called for every MiB that was copied; `cancel` is looked at as often, and while an OVA is held against its
/// manifest.
///
/// # Errors
/// See [`ImportError`]; the caller removes the destination then.
pub fn import(
    source: &File,
    format: Option<FileFormat>,
    dest: &File,
    dest_dir: &File,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Imported, ImportError> {
    if !source.metadata().map_err(ImportError::read(0))?.is_file() {
        return Err(ImportError::NotAFile);
    }
    match dest.metadata().map_err(ImportError::write(0))?.len() {
        0 => {}
        size => return Err(ImportError::NotEmpty { size }),
    }
    let format = format.map_or_else(|| detect(source), Ok)?;
    let whole = Window::whole(source).map_err(ImportError::read(0))?;
    let (disk, disk_format) = match format {
        FileFormat::Ova => ova::find_disk(whole, cancel)?,
        FileFormat::Disk(format) => (whole, format),
    };
    let mut image: Box<dyn Source + '_> = match disk_format {
        Format::Raw => Box::new(raw::Raw::open(disk)?),
        Format::Qcow2 => Box::new(qcow2::Qcow2::open(&disk)?),
        Format::Vmdk => Box::new(vmdk::Vmdk::open(&disk)?),
        Format::Vhd => Box::new(vhd::Vhd::open(&disk)?),
    };
    let size = image.size();
    if !(512..=MAX_SIZE).contains(&size) {
        return Err(ImportError::Size { size });
    }
    // A disk has whole sectors.
    let virtual_size = size.next_multiple_of(512);
    dest.set_len(virtual_size).map_err(ImportError::write(0))?;
    let mut copy = Copy {
        image: image.as_mut(),
        dest,
        digester: Digester::new(virtual_size),
        written: 0,
    };
    copy.all(progress, cancel)?;
    let (written, digest) = (copy.written, copy.digester.finish());
    dest.sync_all().map_err(ImportError::write(written))?;
    dest_dir.sync_all().map_err(ImportError::write(written))?;
    Ok(Imported {
        virtual_size,
        digest,
        format,
        bytes_written: written,
    })
}

/// An import under way.
struct Copy<'a> {
    image: &'a mut dyn Source,
    dest: &'a File,
    digester: Digester,
    written: u64,
}

impl Copy<'_> {
    fn all(&mut self, progress: &mut dyn FnMut(Progress), cancel: &AtomicBool) -> Result<(), ImportError> {
        let total = self.image.size();
        let mut buffer = vec![0; STEP];
        let mut at = 0;
        while at < total {
            if cancel.load(Ordering::Relaxed) {
                return Err(ImportError::Cancelled);
            }
            // Blocks of the digest are taken whole.
            at = at.max(self.image.next_data(at)? / BLOCK as u64 * BLOCK as u64);
            let len = usize::try_from(total - at).unwrap_or(STEP).min(STEP);
            self.image.read(&mut buffer[..len], at)?;
            self.step(&buffer[..len], at)?;
            at += len as u64;
            progress(Progress { done: at, total });
        }
        Ok(())
    }

    fn step(&mut self, bytes: &[u8], at: u64) -> Result<(), ImportError> {
        for (block, start) in bytes.chunks(BLOCK).zip((at..).step_by(BLOCK)) {
            if !is_zero(block) {
                self.digester.block(start / BLOCK as u64, block);
            }
        }
        let written = write_data(self.dest, bytes, at).map_err(ImportError::write(self.written))?;
        self.written += written;
        Ok(())
    }
}
