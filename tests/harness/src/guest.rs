//! The guests that tests boot.

use std::path::{Path, PathBuf};

/// The test image of Debian 12, made by `tests/lab/image --test debian-12`.
#[derive(Debug)]
pub struct Debian {
    /// The raw disk.
    pub disk: PathBuf,
}

impl Debian {
    /// The image that the environment names, `KILN_TEST_DEBIAN`.
    #[track_caller]
    #[must_use]
    pub fn image() -> Self {
        let disk = std::env::var_os("KILN_TEST_DEBIAN")
            .expect("KILN_TEST_DEBIAN must name the test image; `make test` sees to it");
        let disk = Path::new(&disk).to_owned();
        assert!(disk.exists(), "There is no image {}", disk.display());
        Self { disk }
    }
}
