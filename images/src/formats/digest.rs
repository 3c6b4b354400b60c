//! The digest of a disk's contents: the same for the same disk, whatever format or holes it came with.
//!
//! It is the SHA-256 of the text `kiln-disk-1` and a zero byte, the disk's size as eight bytes, and for each block of
//! 64 KiB that is not all zero, in order, its number as eight bytes and its contents, the last block filled up with
//! zeroes. Numbers are little-endian. So holes cost nothing, however large the disk is.

use crate::sparse::{is_zero, next_data};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The size of a block, in bytes.
pub(super) const BLOCK: usize = 64 << 10;

/// A digest of a disk; shown as `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest that is being made.
pub(super) struct Digester(Sha256);

impl Digester {
    pub(super) fn new(size: u64) -> Self {
        let mut state = Sha256::new();
        state.update(b"kiln-disk-1\0");
        state.update(size.to_le_bytes());
        Self(state)
    }

    /// Takes in block `number`, which is not all zero; blocks come in order.
    pub(super) fn block(&mut self, number: u64, contents: &[u8]) {
        self.0.update(number.to_le_bytes());
        self.0.update(contents);
        let missing = BLOCK.saturating_sub(contents.len());
        self.0.update(&[0; BLOCK][..missing]);
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Reads all of a raw disk for its digest.
///
/// # Errors
/// The disk can't be read.
pub fn digest_of(disk: &File) -> io::Result<Digest> {
    let size = disk.metadata()?.len();
    let mut digester = Digester::new(size);
    let mut block = vec![0; BLOCK];
    let mut number = 0;
    while let Some(data) = next_data(disk, number * BLOCK as u64, size)? {
        number = number.max(data.start / BLOCK as u64);
        let at = number * BLOCK as u64;
        let length = usize::try_from(size - at).unwrap_or(BLOCK).min(BLOCK);
        let contents = block.get_mut(..length).unwrap_or_default();
        disk.read_exact_at(contents, at)?;
        if !is_zero(contents) {
            digester.block(number, contents);
        }
        number += 1;
    }
    Ok(digester.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_the_digest_of_its_contents_whatever_its_holes() {
        let (sparse, full) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let size = 40 * BLOCK as u64 + 512;
        sparse.set_len(size).unwrap();
        full.write_all_at(&vec![0; usize::try_from(size).unwrap()], 0).unwrap();
        let mut digester = Digester::new(size);
        for (number, byte) in [(3, 7), (39, 8)] {
            for disk in [&sparse, &full] {
                disk.write_all_at(&[byte; BLOCK], number * BLOCK as u64).unwrap();
            }
            digester.block(number, &[byte; BLOCK]);
        }
        for disk in [&sparse, &full] {
            disk.write_all_at(&[9; 512], size - 512).unwrap();
        }
        digester.block(40, &[9; 512]);
        let digest = digester.finish();
        assert_eq!(
            (digest_of(&sparse).unwrap(), digest_of(&full).unwrap()),
            (digest, digest)
        );
        sparse.write_all_at(&[1], 5).unwrap();
        assert_ne!(digest_of(&sparse).unwrap(), digest);
    }

    #[test]
    fn the_digest_is_what_its_definition_says() {
        let mut digester = Digester::new(BLOCK as u64 * 3 + 1);
        digester.block(1, &[5; BLOCK]);
        digester.block(3, &[9]);
        let mut plain = Sha256::new();
        let (mut last, zeroes) = (vec![9], [0; BLOCK - 1]);
        last.extend(zeroes);
        for part in [b"kiln-disk-1\0".as_slice(), &(BLOCK as u64 * 3 + 1).to_le_bytes()] {
            plain.update(part);
        }
        for (number, block) in [(1u64, &[5; BLOCK][..]), (3, &last)] {
            plain.update(number.to_le_bytes());
            plain.update(block);
        }
        assert_eq!(digester.finish().0, <[u8; 32]>::from(plain.finalize()));
    }

    #[test]
    fn a_digest_is_shown_in_hexadecimal() {
        assert_eq!(Digest([0xab; 32]).to_string(), format!("sha256:{}", "ab".repeat(32)));
    }
}
