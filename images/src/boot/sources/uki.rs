//! Unified kernel images (Boot Loader Specification, type 2): a PE file whose sections are kernel, RAM disk and
//! command line.

use super::super::disk::FsError;
use super::super::file::BootFile;
use super::super::volume::Volume;
use super::assignments;
use crate::field;

/// The most sections of a PE file, as Windows has it.
const MAX_SECTIONS: u16 = 96;

/// A unified kernel image.
pub(super) struct Image<'d> {
    pub(super) kernel: BootFile<'d>,
    pub(super) initrd: Option<BootFile<'d>>,
    pub(super) command_line: String,
    pub(super) title: Option<String>,
    /// `IMAGE_ID`, else `ID`, of its `os-release`.
    pub(super) sort_key: Option<String>,
    pub(super) version: Option<String>,
}

/// Reads the sections of the PE file at `path`; none if it is no unified kernel image.
pub(super) fn read<'d>(volume: &Volume<'_, 'd>, path: &str) -> Result<Option<Image<'d>>, FsError> {
    let file = volume.open(path)?;
    let Some(sections) = sections(volume, &file)? else {
        return Ok(None);
    };
    let section = |name: &str| sections.iter().find(|(n, _)| n == name).map(|(_, part)| part.clone());
    let text = |name: &str| match section(name) {
        Some(part) => {
            let bytes = volume.part(&part, 0, part.len())?;
            Ok(Some(
                String::from_utf8_lossy(&bytes)
                    .trim_matches(['\0', '\n', ' '])
                    .to_owned(),
            ))
        }
        None => Ok::<_, FsError>(None),
    };
    let Some(kernel) = section(".linux") else {
        return Ok(None);
    };
    let os_release = text(".osrel")?.unwrap_or_default();
    let value = |keys: &[&str]| {
        keys.iter()
            .find_map(|wanted| assignments(&os_release).find(|(key, _)| key == wanted))
            .map(|(_, v)| v.to_owned())
    };
    Ok(Some(Image {
        kernel,
        initrd: section(".initrd"),
        command_line: text(".cmdline")?.unwrap_or_default(),
        title: value(&["PRETTY_NAME", "NAME"]),
        sort_key: value(&["IMAGE_ID", "ID"]),
        version: text(".uname")?.or_else(|| value(&["IMAGE_VERSION", "VERSION_ID", "BUILD_ID"])),
    }))
}

/// The sections of a PE file by name; none if it is none.
fn sections<'d>(volume: &Volume<'_, 'd>, file: &BootFile<'d>) -> Result<Option<Vec<(String, BootFile<'d>)>>, FsError> {
    if file.len() < 0x40 {
        return Ok(None);
    }
    let dos = volume.part(file, 0, 0x40)?;
    let at = u64::from(field::u32(&dos, 0x3c));
    if !dos.starts_with(b"MZ") || at + 24 > file.len() {
        return Ok(None);
    }
    let coff = volume.part(file, at, 24)?;
    if !coff.starts_with(b"PE\0\0") {
        return Ok(None);
    }
    let (count, optional) = (field::u16(&coff, 6).min(MAX_SECTIONS), field::u16(&coff, 20));
    let table = volume.part(file, at + 24 + u64::from(optional), u64::from(count) * 40)?;
    let mut sections = Vec::new();
    for row in table.as_chunks::<40>().0 {
        let name = String::from_utf8_lossy(&row[..8]).trim_end_matches('\0').to_owned();
        // What the file holds is padded; what is loaded is not longer than it.
        let len = field::u32(row, 8).min(field::u32(row, 16));
        let part = file.slice(
            format!("{name} of {}", file.name()),
            field::u32(row, 20).into(),
            len.into(),
        );
        sections.push((
            name,
            part.ok_or(FsError::Damaged("a section lies beyond the end of its file"))?,
        ));
    }
    Ok(Some(sections))
}
