//! Inodes: what kind a file is, how long, and where its blocks are told.

use super::super::super::disk::FsError;
use super::Ext4;
use crate::field;

const FLAG_ENCRYPTED: u32 = 0x800;
const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_INLINE_DATA: u32 = 0x1000_0000;

/// A file, directory, link or something else.
pub(in crate::boot) struct Inode {
    /// In bytes.
    pub(super) size: u64,
    /// The root of the extent tree, the block map, or a link's target.
    pub(super) blocks: [u8; 60],
    pub(super) has_extents: bool,
    mode: u16,
}

impl Inode {
    pub(super) fn read(fs: &Ext4<'_, '_>, number: u32) -> Result<Self, FsError> {
        let (block, at, index) = fs.superblock.descriptor_of(number)?;
        let mut descriptor = [0; 64];
        // Short ones have no upper halves.
        let len = if fs.superblock.descriptor_size >= 64 { 64 } else { 32 };
        fs.read_block(block, at, &mut descriptor[..len])?;
        let table = u64::from(field::u32(&descriptor, 8)) | u64::from(field::u32(&descriptor, 0x28)) << 32;

        let per_block = fs.superblock.block_size / u32::from(fs.superblock.inode_size);
        let block = table
            .checked_add(u64::from(index / per_block))
            .ok_or(FsError::Damaged("an inode table is out of bounds"))?;
        let mut raw = [0; 128];
        fs.read_block(block, index % per_block * u32::from(fs.superblock.inode_size), &mut raw)?;
        Self::parse(&raw)
    }

    fn parse(raw: &[u8; 128]) -> Result<Self, FsError> {
        let (mode, flags) = (field::u16(raw, 0), field::u32(raw, 0x20));
        if mode == 0 || field::u16(raw, 0x1a) == 0 {
            return Err(FsError::Damaged("a directory names an inode that is not in use"));
        }
        if flags & FLAG_INLINE_DATA != 0 {
            return Err(FsError::Unsupported("ext4 inline data"));
        }
        if flags & FLAG_ENCRYPTED != 0 {
            return Err(FsError::Unsupported("an encrypted file"));
        }
        let mut blocks = [0; 60];
        blocks.copy_from_slice(&raw[0x28..0x64]);
        let size = u64::from(field::u32(raw, 4)) | u64::from(field::u32(raw, 0x6c)) << 32;
        Ok(Self {
            size,
            blocks,
            has_extents: flags & FLAG_EXTENTS != 0,
            mode,
        })
    }

    fn kind(&self) -> u16 {
        self.mode & 0xf000
    }

    pub(super) fn is_file(&self) -> bool {
        self.kind() == 0x8000
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind() == 0x4000
    }

    pub(super) fn is_link(&self) -> bool {
        self.kind() == 0xa000
    }

    /// A link's target, where it is short enough to lie in the inode.
    pub(super) fn inline_link(&self) -> Option<&[u8]> {
        let len = usize::try_from(self.size)
            .ok()
            .filter(|&len| len < self.blocks.len() && !self.has_extents)?;
        self.blocks.get(..len)
    }
}
