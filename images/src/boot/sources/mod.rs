//! Where a disk says what it boots, tried in the order in which its own loader would.
//!
//! systemd-boot reads Boot Loader Specification entries and unified kernel images; GRUB reads `grub.cfg` and, where
//! that says so, the entries. Where neither is installed the entries are read all the same, and at last kernel files
//! are looked for by their names.

mod entries;
mod grub;
mod kernel_files;
mod uki;

use super::disk::FsError;
use super::file::BootFile;
use super::partitions::Purpose;
use super::volume::{Volume, Volumes};
use super::{BootEntry, BootError, FoundBy, Survey};

/// Finds what the disk boots; what was looked for in vain is noted.
pub(super) fn find<'d>(volumes: &Volumes<'_, 'd>, survey: &mut Survey) -> Result<Option<BootEntry<'d>>, BootError> {
    type Look = for<'d> fn(&Volumes<'_, 'd>, &mut Survey) -> Result<Option<BootEntry<'d>>, BootError>;
    let order: [Look; 3] = match has_systemd_boot(volumes)? {
        true => [entries::look, grub::look, kernel_files::look],
        false => [grub::look, entries::look, kernel_files::look],
    };
    for look in order {
        if let Some(entry) = look(volumes, survey)? {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn has_systemd_boot(volumes: &Volumes<'_, '_>) -> Result<bool, BootError> {
    for volume in volumes.with_purpose(Purpose::Esp) {
        if volume.has("/EFI/systemd/systemd-bootx64.efi")? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An entry whose files are named but not opened yet.
struct Named {
    title: String,
    found_by: FoundBy,
    kernel: String,
    initrds: Vec<String>,
    command_line: String,
}

/// Opens the files of an entry, with `open` for each.
fn open_entry<'d>(
    named: Named,
    open: impl Fn(&str) -> Result<BootFile<'d>, FsError>,
    survey: &mut Survey,
) -> Result<Option<BootEntry<'d>>, BootError> {
    let Named {
        title,
        found_by,
        kernel,
        initrds,
        command_line,
    } = named;
    let mut files = Vec::new();
    for path in std::iter::once(&kernel).chain(&initrds) {
        match open(path) {
            Ok(file) => files.push(file),
            Err(error) => {
                let why = error.fatal()?;
                survey.note(format_args!(
                    "The {found_by} \"{title}\" names a file that can't be opened ({why}): {path}"
                ));
                return Ok(None);
            }
        }
    }
    let mut files = files.into_iter();
    let (Some(kernel), rest) = (files.next(), files) else {
        return Ok(None);
    };
    let Ok(initrd) = join(rest) else {
        survey.note(format_args!("The RAM disks of \"{title}\" are in too many pieces"));
        return Ok(None);
    };
    Ok(Some(BootEntry {
        title,
        found_by,
        kernel,
        initrd,
        command_line,
    }))
}

/// Several RAM disks become one, each at a multiple of four bytes, as loaders lay them in memory.
fn join<'d>(mut files: impl Iterator<Item = BootFile<'d>>) -> Result<Option<BootFile<'d>>, FsError> {
    let Some(mut all) = files.next() else { return Ok(None) };
    for file in files {
        all.append(&file, 4)?;
    }
    Ok(Some(all))
}

/// Keys and values of `KEY=value` lines, as in `os-release` and grubenv: quotes are taken off.
fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        Some((key.trim(), value.trim().trim_matches(['"', '\''])))
    })
}

/// The name of the distribution on a root file system.
fn distribution(volume: &Volume<'_, '_>) -> Result<Option<String>, BootError> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        match volume.text(path) {
            Ok(Some(text)) => {
                let name = assignments(&text).find(|(key, _)| *key == "PRETTY_NAME");
                return Ok(name.map(|(_, value)| value.to_owned()));
            }
            Ok(None) => {}
            Err(error) => drop(error.fatal()?),
        }
    }
    Ok(None)
}
