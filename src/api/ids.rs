//! Ids in requests: malformed ones are told from unknown ones.

use super::error::{ApiError, Code};
use crate::api::shown::shown;
use std::str::FromStr;

/// Parses an id of a request.
///
/// # Errors
/// `malformed` (the family's `Invalid….Malformed`) if it is no id of that kind.
pub fn parse<T: FromStr>(text: &str, malformed: Code) -> Result<T, ApiError> {
    text.parse().map_err(|_| {
        let shown = shown(text);
        ApiError::new(malformed, format!("Invalid id: \"{shown}\""))
    })
}

/// Parses all ids of a request; the first malformed one fails it.
///
/// # Errors
/// As [`parse`].
pub fn parse_all<T: FromStr>(texts: &[String], malformed: Code) -> Result<Vec<T>, ApiError> {
    texts.iter().map(|text| parse(text, malformed)).collect()
}

/// The error for ids that are well formed and not there.
pub fn not_found(code: Code, what: &str, ids: &[impl ToString]) -> ApiError {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let message = match ids.as_slice() {
        [id] => format!("The {what} ID '{id}' does not exist"),
        ids => format!("The {what} IDs '{}' do not exist", ids.join(", ")),
    };
    ApiError::new(code, message)
}
