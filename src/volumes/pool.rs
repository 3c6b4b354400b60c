//! The file system that images, snapshots, volumes and instance store lie on: what they take of it, what they share, and what could be freed.
//! `GET /pool` shows it.

use super::Volumes;
use crate::model::{ResourceId, SnapshotId, VolumeState};
use crate::store::layout::Layout;
use crate::store::{self, StoreError};
use kiln_images::extents::{Occupied, occupied};
use rusqlite::Connection;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file system, and what is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The state directory, which is on it.
    pub path: PathBuf,
    /// Its type as the kernel names it: `xfs`, `ext4`.
    pub file_system: String,
    /// The file that it lies in, if it is one made by `kiln pool init`.
    pub backing_file: Option<PathBuf>,
    /// Whether clones share their blocks on it.
    pub shares_blocks: bool,
    /// How large it is, in bytes.
    pub size: u64,
    /// What is free, in bytes.
    pub free: u64,
    /// What is on it, by kind.
    pub uses: Vec<Use>,
    /// What could be deleted without anybody who uses it noticing.
    pub freeable: Vec<Freeable>,
}

/// What is on a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Snapshots, those of images among them.
    Snapshots,
    /// Volumes.
    Volumes,
    /// Instance store: disks of instances that have a machine.
    InstanceStore,
}

/// What all files of a kind take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The kind.
    pub kind: Kind,
    /// How many there are.
    pub count: u64,
    /// How large they look, in bytes.
    pub size: u64,
    /// What they take of the disk, in bytes.
    pub occupied: Occupied,
}

/// Something that nobody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freeable {
    /// What it is.
    pub resource: ResourceId,
    /// What its deletion gives back, in bytes.
    pub bytes: u64,
}

/// Why nobody can say what is on the pool.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The records can't be read.
    #[error("The records of volumes and snapshots can't be read")]
    Record(#[from] StoreError),
    /// The file system can't be asked.
    #[error("The file system of {path} can't be looked at")]
    FileSystem {
        /// The state directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file of the pool's by the records.
struct Entry {
    kind: Kind,
    path: PathBuf,
    resource: ResourceId,
    used: bool,
}

impl Volumes {
    /// What is on the pool. Looks at each file, so it takes a moment where there are many.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub async fn pool(&self) -> Result<Pool, PoolError> {
        let layout = self.layout.clone();
        let entries = self.store.read(move |store| entries(store, &layout)).await?;
        let (path, shares_blocks) = (self.layout.state_dir().to_owned(), self.reflinks);
        let looked = tokio::task::spawn_blocking({
            let path = path.clone();
            move || look(&path, shares_blocks, &entries)
        });
        let looked = looked.await.unwrap_or_else(|died| Err(io::Error::other(died)));
        looked.map_err(|source| PoolError::FileSystem { path, source })
    }
}

fn entries(store: &Connection, layout: &Layout) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for snapshot in store::snapshots::list(store)? {
        entries.push(Entry {
            kind: Kind::Snapshots,
            path: layout.snapshot(snapshot.id),
            resource: ResourceId::Snapshot(snapshot.id),
            used: is_used(store, snapshot.id)?,
        });
    }
    for volume in store::volumes::list(store)? {
        entries.push(Entry {
            kind: Kind::Volumes,
            path: layout.volume(volume.id),
            resource: ResourceId::Volume(volume.id),
            used: !matches!(volume.state, VolumeState::Available | VolumeState::Error),
        });
    }
    for instance in store::instances::list(store)? {
        for disk in instance.instance_type.instance_store_disks() {
            entries.push(Entry {
                kind: Kind::InstanceStore,
                path: layout.instance_store(instance.id, disk),
                resource: ResourceId::Instance(instance.id),
                used: true,
            });
        }
    }
    Ok(entries)
}

fn is_used(store: &Connection, snapshot: SnapshotId) -> Result<bool, StoreError> {
    Ok(store::snapshots::in_use(store, snapshot)? || store::snapshots::is_read(store, snapshot)?)
}

fn look(path: &Path, shares_blocks: bool, entries: &[Entry]) -> io::Result<Pool> {
    let space = rustix::fs::statvfs(path)?;
    let mut uses = [Kind::Snapshots, Kind::Volumes, Kind::InstanceStore].map(|kind| Use {
        kind,
        count: 0,
        size: 0,
        occupied: Occupied::default(),
    });
    let mut freeable = Vec::new();
    for entry in entries {
        let file = match File::open(&entry.path) {
            Ok(file) => file,
            // Not made yet, or deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let takes = occupied(&file)?;
        let size = file.metadata()?.len();
        for total in uses.iter_mut().filter(|total| total.kind == entry.kind) {
            total.count += 1;
            total.size = total.size.saturating_add(size);
            total.occupied.on_disk = total.occupied.on_disk.saturating_add(takes.on_disk);
            total.occupied.own = total.occupied.own.saturating_add(takes.own);
        }
        if !entry.used {
            freeable.push(Freeable {
                resource: entry.resource,
                bytes: takes.own,
            });
        }
    }
    freeable.sort_by_key(|one| std::cmp::Reverse(one.bytes));
    Ok(Pool {
        path: path.to_owned(),
        file_system: file_system(path)?,
        backing_file: backing_file(path)?,
        shares_blocks,
        size: space.f_blocks.saturating_mul(space.f_frsize),
        free: space.f_bavail.saturating_mul(space.f_frsize),
        uses: uses.into(),
        freeable,
    })
}

/// The type of the file system that `path` is on: that of the mount whose place is the longest beginning of it, the last of
/// them where several lie on one another (proc(5), `/proc/pid/mountinfo`).
fn file_system(path: &Path) -> io::Result<String> {
    let path = path.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mount = |line: &str| {
        let (about, kind) = line.split_once(" - ")?;
        let place = PathBuf::from(about.split(' ').nth(4)?.replace("\\040", " "));
        let kind = kind.split(' ').next()?.to_owned();
        path.starts_with(&place).then(|| (place.components().count(), kind))
    };
    let nearest = mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth);
    Ok(nearest.map_or_else(|| "unknown".into(), |(_, kind)| kind))
}

/// The file behind the loop device that `path` is on, if it is on one.
fn backing_file(path: &Path) -> io::Result<Option<PathBuf>> {
    let device = path.metadata()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    match std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/loop/backing_file")) {
        Ok(file) => Ok(Some(file.trim_end_matches('\n').into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_of_a_directory_is_that_of_the_nearest_mount() {
        assert_eq!(file_system(Path::new("/proc/self")).unwrap(), "proc");
        assert_eq!(file_system(Path::new("/sys")).unwrap(), "sysfs");
        assert_eq!(backing_file(Path::new("/proc")).unwrap(), None);
    }
}
