//! GRUB's commands, as far as its configuration files use them to find and load a kernel.

use super::super::super::volume::Volume;
use super::bls;
use super::machine::{Machine, Outcome, Stop, device_name};
use super::test;

/// Runs a command; unknown ones fail, as in GRUB.
pub(super) fn run(machine: &mut Machine<'_, '_, '_>, name: &str, arguments: &[String]) -> Outcome {
    match name {
        "set" => set(machine, arguments),
        "unset" => {
            arguments.iter().for_each(|name| machine.unset(name));
            Ok(true)
        }
        "true" | "export" | "insmod" | "echo" | "save_env" | "loadfont" | "terminal_input" | "terminal_output"
        | "terminal" | "serial" | "background_image" | "background_color" | "clear" | "sleep" | "keymap" | "play"
        | "boot" => Ok(true),
        "[" => {
            let words = arguments
                .split_last()
                .filter(|(last, _)| *last == "]")
                .map(|(_, words)| words);
            Ok(words.is_some_and(|words| test::holds(words, machine)))
        }
        "test" => Ok(test::holds(arguments, machine)),
        "!" => match arguments.split_first() {
            Some((name, arguments)) => run(machine, name, arguments).map(|done| !done),
            None => Ok(false),
        },
        "load_env" => load_env(machine, arguments),
        "search" => search(machine, arguments),
        "search.fs_uuid" => search_short(machine, "--fs-uuid", arguments),
        "search.fs_label" => search_short(machine, "--label", arguments),
        "search.file" => search_short(machine, "--file", arguments),
        "linux" | "linux16" | "linuxefi" => linux(machine, arguments),
        "initrd" | "initrd16" | "initrdefi" => {
            machine.loaded.initrds = arguments.iter().map(|path| machine.absolute(path)).collect();
            Ok(true)
        }
        "source" | "." => arguments.first().map_or(Ok(false), |path| machine.run_file(path)),
        "configfile" | "normal" => {
            let Some(path) = arguments.first() else {
                return Ok(false);
            };
            machine.menu.clear();
            machine.run_file(path)
        }
        "blscfg" => bls::add_entries(machine),
        // 64-bit CPUs are what there is.
        "cpuid" => Ok(arguments.first().is_some_and(|argument| argument == "-l")),
        _ => Ok(false),
    }
}

fn set(machine: &mut Machine<'_, '_, '_>, arguments: &[String]) -> Outcome {
    // A value without quotes that had spaces came as several words.
    let joined = arguments.join(" ");
    match joined.split_once('=') {
        Some((name, value)) => machine.set(name, value).map(|()| true),
        None => Ok(true),
    }
}

/// Reads GRUB's environment block. `next_entry`, which is for one boot only, is left out: it would have to be erased
/// on the disk, else that entry would boot for ever.
fn load_env(machine: &mut Machine<'_, '_, '_>, arguments: &[String]) -> Outcome {
    let (mut file, mut wanted) = (format!("{}/grubenv", machine.get("prefix")), Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-f" | "--file" => file = words.next().cloned().unwrap_or_default(),
            option if option.starts_with('-') => file = option.strip_prefix("--file=").unwrap_or(&file).to_owned(),
            name => wanted.push(name),
        }
    }
    let Some(text) = machine.text(&file)? else {
        return Ok(false);
    };
    for (name, value) in text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
    {
        if name != "next_entry" && (wanted.is_empty() || wanted.contains(&name)) {
            machine.set(name, &value.replace("\\\\", "\\"))?;
        }
    }
    Ok(true)
}

fn linux(machine: &mut Machine<'_, '_, '_>, arguments: &[String]) -> Outcome {
    let Some((path, options)) = arguments.split_first() else {
        return Ok(false);
    };
    let mut words = vec![format!("BOOT_IMAGE={path}")];
    words.extend(options.iter().map(|word| {
        if word.contains(' ') {
            format!("\"{word}\"")
        } else {
            word.clone()
        }
    }));
    machine.loaded.kernel = Some(machine.absolute(path));
    machine.loaded.command_line = words.join(" ");
    machine.loaded.initrds.clear();
    Ok(true)
}

/// `search.fs_uuid UUID VARIABLE`, as GRUB's own small configurations have it.
fn search_short(machine: &mut Machine<'_, '_, '_>, by: &str, arguments: &[String]) -> Outcome {
    match arguments {
        [what, variable, ..] => find(machine, by, what, variable),
        [what] => find(machine, by, what, "root"),
        [] => Ok(false),
    }
}

/// `search [--no-floppy] [--fs-uuid|--label|--file] [--set=VARIABLE] [--hint…] NAME`
fn search(machine: &mut Machine<'_, '_, '_>, arguments: &[String]) -> Outcome {
    let (mut by, mut variable, mut what) = ("--file", "root", None);
    let mut words = arguments.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("-u" | "--fs-uuid", _) => by = "--fs-uuid",
            ("-l" | "--label" | "--fs-label", _) => by = "--label",
            ("-f" | "--file", _) => by = "--file",
            ("-s" | "--set", "") => {
                // The variable may be left out: `--set NAME` is told from it by what is left.
                if words.len() > 1 && words.peek().is_some_and(|next| !next.starts_with('-')) {
                    variable = words.next().unwrap_or("root");
                }
            }
            ("--set", name) => variable = name,
            ("-h" | "--hint", "") => drop(words.next()),
            (option, _) if option.starts_with('-') => {}
            _ => what = Some(word),
        }
    }
    what.map_or(Ok(false), |what| find(machine, by, what, variable))
}

fn find(machine: &mut Machine<'_, '_, '_>, by: &str, what: &str, variable: &str) -> Outcome {
    let volumes = machine.volumes;
    let mut found = None;
    for volume in &volumes.list {
        if is_searched(volume, by, what)? {
            found = Some(volume);
            break;
        }
    }
    match found {
        Some(volume) => machine
            .set(variable, &device_name(volumes.table, volume))
            .map(|()| true),
        None => Ok(false),
    }
}

fn is_searched(volume: &Volume<'_, '_>, by: &str, what: &str) -> Result<bool, Stop> {
    Ok(match by {
        "--fs-uuid" => volume.fs.uuid().eq_ignore_ascii_case(what),
        "--label" => volume.fs.label() == Some(what),
        _ => volume.has(what)?,
    })
}
