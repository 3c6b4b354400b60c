//! FAT12, FAT16 and FAT32 with long names, read-only (Microsoft's FAT specification of 2004).

use super::super::disk::{FsError, Window};
use super::super::file::BootFile;
use crate::field;
use std::cell::RefCell;

/// The longest directory, as the specification has it: 65536 entries.
const MAX_DIRECTORY: u64 = 65536 * 32;
/// How much of the allocation table is read at once.
const TABLE_PAGE: usize = 64 << 10;
const ATTRIBUTE_VOLUME: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;

/// The three widths of the allocation table's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Fat12,
    Fat16,
    Fat32,
}

/// A FAT file system.
pub(in crate::boot) struct Fat<'w, 'd> {
    window: Window<'w, 'd>,
    geometry: Geometry,
    uuid: String,
    label: Option<String>,
    /// The part of the table that was read last, and where it begins.
    page: RefCell<(u64, Vec<u8>)>,
}

/// Where things are, in bytes.
struct Geometry {
    width: Width,
    table: u64,
    table_len: u64,
    cluster_size: u64,
    /// Where cluster 2 begins.
    data: u64,
    /// One more than the highest cluster number.
    end: u64,
    root: Root,
}

enum Root {
    /// A fixed place of that many bytes.
    Fixed { start: u64, len: u64 },
    /// A chain of clusters.
    Chain(u64),
}

impl Geometry {
    /// None if the boot sector is not one of FAT.
    fn parse(boot: &[u8; 512], window_len: u64) -> Option<Self> {
        let sector = u64::from(field::u16(boot, 11));
        let cluster = u64::from(field::u8(boot, 13));
        let (reserved, tables) = (u64::from(field::u16(boot, 14)), u64::from(field::u8(boot, 16)));
        let root_len = u64::from(field::u16(boot, 17)) * 32;
        let either = |short: u16, long: u32| if short != 0 { u64::from(short) } else { u64::from(long) };
        let sectors = either(field::u16(boot, 19), field::u32(boot, 32));
        let per_table = either(field::u16(boot, 22), field::u32(boot, 36));
        let jump = matches!(field::u8(boot, 0), 0xeb | 0xe9);
        let sane = field::u16(boot, 510) == 0xaa55 && jump && (512..=4096).contains(&sector);
        if !sane || !sector.is_power_of_two() || !cluster.is_power_of_two() || reserved == 0 || tables == 0 {
            return None;
        }
        let (table, table_len) = (reserved * sector, per_table * sector);
        let root_start = table + tables * table_len;
        let data = root_start + root_len.next_multiple_of(sector);
        let cluster_size = cluster * sector;
        let clusters = (sectors * sector).min(window_len).checked_sub(data)? / cluster_size;
        let width = match (field::u16(boot, 22), clusters) {
            (0, _) => Width::Fat32,
            (_, ..4085) => Width::Fat12,
            _ => Width::Fat16,
        };
        let root = match width {
            Width::Fat32 => Root::Chain(field::u32(boot, 44).into()),
            _ => Root::Fixed {
                start: root_start,
                len: root_len,
            },
        };
        Some(Self {
            width,
            table,
            table_len,
            cluster_size,
            data,
            end: clusters + 2,
            root,
        })
    }

    fn cluster_start(&self, cluster: u64) -> Result<u64, FsError> {
        match (2..self.end).contains(&cluster) {
            true => Ok(self.data + (cluster - 2) * self.cluster_size),
            false => Err(FsError::Damaged("a FAT cluster is out of bounds")),
        }
    }
}

/// A file or directory.
pub(in crate::boot) struct Entry {
    name: String,
    /// The name's 8.3 form.
    short: String,
    directory: bool,
    cluster: u64,
    /// In bytes; directories have none.
    size: u64,
}

