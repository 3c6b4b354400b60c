//! An attribute's value, as requests and answers wrap it.

use super::{ApiError, Code};
use serde::{Deserialize, Serialize};

/// `AttributeValue` and `AttributeBooleanValue`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Attribute<T> {
    pub(super) value: T,
}

/// The value that a member of a request wraps, if the member is there.
///
/// # Errors
/// `MissingParameter` if it wraps none.
pub(super) fn value<T>(member: &str, attribute: Option<Attribute<Option<T>>>) -> Result<Option<T>, ApiError> {
    let missing = || {
        let message = format!("The request must contain the parameter {member}.Value");
        ApiError::new(Code::MissingParameter, message)
    };
    let value = |attribute: Attribute<Option<T>>| attribute.value.ok_or_else(missing);
    attribute.map(value).transpose()
}

/// The error for a request that would change several attributes.
pub(super) fn several() -> ApiError {
    let message = "Fields for multiple attribute types specified: change one at a time";
    ApiError::new(Code::InvalidParameterCombination, message)
}
