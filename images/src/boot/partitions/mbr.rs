//! The master boot record's four partitions, and the logical ones in an extended partition.

use super::super::disk::{Disk, FsError};
use super::{MAX_PARTITIONS, Partition, Purpose, extent};
use crate::field;

/// A master boot record.
pub(super) struct Mbr {
    signature: u32,
    entries: [Entry; 4],
}

/// A row of a table, in sectors.
#[derive(Debug, Clone, Copy)]
struct Entry {
    active: u8,
    kind: u8,
    first: u32,
    count: u32,
}

impl Entry {
    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

fn entries(sector: &[u8; 512]) -> Option<[Entry; 4]> {
    if field::u16(sector, 510) != 0xaa55 {
        return None;
    }
    Some([446, 462, 478, 494].map(|at| Entry {
        active: field::u8(sector, at),
        kind: field::u8(sector, at + 4),
        first: field::u32(sector, at + 8),
        count: field::u32(sector, at + 12),
    }))
}

impl Mbr {
    /// None if the sector is no MBR: without its signature, or with nonsense where the table is.
    pub(super) fn parse(sector: &[u8; 512]) -> Option<Self> {
        let entries = entries(sector)?;
        let sane = entries.iter().all(|entry| entry.active & 0x7f == 0);
        sane.then(|| Self {
            signature: field::u32(sector, 440),
            entries,
        })
    }

    /// Whether it only says that there is a GPT.
    pub(super) fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == 0xee)
    }

    pub(super) fn partitions(&self, disk: &Disk<'_>) -> Result<Vec<Partition>, FsError> {
        let mut found = Vec::new();
        for (number, entry) in (1..).zip(self.entries) {
            if !entry.is_extended() {
                found.extend(self.partition(disk, number, entry, 0));
            }
        }
        if let Some(extended) = self.entries.iter().find(|entry| entry.is_extended()) {
            self.logical(disk, u64::from(extended.first), &mut found)?;
        }
        Ok(found)
    }

    /// Follows the chain of tables in an extended partition: each has one partition and the way to the next table.
    fn logical(&self, disk: &Disk<'_>, base: u64, found: &mut Vec<Partition>) -> Result<(), FsError> {
        let mut table = base;
        for number in (5..).take(MAX_PARTITIONS) {
            let Some((start, _)) = extent(disk, table, 1) else {
                break;
            };
            let mut sector = [0; 512];
            disk.read(&mut sector, start)?;
            let Some(entries) = entries(&sector) else { break };
            if let Some(&entry) = entries.iter().find(|entry| !entry.is_extended() && entry.count > 0) {
                found.extend(self.partition(disk, number, entry, table));
            }
            match entries.iter().find(|entry| entry.is_extended() && entry.first > 0) {
                Some(next) => table = base + u64::from(next.first),
                None => break,
            }
        }
        Ok(())
    }

    fn partition(&self, disk: &Disk<'_>, number: u32, entry: Entry, base: u64) -> Option<Partition> {
        let (start, len) = extent(disk, base + u64::from(entry.first), u64::from(entry.count))?;
        let purpose = match entry.kind {
            0 => return None,
            0xef => Purpose::Esp,
            0xea => Purpose::ExtendedBoot,
            _ => Purpose::Other,
        };
        let partuuid = Some(format!("{:08x}-{number:02x}", self.signature));
        Some(Partition {
            number,
            start,
            len,
            purpose,
            partuuid,
            label: None,
        })
    }
}