impl<'w, 'd> Fat<'w, 'd> {
    /// Opens the file system in `window`; none if there is no FAT.
    pub(in crate::boot) fn open(window: Window<'w, 'd>) -> Result<Option<Self>, FsError> {
        if window.len < 512 {
            return Ok(None);
        }
        let mut boot = [0; 512];
        window.read(&mut boot, 0)?;
        let Some(geometry) = Geometry::parse(&boot, window.len) else {
            return Ok(None);
        };
        let extended = if geometry.width == Width::Fat32 { 64 } else { 36 };
        let serial = field::u32(&boot, extended + 3);
        let uuid = format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff);
        let label = boot
            .get(extended + 7..extended + 18)
            .map(|raw| trimmed(raw).trim().to_owned());
        let label = label.filter(|label| !label.is_empty() && label != "NO NAME");
        Ok(Some(Self {
            window,
            geometry,
            uuid,
            label,
            page: RefCell::default(),
        }))
    }

    /// As `blkid` writes it: `1A2B-3C4D`.
    pub(in crate::boot) fn uuid(&self) -> &str {
        &self.uuid
    }

    pub(in crate::boot) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The cluster after `cluster` in its chain; none at the end.
    fn next(&self, cluster: u64) -> Result<Option<u64>, FsError> {
        let (at, len) = match self.geometry.width {
            Width::Fat12 => (cluster + cluster / 2, 2),
            Width::Fat16 => (cluster * 2, 2),
            Width::Fat32 => (cluster * 4, 4),
        };
        let raw = self.table_bytes(at, len)?;
        let (value, mask) = match self.geometry.width {
            Width::Fat12 if cluster % 2 == 1 => (raw >> 4, 0xfff),
            Width::Fat12 => (raw & 0xfff, 0xfff),
            Width::Fat16 => (raw, 0xffff),
            Width::Fat32 => (raw & 0x0fff_ffff, 0x0fff_ffff),
        };
        // The last eight numbers end a chain.
        Ok(Some(u64::from(value)).filter(|_| value < mask - 7))
    }

    /// Two or four bytes of the allocation table.
    fn table_bytes(&self, at: u64, len: u64) -> Result<u32, FsError> {
        if at + len > self.geometry.table_len {
            return Err(FsError::Damaged("the FAT is shorter than its clusters need"));
        }
        let mut page = self.page.borrow_mut();
        let inside = |start: u64, have: usize| at >= start && at + len <= start + have as u64;
        if !inside(page.0, page.1.len()) {
            let start = at / 512 * 512;
            let have = (self.geometry.table_len - start).min(TABLE_PAGE as u64);
            let mut bytes = vec![0; usize::try_from(have).unwrap_or(0)];
            self.window.read(&mut bytes, self.geometry.table + start)?;
            *page = (start, bytes);
        }
        let index = usize::try_from(at - page.0).unwrap_or(usize::MAX);
        Ok(if len == 2 {
            field::u16(&page.1, index).into()
        } else {
            field::u32(&page.1, index)
        })
    }

    /// The file of at most `size` bytes whose chain begins with `cluster`; with no size, all of the chain.
    fn chain(&self, cluster: u64, size: Option<u64>, name: &str) -> Result<BootFile<'d>, FsError> {
        let limit = size.unwrap_or(MAX_DIRECTORY);
        let mut file = BootFile::new(self.window.disk.bytes(), name);
        let mut next = Some(cluster).filter(|_| limit > 0);
        while let Some(cluster) = next.filter(|_| file.len() < limit) {
            let start = self.window.start + self.geometry.cluster_start(cluster)?;
            file.push(self.geometry.cluster_size.min(limit - file.len()), Some(start))?;
            next = self.next(cluster)?;
        }
        match (size, next) {
            (Some(size), _) if file.len() < size => Err(FsError::Damaged("a FAT file is shorter than it says")),
            (None, Some(_)) => Err(FsError::Damaged("a FAT directory never ends")),
            _ => Ok(file),
        }
    }

    fn entries(&self, directory: &Entry) -> Result<Vec<Entry>, FsError> {
        if !directory.directory {
            return Err(FsError::NotFound);
        }
        let fixed = match self.geometry.root {
            Root::Fixed { start, len } if directory.cluster == 0 => Some((start, len)),
            _ => None,
        };
        let file = match fixed {
            Some((start, len)) => {
                let mut file = BootFile::new(self.window.disk.bytes(), "/");
                file.push(len, Some(self.window.start + start))?;
                file
            }
            None => self.chain(directory.cluster, None, "a directory")?,
        };
        Ok(parse_directory(&self.window.disk.read_file(&file, MAX_DIRECTORY)?))
    }
}

