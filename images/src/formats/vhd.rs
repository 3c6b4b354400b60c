//! Virtual hard disks, fixed and dynamic, read-only (Microsoft, "Virtual Hard Disk Image Format Specification" 1.0).
//!
//! A footer of 512 bytes ends the file. In a dynamic disk a table maps blocks, each with a bitmap of its sectors.

use super::{Format, ImportError, MAX_SIZE, Source};
use crate::{ReadAt, field};

const SECTOR: u64 = 512;
/// The longest table, in bytes.
const MAX_TABLE: u64 = 256 << 20;
const UNUSED: u32 = u32::MAX;
/// The most blocks that are looked at for data at once.
const MAX_SEARCH: u32 = 1 << 16;

/// A VHD image.
pub(super) struct Vhd<'f> {
    file: &'f dyn ReadAt,
    file_size: u64,
    size: u64,
    /// None in a fixed disk.
    blocks: Option<Blocks>,
}

/// Where the blocks of a dynamic disk are.
struct Blocks {
    /// In bytes.
    size: u64,
    /// The sector of each block's bitmap.
    table: Vec<u32>,
}

fn damaged(what: &'static str) -> ImportError {
    ImportError::Damaged {
        format: Format::Vhd,
        what,
    }
}

impl<'f> Vhd<'f> {
    pub(super) fn open(file: &'f dyn ReadAt) -> Result<Self, ImportError> {
        let file_size = file.size().map_err(ImportError::read(0))?;
        let footer = read::<512>(file, file_size.saturating_sub(SECTOR), file_size)?;
        if !footer.starts_with(b"conectix") {
            let head = read::<512>(file, 0, file_size)?;
            return Err(match head.starts_with(b"conectix") {
                true => damaged("its footer is missing: the file is cut off"),
                false => ImportError::NotThat { format: Format::Vhd },
            });
        }
        if !checksum_fits(&footer, 64) {
            return Err(damaged("its footer's checksum is wrong"));
        }
        let size = field::be_u64(&footer, 48);
        if size > MAX_SIZE {
            return Err(ImportError::Size { size });
        }
        let mut image = Self {
            file,
            file_size,
            size,
            blocks: None,
        };
        match field::be_u32(&footer, 60) {
            2 if size > file_size - SECTOR => return Err(damaged("the disk is longer than the file: it is cut off")),
            2 => {}
            3 => image.blocks = Some(image.dynamic(field::be_u64(&footer, 16))?),
            4 => {
                return Err(ImportError::NeedsFile {
                    name: "its parent disk".into(),
                });
            }
            _ => return Err(damaged("its footer says no kind of disk that is known")),
        }
        Ok(image)
    }

    fn dynamic(&self, at: u64) -> Result<Blocks, ImportError> {
        let header = read::<1024>(self.file, at, self.file_size)?;
        if !header.starts_with(b"cxsparse") || !checksum_fits(&header, 36) {
            return Err(damaged("the header of a dynamic disk is missing"));
        }
        let (table, entries) = (field::be_u64(&header, 16), u64::from(field::be_u32(&header, 28)));
        let size = u64::from(field::be_u32(&header, 32));
        if !size.is_power_of_two() || !(4096..=256 << 20).contains(&size) {
            return Err(damaged("the size of its blocks is absurd"));
        }
        let needed = self.size.div_ceil(size);
        if needed > entries || needed * 4 > MAX_TABLE {
            return Err(damaged("its table is too short for the disk"));
        }
        if table.checked_add(needed * 4).is_none_or(|end| end > self.file_size) {
            return Err(damaged("its table lies beyond its end: the file is cut off"));
        }
        let mut raw = vec![0; usize::try_from(needed * 4).map_err(|_| damaged("its table is too long"))?];
        self.file
            .read_exact_at(&mut raw, table)
            .map_err(ImportError::read(table))?;
        Ok(Blocks {
            size,
            table: raw.as_chunks().0.iter().map(|raw| u32::from_be_bytes(*raw)).collect(),
        })
    }

