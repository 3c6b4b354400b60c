//! VMware's hosted sparse extents in one file, `monolithicSparse` and `streamOptimized`, read-only (VMware, "Virtual
//! Disk Format 5.0").
//!
//! A directory of tables maps grains of the disk to sectors of the file; in stream-optimized disks, which are what
//! clouds export, grains are compressed, and the directory is at the file's end.

use super::{Format, ImportError, MAX_SIZE, Source};
use crate::{ReadAt, field};
use std::io::Read;

const SECTOR: u64 = 512;
/// The longest directory, in entries.
const MAX_DIRECTORY: u64 = 8 << 20;
/// The longest grain, in bytes; the usual one has 64 KiB.
const MAX_GRAIN: u64 = 8 << 20;
/// The longest description, in bytes.
const MAX_DESCRIPTION: u64 = 64 << 10;
/// The most grains that are looked at for data at once.
const MAX_SEARCH: u32 = 1 << 16;
const FLAG_ZERO_GRAINS: u32 = 1 << 2;
const FLAG_COMPRESSED: u32 = 1 << 16;
const DIRECTORY_AT_END: u64 = u64::MAX;

/// A VMDK image.
pub(super) struct Vmdk<'f> {
    file: &'f dyn ReadAt,
    file_size: u64,
    size: u64,
    /// In bytes.
    grain_size: u64,
    /// Grains that one table maps.
    per_table: u64,
    zero_grains: bool,
    compressed: bool,
    directory: Vec<u32>,
    /// The table that was read last, and its number.
    table: Option<(usize, Vec<u32>)>,
    /// The compressed grain that was read last, and its number.
    grain: Option<(u64, Vec<u8>)>,
}

fn damaged(what: &'static str) -> ImportError {
    ImportError::Damaged {
        format: Format::Vmdk,
        what,
    }
}

impl<'f> Vmdk<'f> {
    pub(super) fn open(file: &'f dyn ReadAt) -> Result<Self, ImportError> {
        let file_size = file.size().map_err(ImportError::read(0))?;
        let mut header = read_header(file, 0, file_size)?;
        refuse_parents(file, file_size, &header)?;
        if field::u64(&header, 56) == DIRECTORY_AT_END {
            // The last three sectors are a marker, a footer that is like the header, and an end.
            header = read_header(file, file_size.saturating_sub(2 * SECTOR), file_size)?;
        }
        let flags = field::u32(&header, 8);
        let compressed = flags & FLAG_COMPRESSED != 0;
        if compressed && field::u16(&header, 77) != 1 {
            return Err(ImportError::Unsupported {
                what: "a vmdk image with an unknown compression",
            });
        }
        let (sectors, grain) = (field::u64(&header, 12), field::u64(&header, 20));
        let size = sectors.checked_mul(SECTOR).filter(|&size| size <= MAX_SIZE);
        let grain_size = grain
            .checked_mul(SECTOR)
            .filter(|&size| size <= MAX_GRAIN && grain.is_power_of_two());
        let per_table = u64::from(field::u32(&header, 44));
        if !(1..=4096).contains(&per_table) {
            return Err(damaged("the size of its tables is absurd"));
        }
        let mut image = Self {
            file,
            file_size,
            size: size.ok_or_else(|| ImportError::Size {
                size: sectors.saturating_mul(SECTOR),
            })?,
            grain_size: grain_size.ok_or_else(|| damaged("the size of its grains is absurd"))?,
            per_table,
            zero_grains: flags & FLAG_ZERO_GRAINS != 0,
            compressed,
            directory: Vec::new(),
            table: None,
            grain: None,
        };
        let entries = image.size.div_ceil(image.grain_size * per_table);
        if entries > MAX_DIRECTORY {
            return Err(damaged("its directory is too long"));
        }
        image.directory = image.numbers(field::u64(&header, 56), entries)?;
        Ok(image)
    }

    /// Reads `count` sector numbers that begin at a sector.
    fn numbers(&self, sector: u64, count: u64) -> Result<Vec<u32>, ImportError> {
        let len = count * 4;
        let start = sector
            .checked_mul(SECTOR)
            .filter(|start| start.checked_add(len).is_some_and(|e| e <= self.file_size));
        let start = start.ok_or_else(|| damaged("a table lies beyond its end: the file is cut off"))?;
        let mut raw = vec![0; usize::try_from(len).map_err(|_| damaged("a table is too long"))?];
        self.file
            .read_exact_at(&mut raw, start)
            .map_err(ImportError::read(start))?;
        Ok(raw.as_chunks().0.iter().map(|raw| u32::from_le_bytes(*raw)).collect())
    }

    /// Where a grain begins in the file, in bytes; none if it is all zero.
    fn grain_start(&mut self, number: u64) -> Result<Option<u64>, ImportError> {
        let nth = usize::try_from(number / self.per_table).unwrap_or(usize::MAX);
        let table = self.directory.get(nth).copied().unwrap_or(0);
        if table == 0 {
            return Ok(None);
        }
        if self.table.as_ref().is_none_or(|(have, _)| *have != nth) {
            self.table = Some((nth, self.numbers(table.into(), self.per_table)?));
        }
        let index = usize::try_from(number % self.per_table).unwrap_or(usize::MAX);
        let entry = self
            .table
            .as_ref()
            .and_then(|(_, table)| table.get(index))
            .copied()
            .unwrap_or(0);
        let start = u64::from(entry) * SECTOR;
        match entry {
            0 => Ok(None),
            1 if self.zero_grains => Ok(None),
            _ if start >= self.file_size => Err(damaged("a grain lies beyond its end: the file is cut off")),
            _ => Ok(Some(start)),
        }
    }

