//! A snapshot's file as blocks of 512 KiB: which of them hold data, in which of them two snapshots differ, and what is in one.
//!
//! `api` serves these to clients of the EBS direct API. All of it waits for the disk, so it is for threads that may.
//! Two snapshots are compared by their bytes and by nothing else: whether they share extents, or come of one volume, makes no
//! difference to what is found.

use kiln_images::sparse::next_data;
use std::fs::File;
use std::io;
use std::iter::Peekable;
use std::os::unix::fs::FileExt;

/// The size of a block, in bytes.
pub const BLOCK: usize = 512 << 10;
const BLOCK_64: u64 = BLOCK as u64;

/// How many blocks one comparison reads at most: a second or so on a common disk.
const MAX_COMPARED: usize = 1024;

/// How many blocks a disk of `size` bytes has; the last one may be there in part.
pub fn count(size: u64) -> u32 {
    u32::try_from(size.div_ceil(BLOCK_64)).unwrap_or(u32::MAX)
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// The block at which the next part begins, if there may be one.
    pub next: Option<u32>,
}

/// A block in which two snapshots differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The block.
    pub index: u32,
    /// Whether the first snapshot holds data there.
    pub in_first: bool,
}

/// Lists the blocks of `file` from `from` on that hold data, `max` at most. A block of which any part is data is one.
///
/// # Errors
/// The file system's.
pub fn list(file: &File, from: u32, max: usize) -> io::Result<Page<u32>> {
    let mut blocks = DataBlocks::new(file, from)?;
    let items: Vec<u32> = blocks.by_ref().take(max).collect::<io::Result<_>>()?;
    let next = blocks.next().transpose()?;
    Ok(Page { items, next })
}

/// Lists the blocks of `second` from `from` on whose bytes are not those of `first`, `max` at most. Only blocks that hold data
/// in either can differ; beyond its end a snapshot reads as zeros. What `first` has beyond the end of `second` is
/// no block of `second`. A part of the list may be shorter than `max`, even empty, and not be the last one: the comparing of large
/// disks takes several calls.
///
/// # Errors
/// The file system's.
pub fn compare(first: &File, second: &File, from: u32, max: usize) -> io::Result<Page<Changed>> {
    let end = count(second.metadata()?.len());
    let mut firsts = DataBlocks::new(first, from)?.peekable();
    let mut seconds = DataBlocks::new(second, from)?.peekable();
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    let (mut items, mut compared) = (Vec::new(), 0);
    while let Some((index, in_first)) = next_of_either(&mut firsts, &mut seconds)? {
        if index >= end {
            break;
        }
        if items.len() >= max || compared >= MAX_COMPARED {
            return Ok(Page {
                items,
                next: Some(index),
            });
        }
        compared += 1;
        read(first, index, &mut left)?;
        read(second, index, &mut right)?;
        if left != right {
            items.push(Changed { index, in_first });
        }
    }
    Ok(Page { items, next: None })
}

/// The next block that either has, and whether the first one has it.
fn next_of_either(
    firsts: &mut Peekable<DataBlocks<'_>>,
    seconds: &mut Peekable<DataBlocks<'_>>,
) -> io::Result<Option<(u32, bool)>> {
    // An error is taken where it comes; behind one, the iterator has ended.
    let first = firsts.next_if(Result::is_err).or_else(|| firsts.peek().map(copied));
    let second = seconds.next_if(Result::is_err).or_else(|| seconds.peek().map(copied));
    let (first, second) = (first.transpose()?, second.transpose()?);
    let Some(index) = first.into_iter().chain(second).min() else {
        return Ok(None);
    };
    let in_first = first == Some(index);
    if in_first {
        firsts.next();
    }
    if second == Some(index) {
        seconds.next();
    }
    Ok(Some((index, in_first)))
}

/// An index that was looked at and not taken; errors were taken before.
fn copied(peeked: &io::Result<u32>) -> io::Result<u32> {
    peeked
        .as_ref()
        .copied()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// Reads a block. What lies beyond the end of the file reads as zeros.
///
/// # Errors
/// The file system's.
pub fn read(file: &File, index: u32, block: &mut [u8]) -> io::Result<()> {
    let (mut rest, mut at) = (block, u64::from(index) * BLOCK_64);
    while !rest.is_empty() {
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(done) => {
                rest = std::mem::take(&mut rest).get_mut(done..).unwrap_or_default();
                at += done as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    rest.fill(0);
    Ok(())
}

/// Where a block begins, in bytes.
pub(super) fn offset(index: u32) -> u64 {
    u64::from(index) * BLOCK_64
}

/// The blocks of a file that hold data, in order.
struct DataBlocks<'a> {
    file: &'a File,
    size: u64,
    /// The next block that may be given.
    next: u32,
    /// Up to which block all hold data.
    end: u32,
}

impl<'a> DataBlocks<'a> {
    fn new(file: &'a File, from: u32) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self {
            file,
            size,
            next: from,
            end: from,
        })
    }
}

