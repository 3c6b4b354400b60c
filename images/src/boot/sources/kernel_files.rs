//! Kernels found by their names, where no loader's configuration says what to boot: the links that Debian keeps to
//! the newest kernel, else the newest `vmlinuz-*` with the RAM disk of the same version.

use super::super::partitions::Partition;
use super::super::version::compare_kernels;
use super::super::volume::{Volume, Volumes};
use super::{BootEntry, BootError, FoundBy, Named, Survey, distribution, open_entry};

/// Names of RAM disks; `{}` is the kernel's version.
const RAMDISKS: [&str; 4] = ["initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img"];

pub(super) fn look<'d>(volumes: &Volumes<'_, 'd>, survey: &mut Survey) -> Result<Option<BootEntry<'d>>, BootError> {
    for volume in &volumes.list {
        for directory in ["", "/boot"] {
            let found = match linked(volume, directory)? {
                Some(found) => Some(found),
                None => newest(volume, directory, survey)?,
            };
            let Some((kernel, initrd)) = found else { continue };
            let (title, command_line) = describe(volumes, volume, initrd.is_some())?;
            let initrds = initrd.into_iter().collect();
            let named = Named {
                title,
                found_by: FoundBy::KernelFile,
                kernel,
                initrds,
                command_line,
            };
            if let Some(entry) = open_entry(named, |path| volume.open(path), survey)? {
                return Ok(Some(entry));
            }
        }
    }
    survey.note("No vmlinuz, boot/vmlinuz, vmlinuz-* or boot/vmlinuz-* was found on any file system");
    Ok(None)
}

/// The links `vmlinuz` and `initrd.img` in a directory.
fn linked(volume: &Volume<'_, '_>, directory: &str) -> Result<Option<(String, Option<String>)>, BootError> {
    let kernel = format!("{directory}/vmlinuz");
    if !volume.has(&kernel)? {
        return Ok(None);
    }
    let initrd = format!("{directory}/initrd.img");
    Ok(Some((kernel, volume.has(&initrd)?.then_some(initrd))))
}

fn newest(
    volume: &Volume<'_, '_>,
    directory: &str,
    survey: &mut Survey,
) -> Result<Option<(String, Option<String>)>, BootError> {
    let names = match volume.names(if directory.is_empty() { "/" } else { directory }) {
        Ok(names) => names,
        Err(error) => {
            survey.note(format_args!(
                "{directory}/ on {} can't be read: {}",
                volume.place(),
                error.fatal()?
            ));
            return Ok(None);
        }
    };
    let versions = names
        .iter()
        .filter_map(|name| name.strip_prefix("vmlinuz-"))
        .filter(|name| !name.contains("rescue"));
    let Some(version) = versions.max_by(|a, b| compare_kernels(a, b)) else {
        return Ok(None);
    };
    let initrd = RAMDISKS
        .iter()
        .map(|name| name.replace("{}", version))
        .find(|name| names.contains(name));
    Ok(Some((
        format!("{directory}/vmlinuz-{version}"),
        initrd.map(|name| format!("{directory}/{name}")),
    )))
}

/// The title and the command line: nobody said what the root file system is, so it is the one that looks like it.
fn describe(volumes: &Volumes<'_, '_>, kernels: &Volume<'_, '_>, initrd: bool) -> Result<(String, String), BootError> {
    for volume in std::iter::once(kernels).chain(&volumes.list) {
        if let Some(title) = distribution(volume)? {
            return Ok((title, format!("root={} ro", root(volume, initrd))));
        }
    }
    Ok(("Linux".into(), format!("root={} ro", root(kernels, initrd))))
}

/// How the kernel is told its root: by file system where a RAM disk looks for it, else by partition.
fn root(volume: &Volume<'_, '_>, initrd: bool) -> String {
    match &volume.partition {
        _ if initrd => format!("UUID={}", volume.fs.uuid()),
        Partition {
            partuuid: Some(partuuid),
            ..
        } => format!("PARTUUID={partuuid}"),
        Partition { number: 0, .. } => "/dev/vda".into(),
        Partition { number, .. } => format!("/dev/vda{number}"),
    }
}
