//! GRUB's `grub.cfg`, run as GRUB would run it, as far as it leads to a Linux kernel.
//!
//! Debian and Ubuntu write scripts: a default entry from GRUB's environment, file systems searched by UUID, kernels in
//! entries and submenus. The subset that is understood: variables, functions, conditions, loops, `search`, `load_env`,
//! `source`, `linux`, `initrd` and Fedora's `blscfg`. Nothing is ever written to the environment.

mod bls;
mod commands;
mod lexer;
mod machine;
mod parser;
mod test;

use super::super::disk::FsError;
use super::super::partitions::Purpose;
use super::super::volume::{Volume, Volumes};
use super::{BootEntry, BootError, FoundBy, Named, Survey, open_entry};
use machine::{Machine, MenuEntry, Stop};

/// Where `grub.cfg` is: on the root file system, or at the top of a `/boot` of its own.
const PREFIXES: [&str; 4] = ["/boot/grub", "/grub", "/boot/grub2", "/grub2"];

pub(super) fn look<'d>(volumes: &Volumes<'_, 'd>, survey: &mut Survey) -> Result<Option<BootEntry<'d>>, BootError> {
    let mut configurations = Vec::new();
    for volume in &volumes.list {
        for prefix in PREFIXES {
            if volume.has(&format!("{prefix}/grub.cfg"))? {
                configurations.push((volume, prefix.to_owned()));
            }
        }
    }
    // With several, the small one in the EFI system partition says which; it leads to it with `configfile`.
    if configurations.len() != 1 {
        for volume in volumes.with_purpose(Purpose::Esp) {
            let first = stubs(volume, survey)?.into_iter().map(|prefix| (volume, prefix));
            configurations.splice(0..0, first);
        }
    }
    if configurations.is_empty() {
        survey.note(
            "No grub.cfg was found in boot/grub, grub, boot/grub2 or grub2, nor in EFI/* of an EFI system partition",
        );
    }
    for (volume, prefix) in configurations {
        if let Some(entry) = boot(volumes, volume, &prefix, survey)? {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Directories of an EFI system partition that have a `grub.cfg`.
fn stubs(volume: &Volume<'_, '_>, survey: &mut Survey) -> Result<Vec<String>, BootError> {
    let names = match volume.names("/EFI") {
        Ok(names) => names,
        Err(error) => {
            survey.note(format_args!(
                "/EFI on {} can't be read: {}",
                volume.place(),
                error.fatal()?
            ));
            return Ok(Vec::new());
        }
    };
    let mut found = Vec::new();
    for name in names {
        let prefix = format!("/EFI/{name}");
        if volume.has(&format!("{prefix}/grub.cfg"))? {
            found.push(prefix);
        }
    }
    Ok(found)
}

/// Runs a configuration and what it chooses.
fn boot<'d>(
    volumes: &Volumes<'_, 'd>,
    volume: &Volume<'_, 'd>,
    prefix: &str,
    survey: &mut Survey,
) -> Result<Option<BootEntry<'d>>, BootError> {
    let mut machine = Machine::new(volumes, volume, prefix);
    let place = format!("{prefix}/grub.cfg on {}", volume.place());
    let title = match choose(&mut machine) {
        Ok(Some(title)) => title,
        Ok(None) => {
            survey.note(format_args!(
                "{place} has no entry that loads a Linux kernel by default"
            ));
            return Ok(None);
        }
        Err(Stop::Disk(error)) => return Err(error),
        Err(Stop::TooMuch) => {
            survey.note(format_args!(
                "{place} does more than a loader's configuration should, and was given up"
            ));
            return Ok(None);
        }
    };
    let loaded = std::mem::take(&mut machine.loaded);
    let Some(kernel) = loaded.kernel else { return Ok(None) };
    let (initrds, command_line) = (loaded.initrds, loaded.command_line);
    let named = Named {
        title,
        found_by: FoundBy::GrubConfig,
        kernel,
        initrds,
        command_line,
    };
    let open = |path: &str| {
        let (volume, path) = machine.locate(path).ok_or(FsError::NotFound)?;
        volume.open(path)
    };
    open_entry(named, open, survey)
}

/// Runs the configuration, then the default entry through all submenus; gives its title if it loads a kernel.
fn choose(machine: &mut Machine<'_, '_, '_>) -> Result<Option<String>, Stop> {
    let configuration = format!("{}/grub.cfg", machine.get("prefix"));
    machine.run_file(&configuration)?;
    let mut path = machine.get("default").to_owned();
    // A submenu's entries are only there after it was run. They nest no deeper than the scripts that hold them.
    loop {
        let (here, below) = split(&path);
        let Some(entry) = pick(&machine.menu, &here).cloned() else {
            break;
        };
        machine.menu.clear();
        machine.run_entry(&entry)?;
        if !entry.submenu {
            return Ok(machine.loaded.kernel.is_some().then_some(entry.title));
        }
        path = below;
    }
    // A configuration may load a kernel itself, without a menu.
    Ok(machine.loaded.kernel.is_some().then(|| "GRUB".into()))
}

/// Splits `menu>entry` at its first `>`; `>>` is one that belongs to a title.
fn split(path: &str) -> (String, String) {
    let mut here = String::new();
    let mut rest = path.chars();
    while let Some(c) = rest.next() {
        if c == '>' && !rest.as_str().starts_with('>') {
            break;
        }
        if c == '>' {
            rest.next();
        }
        here.push(c);
    }
    (here, rest.as_str().to_owned())
}

/// The entry with that number, id or title; else the first, if there is any.
fn pick<'m>(menu: &'m [MenuEntry], wanted: &str) -> Option<&'m MenuEntry> {
    let numbered = wanted.parse().ok().and_then(|nth: usize| menu.get(nth));
    let named = || {
        menu.iter()
            .find(|entry| entry.id.as_deref() == Some(wanted) || entry.title == wanted)
    };
    numbered.or_else(named).or_else(|| menu.first())
}
