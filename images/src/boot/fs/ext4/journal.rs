//! The journal of a file system that was not unmounted: which blocks have newer contents there.
//!
//! The log is a ring of transactions. Each has descriptor blocks, which name the blocks whose new contents follow;
//! revoke blocks, which say that older contents in the log are void; and a commit block, without which it does not count.

use super::super::super::disk::FsError;
use super::checksum::crc32c;
use super::{Ext4, Inode, extents};
use crate::field;
use std::collections::{BTreeMap, HashMap};

const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;
const TAG_ESCAPED: u32 = 1;
const TAG_SAME_UUID: u32 = 2;
const TAG_LAST: u32 = 8;
const FEATURE_64BIT: u32 = 0x2;
const FEATURE_CHECKSUM_V2: u32 = 0x8;
const FEATURE_CHECKSUM_V3: u32 = 0x10;
const FEATURE_FAST_COMMIT: u32 = 0x20;
/// Revoke, 64 bit, asynchronous commit, checksums, fast commit. What fast commits say (at most the changes of the
/// last seconds) is not read: the file system is as its last whole commit left it.
const READABLE: u32 = 0x1 | FEATURE_64BIT | 0x4 | FEATURE_CHECKSUM_V2 | FEATURE_CHECKSUM_V3 | FEATURE_FAST_COMMIT;

/// The blocks whose newest contents are in the journal.
#[derive(Default)]
pub(super) struct Journal {
    copies: BTreeMap<u64, Copy>,
}

/// A block's contents in the journal.
#[derive(Debug, Clone, std::marker::Copy)]
pub(super) struct Copy {
    /// The block of the file system that holds them.
    pub(super) block: u64,
    escaped: bool,
}

impl Copy {
    /// Contents that began with the journal's magic number were stored without it.
    pub(super) fn unescape(self, contents: &mut [u8]) {
        if let (true, Some(start)) = (self.escaped, contents.first_chunk_mut()) {
            *start = MAGIC.to_be_bytes();
        }
    }
}

impl Journal {
    /// Reads the journal if it must be replayed; `fs` is used without one.
    pub(super) fn read(fs: &Ext4<'_, '_>) -> Result<Self, FsError> {
        let Some(inode) = fs.superblock.dirty_journal else {
            return Ok(Self::default());
        };
        let inode = Inode::read(fs, inode)?;
        let runs = extents::runs(fs, &inode)?;
        Ok(match Log::open(fs, &runs)? {
            Some(log) => Self { copies: log.replay()? },
            None => Self::default(),
        })
    }

    pub(super) fn copy_of(&self, block: u64) -> Option<Copy> {
        self.copies.get(&block).copied()
    }

    /// Splits a run of blocks into runs of where their newest contents are; none if that can't be said in whole blocks.
    pub(super) fn split(&self, block: u64, count: u64) -> Option<Vec<(u64, u64)>> {
        let (mut parts, mut at, end) = (Vec::new(), block, block.saturating_add(count));
        for (&moved, copy) in self.copies.range(block..end) {
            if copy.escaped {
                return None;
            }
            if moved > at {
                parts.push((at, moved - at));
            }
            parts.push((copy.block, 1));
            at = moved + 1;
        }
        if at < end {
            parts.push((at, end - at));
        }
        Some(parts)
    }
}

/// The log: a ring of blocks.
struct Log<'a, 'w, 'd> {
    fs: &'a Ext4<'w, 'd>,
    runs: &'a [extents::Run],
    /// The ring's first block and the one after its last, as blocks of the journal.
    ring: std::ops::Range<u64>,
    /// Where the oldest transaction begins, and its number.
    start: u64,
    sequence: u32,
    features: u32,
    checksum_seed: u32,
}

/// What a transaction says until it is committed.
#[derive(Default)]
struct Transaction {
    writes: Vec<(u64, Copy)>,
    revokes: Vec<u64>,
}

impl<'a, 'w, 'd> Log<'a, 'w, 'd> {
    /// None if the log is empty.
    fn open(fs: &'a Ext4<'w, 'd>, runs: &'a [extents::Run]) -> Result<Option<Self>, FsError> {
        let first = block_in(runs, 0)?;
        let raw = fs.whole_block(first)?;
        if field::be_u32(&raw, 0) != MAGIC || field::be_u32(&raw, 12) != fs.superblock.block_size {
            return Err(FsError::Damaged("the journal has no superblock"));
        }
        // A superblock of version 1 has no features.
        let features = if field::be_u32(&raw, 4) == 4 {
            field::be_u32(&raw, 0x28)
        } else {
            0
        };
        if features & !READABLE != 0 {
            return Err(FsError::Unsupported(
                "a journal with features that only a newer reader knows",
            ));
        }
        let fast = match (features & FEATURE_FAST_COMMIT != 0, field::be_u32(&raw, 0x54)) {
            (false, _) => 0,
            (true, 0) => 256,
            (true, blocks) => blocks,
        };
        let (blocks, first, start) = (
            field::be_u32(&raw, 16),
            field::be_u32(&raw, 20),
            field::be_u32(&raw, 28),
        );
        let ring = u64::from(first)..u64::from(blocks.saturating_sub(fast));
        if start == 0 {
            return Ok(None);
        }
        if !ring.contains(&u64::from(start)) {
            return Err(FsError::Damaged("the journal begins outside itself"));
        }
        let (start, sequence) = (start.into(), field::be_u32(&raw, 24));
        let checksum_seed = crc32c(!0, raw.get(0x30..0x40).unwrap_or_default());
        Ok(Some(Self {
            fs,
            runs,
            ring,
            start,
            sequence,
            features,
            checksum_seed,
        }))
    }

