//! ext2, ext3 and ext4, read-only, on disks that may be hostile (kernel documentation, `filesystems/ext4`).
//!
//! A guest that was stopped hard leaves its last changes in the journal. They are read from there, as a mount would,
//! else a kernel that was just installed would not be found; nothing is written.

mod checksum;
mod dir;
mod extents;
mod inode;
mod journal;
mod superblock;

use super::super::disk::{FsError, Window};
use super::super::file::BootFile;
use inode::Inode;
use journal::Journal;
use superblock::Superblock;

/// The inode of `/`.
const ROOT: u32 = 2;
/// The longest target of a symbolic link, as Linux has it.
const MAX_LINK: u64 = 4096;

/// An ext file system.
pub(in crate::boot) struct Ext4<'w, 'd> {
    window: Window<'w, 'd>,
    superblock: Superblock,
    journal: Journal,
}

impl<'w, 'd> Ext4<'w, 'd> {
    /// Opens the file system in `window`; none if there is no ext file system.
    pub(in crate::boot) fn open(window: Window<'w, 'd>) -> Result<Option<Self>, FsError> {
        let Some(superblock) = Superblock::read(&window)? else {
            return Ok(None);
        };
        let mut fs = Self {
            window,
            superblock,
            journal: Journal::default(),
        };
        fs.journal = Journal::read(&fs)?;
        Ok(Some(fs))
    }

    pub(in crate::boot) fn uuid(&self) -> &str {
        &self.superblock.uuid
    }

    pub(in crate::boot) fn label(&self) -> Option<&str> {
        Some(self.superblock.label.as_str()).filter(|label| !label.is_empty())
    }

    /// Reads within one block, from the journal if its newest copy is there.
    fn read_block(&self, block: u64, at: u32, buf: &mut [u8]) -> Result<(), FsError> {
        let copy = self.journal.copy_of(block);
        let start = self.superblock.block_start(copy.map_or(block, |copy| copy.block))?;
        self.window.read(buf, start + u64::from(at))?;
        if let (Some(copy), 0) = (copy, at) {
            copy.unescape(buf);
        }
        Ok(())
    }

    fn whole_block(&self, block: u64) -> Result<Vec<u8>, FsError> {
        let mut buf = vec![0; self.superblock.block_len()];
        self.read_block(block, 0, &mut buf)?;
        Ok(buf)
    }

    /// The file with this inode, whatever kind it is.
    fn file(&self, inode: &Inode, name: &str) -> Result<BootFile<'d>, FsError> {
        let mut file = BootFile::new(self.window.disk.bytes(), name);
        for run in extents::runs(self, inode)? {
            self.push_run(&mut file, inode.size, run)?;
        }
        let rest = inode.size.saturating_sub(file.len());
        file.push(rest, None)?;
        Ok(file)
    }

    /// Adds what a run of blocks holds to `file`, up to `size` bytes, block by block where the journal has newer ones.
    fn push_run(&self, file: &mut BootFile<'d>, size: u64, run: extents::Run) -> Result<(), FsError> {
        let block_size = u64::from(self.superblock.block_size);
        let start = run
            .file_block
            .checked_mul(block_size)
            .ok_or(FsError::Damaged("an extent is out of bounds"))?;
        let gap = start
            .checked_sub(file.len())
            .ok_or(FsError::Damaged("extents overlap"))?;
        file.push(gap.min(size.saturating_sub(file.len())), None)?;
        let parts = self.journal.split(run.block, run.count);
        for (block, count) in parts.ok_or(FsError::Unsupported(
            "a file whose journaled contents look like a journal",
        ))? {
            let here = self.superblock.block_start(block)?;
            self.superblock.block_start(block + count - 1)?;
            let len = (count * block_size).min(size.saturating_sub(file.len()));
            file.push(len, Some(self.window.start + here))?;
        }
        Ok(())
    }
}

impl<'d> super::Tree<'d> for Ext4<'_, 'd> {
    type Node = Inode;

    fn root(&self) -> Result<Inode, FsError> {
        Inode::read(self, ROOT)
    }

    fn child(&self, directory: &Inode, name: &str) -> Result<Inode, FsError> {
        let found = dir::entries(self, directory)?.find(|entry| entry.name == name.as_bytes());
        Inode::read(self, found.ok_or(FsError::NotFound)?.inode)
    }

    fn names(&self, directory: &Inode) -> Result<Vec<String>, FsError> {
        let entries = dir::entries(self, directory)?;
        let name = |entry: dir::Entry| {
            String::from_utf8(entry.name)
                .ok()
                .filter(|name| name != "." && name != "..")
        };
        Ok(entries.filter_map(name).take(super::MAX_NAMES).collect())
    }

    fn link_target(&self, node: &Inode) -> Result<Option<String>, FsError> {
        if !node.is_link() {
            return Ok(None);
        }
        let bytes = match node.inline_link() {
            Some(target) => target.to_vec(),
            None => self
                .window
                .disk
                .read_file(&self.file(node, "a symbolic link")?, MAX_LINK)?,
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| FsError::Unsupported("a symbolic link that is not UTF-8"))
    }

    fn is_directory(&self, node: &Inode) -> bool {
        node.is_directory()
    }

    fn open(&self, node: &Inode, name: &str) -> Result<BootFile<'d>, FsError> {
        match node.is_file() {
            true => self.file(node, name),
            false => Err(FsError::NotAFile),
        }
    }
}
