//! Where a file's blocks are: extent trees (ext4) and block maps (ext2, ext3).

use super::super::super::disk::FsError;
use super::{Ext4, Inode};
use crate::field;

/// The deepest tree, as Linux has it.
const MAX_DEPTH: u16 = 5;
/// The longest file whose blocks are looked for, in bytes: kernels and RAM disks are shorter.
const MAX_FILE: u64 = 2 << 30;
/// The most runs of one file.
const MAX_RUNS: usize = 128 << 10;

/// Blocks that lie side by side in the file and on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The first one's place in the file.
    pub(super) file_block: u64,
    /// And in the file system.
    pub(super) block: u64,
    pub(super) count: u64,
}

/// The runs of a file in the file's order; what lies between them are holes.
pub(super) fn runs(fs: &Ext4<'_, '_>, inode: &Inode) -> Result<Vec<Run>, FsError> {
    if inode.size > MAX_FILE {
        return Err(FsError::TooLarge(MAX_FILE));
    }
    let mut found = Runs {
        fs,
        end: inode.size.div_ceil(fs.superblock.block_size.into()),
        runs: Vec::new(),
    };
    match inode.has_extents {
        true => found.tree(&inode.blocks, None)?,
        false => found.block_map(&inode.blocks)?,
    }
    Ok(found.runs)
}

struct Runs<'a, 'w, 'd> {
    fs: &'a Ext4<'w, 'd>,
    /// The file's length in blocks.
    end: u64,
    runs: Vec<Run>,
}

impl Runs<'_, '_, '_> {
    /// A node of an extent tree; `parent` is the depth of the one above it.
    fn tree(&mut self, node: &[u8], parent: Option<u16>) -> Result<(), FsError> {
        let (magic, entries, depth) = (field::u16(node, 0), field::u16(node, 2), field::u16(node, 6));
        // Depths that count down by one bound the recursion.
        if magic != 0xf30a || depth > MAX_DEPTH || parent.is_some_and(|parent| depth + 1 != parent) {
            return Err(FsError::Damaged("an extent tree has a bad node"));
        }
        let rows = node
            .get(12..)
            .unwrap_or_default()
            .chunks_exact(12)
            .take(usize::from(entries));
        for row in rows {
            if depth == 0 {
                self.extent(row)?;
            } else {
                let child = u64::from(field::u32(row, 4)) | u64::from(field::u16(row, 8)) << 32;
                let child = self.fs.whole_block(child)?;
                self.tree(&child, Some(depth))?;
            }
        }
        Ok(())
    }

    fn extent(&mut self, row: &[u8]) -> Result<(), FsError> {
        let len = field::u16(row, 4);
        // Longer ones are allocated but not written: they read as zeroes.
        if len <= 32768 {
            let block = u64::from(field::u32(row, 8)) | u64::from(field::u16(row, 6)) << 32;
            self.push(Run {
                file_block: field::u32(row, 0).into(),
                block,
                count: len.into(),
            })?;
        }
        Ok(())
    }

    /// Twelve blocks, then blocks of block numbers, once, twice and three times indirect.
    fn block_map(&mut self, map: &[u8]) -> Result<(), FsError> {
        let (direct, indirect) = map.split_at(48.min(map.len()));
        let mut next = 0;
        for number in direct.chunks_exact(4) {
            self.mapped(field::u32(number, 0), 0, &mut next)?;
        }
        for (level, number) in (1..).zip(indirect.chunks_exact(4)) {
            self.mapped(field::u32(number, 0), level, &mut next)?;
        }
        Ok(())
    }

    /// What a block number of the map stands for; `next` is the block of the file that it begins at.
    fn mapped(&mut self, number: u32, level: u32, next: &mut u64) -> Result<(), FsError> {
        if *next >= self.end {
            return Ok(());
        }
        if number == 0 {
            *next += u64::from(self.fs.superblock.block_size / 4).pow(level);
        } else if level == 0 {
            self.push(Run {
                file_block: *next,
                block: number.into(),
                count: 1,
            })?;
            *next += 1;
        } else {
            for number in self.fs.whole_block(number.into())?.chunks_exact(4) {
                self.mapped(field::u32(number, 0), level - 1, next)?;
            }
        }
        Ok(())
    }

    /// Adds a run, cut where the file ends and joined to the one before it where it goes on from it.
    fn push(&mut self, mut run: Run) -> Result<(), FsError> {
        run.count = run.count.min(self.end.saturating_sub(run.file_block));
        if run.count == 0 {
            return Ok(());
        }
        let full = self.runs.len() >= MAX_RUNS;
        match self.runs.last_mut() {
            Some(last) if last.file_block + last.count > run.file_block => {
                return Err(FsError::Damaged("the extents of a file overlap"));
            }
            Some(last) if last.file_block + last.count == run.file_block && last.block + last.count == run.block => {
                last.count += run.count;
            }
            _ if full => return Err(FsError::Damaged("a file is in too many pieces")),
            _ => self.runs.push(run),
        }
        Ok(())
    }
}
