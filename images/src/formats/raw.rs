//! Raw images: the disk's bytes as they are. Their holes are not even looked at.

use super::window::Window;
use super::{ImportError, Source};
use crate::ReadAt;

/// A raw image.
pub(super) struct Raw<'f> {
    file: Window<'f>,
    size: u64,
}

impl<'f> Raw<'f> {
    pub(super) fn open(file: Window<'f>) -> Result<Self, ImportError> {
        let size = file.size().map_err(ImportError::read(0))?;
        Ok(Self { file, size })
    }
}

impl Source for Raw<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&mut self, at: u64) -> Result<u64, ImportError> {
        self.file.next_data(at).map_err(ImportError::read(at))
    }

    fn read(&mut self, buf: &mut [u8], at: u64) -> Result<(), ImportError> {
        self.file.read_exact_at(buf, at).map_err(ImportError::read(at))
    }
}