fn parse_directory(bytes: &[u8]) -> Vec<Entry> {
    let (mut entries, mut long) = (Vec::new(), Vec::new());
    for raw in bytes.as_chunks::<32>().0 {
        match (raw[0], raw[11]) {
            (0, _) => break,
            (0xe5, _) => long.clear(),
            (order, ATTRIBUTE_LONG_NAME) => {
                // The parts of a long name come last first; the first has a mark.
                if order & 0x40 != 0 {
                    long.clear();
                }
                if long.len() < 20 {
                    long.push(long_part(raw));
                }
            }
            (_, attributes) if attributes & ATTRIBUTE_VOLUME != 0 => long.clear(),
            (_, attributes) => {
                let units: Vec<u16> = long.drain(..).rev().flatten().take_while(|&unit| unit != 0).collect();
                let short = short_name(raw);
                let name = if units.is_empty() {
                    short.clone()
                } else {
                    String::from_utf16_lossy(&units)
                };
                let cluster = u64::from(field::u16(raw, 26)) | u64::from(field::u16(raw, 20)) << 16;
                let directory = attributes & ATTRIBUTE_DIRECTORY != 0;
                entries.push(Entry {
                    name,
                    short,
                    directory,
                    cluster,
                    size: field::u32(raw, 28).into(),
                });
            }
        }
    }
    entries
}

/// The thirteen characters of one part of a long name.
fn long_part(raw: &[u8; 32]) -> [u16; 13] {
    [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30].map(|at| field::u16(raw, at))
}

/// The 8.3 name; two bits say that its parts were written in small letters.
fn short_name(raw: &[u8; 32]) -> String {
    let case = |part: &[u8], small: bool| match small {
        true => trimmed(part).to_ascii_lowercase(),
        false => trimmed(part),
    };
    let (base, extension) = (case(&raw[..8], raw[12] & 8 != 0), case(&raw[8..11], raw[12] & 16 != 0));
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}

fn trimmed(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).trim_end_matches([' ', '\0']).to_owned()
}

impl<'d> super::Tree<'d> for Fat<'_, 'd> {
    type Node = Entry;

    fn root(&self) -> Result<Entry, FsError> {
        let cluster = match self.geometry.root {
            Root::Fixed { .. } => 0,
            Root::Chain(cluster) => cluster,
        };
        Ok(Entry {
            name: String::new(),
            short: String::new(),
            directory: true,
            cluster,
            size: 0,
        })
    }

    fn child(&self, directory: &Entry, name: &str) -> Result<Entry, FsError> {
        let same = |entry: &Entry| entry.name.eq_ignore_ascii_case(name) || entry.short.eq_ignore_ascii_case(name);
        self.entries(directory)?.into_iter().find(same).ok_or(FsError::NotFound)
    }

    fn names(&self, directory: &Entry) -> Result<Vec<String>, FsError> {
        let names = self.entries(directory)?.into_iter().map(|entry| entry.name);
        Ok(names
            .filter(|name| name != "." && name != "..")
            .take(super::MAX_NAMES)
            .collect())
    }

    fn link_target(&self, _: &Entry) -> Result<Option<String>, FsError> {
        Ok(None)
    }

    fn is_directory(&self, node: &Entry) -> bool {
        node.directory
    }

    fn open(&self, node: &Entry, name: &str) -> Result<BootFile<'d>, FsError> {
        match node.directory {
            false => self.chain(node.cluster, Some(node.size), name),
            true => Err(FsError::NotAFile),
        }
    }
}
