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
use super::{ApiError, Code, Operation};
use crate::imports::{BeginImportError, DiskSource};
use kiln_images::formats::Format;
use rustix::fs::OFlags;
use std::fs::File;

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

/// The file that a container of the request names: a regular one that is open for reading.
fn open_file(files: &mut Files, member: &str, url: Option<&str>) -> Result<File, ApiError> {
    let Some(url) = url else {
        let message =
            format!("The request must contain the parameter {member}.Url, fd:0 for the first file that comes along");
        return Err(ApiError::new(Code::MissingParameter, message));
    };
    let member = format!("{member}.Url");
    let file = File::from(files.take(&member, url)?);
    let invalid = |why: &str| {
        ApiError::new(
            Code::InvalidParameterValue,
            format!("{member}: The file behind {url} {why}"),
        )
    };
    let metadata = file.metadata().map_err(|_| invalid("can't be looked at"))?;
    if !metadata.is_file() {
        return Err(invalid("is not a regular file"));
    }
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|_| invalid("can't be looked at"))?;
    if flags.contains(OFlags::PATH) || flags.contains(OFlags::WRONLY) {
        return Err(invalid("is not open for reading"));
    }
    Ok(file)
}

/// The disk of a container.
fn disk(files: &mut Files, member: &str, format: Option<&str>, url: Option<&str>) -> Result<DiskSource, ApiError> {
    let format: Option<Format> = format
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::new(Code::InvalidParameterValue, format!("{member}.Format: {error}")))?;
    let file = open_file(files, member, url)?;
    Ok(DiskSource { file, format })
}

#[cfg(test)]
mod tests;
