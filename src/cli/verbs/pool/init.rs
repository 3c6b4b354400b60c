//! `kiln pool init`. The state is copied into the new file system before that takes its place; so whenever this is cut short, the
//! state is where it was, or whole in the pool.

use super::super::super::Context;
use super::super::super::error::CommandError;
use super::super::super::output::tell;
use super::super::super::progress;
use super::InitArguments;
use super::programs::{has_systemd, must_be_root, output, run};
use crate::config::{Config, Size};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use serde_json::json;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// mkfs.xfs makes none that is smaller (300 MiB, since xfsprogs 5.19).
const LEAST: Size = Size::from_mib(300);
const MIB: u64 = 1 << 20;
/// Where units of a host's own lie.
const UNITS: &str = "/etc/systemd/system";

/// The places that are dealt with.
struct Places {
    /// The state directory, on which the pool is mounted.
    state: PathBuf,
    /// The file that holds the pool.
    file: PathBuf,
    /// The same until all of the state is in it.
    unfinished: PathBuf,
    /// What was in the state directory.
    before: PathBuf,
}

impl Places {
    fn new(state: &Path, file: Option<&Path>) -> Self {
        let beside = |path: &Path, end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let file = file.map_or_else(|| beside(state, "-pool.xfs"), Path::to_path_buf);
        Self {
            state: state.to_owned(),
            unfinished: beside(&file, ".unfinished"),
            before: beside(state, "-before-pool"),
            file,
        }
    }
}

pub(super) async fn init(context: &Context, arguments: &InitArguments) -> Result<(), CommandError> {
    let config = Config::load(arguments.config.as_deref()).map_err(|error| CommandError::Config(Box::new(error)))?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(failed(path));
    let state = absolute(&config.state_dir)?;
    let file = arguments.file.as_deref().map(absolute).transpose()?;
    let places = Places::new(&state, file.as_deref());
    if shares_blocks(&places.state) {
        tell("clones share their blocks there already: nothing is to be done");
        return context.out.line(&places.state.to_string_lossy());
    }
    must_be_root()?;
    undo_unfinished(&places)?;
    let _held = hold(&places.state)?;
    if places.file.exists() {
        if !is_empty(&places.state)? {
            return Err(CommandError::Usage(format!(
                "{} is there already, and {} is not empty: no pool is made over another one",
                places.file.display(),
                places.state.display()
            )));
        }
        tell(&format!("{} is there already: it is mounted", places.file.display()));
    } else {
        fill(&places, arguments.size).await?;
        take_place(&places)?;
    }
    mount(&places, arguments.no_unit).await?;
    if places.before.exists() {
        tell(&format!(
            "what was in {} is still in {}: remove it when all is well",
            places.state.display(),
            places.before.display()
        ));
    }
    let (path, file) = (places.state.to_string_lossy(), places.file.to_string_lossy());
    match context.out.json {
        true => context.out.answer(&json!({"Path": path, "BackingFile": file})),
        false => context.out.line(&path),
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CommandError + use<> {
    let path = path.to_owned();
    move |source| CommandError::File {
        path: path.clone(),
        source,
    }
}

fn shares_blocks(state: &Path) -> bool {
    let shared = || -> io::Result<()> {
        let (from, to) = (tempfile::tempfile_in(state)?, tempfile::tempfile_in(state)?);
        from.set_len(4096)?;
        Ok(rustix::fs::ioctl_ficlone(&to, &from)?)
    };
    shared().is_ok()
}

/// What an attempt that was cut short left: a file that was never a pool, and perhaps the state under its other name.
fn undo_unfinished(places: &Places) -> Result<(), CommandError> {
    if !places.unfinished.exists() {
        return Ok(());
    }
    if places.before.exists() && is_empty(&places.state)? {
        fs::rename(&places.before, &places.state).map_err(failed(&places.before))?;
    }
    fs::remove_file(&places.unfinished).map_err(failed(&places.unfinished))
}

fn is_empty(folder: &Path) -> Result<bool, CommandError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(failed(folder)(error)),
    }
}

