//! Directories: read from end to end, which is right for hashed ones too, whose index looks like unused entries.

use super::super::super::disk::FsError;
use super::{Ext4, Inode};
use crate::field;

/// The longest directory that is read, in bytes: some hundred thousand names.
const MAX_DIRECTORY: u64 = 4 << 20;

/// A name in a directory.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) inode: u32,
}

/// The names of a directory, `.` and `..` included.
pub(super) fn entries(fs: &Ext4<'_, '_>, inode: &Inode) -> Result<impl Iterator<Item = Entry>, FsError> {
    if !inode.is_directory() {
        return Err(FsError::NotFound);
    }
    if inode.size > MAX_DIRECTORY {
        return Err(FsError::TooLarge(MAX_DIRECTORY));
    }
    let bytes = directory_bytes(fs, inode)?;
    let (typed, block_size) = (fs.superblock.typed_entries, fs.superblock.block_len());
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(raw) = bytes.get(at..at + 8) {
        let stride = record_length(field::u16(raw, 4), block_size);
        if stride < 8 || !stride.is_multiple_of(4) || at % block_size + stride > block_size {
            return Err(FsError::Damaged("a directory's entries overlap"));
        }
        let inode = field::u32(raw, 0);
        let len = usize::from(if typed {
            field::u8(raw, 6).into()
        } else {
            field::u16(raw, 6)
        });
        if inode != 0 && len <= stride - 8 {
            found.extend(bytes.get(at + 8..at + 8 + len).map(|name| Entry {
                name: name.to_vec(),
                inode,
            }));
        }
        at += stride;
    }
    Ok(found.into_iter())
}

/// A directory's blocks, those in the journal too.
fn directory_bytes(fs: &Ext4<'_, '_>, inode: &Inode) -> Result<Vec<u8>, FsError> {
    let mut bytes = Vec::new();
    for run in super::extents::runs(fs, inode)? {
        for block in run.block..run.block.saturating_add(run.count) {
            bytes.extend(fs.whole_block(block)?);
        }
    }
    Ok(bytes)
}

/// With blocks of 64 KiB the length of an entry that fills one does not fit into its field.
fn record_length(raw: u16, block_size: usize) -> usize {
    match usize::from(raw) {
        0 | 65535 if block_size == 65536 => 65536,
        length => length,
    }
}
