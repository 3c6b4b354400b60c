//! Telling an image's format by its magic numbers.

use super::{FileFormat, Format, ImportError};
use crate::ReadAt;

/// Formats that are known, but not read.
const UNSUPPORTED: [(usize, &[u8], &str); 9] = [
    (0, b"vhdxfile", "the VHDX format"),
    (0, b"QED\0", "the QED format"),
    (0, b"COWD", "a VMware ESX sparse extent"),
    (0, b"# Disk DescriptorFile", "a VMDK in several files"),
    (64, b"\x7f\x10\xda\xbe", "the VDI format"),
    (0, b"\x1f\x8b", "a compressed file (gzip)"),
    (0, b"\xfd7zXZ\0", "a compressed file (xz)"),
    (0, b"\x28\xb5\x2f\xfd", "a compressed file (zstd)"),
    (0, b"BZh", "a compressed file (bzip2)"),
];

/// Tells the format of the image in `source`; what has no magic number that is known is raw. Every archive is taken for an OVA:
/// who reads it finds out.
///
/// # Errors
/// [`ImportError::Unsupported`] for formats that are known but not read, [`ImportError::Read`].
pub fn detect(source: &dyn ReadAt) -> Result<FileFormat, ImportError> {
    let size = source.size().map_err(ImportError::read(0))?;
    let read = |at: u64| {
        let mut bytes = [0; 512];
        // A shorter file is looked at as if zeroes followed it.
        let have = usize::try_from(size.saturating_sub(at)).unwrap_or(512).min(512);
        source
            .read_exact_at(&mut bytes[..have], at)
            .map_err(ImportError::read(at))
            .map(|()| bytes)
    };
    let head = read(0)?;
    let starts = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if starts(0, b"QFI\xfb") {
        return Ok(Format::Qcow2.into());
    }
    if starts(0, b"KDMV") {
        return Ok(Format::Vmdk.into());
    }
    if starts(257, b"ustar") {
        return Ok(FileFormat::Ova);
    }
    if let Some((_, _, what)) = UNSUPPORTED.iter().find(|(at, magic, _)| starts(*at, magic)) {
        return Err(ImportError::Unsupported { what });
    }
    let tail = read(size.saturating_sub(512))?;
    match starts(0, b"conectix") || tail.starts_with(b"conectix") {
        true => Ok(Format::Vhd.into()),
        false => Ok(Format::Raw.into()),
    }
}