/// Makes sure that nobody writes to the state as long as what this gives is kept.
fn hold(state: &Path) -> Result<Vec<File>, CommandError> {
    let mut held = Vec::new();
    let lock = state.join("lock");
    if lock.exists() {
        let file = File::options().write(true).open(&lock).map_err(failed(&lock))?;
        match file.try_lock() {
            Ok(()) => held.push(file),
            Err(TryLockError::WouldBlock) => {
                let message =
                    "kilnd runs: stop all instances (kiln stop), then systemctl stop kilnd.socket kilnd.service";
                return Err(CommandError::Usage(message.into()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&lock)(error)),
        }
    }
    let volumes = state.join("volumes");
    let entries = match fs::read_dir(&volumes) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(held),
        Err(error) => return Err(failed(&volumes)(error)),
    };
    for entry in entries {
        let path = entry.map_err(failed(&volumes))?.path();
        let file = File::open(&path).map_err(failed(&path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let message =
                format!("An instance that runs writes to {name}: start kilnd, stop the instance, and stop kilnd");
            return Err(CommandError::Usage(message));
        }
        held.push(file);
    }
    Ok(held)
}

/// Makes the file system, and copies the state into it.
async fn fill(places: &Places, size: Option<Size>) -> Result<(), CommandError> {
    let folder = places.file.parent().unwrap_or(&places.file);
    let disk = rustix::fs::statvfs(folder).map_err(|error| failed(folder)(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let size = size.unwrap_or_else(|| Size::from_bytes((free / 2) & !(MIB - 1)));
    if size < LEAST || size.bytes() > free {
        let free = Size::from_bytes(free);
        let message = format!(
            "A pool of {size} can't be made: the least is {LEAST}, and {} has {free} free",
            folder.display()
        );
        return Err(CommandError::Usage(message));
    }
    let made = fill_file(places, size).await;
    if made.is_err() {
        // What is in it is only a copy.
        let _ = fs::remove_file(&places.unfinished);
    }
    made
}

async fn fill_file(places: &Places, size: Size) -> Result<(), CommandError> {
    let unfinished = failed(&places.unfinished);
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&places.unfinished);
    let file = file.map_err(&unfinished)?;
    fallocate(&file, FallocateFlags::empty(), 0, size.bytes()).map_err(|error| unfinished(error.into()))?;
    drop(file);
    tell(&format!("making an XFS of {size} in {}", places.file.display()));
    // Blocks are not given back to the host: the file system relies on having them.
    let words = ["-q", "-K", "-m", "reflink=1"].map(OsStr::new);
    run("mkfs.xfs", &[&words[..], &[places.unfinished.as_os_str()]].concat()).await?;
    if is_empty(&places.state)? {
        return Ok(());
    }
    let folder = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
    let spinner = progress::spinner(&format!("copying {}", places.state.display()));
    let words = ["--mount", "sh", "-ec", COPY, "sh"].map(OsStr::new);
    let paths = [places.unfinished.as_path(), folder.path(), &places.state].map(Path::as_os_str);
    let copied = run("unshare", &[&words[..], &paths[..]].concat()).await;
    spinner.finish_and_clear();
    copied
}

/// Copies `$3` into the file system in `$1`, mounted at `$2`: in a mount namespace of its own, so that nothing stays mounted wherever
/// it is cut short.
const COPY: &str = r#"
mount -o loop "$1" "$2"
cp --archive --sparse=always "$3/." "$2"
sync --file-system "$2"
umount "$2"
"#;

/// The full pool takes the state's place.
fn take_place(places: &Places) -> Result<(), CommandError> {
    if is_empty(&places.state)? {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&places.state);
        made.map_err(failed(&places.state))?;
    } else {
        fs::rename(&places.state, &places.before).map_err(failed(&places.before))?;
        let made = DirBuilder::new().mode(0o700).create(&places.state);
        made.map_err(failed(&places.state))?;
    }
    fs::rename(&places.unfinished, &places.file).map_err(failed(&places.file))?;
    for path in [&places.state, &places.file] {
        let folder = path.parent().unwrap_or(path);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed(folder))?;
    }
    Ok(())
}

/// Mounts the pool, at each start of the host too if there is systemd and nobody minds.
async fn mount(places: &Places, no_unit: bool) -> Result<(), CommandError> {
    let (file, state) = (places.file.to_string_lossy(), places.state.to_string_lossy());
    if no_unit || !has_systemd() {
        run("mount", &["-o", "loop,noatime", &file, &state]).await?;
        tell(&format!("for /etc/fstab: {file} {state} xfs loop,noatime 0 0"));
        return Ok(());
    }
    let name = output("systemd-escape", &["--path", "--suffix=mount", &state]).await?;
    let unit = Path::new(UNITS).join(&name);
    // The daemon's unit is ordered after it by its StateDirectory=.
    let text = format!(
        "[Unit]\nDescription=The pool of kiln's images and volumes\n\n\
         [Mount]\nWhat={file}\nWhere={state}\nType=xfs\nOptions=loop,noatime\n\n\
         [Install]\nWantedBy=local-fs.target\n"
    );
    fs::write(&unit, text).map_err(failed(&unit))?;
    run("systemctl", &["daemon-reload"]).await?;
    run("systemctl", &["--quiet", "enable", "--now", &name]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_comes_back_from_an_attempt_that_was_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::new(&folder.path().join("kiln"), None);
        assert_eq!(places.file, folder.path().join("kiln-pool.xfs"));
        fs::create_dir(&places.before).unwrap();
        fs::write(places.before.join("kiln.db"), "rows").unwrap();
        fs::create_dir(&places.state).unwrap();
        fs::write(&places.unfinished, "").unwrap();
        undo_unfinished(&places).unwrap();
        assert_eq!(fs::read_to_string(places.state.join("kiln.db")).unwrap(), "rows");
        assert!(!places.unfinished.exists() && !places.before.exists());
    }

    #[test]
    fn a_state_that_is_in_use_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        fs::create_dir(state.join("volumes")).unwrap();
        let lock = File::create(state.join("lock")).unwrap();
        let volume = File::create(state.join("volumes/vol-1.raw")).unwrap();
        assert!(hold(state).is_ok());
        flock(&volume, FlockOperation::NonBlockingLockExclusive).unwrap();
        let refused = hold(state).unwrap_err().to_string();
        assert!(refused.contains("vol-1:"), "{refused}");
        lock.lock().unwrap();
        let refused = hold(state).unwrap_err().to_string();
        assert!(refused.contains("kilnd runs"), "{refused}");
    }
}
