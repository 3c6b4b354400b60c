//! Raw images: the disk's bytes as they are. Their holes are not even looked at.

use super::{ImportError, Source};
use crate::sparse::next_data;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A raw image.
pub(super) struct Raw<'f> {
    file: &'f File,
    size: u64,
}

impl<'f> Raw<'f> {
    pub(super) fn open(file: &'f File) -> Result<Self, ImportError> {
        let size = file.metadata().map_err(ImportError::read(0))?.len();
        Ok(Self { file, size })
    }
}

impl Source for Raw<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&mut self, at: u64) -> Result<u64, ImportError> {
        let data = next_data(self.file, at, self.size).map_err(ImportError::read(at))?;
        Ok(data.map_or(self.size, |data| data.start))
    }

    fn read(&mut self, buf: &mut [u8], at: u64) -> Result<(), ImportError> {
        self.file.read_exact_at(buf, at).map_err(ImportError::read(at))
    }
}
