//! Blocks of addresses in requests.

use super::super::{ApiError, Code};
use crate::api::shown::shown;
use crate::model::{Block, BlockError};
use std::fmt::Display;
use std::str::FromStr;

/// A block that must be there, in the member of that name.
///
/// # Errors
/// `MissingParameter`.
pub(super) fn required<'t>(member: &str, text: Option<&'t String>) -> Result<&'t str, ApiError> {
    text.map(String::as_str).ok_or_else(|| {
        let message = format!("The request must contain the parameter {member}");
        ApiError::new(Code::MissingParameter, message)
    })
}

/// The block of a new VPC or subnet.
///
/// # Errors
/// `InvalidParameterValue` for what is none, `range` for one that no VPC or subnet may have.
pub(super) fn parse(text: &str, range: Code) -> Result<Block, ApiError> {
    text.parse().map_err(|error| match error {
        BlockError::Form => not_a_block("CidrBlock", text, &error),
        BlockError::Size | BlockError::Reserved => {
            ApiError::new(range, format!("The CIDR '{}' is invalid. {error}", shown(text)))
        }
    })
}

/// A network of any size: a route's destination, an ACL entry's block. The caller clears its host bits.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn network<T: FromStr>(member: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| not_a_block(member, text, &BlockError::Form))
}

fn not_a_block(member: &str, text: &str, error: &dyn Display) -> ApiError {
    let message = format!("Value ({}) for parameter {member} is invalid. {error}", shown(text));
    ApiError::new(Code::InvalidParameterValue, message)
}
