//! The file systems of a disk, each with the partition that it is on.

use super::disk::{Disk, FsError, Window};
use super::file::BootFile;
use super::fs::FileSystem;
use super::partitions::{self, Partition, Purpose, TableKind};
use super::{BootError, Survey};

/// The longest text file that a loader reads, but for scripts, in bytes.
const MAX_TEXT: u64 = 64 << 10;

/// A file system and its partition.
pub(super) struct Volume<'w, 'd> {
    pub(super) partition: Partition,
    pub(super) fs: FileSystem<'w, 'd>,
    disk: &'w Disk<'d>,
}

/// All file systems of a disk that can be read.
pub(super) struct Volumes<'w, 'd> {
    pub(super) table: TableKind,
    pub(super) list: Vec<Volume<'w, 'd>>,
}

impl<'w, 'd> Volumes<'w, 'd> {
    /// Opens them and notes what is on every partition.
    pub(super) fn open(disk: &'w Disk<'d>, survey: &mut Survey) -> Result<Self, BootError> {
        let table = match partitions::read(disk) {
            Ok(table) => table,
            Err(error) => {
                survey.note(format_args!("It has {} bytes: {}", disk.size(), error.fatal()?));
                return Ok(Self {
                    table: TableKind::None,
                    list: Vec::new(),
                });
            }
        };
        survey.note(format_args!("It has {} bytes and {}", disk.size(), table.kind));
        table.remarks.iter().for_each(|remark| survey.note(remark));
        let mut list = Vec::new();
        for partition in table.partitions {
            let window = Window {
                disk,
                start: partition.start,
                len: partition.len,
            };
            match FileSystem::open_in(window) {
                Ok(Some(fs)) => {
                    let volume = Volume { partition, fs, disk };
                    survey.note(format_args!("On {} there is {}", volume.place(), volume.describe()));
                    list.push(volume);
                }
                Ok(None) => survey.note(format_args!("On {} there is {}", place(&partition), foreign(&window)?)),
                Err(error) => survey.note(format_args!("{} can't be read: {}", place(&partition), error.fatal()?)),
            }
        }
        Ok(Self {
            table: table.kind,
            list,
        })
    }

    /// Those on partitions with that purpose.
    pub(super) fn with_purpose(&self, purpose: Purpose) -> impl Iterator<Item = &Volume<'w, 'd>> {
        self.list
            .iter()
            .filter(move |volume| volume.partition.purpose == purpose)
    }
}

impl<'d> Volume<'_, 'd> {
    /// `partition 1`, or `the disk`.
    pub(super) fn place(&self) -> String {
        place(&self.partition)
    }

    fn describe(&self) -> String {
        let label = self
            .fs
            .label()
            .map(|label| format!(" labelled {label}"))
            .unwrap_or_default();
        format!("{} with UUID {}{label}", self.fs.kind(), self.fs.uuid())
    }

    /// Opens the regular file at an absolute path.
    pub(super) fn open(&self, path: &str) -> Result<BootFile<'d>, FsError> {
        self.fs.open(path, &format!("{path} on {}", self.place()))
    }

    /// Reads a text file of a usual length; none if there is none.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, FsError> {
        self.text_within(path, MAX_TEXT)
    }

    /// Reads a text file of at most `limit` bytes; none if there is none.
    pub(super) fn text_within(&self, path: &str, limit: u64) -> Result<Option<String>, FsError> {
        match self.open(path).and_then(|file| self.disk.read_file(&file, limit)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(FsError::NotFound | FsError::NotAFile) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the part of a file that begins at `offset` and has `len` bytes.
    pub(super) fn part(&self, file: &BootFile<'d>, offset: u64, len: u64) -> Result<Vec<u8>, FsError> {
        let part = file
            .slice(file.name(), offset, len)
            .ok_or(FsError::Damaged("a file is shorter than it says"))?;
        self.disk.read_file(&part, MAX_TEXT)
    }

    /// The names in a directory; none if there is none.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>, FsError> {
        match self.fs.names(path) {
            Err(FsError::NotFound) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Whether there is a regular file at an absolute path.
    pub(super) fn has(&self, path: &str) -> Result<bool, BootError> {
        match self.open(path) {
            Ok(_) => Ok(true),
            Err(error) => error.fatal().map(|_| false),
        }
    }
}

fn place(partition: &Partition) -> String {
    let label = partition
        .label
        .as_ref()
        .map(|label| format!(" ({label})"))
        .unwrap_or_default();
    match partition.number {
        0 => "the whole disk".into(),
        number => format!("partition {number}{label}"),
    }
}

/// Names what is on a partition that can't be read, so that its owner knows why.
fn foreign(window: &Window<'_, '_>) -> Result<&'static str, BootError> {
    const KNOWN: [(u64, &[u8], &str); 9] = [
        (0, b"XFSB", "XFS, which is not supported"),
        (0x10040, b"_BHRfS_M", "btrfs, which is not supported"),
        (0, b"LUKS\xba\xbe", "an encrypted volume, which is not supported"),
        (512, b"LABELONE", "an LVM physical volume, which is not supported"),
        (4086, b"SWAPSPACE2", "swap space"),
        (0x8001, b"CD001", "an ISO 9660 file system, which is not supported"),
        (0, b"hsqs", "SquashFS, which is not supported"),
        (1024, b"\x10\x20\xf5\xf2", "F2FS, which is not supported"),
        (3, b"NTFS    ", "NTFS, which is not supported"),
    ];
    for (at, magic, name) in KNOWN {
        let mut found = [0; 16];
        let Some(found) = found.get_mut(..magic.len()) else {
            continue;
        };
        match window.read(found, at) {
            Ok(()) if found == magic => return Ok(name),
            Ok(()) => {}
            Err(error) => drop(error.fatal()?),
        }
    }
    Ok("nothing that is known")
}
