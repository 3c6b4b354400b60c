//! What a daemon may leave behind on the host: processes, files, control groups, rows. There must be none.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The processes whose user id is in a range.
#[must_use]
pub fn processes_of(uids: Range<u32>) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| uid(*pid).is_some_and(|uid| uids.contains(&uid)))
        .collect()
}

/// The user id of a process that is no zombie: who should have waited for it may be dead, too.
fn uid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    if status.lines().any(|line| line.starts_with("State:\tZ")) {
        return None;
    }
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Ends the processes of a range of uids.
pub(crate) fn kill(uids: Range<u32>) {
    for pid in processes_of(uids) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Nothing is left of a daemon that has ended, once all its instances, images and snapshots were done away with.
#[track_caller]
pub(crate) fn assert_none(state: &Path, uids: Range<u32>, log: &str) {
    let processes = processes_of(uids);
    assert!(processes.is_empty(), "These monitors are left: {processes:?}");
    let files = files_below(state);
    let strays: Vec<_> = files.iter().filter(|file| !is_the_database(file)).collect();
    assert!(strays.is_empty(), "These files are left: {strays:?}");
    assert_no_rows(&state.join("kiln.db"));
    let groups = control_groups(log);
    assert!(groups.is_empty(), "These control groups are left: {groups:?}");
}

fn is_the_database(file: &Path) -> bool {
    file.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("kiln.db"))
        || file.file_name().is_some_and(|name| name == "lock")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

/// The tables of what there is. What was imported stays on record.
#[track_caller]
fn assert_no_rows(database: &Path) {
    let database = rusqlite::Connection::open(database).expect("The database can be opened");
    for table in [
        "ledger",
        "machines",
        "instances",
        "network_interfaces",
        "attachments",
        "volumes",
        "snapshots",
        "images",
        "kernels",
        "ramdisks",
    ] {
        let count: i64 = database
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("Table {table} can't be read: {error}"));
        assert_eq!(count, 0, "Rows are left in table {table}");
    }
}

/// The control groups of instances that a daemon's log speaks of. Scopes and groups carry the instance's id in their name.
fn control_groups(log: &str) -> Vec<PathBuf> {
    let ids: HashSet<&str> = log
        .match_indices("i-")
        .filter_map(|(at, _)| log.get(at..at + 19))
        .collect();
    let mut groups = folders_below(Path::new("/sys/fs/cgroup"));
    groups.retain(|group| {
        let name = group
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        // systemd writes a dash as \x2d in some units' names.
        let name = name.replace("\\x2d", "-");
        name.match_indices("i-")
            .any(|(at, _)| name.get(at..at + 19).is_some_and(|id| ids.contains(id)))
    });
    groups
}

fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.path());
            folders.extend(folders_below(&entry.path()));
        }
    }
    folders
}
