//! Dynamic virtual hard disks (Microsoft, "Virtual Hard Disk Image Format Specification" 1.0).
//!
//! A copy of the footer, the header of a dynamic disk, the table of blocks, the blocks with data, each behind a bitmap
//! that says that all its sectors count, and the footer.

use super::{ExportError, Format, Out, Sink, set};

const SECTOR: u64 = 512;
/// In bytes; the usual size of a block.
const BLOCK: u64 = 2 << 20;
/// The largest disk that readers take, in bytes.
const MAX_SIZE: u64 = 2040 << 30;
/// Where the header of a dynamic disk is: behind the copy of the footer.
const HEADER_AT: u64 = 512;
const TABLE_AT: u64 = HEADER_AT + 1024;
const UNUSED: u32 = u32::MAX;
const VERSION: [u8; 4] = [0, 1, 0, 0];

/// A dynamic VHD image that is written.
pub(super) struct Vhd<'f> {
    out: Out<'f>,
    size: u64,
    footer: [u8; 512],
    /// The sector of each block's bitmap.
    table: Vec<u32>,
    /// Where the next block goes, in bytes.
    end: u64,
}

impl<'f> Vhd<'f> {
    pub(super) fn new(out: Out<'f>, size: u64, identity: u128) -> Result<Self, ExportError> {
        if size > MAX_SIZE {
            let format = Format::Vhd;
            return Err(ExportError::TooLarge { format, size });
        }
        let blocks = size.div_ceil(BLOCK);
        Ok(Self {
            out,
            size,
            footer: footer(size, identity),
            table: vec![UNUSED; usize::try_from(blocks).unwrap_or(usize::MAX)],
            end: TABLE_AT + (blocks * 4).next_multiple_of(SECTOR),
        })
    }
}

fn footer(size: u64, identity: u128) -> [u8; 512] {
    let mut footer = [0; 512];
    set(&mut footer, 0, b"conectix");
    // A bit that is always set.
    set(&mut footer, 8, &2u32.to_be_bytes());
    set(&mut footer, 12, &VERSION);
    set(&mut footer, 16, &HEADER_AT.to_be_bytes());
    // By the creator, readers choose between the size and the geometry, which is less; this one says the size.
    set(&mut footer, 28, b"win ");
    set(&mut footer, 32, &VERSION);
    set(&mut footer, 36, b"Wi2k");
    set(&mut footer, 40, &size.to_be_bytes());
    set(&mut footer, 48, &size.to_be_bytes());
    set(&mut footer, 56, &geometry(size / SECTOR));
    // Dynamic.
    set(&mut footer, 60, &3u32.to_be_bytes());
    set(&mut footer, 68, &identity.to_be_bytes());
    seal(&mut footer, 64);
    footer
}

fn dynamic_header(blocks: u32) -> [u8; 1024] {
    let mut header = [0; 1024];
    set(&mut header, 0, b"cxsparse");
    set(&mut header, 8, &u64::MAX.to_be_bytes());
    set(&mut header, 16, &TABLE_AT.to_be_bytes());
    set(&mut header, 24, &VERSION);
    set(&mut header, 28, &blocks.to_be_bytes());
    set(&mut header, 32, &(2u32 << 20).to_be_bytes());
    seal(&mut header, 36);
    header
}

/// Cylinders, heads and sectors of a track, as the specification's appendix has them calculated.
fn geometry(sectors: u64) -> [u8; 4] {
    let sectors = sectors.min(65535 * 16 * 255);
    let (track, heads) = if sectors >= 65535 * 16 * 63 {
        (255, 16)
    } else {
        let heads = (sectors / 17).div_ceil(1024).max(4);
        if heads <= 16 && sectors / 17 < heads * 1024 {
            (17, heads)
        } else if sectors / 31 < 16 * 1024 {
            (31, 16)
        } else {
            (63, 16)
        }
    };
    let cylinders = u16::try_from(sectors / track / heads).unwrap_or(u16::MAX);
    let [high, low] = cylinders.to_be_bytes();
    let byte = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
    [high, low, byte(heads), byte(track)]
}

/// Puts in the checksum: the complement of the sum of all other bytes.
fn seal(structure: &mut [u8], at: usize) {
    let sum = structure.iter().fold(0u32, |sum, &byte| sum.wrapping_add(byte.into()));
    set(structure, at, &(!sum).to_be_bytes());
}

impl Sink for Vhd<'_> {
    fn unit(&self) -> usize {
        2 << 20
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExportError> {
        let sector = u32::try_from(self.end / SECTOR).map_err(|_| ExportError::TooLarge {
            format: Format::Vhd,
            size: self.size,
        })?;
        let number = usize::try_from(at / BLOCK).unwrap_or(usize::MAX);
        if let Some(entry) = self.table.get_mut(number) {
            *entry = sector;
        }
        self.out.write(self.end, &[0xff; 512])?;
        // What is zero in a block becomes a hole of the file.
        self.out.write_data(self.end + SECTOR, bytes)?;
        self.end += SECTOR + BLOCK;
        Ok(())
    }

    fn finish(&mut self) -> Result<u64, ExportError> {
        let blocks = u32::try_from(self.table.len()).unwrap_or(u32::MAX);
        let mut table: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        table.resize(table.len().next_multiple_of(512), 0xff);
        self.out.write(TABLE_AT, &table)?;
        self.out.write(HEADER_AT, &dynamic_header(blocks))?;
        self.out.write(self.end, &self.footer)?;
        self.out.write(0, &self.footer)?;
        Ok(self.out.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_geometry_is_never_more_than_the_disk_and_as_others_calculate_it() {
        // What `qemu-img create -f vpc` made of 40, 1024, 9000, 30,000 and 200,000 MiB.
        for (sectors, shape) in [
            (81_940, (964, 5, 17)),
            (2_097_648, (2081, 16, 63)),
            (18_432_288, (18286, 16, 63)),
            (61_440_624, (60953, 16, 63)),
            (409_600_000, (65535, 16, 255)),
        ] {
            let [high, low, heads, track] = geometry(sectors);
            assert_eq!((u16::from_be_bytes([high, low]), heads, track), shape, "{sectors}");
        }
        for sectors in (1..5_000_000).step_by(997) {
            let [high, low, heads, track] = geometry(sectors);
            let told = u64::from(u16::from_be_bytes([high, low])) * u64::from(heads) * u64::from(track);
            assert!(told <= sectors, "{sectors}");
        }
    }
}
