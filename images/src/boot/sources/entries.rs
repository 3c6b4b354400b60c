//! Entries of the Boot Loader Specification: text files (type 1) and unified kernel images (type 2), in one order.

use super::super::disk::FsError;
use super::super::partitions::Purpose;
use super::super::version::compare;
use super::super::volume::{Volume, Volumes};
use super::{BootEntry, BootError, FoundBy, Named, Survey, assignments, open_entry, uki};
use std::cmp::{Ordering, Reverse};

/// The most entries that are looked at.
const MAX_ENTRIES: usize = 512;

/// A type 1 entry, as its file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its file's name without `.conf` and boot counters.
    pub(super) id: String,
    pub(super) title: Option<String>,
    pub(super) version: Option<String>,
    pub(super) machine_id: Option<String>,
    pub(super) sort_key: Option<String>,
    pub(super) linux: Option<String>,
    pub(super) initrds: Vec<String>,
    pub(super) options: Vec<String>,
    /// Its boot counter says that it was tried as often as may be.
    pub(super) exhausted: bool,
}

/// An entry of either type, with what it boots.
struct Candidate<'d> {
    entry: Entry,
    boots: BootEntry<'d>,
}

pub(super) fn look<'d>(volumes: &Volumes<'_, 'd>, survey: &mut Survey) -> Result<Option<BootEntry<'d>>, BootError> {
    let mut found = Vec::new();
    let mut default = None;
    for volume in &volumes.list {
        let other = volume.partition.purpose == Purpose::Other;
        // A /boot that is no partition of its own is not in the specification, but distributions write entries there.
        for root in if other { &["", "/boot"][..] } else { &[""] } {
            let entries = match read_directory(volume, &format!("{root}/loader/entries")) {
                Ok(entries) => entries,
                Err(error) => {
                    survey.note(format_args!("Boot entries on {}: {}", volume.place(), error.fatal()?));
                    continue;
                }
            };
            for entry in entries {
                found.extend(open_type1(volume, root, entry, survey)?.map(|c| (c.entry, c.boots)));
            }
            default = default.or(default_pattern(volume, root)?);
        }
        found.extend(type2(volume, survey)?.into_iter().map(|c| (c.entry, c.boots)));
    }
    found.sort_by(|(a, _), (b, _)| order(a, b));
    let chosen = default.and_then(|pattern| found.iter().position(|(entry, _)| matches(&pattern, &entry.id)));
    let chosen = found.into_iter().nth(chosen.unwrap_or(0)).map(|(_, boots)| boots);
    if chosen.is_none() {
        survey.note("No Boot Loader Specification entry and no unified kernel image that can boot was found");
    }
    Ok(chosen)
}

/// Reads all `*.conf` of a directory.
pub(super) fn read_directory(volume: &Volume<'_, '_>, directory: &str) -> Result<Vec<Entry>, FsError> {
    let mut entries = Vec::new();
    for name in volume.names(directory)?.iter().take(MAX_ENTRIES) {
        if let Some(stem) = name.strip_suffix(".conf") {
            entries.extend(
                volume
                    .text(&format!("{directory}/{name}"))?
                    .map(|text| parse(stem, &text)),
            );
        }
    }
    Ok(entries)
}

/// Parses an entry's file: a key and its value a line.
fn parse(stem: &str, text: &str) -> Entry {
    let (id, exhausted) = boot_counter(stem);
    let mut entry = Entry {
        id: id.to_owned(),
        exhausted,
        ..Entry::default()
    };
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        match key {
            "title" => entry.title = Some(value.into()),
            "version" => entry.version = Some(value.into()),
            "machine-id" => entry.machine_id = Some(value.into()),
            "sort-key" => entry.sort_key = Some(value.into()),
            "linux" => entry.linux = Some(value.into()),
            // Fedora's GRUB takes several in one line.
            "initrd" => entry.initrds.extend(value.split_whitespace().map(str::to_owned)),
            "options" => entry.options.push(value.into()),
            _ => {}
        }
    }
    entry
}

/// Takes `+LEFT` or `+LEFT-DONE` off a name; true if no tries are left.
fn boot_counter(stem: &str) -> (&str, bool) {
    let Some((name, counter)) = stem.rsplit_once('+') else {
        return (stem, false);
    };
    let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
    match (left.parse::<u32>(), done.parse::<u32>()) {
        (Ok(left), Ok(_)) => (name, left == 0),
        _ => (stem, false),
    }
}

/// The order of the specification: the first is the one that boots.
pub(super) fn order(a: &Entry, b: &Entry) -> Ordering {
    let newer_first = |x: &Option<String>, y: &Option<String>| {
        compare(y.as_deref().unwrap_or_default(), x.as_deref().unwrap_or_default())
    };
    let by_key = match (&a.sort_key, &b.sort_key) {
        (Some(x), Some(y)) => x
            .cmp(y)
            .then_with(|| a.machine_id.cmp(&b.machine_id))
            .then_with(|| newer_first(&a.version, &b.version)),
        // Entries with a key come before those without.
        (x, y) => Reverse(x.is_some()).cmp(&Reverse(y.is_some())),
    };
    a.exhausted
        .cmp(&b.exhausted)
        .then(by_key)
        .then_with(|| compare(&b.id, &a.id))
}

