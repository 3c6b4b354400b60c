//! The partition table of a disk: GPT, MBR, or none, where one file system fills the disk.

mod gpt;
mod mbr;

use super::disk::{Disk, FsError};
use std::fmt;

/// The size of a sector: virtio block devices and Linux' view of them have 512 bytes.
const SECTOR: u64 = 512;
/// The most partitions that are looked at.
const MAX_PARTITIONS: usize = 128;

/// The kinds of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    Gpt,
    Mbr,
    None,
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpt => "a GPT",
            Self::Mbr => "an MBR partition table",
            Self::None => "no partition table",
        })
    }
}

/// What a partition says it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The EFI system partition.
    Esp,
    /// The extended boot loader partition of the Boot Loader Specification.
    ExtendedBoot,
    /// Anything else.
    Other,
}

/// A partition that lies within its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its number, from 1; 0 where the disk has no table.
    pub(super) number: u32,
    /// In bytes.
    pub(super) start: u64,
    /// In bytes.
    pub(super) len: u64,
    pub(super) purpose: Purpose,
    /// What the kernel calls `PARTUUID`.
    pub(super) partuuid: Option<String>,
    /// What the kernel calls `PARTLABEL`; GPT only.
    pub(super) label: Option<String>,
}

/// The partitions of a disk, with what is to be said of the table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) kind: TableKind,
    pub(super) partitions: Vec<Partition>,
    pub(super) remarks: Vec<String>,
}

/// Reads the partition table as Linux would: a GPT only behind a protective MBR.
pub(super) fn read(disk: &Disk<'_>) -> Result<Table, FsError> {
    let mut remarks = Vec::new();
    let mut first = [0; 512];
    disk.read(&mut first, 0)?;
    let Some(mbr) = mbr::Mbr::parse(&first) else {
        return Ok(Table {
            kind: TableKind::None,
            partitions: vec![whole(disk)],
            remarks,
        });
    };
    if mbr.is_protective() {
        match gpt::read(disk, &mut remarks)? {
            Some(partitions) => {
                return Ok(Table {
                    kind: TableKind::Gpt,
                    partitions,
                    remarks,
                });
            }
            None => remarks.push("The MBR says that there is a GPT, but neither copy of it is whole".into()),
        }
    }
    let partitions = mbr.partitions(disk)?;
    // The boot sector of a file system has an MBR's signature too, and code where the table would be.
    if partitions.is_empty() {
        return Ok(Table {
            kind: TableKind::None,
            partitions: vec![whole(disk)],
            remarks,
        });
    }
    Ok(Table {
        kind: TableKind::Mbr,
        partitions,
        remarks,
    })
}

fn whole(disk: &Disk<'_>) -> Partition {
    let purpose = Purpose::Other;
    Partition {
        number: 0,
        start: 0,
        len: disk.size(),
        purpose,
        partuuid: None,
        label: None,
    }
}

/// The bytes of `count` sectors from `first` on; none if they are not on the disk.
fn extent(disk: &Disk<'_>, first: u64, count: u64) -> Option<(u64, u64)> {
    let (start, len) = (first.checked_mul(SECTOR)?, count.checked_mul(SECTOR)?);
    (count > 0 && start.checked_add(len)? <= disk.size()).then_some((start, len))
}
