//! What a daemon may leave behind on the host: processes, files, control groups, rows. There must be none.

use rustix::process::{Pid, Signal, kill_process};
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

fn uid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
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
pub(crate) fn assert_none(state: &Path, uids: Range<u32>) {
    let processes = processes_of(uids);
    assert!(processes.is_empty(), "These monitors are left: {processes:?}");
    let files = files_below(state);
    let kept = |file: &&PathBuf| is_the_database(file) || is_last_words(file, state);
    let strays: Vec<_> = files.iter().filter(|file| !kept(file)).collect();
    assert!(strays.is_empty(), "These files are left: {strays:?}");
    assert_no_rows(state);
    let groups = control_groups_of_instances(state);
    assert!(groups.is_empty(), "These control groups are left: {groups:?}");
}

fn is_the_database(file: &Path) -> bool {
    file.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("kiln.db"))
        || file.file_name().is_some_and(|name| name == "lock")
}

/// What a terminated instance said last is kept as long as it is described.
fn is_last_words(file: &Path, state: &Path) -> bool {
    let name = file.file_name().unwrap_or_default();
    file.starts_with(state.join("instances")) && (name == "console.log" || name == "report.json")
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

/// The tables that say what the host holds for us. Terminated instances stay described for a while, with the directory of
/// their last words.
#[track_caller]
fn assert_no_rows(state: &Path) {
    let database = rusqlite::Connection::open(state.join("kiln.db")).expect("The database can be opened");
    for table in [
        "machines",
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
    let mut query = database
        .prepare("SELECT name FROM ledger")
        .expect("The ledger can be read");
    let names = query.query_map([], |row| row.get(0)).expect("The ledger can be read");
    let mut names: Vec<String> = names.map(|name| name.expect("A name is text")).collect();
    names.retain(|name| !Path::new(name).starts_with(state.join("instances")));
    assert!(names.is_empty(), "These objects are left on the ledger: {names:?}");
}

/// The control groups named after an instance that this daemon knew.
#[track_caller]
fn control_groups_of_instances(state: &Path) -> Vec<PathBuf> {
    let database = rusqlite::Connection::open(state.join("kiln.db")).expect("The database can be opened");
    let mut query = database
        .prepare("SELECT id FROM instances")
        .expect("The instances can be read");
    let ids: Vec<String> = query
        .query_map([], |row| row.get(0))
        .expect("The instances can be read")
        .flatten()
        .collect();
    let mut groups = folders_below(Path::new("/sys/fs/cgroup"));
    groups.retain(|group| {
        let name = group
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        // systemd writes the dash of i-… as \x2d in a unit's name, in places.
        let name = name.replace("\\x2d", "-");
        ids.iter().any(|id| name.contains(id.as_str()))
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