fn open_type1<'d>(
    volume: &Volume<'_, 'd>,
    root: &str,
    entry: Entry,
    survey: &mut Survey,
) -> Result<Option<Candidate<'d>>, BootError> {
    // An entry without a kernel starts an EFI program, which there is no firmware for.
    let Some(kernel) = entry.linux.clone() else {
        return Ok(None);
    };
    let environment = kernel_options(volume, root)?;
    let named = Named {
        title: entry.title.clone().unwrap_or_else(|| entry.id.clone()),
        found_by: FoundBy::BootLoaderSpec,
        kernel,
        initrds: entry.initrds.clone(),
        command_line: expand(&entry.options.join(" "), &environment),
    };
    // In an entry paths begin at the file system's root; where /boot is none, the distributions mean /boot's.
    let open = |path: &str| match volume.open(path) {
        Err(FsError::NotFound) if !root.is_empty() => volume.open(&format!("{root}{path}")),
        other => other,
    };
    Ok(open_entry(named, open, survey)?.map(|boots| Candidate { entry, boots }))
}

/// What `$kernelopts` and the like stand for: Fedora keeps it in GRUB's environment.
fn kernel_options(volume: &Volume<'_, '_>, root: &str) -> Result<Vec<(String, String)>, BootError> {
    for path in ["grub2/grubenv", "grub/grubenv"] {
        match volume.text(&format!("{root}/{path}")) {
            Ok(Some(text)) => return Ok(assignments(&text).map(|(k, v)| (k.into(), v.into())).collect()),
            Ok(None) => {}
            Err(error) => drop(error.fatal()?),
        }
    }
    Ok(Vec::new())
}

/// Replaces the words `$name`; unknown ones vanish, as in GRUB.
fn expand(options: &str, environment: &[(String, String)]) -> String {
    let value = |name: &str| {
        environment
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    };
    let words = options
        .split_whitespace()
        .map(|word| word.strip_prefix('$').map_or(word, value));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Unified kernel images: `EFI/Linux/*.efi`, and the loader of removable media, which may be one.
fn type2<'d>(volume: &Volume<'_, 'd>, survey: &mut Survey) -> Result<Vec<Candidate<'d>>, BootError> {
    let mut paths = vec!["/EFI/BOOT/BOOTX64.EFI".to_owned()];
    match volume.names("/EFI/Linux") {
        Ok(names) => {
            let names = names
                .iter()
                .filter(|name| name.to_ascii_lowercase().ends_with(".efi"))
                .take(MAX_ENTRIES);
            paths.extend(names.map(|name| format!("/EFI/Linux/{name}")));
        }
        Err(error) => survey.note(format_args!("/EFI/Linux on {}: {}", volume.place(), error.fatal()?)),
    }
    let mut found = Vec::new();
    for path in paths {
        match uki::read(volume, &path) {
            Ok(image) => found.extend(image.map(|image| candidate(&path, image))),
            Err(FsError::NotFound) => {}
            Err(error) => survey.note(format_args!("{path} on {}: {}", volume.place(), error.fatal()?)),
        }
    }
    // The loader of removable media only where there is no other.
    let others = found.len() > 1;
    found.retain(|candidate| !others || candidate.entry.id != "BOOTX64");
    Ok(found)
}

fn candidate<'d>(path: &str, image: uki::Image<'d>) -> Candidate<'d> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.get(..name.len().saturating_sub(4)).unwrap_or(name);
    let (id, exhausted) = boot_counter(stem);
    let title = image.title.unwrap_or_else(|| id.to_owned());
    let entry = Entry {
        id: id.to_owned(),
        version: image.version,
        sort_key: image.sort_key,
        exhausted,
        ..Entry::default()
    };
    let found_by = FoundBy::UnifiedKernelImage;
    let (kernel, initrd, command_line) = (image.kernel, image.initrd, image.command_line);
    Candidate {
        entry,
        boots: BootEntry {
            title,
            found_by,
            kernel,
            initrd,
            command_line,
        },
    }
}

/// The `default` of `loader.conf`; `@saved` and the like need firmware variables, which there are none of.
fn default_pattern(volume: &Volume<'_, '_>, root: &str) -> Result<Option<String>, BootError> {
    let text = match volume.text(&format!("{root}/loader/loader.conf")) {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => return error.fatal().map(|_| None),
    };
    let value = |line: &str| {
        line.trim()
            .strip_prefix("default")
            .filter(|v| v.starts_with(char::is_whitespace))
            .map(str::trim)
            .map(str::to_owned)
    };
    let stem = |value: String| {
        [".conf", ".efi"]
            .iter()
            .find_map(|s| value.strip_suffix(s))
            .unwrap_or(&value)
            .to_owned()
    };
    Ok(text
        .lines()
        .filter_map(value)
        .next_back()
        .filter(|value| !value.starts_with('@'))
        .map(stem))
}

/// Whether a name matches a pattern with `*` and `?`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // The last star, and what it has swallowed so far.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || Some(&c) == name.get(n) => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, swallowed)) => {
                    star = Some((at, swallowed + 1));
                    (p, n) = (at + 1, swallowed + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&c| c == '*')
}
