//! Exporting: a sparse raw file becomes an image of any format.
//!
//! The daemon calls [`export`] for a disk that it owns, with a file that a client has opened. Formats are written from the
//! disk's start to its end, in one pass; what is zero is left out. What says where things are comes last, so a file that
//! is not whole is no image of its format.

mod error;
mod qcow2;
mod raw;
mod vhd;
mod vmdk;

pub use error::ExportError;

use super::{Format, Progress};
use crate::sparse::{is_zero, next_data};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// A disk that was exported and is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// The size of the disk in the image, in bytes; a multiple of 512.
    pub virtual_size: u64,
    /// The bytes that were written; none if the file shares the disk's blocks.
    pub bytes_written: u64,
}

/// Writes the raw disk `source` to the empty file `dest` as an image in `format`, and syncs it. The directory of `dest` is
/// for the caller to sync. Some formats name each disk: `identity` is random bits for that.
///
/// `progress` is called for every piece of data, of 2 MiB at most; `cancel` is looked at as often.
///
/// # Errors
/// See [`ExportError`]; `dest` may hold a part of the image then.
pub fn export(
    source: &File,
    dest: &File,
    format: Format,
    identity: u128,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Exported, ExportError> {
    match dest.metadata().map_err(ExportError::write(0))?.len() {
        0 => {}
        size => return Err(ExportError::NotEmpty { size }),
    }
    let length = source.metadata().map_err(ExportError::read(0))?.len();
    // A disk has whole sectors.
    let size = length.next_multiple_of(512);
    let out = Out { file: dest, written: 0 };
    let mut sink: Box<dyn Sink + '_> = match format {
        Format::Raw => Box::new(raw::Raw::new(out, size)),
        Format::Qcow2 => Box::new(qcow2::Qcow2::new(out, size)),
        Format::Vmdk => Box::new(vmdk::Vmdk::new(out, size, identity)?),
        Format::Vhd => Box::new(vhd::Vhd::new(out, size, identity)?),
    };
    if !sink.share(source)? {
        copy(source, length, sink.as_mut(), progress, cancel)?;
    }
    let bytes_written = sink.finish()?;
    dest.sync_all().map_err(ExportError::write(bytes_written))?;
    progress(Progress {
        done: size,
        total: size,
    });
    Ok(Exported {
        virtual_size: size,
        bytes_written,
    })
}

/// Gives the sink all units that are not zero.
fn copy(
    source: &File,
    length: u64,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<(), ExportError> {
    let unit = sink.unit();
    let mut buffer = vec![0; unit];
    let mut at = 0;
    while let Some(data) = next_data(source, at, length).map_err(ExportError::read(at))? {
        at = at.max(data.start / unit as u64 * unit as u64);
        while at < data.end {
            if cancel.load(Ordering::Relaxed) {
                return Err(ExportError::Cancelled);
            }
            let there = usize::try_from(length - at).unwrap_or(unit).min(unit);
            let (bytes, beyond) = buffer.split_at_mut(there);
            source.read_exact_at(bytes, at).map_err(ExportError::read(at))?;
            beyond.fill(0);
            if !is_zero(&buffer) {
                sink.put(at, &buffer)?;
            }
            at += unit as u64;
            progress(Progress {
                done: at.min(length),
                total: length,
            });
        }
    }
    Ok(())
}

/// An image that is written from its disk's start to its end.
trait Sink {
    /// How many bytes of the disk are taken at once.
    fn unit(&self) -> usize;

    /// Takes over the whole disk without copying it; false where that can't be done.
    fn share(&mut self, _source: &File) -> Result<bool, ExportError> {
        Ok(false)
    }

    /// Takes a unit of the disk that is not all zero: the bytes from `at` on, a multiple of the unit. They come in order; what
    /// is beyond the disk's end is zero.
    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExportError>;

    /// Writes what is left to write; gives how many bytes were written in all.
    fn finish(&mut self) -> Result<u64, ExportError>;
}

/// The file that is written.
struct Out<'f> {
    file: &'f File,
    /// In bytes.
    written: u64,
}

impl Out<'_> {
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExportError> {
        let done = self.file.write_all_at(bytes, at);
        done.map_err(ExportError::write(self.written))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// The same, but leaves zeroes out.
    fn write_data(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExportError> {
        let written = crate::sparse::write_data(self.file, bytes, at);
        self.written += written.map_err(ExportError::write(self.written))?;
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> Result<(), ExportError> {
        self.file.set_len(len).map_err(ExportError::write(self.written))
    }
}

/// Puts a field of a structure in its place, which is there.
fn set(structure: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = structure.get_mut(at..).and_then(|rest| rest.get_mut(..field.len())) {
        place.copy_from_slice(field);
    }
}
