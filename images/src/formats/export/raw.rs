//! Raw images: the disk's bytes as they are, its zeroes as holes. Where the file system can, the image shares the disk's
//! blocks, and nothing is copied at all.

use super::{ExportError, Out, Sink};
use crate::clone::reflink;
use std::fs::File;

/// A raw image that is written.
pub(super) struct Raw<'f> {
    out: Out<'f>,
    size: u64,
}

impl<'f> Raw<'f> {
    pub(super) fn new(out: Out<'f>, size: u64) -> Self {
        Self { out, size }
    }
}

impl Sink for Raw<'_> {
    fn unit(&self) -> usize {
        1 << 20
    }

    fn share(&mut self, source: &File) -> Result<bool, ExportError> {
        reflink(source, self.out.file).map_err(ExportError::write(0))
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExportError> {
        self.out.write_data(at, bytes)
    }

    fn finish(&mut self) -> Result<u64, ExportError> {
        self.out.set_len(self.size)?;
        Ok(self.out.written)
    }
}