    /// Reads within one grain.
    fn read_grain(&mut self, number: u64, within: u64, buf: &mut [u8]) -> Result<(), ImportError> {
        let Some(start) = self.grain_start(number)? else {
            buf.fill(0);
            return Ok(());
        };
        if !self.compressed {
            return self.read_file(buf, start + within);
        }
        if self.grain.as_ref().is_none_or(|(have, _)| *have != number) {
            self.grain = Some((number, self.decompress(number, start)?));
        }
        let bytes = self
            .grain
            .as_ref()
            .map(|(_, bytes)| bytes.as_slice())
            .unwrap_or_default();
        let bytes = usize::try_from(within)
            .ok()
            .and_then(|within| bytes.get(within..)?.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or_else(|| damaged("a compressed grain is too short"))?);
        Ok(())
    }

    fn read_file(&self, buf: &mut [u8], at: u64) -> Result<(), ImportError> {
        match at.checked_add(buf.len() as u64) {
            Some(end) if end <= self.file_size => self.file.read_exact_at(buf, at).map_err(ImportError::read(at)),
            _ => Err(damaged("a grain lies beyond its end: the file is cut off")),
        }
    }

    /// A compressed grain begins with its sector on the disk and its length.
    fn decompress(&self, number: u64, start: u64) -> Result<Vec<u8>, ImportError> {
        let mut marker = [0; 12];
        self.read_file(&mut marker, start)?;
        let len = u64::from(field::u32(&marker, 8));
        if field::u64(&marker, 0) != number * (self.grain_size / SECTOR) || len > 2 * self.grain_size + 1024 {
            return Err(damaged("a compressed grain is not the one that its table says"));
        }
        let too_long = |_| damaged("a compressed grain is too long");
        let mut packed = vec![0; usize::try_from(len).map_err(too_long)?];
        self.read_file(&mut packed, start + 12)?;
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(packed.as_slice())
            .take(self.grain_size)
            .read_to_end(&mut bytes)
            .map_err(|_| damaged("a compressed grain can't be decompressed"))?;
        // The last grain of a disk may be short.
        bytes.resize(usize::try_from(self.grain_size).map_err(too_long)?, 0);
        Ok(bytes)
    }
}

fn read_header(file: &dyn ReadAt, at: u64, file_size: u64) -> Result<[u8; 512], ImportError> {
    let mut header = [0; 512];
    if at + SECTOR > file_size {
        return Err(damaged("its header is cut off"));
    }
    file.read_exact_at(&mut header, at).map_err(ImportError::read(at))?;
    match header.starts_with(b"KDMV") {
        true => Ok(header),
        false if at == 0 => Err(ImportError::NotThat { format: Format::Vmdk }),
        false => Err(damaged("its footer is missing: the file is cut off")),
    }
}

/// Refuses disks that are only the difference to another one, as their description says.
fn refuse_parents(file: &dyn ReadAt, file_size: u64, header: &[u8]) -> Result<(), ImportError> {
    let (sector, sectors) = (field::u64(header, 28), field::u64(header, 36));
    let len = sectors.saturating_mul(SECTOR).min(MAX_DESCRIPTION);
    let start = sector.saturating_mul(SECTOR);
    if sector == 0 || start.checked_add(len).is_none_or(|end| end > file_size) {
        return Ok(());
    }
    let mut text = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_exact_at(&mut text, start).map_err(ImportError::read(start))?;
    let text = String::from_utf8_lossy(&text);
    let parent = |line: &str| {
        line.strip_prefix("parentFileNameHint=")
            .map(|name| name.trim().trim_matches('"').to_owned())
    };
    match text.lines().find_map(parent) {
        Some(name) => Err(ImportError::NeedsFile {
            name: name.chars().take(255).collect(),
        }),
        None => Ok(()),
    }
}

impl Source for Vmdk<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&mut self, at: u64) -> Result<u64, ImportError> {
        let mut number = at / self.grain_size;
        for _ in 0..MAX_SEARCH {
            if number * self.grain_size >= self.size {
                return Ok(self.size);
            }
            let nth = usize::try_from(number / self.per_table).unwrap_or(usize::MAX);
            if self.directory.get(nth).copied().unwrap_or(0) == 0 {
                number = (number / self.per_table + 1) * self.per_table;
            } else if self.grain_start(number)?.is_none() {
                number += 1;
            } else {
                break;
            }
        }
        Ok(at.max(number * self.grain_size).min(self.size))
    }

    fn read(&mut self, mut buf: &mut [u8], mut at: u64) -> Result<(), ImportError> {
        while !buf.is_empty() {
            let (number, within) = (at / self.grain_size, at % self.grain_size);
            let step = usize::try_from(self.grain_size - within)
                .unwrap_or(usize::MAX)
                .min(buf.len());
            let (now, later) = buf.split_at_mut(step);
            self.read_grain(number, within, now)?;
            (buf, at) = (later, at + step as u64);
        }
        Ok(())
    }
}
