//! How much of the disk a file takes, and how much of that it shares with other files. The daemon asks, to say what the deletion
//! of a volume or a snapshot would give back.

use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

/// What a file takes of the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occupied {
    /// Blocks that hold its data.
    pub on_disk: u64,
    /// Of those, the ones that no other file has.
    pub own: u64,
}

/// Asked for with one call; there is no bound on how many a file has.
const AT_ONCE: usize = 128;
/// The last extent of the file (`FIEMAP_EXTENT_LAST`).
const LAST: u32 = 0x1;
/// Other files have its blocks, too (`FIEMAP_EXTENT_SHARED`).
const SHARED: u32 = 0x2000;

/// `struct fiemap_extent` (Documentation/filesystems/fiemap.rst of Linux).
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// `struct fiemap` without its extents.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Head {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
}

/// `struct fiemap` with room for [`AT_ONCE`] extents.
#[repr(C)]
struct Map {
    head: Head,
    extents: [Extent; AT_ONCE],
}

/// `_IOWR('f', 11, struct fiemap)`.
const FIEMAP: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<Head>(b'f', 11);

/// What `file` takes of the disk. Where the file system can't say what is shared, nothing is.
///
/// # Errors
/// The file system's.
pub fn occupied(file: &File) -> io::Result<Occupied> {
    let on_disk = file.metadata()?.blocks().saturating_mul(512);
    let mut occupied = Occupied::default();
    let mut from = 0;
    loop {
        let map = match extents(file, from) {
            Ok(map) => map,
            Err(Errno::OPNOTSUPP | Errno::NOTTY) => return Ok(Occupied { on_disk, own: on_disk }),
            Err(error) => return Err(error.into()),
        };
        let mapped = usize::try_from(map.head.mapped).unwrap_or(AT_ONCE).min(AT_ONCE);
        let Some(found) = map.extents.get(..mapped) else { break };
        for extent in found {
            occupied.on_disk = occupied.on_disk.saturating_add(extent.length);
            if extent.flags & SHARED == 0 {
                occupied.own = occupied.own.saturating_add(extent.length);
            }
        }
        match found.last() {
            Some(last) if last.flags & LAST == 0 && last.length > 0 => from = last.logical.saturating_add(last.length),
            _ => break,
        }
    }
    Ok(occupied)
}

fn extents(file: &File, from: u64) -> rustix::io::Result<Map> {
    let head = Head {
        start: from,
        length: u64::MAX - from,
        count: u32::try_from(AT_ONCE).unwrap_or(0),
        ..Head::default()
    };
    let mut map = Map {
        head,
        extents: [Extent::default(); AT_ONCE],
    };
    // SAFETY: `Map` is laid out as the kernel's structure followed by as many extents as `count` says it has room for, and
    // all values of its members are valid.
    unsafe { rustix::ioctl::ioctl(file, rustix::ioctl::Updater::<FIEMAP, Map>::new(&mut map)) }?;
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_hole_takes_nothing_and_data_their_blocks() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.set_len(64 << 20).unwrap();
        assert_eq!(occupied(&file).unwrap(), Occupied::default());
        file.write_all_at(&[1; 1 << 20], 8 << 20).unwrap();
        file.sync_all().unwrap();
        let one = occupied(&file).unwrap();
        assert!((1 << 20..2 << 20).contains(&one.on_disk), "{one:?}");
        assert_eq!(one.own, one.on_disk);
    }

    #[test]
    fn more_extents_than_are_asked_for_at_once_are_counted_once_each() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let count = 3 * AT_ONCE as u64 + 1;
        file.set_len(count * (128 << 10)).unwrap();
        for at in 0..count {
            file.write_all_at(&[1; 4096], at * (128 << 10)).unwrap();
        }
        file.sync_all().unwrap();
        let on_disk = occupied(&file).unwrap().on_disk;
        assert!(
            (count * 4096..count * (64 << 10)).contains(&on_disk),
            "{count} extents, {on_disk} bytes"
        );
    }
}
