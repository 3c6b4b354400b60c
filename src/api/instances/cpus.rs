//! CPU options: how many cores an instance has, of those of its type, and how many vCPUs each.

use super::super::{ApiError, Call, Code, found};
use super::amend::amend;
use super::kinds;
use crate::model::{Amendment, InstanceType};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// `CpuOptionsRequest`, and the members of ModifyInstanceCpuOptions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct CpuOptions {
    core_count: Option<i64>,
    threads_per_core: Option<i64>,
    nested_virtualization: Option<String>,
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyInstanceCpuOptions {
    instance_id: String,
    core_count: Option<i64>,
    threads_per_core: Option<i64>,
    nested_virtualization: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifiedCpuOptions {
    instance_id: String,
    core_count: u8,
    threads_per_core: u8,
}

/// ModifyInstanceCpuOptions. The machine has so many vCPUs at its next start.
pub(super) async fn modify(call: Call, request: ModifyInstanceCpuOptions) -> Result<ModifiedCpuOptions, ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    let options = CpuOptions {
        core_count: request.core_count,
        threads_per_core: request.threads_per_core,
        nested_virtualization: request.nested_virtualization,
    };
    if options.core_count.or(options.threads_per_core).is_none() && options.nested_virtualization.is_none() {
        let message = "Name options to change: CoreCount and ThreadsPerCore";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let world = Arc::clone(&call.world);
    amend(&call, id, move |_, instance| {
        let has = &instance.instance_type;
        // A type that there is no more leaves what the instance has of it.
        let whole = kinds::named(&world, &has.name, Code::InvalidParameterValue);
        let whole = whole.unwrap_or_else(|_| has.clone());
        let (cores, threads_per_core) = options
            .of(&whole)?
            .unwrap_or_else(|| (has.cores(), has.threads_per_core));
        Ok(Amendment::CpuOptions {
            cores,
            threads_per_core,
        })
    })
    .await?;
    let now = call.world.store.read(move |store| found::instance(store, id)).await?;
    Ok(ModifiedCpuOptions {
        instance_id: id.to_string(),
        core_count: now.instance_type.cores(),
        threads_per_core: now.instance_type.threads_per_core,
    })
}
