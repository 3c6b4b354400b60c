//! The superblock, and where it says that things are.

use super::super::super::disk::{FsError, Window};
use crate::field;

const FEATURE_RECOVER: u32 = 0x4;
const FEATURE_META_BG: u32 = 0x10;
const FEATURE_64BIT: u32 = 0x80;
/// What this can read, or need not know of to read: file types in directories, recovery, meta block groups, extents,
/// 64 bit, multiple mount protection, flexible groups, large attributes, checksum seed, large directories, inline
/// data (refused where met), encryption (refused where met), case folding.
const READABLE: u32 = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x3_0000;
const RO_SPARSE_SUPER: u32 = 0x1;

/// A superblock that makes sense for its window.
pub(super) struct Superblock {
    /// In bytes: a power of two from 1024 to 65536.
    pub(super) block_size: u32,
    pub(super) uuid: String,
    pub(super) label: String,
    /// The inode of a journal that must be replayed.
    pub(super) dirty_journal: Option<u32>,
    /// Whether directory entries have a byte for the type where old ones have the name length's upper half.
    pub(super) typed_entries: bool,
    pub(super) inode_size: u16,
    blocks: u64,
    first_block: u32,
    blocks_per_group: u32,
    inodes_per_group: u32,
    /// In bytes: a power of two from 32 to 1024.
    pub(super) descriptor_size: u32,
    first_meta_group: Option<u32>,
    sparse: bool,
}

impl Superblock {
    /// None if there is none.
    pub(super) fn read(window: &Window<'_, '_>) -> Result<Option<Self>, FsError> {
        if window.len < 2048 {
            return Ok(None);
        }
        let mut raw = [0; 1024];
        window.read(&mut raw, 1024)?;
        if field::u16(&raw, 0x38) != 0xef53 {
            return Ok(None);
        }
        let incompatible = field::u32(&raw, 0x60);
        if incompatible & !READABLE != 0 {
            return Err(FsError::Unsupported(
                "an ext4 file system with features that only a newer reader knows",
            ));
        }
        let superblock = Self::parse(&raw, incompatible)?;
        let bytes = superblock.blocks.checked_mul(superblock.block_size.into());
        match bytes.is_some_and(|bytes| bytes <= window.len) {
            true => Ok(Some(superblock)),
            false => Err(FsError::Damaged("the ext4 file system is larger than its partition")),
        }
    }

    fn parse(raw: &[u8], incompatible: u32) -> Result<Self, FsError> {
        let log_block_size = Some(field::u32(raw, 0x18)).filter(|&log| log <= 6);
        let wide = incompatible & FEATURE_64BIT != 0;
        let old = field::u32(raw, 0x4c) == 0;
        let superblock = Self {
            block_size: 1024u32 << log_block_size.ok_or(FsError::Damaged("the ext4 block size is absurd"))?,
            uuid: uuid(raw.get(0x68..0x78).unwrap_or_default()),
            label: label(raw.get(0x78..0x88).unwrap_or_default()),
            dirty_journal: (incompatible & FEATURE_RECOVER != 0).then(|| field::u32(raw, 0xe0)),
            typed_entries: incompatible & 0x2 != 0,
            inode_size: if old { 128 } else { field::u16(raw, 0x58) },
            blocks: u64::from(field::u32(raw, 4))
                | if wide {
                    u64::from(field::u32(raw, 0x150)) << 32
                } else {
                    0
                },
            first_block: field::u32(raw, 0x14),
            blocks_per_group: field::u32(raw, 0x20),
            inodes_per_group: field::u32(raw, 0x28),
            descriptor_size: if wide { u32::from(field::u16(raw, 0xfe)) } else { 32 },
            first_meta_group: (incompatible & FEATURE_META_BG != 0).then(|| field::u32(raw, 0x104)),
            sparse: field::u32(raw, 0x64) & RO_SPARSE_SUPER != 0,
        };
        match superblock.is_sane() {
            true => Ok(superblock),
            false => Err(FsError::Damaged("the ext4 superblock contradicts itself")),
        }
    }

    fn is_sane(&self) -> bool {
        let inode_size = u32::from(self.inode_size);
        inode_size.is_power_of_two()
            && (128..=self.block_size).contains(&inode_size)
            && self.descriptor_size.is_power_of_two()
            && (32..=1024).contains(&self.descriptor_size)
            && self.blocks_per_group > 0
            && self.inodes_per_group > 0
            && u64::from(self.first_block) < self.blocks
    }

    /// The size of a block, as a length in memory.
    pub(super) fn block_len(&self) -> usize {
        usize::try_from(self.block_size).unwrap_or(usize::MAX)
    }

    /// Where a block begins in the window, in bytes.
    pub(super) fn block_start(&self, block: u64) -> Result<u64, FsError> {
        match block < self.blocks {
            true => Ok(block * u64::from(self.block_size)),
            false => Err(FsError::Damaged("a block lies beyond the file system's end")),
        }
    }

    /// Where the descriptor of an inode's group is: its block and the byte in it; and the inode's place in the group's
    /// table.
    pub(super) fn descriptor_of(&self, inode: u32) -> Result<(u64, u32, u32), FsError> {
        let index = inode
            .checked_sub(1)
            .ok_or(FsError::Damaged("an inode has the number 0"))?;
        let (group, in_table) = (index / self.inodes_per_group, index % self.inodes_per_group);
        let groups = (self.blocks - u64::from(self.first_block)).div_ceil(u64::from(self.blocks_per_group));
        if u64::from(group) >= groups {
            return Err(FsError::Damaged("an inode has a number that is too large"));
        }
        // At least 1, as a descriptor is no longer than the smallest block.
        let per_block = self.block_size / self.descriptor_size;
        let (nth, at) = (group / per_block, group % per_block * self.descriptor_size);
        let block = match self.first_meta_group {
            Some(first) if nth >= first => {
                let first_group = nth * per_block;
                let start = u64::from(first_group) * u64::from(self.blocks_per_group) + u64::from(self.first_block);
                start + u64::from(self.has_superblock(first_group))
            }
            _ => u64::from(self.first_block) + 1 + u64::from(nth),
        };
        Ok((block, at, in_table))
    }

    /// Whether a group begins with a copy of the superblock.
    fn has_superblock(&self, group: u32) -> bool {
        let power_of = |base: u32| std::iter::successors(Some(base), |n| n.checked_mul(base)).any(|n| n == group);
        !self.sparse || group <= 1 || power_of(3) || power_of(5) || power_of(7)
    }
}

fn uuid(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().concat();
    [part(0..4), part(4..6), part(6..8), part(8..10), part(10..16)].join("-")
}

fn label(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}
