//! Sparse files: where their data lies, and what a full disk says.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// The smallest stretch of zeroes that becomes a hole, in bytes.
const PAGE: usize = 4096;

/// Gives the first stretch of data of `file` in `from..end`; none if there is only a hole.
///
/// A file system that doesn't know holes says that all is data.
///
/// # Errors
/// The file system's.
pub fn next_data(file: &File, from: u64, end: u64) -> io::Result<Option<Range<u64>>> {
    if from >= end {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(from..end)),
        Err(error) => return Err(error.into()),
    };
    if start >= end {
        return Ok(None);
    }
    let hole = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok(Some(start..hole.clamp(start, end)))
}

/// Writes what is not zero of `bytes` to its place in a sparse file, where they begin at `at`; gives how many bytes that were.
/// Pages that lie side by side are written at once.
pub(crate) fn write_data(file: &File, bytes: &[u8], at: u64) -> io::Result<u64> {
    let mut written = 0;
    let mut write = |run: Range<usize>| {
        let offset = at + run.start as u64;
        let run = bytes.get(run).unwrap_or_default();
        written += run.len() as u64;
        file.write_all_at(run, offset)
    };
    let mut run = 0..0;
    for (page, start) in bytes.chunks(PAGE).zip((0..).step_by(PAGE)) {
        match is_zero(page) {
            false if run.end == start => run.end += page.len(),
            false => write(std::mem::replace(&mut run, start..start + page.len()))?,
            true => {}
        }
    }
    write(run)?;
    Ok(written)
}

/// Whether an error says that the disk, the quota or the permitted size of a file is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lies_where_it_was_written() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(&[1; 4096], 4 << 20).unwrap();
        let found = next_data(&file, 0, 8 << 20).unwrap().unwrap();
        assert!(found.start <= 4 << 20 && found.end >= (4 << 20) + 4096, "{found:?}");
        assert_eq!(next_data(&file, found.end, 8 << 20).unwrap(), None);
        assert_eq!(next_data(&file, 8 << 20, 8 << 20).unwrap(), None);
        assert_eq!(
            next_data(&file, 0, 4096).unwrap(),
            None,
            "data beyond the end asked for"
        );
    }

    #[test]
    fn one_bit_is_not_zero_wherever_it_is() {
        for len in [0, 1, 15, 16, 17, 4096, 4099] {
            let mut bytes = vec![0u8; len];
            assert!(is_zero(&bytes));
            for at in [0, len / 2, len.saturating_sub(1)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = 1;
                    assert!(!is_zero(&bytes), "{len} {at}");
                    bytes[at] = 0;
                }
            }
        }
    }
}
