//! Exports: ExportImage, DescribeExportImageTasks, and CancelExportTask.
//!
//! The image is written to a file that the client opened and sent along (`"Url": "fd:0"`): the daemon opens no path for anybody, and
//! has no S3.

mod image;
mod tasks;

use super::{ApiError, Code, Operation};
use crate::exports::BeginExportError;

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CancelExportTask", tasks::cancel),
        Operation::new("DescribeExportImageTasks", tasks::describe),
        Operation::new("ExportImage", image::export_image),
    ]
}

impl From<BeginExportError> for ApiError {
    fn from(error: BeginExportError) -> Self {
        let code = match error {
            BeginExportError::NoImage(_) => Code::InvalidAmiIdNotFound,
            BeginExportError::NotAvailable { .. } => Code::InvalidAmiIdUnavailable,
            BeginExportError::NoRoot(_) => Code::UnsupportedOperation,
            BeginExportError::Damaged { .. } => Code::IncorrectState,
            BeginExportError::TokenReused => Code::IdempotentParameterMismatch,
            BeginExportError::Busy { .. } => Code::ResourceCountLimitExceeded,
            BeginExportError::DryRun => return super::call::dry_run(),
            BeginExportError::Record(_) => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests;
