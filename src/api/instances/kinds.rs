//! Instance types as requests name them.

use super::super::{ApiError, Code, World};
use crate::api::shown::shown;
use crate::config::InstanceTypeSpec;
use crate::model::InstanceType;

/// The type of that name, and `code` if there is none.
pub(super) fn named(world: &World, name: &str, code: Code) -> Result<InstanceType, ApiError> {
    let spec = world.types.get(name).ok_or_else(|| {
        let shown = shown(name);
        let message = format!("Invalid value '{shown}' for InstanceType: DescribeInstanceTypes lists those there are");
        ApiError::new(code, message)
    })?;
    let larger = || {
        ApiError::new(
            code,
            format!("The instance type {name} is larger than a machine can be"),
        )
    };
    to_model(spec).ok_or_else(larger)
}

/// Whether EC2 counts CPU credits for that type.
pub(super) fn is_burstable(world: &World, name: &str) -> bool {
    world.types.get(name).is_some_and(|spec| spec.burstable)
}

fn to_model(spec: &InstanceTypeSpec) -> Option<InstanceType> {
    Some(InstanceType {
        name: spec.name.clone(),
        vcpus: spec.vcpus.try_into().ok()?,
        threads_per_core: spec.threads_per_core.try_into().ok()?,
        memory: spec.memory_mib.checked_mul(1 << 20)?,
        network_mbps: spec.network_mbps,
        instance_store: spec.instance_store,
    })
}
