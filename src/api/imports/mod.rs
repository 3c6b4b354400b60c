//! Imports: ImportImage, ImportSnapshot, their tasks, and CancelImportTask.
//!
//! A disk comes as an open file with the request (`"Url": "fd:0"`): the daemon opens no path and no URL for anybody.
//! Beside the disk, ImportImage takes a kernel and a RAM disk for the image (`"Format": "kernel"`, with the kernel's
//! command line as `CommandLine`, and `"Format": "ramdisk"`); they become images of their own, `aki-…` and `ari-…`.

mod cancel;
mod image;
mod snapshot;
mod tasks;

use super::call::Files;
use super::files::for_reading;
use super::{ApiError, Code, Operation};
use crate::imports::{BeginImportError, DiskSource};
use kiln_images::formats::FileFormat;

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CancelImportTask", cancel::cancel),
        Operation::new("DescribeImportImageTasks", tasks::image_tasks),
        Operation::new("DescribeImportSnapshotTasks", tasks::snapshot_tasks),
        Operation::new("ImportImage", image::import_image),
        Operation::new("ImportSnapshot", snapshot::import_snapshot),
    ]
}

impl From<BeginImportError> for ApiError {
    fn from(error: BeginImportError) -> Self {
        let code = match error {
            BeginImportError::NameTaken { .. } => Code::InvalidAmiNameDuplicate,
            BeginImportError::TokenReused => Code::IdempotentParameterMismatch,
            BeginImportError::Busy { .. } => Code::ResourceCountLimitExceeded,
            BeginImportError::DryRun => return super::call::dry_run(),
            BeginImportError::Record(_) => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

/// The disk of a container.
fn disk(files: &mut Files, member: &str, format: Option<&str>, url: Option<&str>) -> Result<DiskSource, ApiError> {
    let format: Option<FileFormat> = format
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::new(Code::InvalidParameterValue, format!("{member}.Format: {error}")))?;
    let file = for_reading(files, member, url)?;
    Ok(DiskSource { file, format })
}

#[cfg(test)]
mod tests;
