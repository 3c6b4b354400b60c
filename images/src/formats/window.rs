//! A stretch of an open file: a whole image, or the disk in an archive, which is read where it lies. [`super::import`]
//! and the readers of formats read through it.

use crate::ReadAt;
use crate::sparse;
use std::fs::File;
use std::io;

/// A stretch of an open file, read as if there were nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'f> {
    file: &'f File,
    start: u64,
    len: u64,
}

impl<'f> Window<'f> {
    /// All of a file.
    pub(super) fn whole(file: &'f File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, start: 0, len })
    }

    /// The `len` bytes from `start` on; none if they are not all in this window.
    pub(super) fn part(self, start: u64, len: u64) -> Option<Self> {
        start.checked_add(len).filter(|&end| end <= self.len)?;
        Some(Self {
            start: self.start + start,
            len,
            ..self
        })
    }

    /// The first byte from `at` on that is not in a hole of the file; the window's size if there is none.
    pub(super) fn next_data(self, at: u64) -> io::Result<u64> {
        let found = sparse::next_data(self.file, self.start.saturating_add(at), self.start + self.len)?;
        Ok(found.map_or(self.len, |data| data.start - self.start))
    }
}

impl ReadAt for Window<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.part(offset, buf.len() as u64)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        ReadAt::read_exact_at(self.file, buf, self.start + offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_window_ends_where_it_ends_and_not_where_its_file_does() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abcdefgh", 0).unwrap();
        let whole = Window::whole(&file).unwrap();
        let part = whole.part(2, 4).unwrap();
        let mut bytes = [0; 2];
        part.read_exact_at(&mut bytes, 2).unwrap();
        assert_eq!((&bytes, part.size().unwrap()), (b"ef", 4));
        let beyond = part.read_exact_at(&mut bytes, 3).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        let inner = part.part(1, 2).unwrap();
        inner.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"de");
        assert!(whole.part(8, 0).is_some() && part.part(4, 1).is_none() && part.part(u64::MAX, 1).is_none());
    }

    #[test]
    fn holes_are_told_from_where_the_window_begins() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(&[1; 4096], 4 << 20).unwrap();
        let part = Window::whole(&file).unwrap().part(1 << 20, 6 << 20).unwrap();
        assert_eq!(part.next_data(0).unwrap(), 3 << 20);
        assert_eq!(part.next_data(5 << 20).unwrap(), 6 << 20);
    }
}
