//! Placement: there is one host, and no part of it is anybody's alone.

use super::super::{ApiError, Code};

/// Refuses hosts for one tenant alone.
pub(super) fn must_be_shared(tenancy: Option<&str>) -> Result<(), ApiError> {
    match tenancy {
        None | Some("default") => Ok(()),
        Some(other) => {
            let message = format!("The tenancy {other} is not served: all instances are on this one host");
            Err(ApiError::new(Code::UnsupportedOperation, message))
        }
    }
}
