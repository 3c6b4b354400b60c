//! CPU credits of burstable types: which option an instance has is on record; nothing is counted.

use super::super::{ApiError, Code, World};
use super::kinds;
use crate::model::CpuCredits;

/// The option of that name for an instance of a type, which must be burstable.
pub(super) fn option(world: &World, type_name: &str, name: &str) -> Result<CpuCredits, ApiError> {
    let option = CpuCredits::from_name(name).ok_or_else(|| {
        let message = "CpuCredits must be standard or unlimited";
        ApiError::new(Code::InvalidParameterValue, message)
    })?;
    if kinds::is_burstable(world, type_name) {
        return Ok(option);
    }
    let message = format!("The {type_name} instance type does not use CPU credits");
    Err(ApiError::new(Code::InstanceCreditSpecificationNotSupported, message))
}