    /// Reads sectors of one block of a dynamic disk; `within` is the byte of the block.
    fn read_block(&self, blocks: &Blocks, block: usize, within: u64, buf: &mut [u8]) -> Result<(), ImportError> {
        let start = match blocks.table.get(block).copied().unwrap_or(UNUSED) {
            UNUSED => {
                buf.fill(0);
                return Ok(());
            }
            sector => u64::from(sector) * SECTOR,
        };
        let bitmap_len = (blocks.size / SECTOR / 8).next_multiple_of(SECTOR);
        if start + bitmap_len + within + buf.len() as u64 > self.file_size {
            return Err(damaged("a block lies beyond its end: the file is cut off"));
        }
        let first = within / SECTOR;
        let len = (within % SECTOR + buf.len() as u64).div_ceil(SECTOR);
        let mut bitmap = vec![0; usize::try_from(first % 8 + len).unwrap_or(usize::MAX).div_ceil(8)];
        let at = start + first / 8;
        self.file
            .read_exact_at(&mut bitmap, at)
            .map_err(ImportError::read(at))?;
        let at = start + bitmap_len + within;
        self.file.read_exact_at(buf, at).map_err(ImportError::read(at))?;
        // Sectors that were never written are zero, whatever the file holds there.
        let mut rest = buf;
        let mut sector = first;
        let mut skip = within % SECTOR;
        while !rest.is_empty() {
            let step = usize::try_from(SECTOR - skip).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(step);
            let bit = usize::try_from(sector - first / 8 * 8).unwrap_or(usize::MAX);
            if bitmap.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) == 0) {
                now.fill(0);
            }
            (rest, sector, skip) = (later, sector + 1, 0);
        }
        Ok(())
    }
}

/// Reads a structure of `N` bytes.
fn read<const N: usize>(file: &dyn ReadAt, at: u64, file_size: u64) -> Result<[u8; N], ImportError> {
    if at.checked_add(N as u64).is_none_or(|end| end > file_size) {
        return Err(damaged("a header lies beyond its end: the file is cut off"));
    }
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).map_err(ImportError::read(at))?;
    Ok(bytes)
}

/// The checksum is the complement of the sum of all other bytes.
fn checksum_fits(bytes: &[u8], at: usize) -> bool {
    let others = bytes.iter().enumerate().filter(|(i, _)| !(at..at + 4).contains(i));
    !others.fold(0u32, |sum, (_, &byte)| sum.wrapping_add(byte.into())) == field::be_u32(bytes, at)
}

impl Source for Vhd<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&mut self, at: u64) -> Result<u64, ImportError> {
        let Some(blocks) = &self.blocks else { return Ok(at) };
        let mut block = at / blocks.size;
        for _ in 0..MAX_SEARCH {
            let entry = usize::try_from(block).ok().and_then(|block| blocks.table.get(block));
            match entry {
                Some(&UNUSED) => block += 1,
                Some(_) => break,
                None => return Ok(self.size),
            }
        }
        Ok(at.max(block * blocks.size).min(self.size))
    }

    fn read(&mut self, mut buf: &mut [u8], mut at: u64) -> Result<(), ImportError> {
        let Some(blocks) = &self.blocks else {
            return self.file.read_exact_at(buf, at).map_err(ImportError::read(at));
        };
        while !buf.is_empty() {
            let (block, within) = (at / blocks.size, at % blocks.size);
            let step = usize::try_from(blocks.size - within)
                .unwrap_or(usize::MAX)
                .min(buf.len());
            let (now, later) = buf.split_at_mut(step);
            self.read_block(blocks, usize::try_from(block).unwrap_or(usize::MAX), within, now)?;
            (buf, at) = (later, at + step as u64);
        }
        Ok(())
    }
}