impl Iterator for DataBlocks<'_> {
    type Item = io::Result<u32>;

    fn next(&mut self) -> Option<io::Result<u32>> {
        if self.next >= self.end {
            match next_data(self.file, offset(self.next), self.size) {
                Ok(Some(data)) => {
                    self.next = u32::try_from(data.start / BLOCK_64).unwrap_or(u32::MAX);
                    self.end = count(data.end);
                }
                Ok(None) => return None,
                Err(error) => {
                    self.size = 0;
                    return Some(Err(error));
                }
            }
        }
        let index = self.next;
        self.next = index.checked_add(1)?;
        Some(Ok(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: u64 = 16 * BLOCK_64 + 4096;

    fn sparse(writes: &[(u64, u8, usize)]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        for &(at, byte, len) in writes {
            let len = len.min(usize::try_from(SIZE - at).unwrap());
            file.write_all_at(&vec![byte; len], at).unwrap();
        }
        file
    }

    fn all(file: &File, size: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn a_block_of_which_any_part_is_data_is_listed() {
        let file = sparse(&[(BLOCK_64 - 1, 1, 2), (5 * BLOCK_64, 1, 1), (SIZE - 1, 1, 1)]);
        assert_eq!(
            list(&file, 0, 100).unwrap(),
            Page {
                items: vec![0, 1, 5, 16],
                next: None
            }
        );
        assert_eq!(
            list(&file, 1, 2).unwrap(),
            Page {
                items: vec![1, 5],
                next: Some(16)
            }
        );
        assert!(list(&file, 17, 2).unwrap().items.is_empty());
        assert!(list(&file, u32::MAX, 2).unwrap().items.is_empty());
        let empty = tempfile::tempfile().unwrap();
        assert_eq!(
            list(&empty, 0, 2).unwrap(),
            Page {
                items: vec![],
                next: None
            }
        );
    }

    #[test]
    fn a_block_that_is_there_in_part_ends_in_zeros() {
        let file = sparse(&[(SIZE - 1, 7, 1)]);
        let mut block = vec![1; BLOCK];
        read(&file, 16, &mut block).unwrap();
        assert_eq!((block[4095], block[4096], block[BLOCK - 1]), (7, 0, 0));
        read(&file, 17, &mut block).unwrap();
        assert!(block.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_same_bytes_are_no_change_wherever_they_come_from() {
        let first = sparse(&[
            (0, 1, 10),
            (3 * BLOCK_64, 0, 10),
            (4 * BLOCK_64, 4, 10),
            (9 * BLOCK_64, 9, 1),
        ]);
        let second = sparse(&[
            (0, 1, 10),
            (4 * BLOCK_64, 5, 10),
            (7 * BLOCK_64, 0, 9),
            (8 * BLOCK_64, 8, 1),
        ]);
        let changed = |index, in_first| Changed { index, in_first };
        assert_eq!(
            compare(&first, &second, 0, 100).unwrap(),
            Page {
                items: vec![changed(4, true), changed(8, false), changed(9, true)],
                next: None
            }
        );
        let page = compare(&first, &second, 4, 1).unwrap();
        assert_eq!((page.items, page.next), (vec![changed(4, true)], Some(7)));
    }

    #[test]
    fn what_the_first_has_beyond_the_second_is_no_block_of_it() {
        let first = sparse(&[(0, 1, 1), (SIZE - 1, 1, 1)]);
        let second = tempfile::tempfile().unwrap();
        second.set_len(BLOCK_64).unwrap();
        let changed = compare(&first, &second, 0, 100).unwrap().items;
        assert_eq!(
            changed,
            [Changed {
                index: 0,
                in_first: true
            }]
        );
        // The other way round all of it is new.
        let changed = compare(&second, &first, 0, 100).unwrap().items;
        assert_eq!(changed.iter().map(|block| block.index).collect::<Vec<_>>(), [0, 16]);
    }

    #[test]
    fn a_long_comparison_goes_on_where_it_was_left() {
        let size = (MAX_COMPARED as u64 + 10) * BLOCK_64;
        let file = |last: u8| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(size).unwrap();
            for index in 0..count(size) {
                file.write_all_at(&[1], offset(index)).unwrap();
            }
            file.write_all_at(&[last], size - 1).unwrap();
            file
        };
        let (first, second) = (file(1), file(2));
        let page = compare(&first, &second, 0, 100).unwrap();
        let next = page.next.unwrap();
        assert_eq!((page.items.len(), next as usize), (0, MAX_COMPARED));
        let page = compare(&first, &second, next, 100).unwrap();
        assert_eq!((page.items.len(), page.next), (1, None));
    }

    fn writes() -> impl Strategy<Value = Vec<(u64, u8, usize)>> {
        prop::collection::vec((0..SIZE, 0..4_u8, 1..2 * BLOCK), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_listed_blocks_are_the_whole_file(writes in writes(), max in 1_usize..6) {
            let file = sparse(&writes);
            let mut rebuilt = vec![0; count(SIZE) as usize * BLOCK];
            let mut from = Some(0);
            while let Some(at) = from {
                let page = list(&file, at, max).unwrap();
                for index in page.items {
                    let start = index as usize * BLOCK;
                    read(&file, index, &mut rebuilt[start..start + BLOCK]).unwrap();
                }
                from = page.next;
            }
            rebuilt.truncate(usize::try_from(SIZE).unwrap());
            prop_assert!(rebuilt == all(&file, SIZE));
        }

        #[test]
        fn the_changed_blocks_make_the_second_of_the_first(one in writes(), more in writes(), max in 1_usize..6) {
            let (first, second) = (sparse(&one), sparse(&[one.clone(), more].concat()));
            let other = sparse(&one);
            let mut block = vec![0; BLOCK];
            let mut from = Some(0);
            while let Some(at) = from {
                let page = compare(&first, &second, at, max).unwrap();
                for changed in page.items {
                    read(&second, changed.index, &mut block).unwrap();
                    other.write_all_at(&block, offset(changed.index)).unwrap();
                }
                from = page.next;
            }
            prop_assert!(all(&other, SIZE) == all(&second, SIZE));
        }
    }
}
