//! CPU options: how many cores an instance has, of those of its type, and how many vCPUs each.

use super::super::{ApiError, Code};
use crate::model::InstanceType;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// `CpuOptionsRequest`, and the members of ModifyInstanceCpuOptions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct CpuOptions {
    pub(super) core_count: Option<i64>,
    pub(super) threads_per_core: Option<i64>,
    pub(super) nested_virtualization: Option<String>,
}

impl CpuOptions {
    /// Cores and threads of each, if they are named: no more than the type has.
    pub(super) fn of(&self, whole: &InstanceType) -> Result<Option<(u8, u8)>, ApiError> {
        if self.nested_virtualization.as_deref() == Some("enabled") {
            let message =
                "Nested virtualization can't be chosen: guests have the CPU features that the host gives them";
            return Err(ApiError::new(Code::UnsupportedOperation, message));
        }
        let (cores, threads) = match (self.core_count, self.threads_per_core) {
            (None, None) => return Ok(None),
            (Some(cores), Some(threads)) => (cores, threads),
            _ => {
                let message = "CPU options are a CoreCount and a ThreadsPerCore: name both";
                return Err(ApiError::new(Code::MissingParameter, message));
            }
        };
        let within = |member: &str, count: i64, most: RangeInclusive<u8>| {
            let fits = u8::try_from(count).ok().filter(|count| most.contains(count));
            fits.ok_or_else(|| {
                let (of, most) = (&whole.name, most.end());
                let message = format!("Value ({count}) for {member} is invalid: the type {of} has 1 to {most}");
                ApiError::new(Code::InvalidParameterValue, message)
            })
        };
        let cores = within("CoreCount", cores, 1..=whole.cores())?;
        let threads = within("ThreadsPerCore", threads, 1..=whole.threads_per_core)?;
        Ok(Some((cores, threads)))
    }
}
