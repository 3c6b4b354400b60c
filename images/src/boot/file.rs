//! A file on the disk that is booted, as the pieces of the disk that it is made of.

use crate::ReadAt;
use std::fmt;
use std::io;

/// The most pieces a file may be in: one of 512 MiB in which no two blocks of 4 KiB lie side by side has as many.
const MAX_EXTENTS: usize = 128 * 1024;

/// Bytes of a file that lie side by side on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where they begin in the file.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
    /// Where they begin on the disk.
    pub disk: u64,
}

/// A file that can be read straight from the disk, without its file system.
///
/// Bytes that no extent covers are zero: extents are in order, don't overlap, and lie within the file.
#[derive(Clone)]
pub struct BootFile<'d> {
    disk: &'d dyn ReadAt,
    name: String,
    extents: Vec<Extent>,
    len: u64,
}

/// The file is in more than [`MAX_EXTENTS`] pieces, longer than 2^63 bytes, or beyond any disk's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFragmented;

impl<'d> BootFile<'d> {
    /// An empty file; `name` says to people where it was found.
    pub(crate) fn new(disk: &'d dyn ReadAt, name: impl Into<String>) -> Self {
        Self {
            disk,
            name: name.into(),
            extents: Vec::new(),
            len: 0,
        }
    }

    /// Adds `len` bytes to the end, at `disk` or zeroes; joins them to the last piece where they go on from it.
    pub(crate) fn push(&mut self, len: u64, disk: Option<u64>) -> Result<(), TooFragmented> {
        let end = self
            .len
            .checked_add(len)
            .filter(|&end| i64::try_from(end).is_ok())
            .ok_or(TooFragmented)?;
        if let (Some(disk), true) = (disk, len > 0) {
            disk.checked_add(len).ok_or(TooFragmented)?;
            let full = self.extents.len() >= MAX_EXTENTS;
            match self.extents.last_mut() {
                Some(last) if last.offset + last.len == self.len && last.disk + last.len == disk => {
                    last.len += len;
                }
                _ if full => return Err(TooFragmented),
                _ => self.extents.push(Extent {
                    offset: self.len,
                    len,
                    disk,
                }),
            }
        }
        self.len = end;
        Ok(())
    }

    /// Adds `other` to the end, after zeroes up to a multiple of `align`.
    pub(crate) fn append(&mut self, other: &BootFile<'d>, align: u64) -> Result<(), TooFragmented> {
        let base = self.len.checked_next_multiple_of(align).ok_or(TooFragmented)?;
        self.push(base - self.len, None)?;
        for extent in &other.extents {
            let at = base.checked_add(extent.offset).ok_or(TooFragmented)?;
            self.push(at - self.len, None)?;
            self.push(extent.len, Some(extent.disk))?;
        }
        let end = base.checked_add(other.len).ok_or(TooFragmented)?;
        self.push(end - self.len, None)
    }

    /// The `len` bytes from `offset` on as a file of their own; none if it has not so many.
    pub(crate) fn slice(&self, name: impl Into<String>, offset: u64, len: u64) -> Option<Self> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len)?;
        let mut part = Self {
            disk: self.disk,
            name: name.into(),
            extents: Vec::new(),
            len,
        };
        for extent in &self.extents {
            let (from, to) = (extent.offset.max(offset), (extent.offset + extent.len).min(end));
            if from < to {
                let disk = extent.disk + (from - extent.offset);
                part.extents.push(Extent {
                    offset: from - offset,
                    len: to - from,
                    disk,
                });
            }
        }
        Some(part)
    }

    /// Where it was found, for people: `/boot/vmlinuz-6.1.0-56-cloud-amd64 on partition 1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its pieces, in order, for whoever can read them better than [`BootFile::read_exact_at`].
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Fills `buf` with the bytes from `offset` on, with one read of the disk a piece.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file, or the disk under it, ends before `buf` is full, else what
    /// the disk says.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let wanted = buf.len() as u64;
        let end = offset
            .checked_add(wanted)
            .filter(|&end| end <= self.len)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let first = self
            .extents
            .partition_point(|extent| extent.offset + extent.len <= offset);
        let (mut rest, mut at) = (buf, offset);
        for extent in self.extents.iter().skip(first).take_while(|extent| extent.offset < end) {
            let (from, to) = (extent.offset.max(at), (extent.offset + extent.len).min(end));
            rest = fill_zeroes(rest, from - at);
            let (now, later) = rest.split_at_mut(to_usize(to - from));
            self.disk.read_exact_at(now, extent.disk + (from - extent.offset))?;
            (rest, at) = (later, to);
        }
        rest.fill(0);
        Ok(())
    }
}

/// Zeroes the first `len` bytes and gives the others.
fn fill_zeroes(buf: &mut [u8], len: u64) -> &mut [u8] {
    let (zeroes, rest) = buf.split_at_mut(to_usize(len));
    zeroes.fill(0);
    rest
}

/// A length within a buffer, which is a `usize` therefore.
fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

impl ReadAt for BootFile<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        BootFile::read_exact_at(self, buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

impl fmt::Debug for BootFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes in {} pieces)", self.name, self.len, self.extents.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_that_go_on_from_each_other_become_one() {
        let disk = vec![0u8; 4096];
        let mut file = BootFile::new(&disk, "f");
        for (len, at) in [(10, Some(100)), (20, Some(110)), (5, None), (7, Some(130))] {
            file.push(len, at).unwrap();
        }
        let pieces: Vec<_> = file.extents().iter().map(|e| (e.offset, e.len, e.disk)).collect();
        assert_eq!(pieces, [(0, 30, 100), (35, 7, 130)]);
    }

    #[test]
    fn a_read_past_the_end_is_refused() {
        let disk = vec![1u8; 16];
        let mut file = BootFile::new(&disk, "f");
        file.push(8, Some(0)).unwrap();
        assert!(file.read_exact_at(&mut [0; 9], 0).is_err());
        assert!(file.read_exact_at(&mut [0; 1], u64::MAX).is_err());
        assert!(file.read_exact_at(&mut [], 8).is_ok());
    }

    proptest! {
        #[test]
        fn reads_slices_and_appends_agree_with_a_plain_copy(
            pieces in prop::collection::vec((0u64..40, prop::option::of(0u64..200)), 0..12),
            offset in 0u64..300, len in 0u64..300,
        ) {
            let disk: Vec<u8> = (0..=255).collect();
            let (mut file, mut plain) = (BootFile::new(&disk, "f"), Vec::new());
            for (len, at) in pieces {
                file.push(len, at).unwrap();
                plain.extend((0..len).map(|i| at.map_or(0, |at| disk[(at + i) as usize])));
            }
            let first = file.clone();
            file.append(&first, 4).unwrap();
            let copy = plain.clone();
            plain.resize(plain.len().next_multiple_of(4), 0);
            plain.extend(copy);
            prop_assert_eq!(file.len(), plain.len() as u64);
            let expected = plain.get(offset as usize..(offset + len) as usize);
            let mut buf = vec![0xee; len as usize];
            prop_assert_eq!(file.read_exact_at(&mut buf, offset).is_ok(), expected.is_some());
            prop_assert_eq!(file.slice("s", offset, len).is_some(), expected.is_some());
            if let Some(expected) = expected {
                prop_assert_eq!(&buf, expected);
                file.slice("s", offset, len).unwrap().read_exact_at(&mut buf, 0).unwrap();
                prop_assert_eq!(&buf, expected);
            }
        }
    }
}
