//! Open Virtual Appliances: a tar archive with a descriptor in OVF, a disk, and perhaps a manifest of digests (DMTF, DSP0243
//! "Open Virtualization Format Specification" 1.1, whose sections are named here; 2.x has the same, and SHA-256).
//!
//! Nothing is unpacked: a file in the archive lies there in one piece, and the disk is read in its place. What the archive
//! and its descriptor name is looked for among the archive's files, and nowhere else. [`super::import`] calls [`find_disk`].

mod archive;
mod descriptor;
mod error;
mod manifest;

pub use error::OvaError;

use super::window::Window;
use super::{FileFormat, Format, ImportError, detect};
use crate::ReadAt;
use archive::{Archive, Member, read_all};
use manifest::Manifest;
use std::sync::atomic::AtomicBool;

/// The longest descriptor and the longest manifest, in bytes.
const MAX_TEXT: u64 = 1 << 20;

/// Finds the one disk of the OVA in `source`, and its format. If the OVA has a manifest, disk and descriptor are read
/// whole and held against it; `cancel` is looked at for every MiB.
///
/// # Errors
/// [`ImportError::Ova`], [`ImportError::Read`], [`ImportError::Cancelled`]; those of [`detect`].
pub(super) fn find_disk<'f>(source: Window<'f>, cancel: &AtomicBool) -> Result<(Window<'f>, Format), ImportError> {
    let archive = Archive::read(source)?;
    let descriptor = archive.descriptor()?;
    let manifest = archive
        .manifest(descriptor)
        .map(|member| Manifest::parse(&text(member)?));
    let manifest = manifest.transpose()?;
    let verify = |member: &Member<'_>| match &manifest {
        Some(manifest) => manifest.verify(member, cancel),
        None => Ok(()),
    };
    verify(descriptor)?;
    let file = descriptor::disk_file(&text(descriptor)?)?;
    let disk = archive.find_reference(&file.href)?;
    let size = disk.contents.size().map_err(ImportError::read(0))?;
    if file.size.is_some_and(|said| said != size) {
        return Err(disk.damaged("is not as long as its descriptor says").into());
    }
    verify(disk)?;
    let FileFormat::Disk(format) = detect(&disk.contents)? else {
        let what = "another OVA as its disk";
        return Err(OvaError::Unsupported { what }.into());
    };
    match file.is_vmdk && format != Format::Vmdk {
        true => Err(disk
            .damaged("is no vmdk image, which its descriptor says that it is")
            .into()),
        false => Ok((disk.contents, format)),
    }
}

/// All of a file that must be text.
fn text(member: &Member<'_>) -> Result<String, ImportError> {
    let bytes = read_all(member.contents, MAX_TEXT)?.ok_or_else(|| member.damaged("is longer than 1 MiB"))?;
    String::from_utf8(bytes).map_err(|_| member.damaged("is no text in UTF-8").into())
}
