//! What attaching and detaching says to clients, for interfaces and volumes alike.

use super::{ApiError, Code, ids};
use crate::chain::chain;
use crate::instance::{AttachVolumeError, HotplugError, Part};

impl From<&HotplugError> for ApiError {
    fn from(error: &HotplugError) -> Self {
        match error {
            HotplugError::Rehearsal => super::call::dry_run(),
            HotplugError::NoInstance(id) => ids::not_found(Code::InvalidInstanceIdNotFound, "instance", &[id]),
            HotplugError::WrongState(_) => Self::new(Code::IncorrectState, error.to_string()),
            HotplugError::Interface(error) => error.into(),
            HotplugError::Volume(error) => error.into(),
            HotplugError::NotAttached { part, .. } => {
                let code = match part {
                    Part::Interface(_) => Code::InvalidAttachmentIdNotFound,
                    Part::Volume(_) => Code::IncorrectState,
                };
                Self::new(code, error.to_string())
            }
            HotplugError::Plug { .. } | HotplugError::Unplug { .. } | HotplugError::Closing => {
                Self::new(Code::Unavailable, chain(error))
            }
            HotplugError::Store(_) => Self::internal(error),
        }
    }
}

impl From<&AttachVolumeError> for ApiError {
    fn from(error: &AttachVolumeError) -> Self {
        let code = match error {
            AttachVolumeError::NotFound(_) => Code::InvalidVolumeNotFound,
            AttachVolumeError::InUse { .. } => Code::VolumeInUse,
            AttachVolumeError::NotAvailable { .. } => Code::IncorrectState,
            AttachVolumeError::PlaceTaken { .. } => Code::InvalidParameterValue,
            AttachVolumeError::TooMany { .. } => Code::AttachmentLimitExceeded,
            AttachVolumeError::Store(_) => return Self::internal(error),
        };
        Self::new(code, error.to_string())
    }
}
