//! VMware's stream-optimized disks (VMware, "Virtual Disk Format 5.0"): what EC2 exports, and what is put into an OVA.
//!
//! Grains of 64 KiB are compressed, each behind a marker that says where on the disk it belongs; each table follows its
//! grains, the directory all of them, and a footer tells where that is.

use super::{ExportError, Format, Out, Sink, set};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

const SECTOR: u64 = 512;
/// In bytes.
const GRAIN: u64 = 64 << 10;
/// Grains that one table maps.
const PER_TABLE: u64 = 512;
/// The sectors before the first grain: header and description.
const OVERHEAD: u64 = 128;
/// The sectors of the description.
const DESCRIPTION: u64 = 20;
/// End of line characters that tell a text transfer's damage, grains are compressed, and have markers.
const FLAGS: u32 = 1 | 1 << 16 | 1 << 17;
const DIRECTORY_AT_END: u64 = u64::MAX;

/// What a marker announces.
#[derive(Clone, Copy)]
enum Marker {
    End = 0,
    Table = 1,
    Directory = 2,
    Footer = 3,
}

/// A stream-optimized VMDK image that is written.
pub(super) struct Vmdk<'f> {
    out: Out<'f>,
    size: u64,
    /// Where the file ends so far; a multiple of [`SECTOR`].
    end: u64,
    /// The sector of each table.
    directory: Vec<u32>,
    /// The table that is being filled, and its number.
    table: Option<(usize, Vec<u32>)>,
    /// The last grain, compressed; kept for its memory.
    packed: Vec<u8>,
}

impl<'f> Vmdk<'f> {
    pub(super) fn new(mut out: Out<'f>, size: u64, identity: u128) -> Result<Self, ExportError> {
        let entries = size.div_ceil(GRAIN * PER_TABLE);
        out.write(0, &header(size, DIRECTORY_AT_END))?;
        out.write(SECTOR, description(size, identity).as_bytes())?;
        Ok(Self {
            out,
            size,
            end: OVERHEAD * SECTOR,
            directory: vec![0; usize::try_from(entries).unwrap_or(usize::MAX)],
            table: None,
            packed: Vec::new(),
        })
    }

    /// The sector at the file's end.
    fn sector(&self) -> Result<u32, ExportError> {
        u32::try_from(self.end / SECTOR).map_err(|_| ExportError::TooLarge {
            format: Format::Vmdk,
            size: self.size,
        })
    }

    /// Writes at the file's end, and fills the last sector up with zeroes.
    fn append(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.out.write(self.end, bytes)?;
        self.end = (self.end + bytes.len() as u64).next_multiple_of(SECTOR);
        Ok(())
    }

    /// Writes a marker and, behind it, what it announces.
    fn announce(&mut self, marker: Marker, bytes: &[u8]) -> Result<(), ExportError> {
        let mut sector = [0; 512];
        let sectors = (bytes.len() as u64).div_ceil(SECTOR);
        set(&mut sector, 0, &sectors.to_le_bytes());
        set(&mut sector, 12, &(marker as u32).to_le_bytes());
        self.append(&sector)?;
        self.append(bytes)
    }

    /// Writes the table that was filled.
    fn end_table(&mut self) -> Result<(), ExportError> {
        let Some((nth, table)) = self.table.take() else {
            return Ok(());
        };
        let bytes = little_endian(&table);
        // Behind its marker.
        let sector = self.sector()? + 1;
        self.announce(Marker::Table, &bytes)?;
        if let Some(entry) = self.directory.get_mut(nth) {
            *entry = sector;
        }
        Ok(())
    }
}

fn little_endian(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The header, which is the footer, too, once it is known where the directory begins.
fn header(size: u64, directory: u64) -> [u8; 512] {
    let mut header = [0; 512];
    set(&mut header, 0, b"KDMV");
    set(&mut header, 4, &3u32.to_le_bytes());
    set(&mut header, 8, &FLAGS.to_le_bytes());
    set(&mut header, 12, &(size / SECTOR).to_le_bytes());
    set(&mut header, 20, &(GRAIN / SECTOR).to_le_bytes());
    set(&mut header, 28, &1u64.to_le_bytes());
    set(&mut header, 36, &DESCRIPTION.to_le_bytes());
    set(&mut header, 44, &512u32.to_le_bytes());
    set(&mut header, 56, &directory.to_le_bytes());
    set(&mut header, 64, &OVERHEAD.to_le_bytes());
    set(&mut header, 73, b"\n \r\n");
    // Deflate.
    set(&mut header, 77, &1u16.to_le_bytes());
    header
}

/// The description, which fits into its sectors. The name of the extent stands for this file, whatever it is called.
fn description(size: u64, identity: u128) -> String {
    let sectors = size / SECTOR;
    // The number of no content, which means that there is no parent, is all ones.
    let content = u32::try_from(identity & 0x7fff_ffff).unwrap_or(0);
    let cylinders = (sectors / (255 * 63)).clamp(1, 65535);
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={content:08x}\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
         # Extent description\nRW {sectors} SPARSE \"disk.vmdk\"\n\n\
         # The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"lsilogic\"\n"
    )
}

impl Sink for Vmdk<'_> {
    fn unit(&self) -> usize {
        64 << 10
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExportError> {
        let number = at / GRAIN;
        let nth = usize::try_from(number / PER_TABLE).unwrap_or(usize::MAX);
        if self.table.as_ref().is_none_or(|(have, _)| *have != nth) {
            self.end_table()?;
            self.table = Some((nth, vec![0; usize::try_from(PER_TABLE).unwrap_or(0)]));
        }
        let sector = self.sector()?;
        let index = usize::try_from(number % PER_TABLE).unwrap_or(usize::MAX);
        if let Some(entry) = self.table.as_mut().and_then(|(_, table)| table.get_mut(index)) {
            *entry = sector;
        }
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        packed.extend_from_slice(&(at / SECTOR).to_le_bytes());
        packed.extend_from_slice(&[0; 4]);
        // Fast: a disk is moved once, and most of the gain is in what is zero.
        let mut encoder = ZlibEncoder::new(packed, Compression::fast());
        let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish());
        let mut packed = compressed.map_err(ExportError::write(self.out.written))?;
        let length = u32::try_from(packed.len() - 12).unwrap_or(u32::MAX);
        set(&mut packed, 8, &length.to_le_bytes());
        self.append(&packed)?;
        self.packed = packed;
        Ok(())
    }

    fn finish(&mut self) -> Result<u64, ExportError> {
        self.end_table()?;
        let directory = u64::from(self.sector()?) + 1;
        let bytes = little_endian(&self.directory);
        self.announce(Marker::Directory, &bytes)?;
        self.announce(Marker::Footer, &header(self.size, directory))?;
        self.announce(Marker::End, &[])?;
        self.out.set_len(self.end)?;
        Ok(self.out.written)
    }
}