    /// Reads all committed transactions; each is at most the ring long.
    fn replay(&self) -> Result<BTreeMap<u64, Copy>, FsError> {
        let (mut at, mut sequence, mut left) = (self.start, self.sequence, self.ring.end - self.ring.start);
        let (mut open, mut done) = (Transaction::default(), Vec::new());
        while left > 0 {
            let block = self.fs.whole_block(block_in(self.runs, at)?)?;
            if field::be_u32(&block, 0) != MAGIC || field::be_u32(&block, 8) != sequence {
                break;
            }
            let mut used = 1;
            match field::be_u32(&block, 4) {
                DESCRIPTOR if self.is_whole(&block) => used += self.descriptor(&block, at, &mut open.writes)?,
                REVOKE if self.is_whole(&block) => self.revokes(&block, &mut open.revokes),
                COMMIT if self.commit_is_whole(&block) => {
                    done.push((sequence, std::mem::take(&mut open)));
                    sequence = sequence.wrapping_add(1);
                }
                _ => break,
            }
            (at, left) = (self.after(at, used), left.saturating_sub(used));
        }
        Ok(newest(done))
    }

    /// The block of the ring that is `by` after another.
    fn after(&self, at: u64, by: u64) -> u64 {
        let length = self.ring.end - self.ring.start;
        self.ring.start + (at - self.ring.start + by) % length
    }

    fn has_checksums(&self) -> bool {
        self.features & (FEATURE_CHECKSUM_V2 | FEATURE_CHECKSUM_V3) != 0
    }

    /// Descriptor and revoke blocks end with a checksum of themselves.
    fn is_whole(&self, block: &[u8]) -> bool {
        let body = block.len().saturating_sub(4);
        !self.has_checksums() || self.checksum_without(block, body) == field::be_u32(block, body)
    }

    fn commit_is_whole(&self, block: &[u8]) -> bool {
        !self.has_checksums() || self.checksum_without(block, 16) == field::be_u32(block, 16)
    }

    /// The checksum of a block with four zeroes in the place of its checksum.
    fn checksum_without(&self, block: &[u8], at: usize) -> u32 {
        let (before, after) = (
            block.get(..at).unwrap_or_default(),
            block.get(at + 4..).unwrap_or_default(),
        );
        [before, &[0; 4], after]
            .iter()
            .fold(self.checksum_seed, |crc, bytes| crc32c(crc, bytes))
    }

    /// Reads a descriptor's tags; gives how many blocks of contents follow it.
    fn descriptor(&self, block: &[u8], at: u64, writes: &mut Vec<(u64, Copy)>) -> Result<u64, FsError> {
        let wide = self.features & FEATURE_64BIT != 0;
        let (size, v3) = match (self.features & FEATURE_CHECKSUM_V3 != 0, wide) {
            (true, _) => (16, true),
            (false, wide) => (8 + usize::from(wide) * 4 + self.v2_extra(), false),
        };
        let end = block.len() - if self.has_checksums() { 4 } else { 0 };
        let (mut tag, mut count) = (12, 0);
        while let Some(raw) = block.get(tag..tag + size).filter(|_| tag + size <= end) {
            let flags = if v3 {
                field::be_u32(raw, 4)
            } else {
                field::be_u16(raw, 6).into()
            };
            let high = if wide { field::be_u32(raw, 8) } else { 0 };
            count += 1;
            let contents = block_in(self.runs, self.after(at, count))?;
            let copy = Copy {
                block: contents,
                escaped: flags & TAG_ESCAPED != 0,
            };
            writes.push((u64::from(field::be_u32(raw, 0)) | u64::from(high) << 32, copy));
            tag += size + if flags & TAG_SAME_UUID == 0 { 16 } else { 0 };
            if flags & TAG_LAST != 0 {
                break;
            }
        }
        Ok(count)
    }

    /// With version 2 checksums Linux makes a tag two bytes longer.
    fn v2_extra(&self) -> usize {
        if self.features & FEATURE_CHECKSUM_V2 != 0 { 2 } else { 0 }
    }

    fn revokes(&self, block: &[u8], revokes: &mut Vec<u64>) {
        let used = usize::try_from(field::be_u32(block, 12))
            .unwrap_or(usize::MAX)
            .min(block.len());
        let body = block.get(16..used).unwrap_or_default();
        match self.features & FEATURE_64BIT != 0 {
            true => revokes.extend(body.chunks_exact(8).map(|raw| field::be_u64(raw, 0))),
            false => revokes.extend(body.chunks_exact(4).map(|raw| u64::from(field::be_u32(raw, 0)))),
        }
    }
}

/// The newest contents of each block that no later, or the same, transaction revoked.
fn newest(transactions: Vec<(u32, Transaction)>) -> BTreeMap<u64, Copy> {
    // Their place in the log stands for their numbers, which may wrap around.
    let mut revoked = HashMap::new();
    for (nth, (_, transaction)) in transactions.iter().enumerate() {
        revoked.extend(transaction.revokes.iter().map(|&block| (block, nth)));
    }
    let mut copies = BTreeMap::new();
    for (nth, (_, transaction)) in transactions.into_iter().enumerate() {
        let valid = |block: &u64| revoked.get(block).is_none_or(|&at| at < nth);
        copies.extend(transaction.writes.into_iter().filter(|(block, _)| valid(block)));
    }
    copies
}

/// The block of the file system that is the journal's nth.
fn block_in(runs: &[extents::Run], nth: u64) -> Result<u64, FsError> {
    let run = runs.partition_point(|run| run.file_block + run.count <= nth);
    let run = runs.get(run).filter(|run| run.file_block <= nth);
    run.map(|run| run.block + (nth - run.file_block))
        .ok_or(FsError::Damaged("the journal is shorter than it says"))
}
