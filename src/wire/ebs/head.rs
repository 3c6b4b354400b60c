//! What the headers of a request say.

use super::query::number;
use crate::api::direct::DirectError;
use hyper::HeaderMap;

/// A header that may be there, once.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, DirectError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(DirectError::parameter(format!("The header {name} comes twice")));
    }
    let text = value.map(|value| value.to_str()).transpose();
    text.map_err(|_| DirectError::parameter(format!("The header {name} is not readable")))
}

/// A header that must be there.
pub(super) fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, DirectError> {
    text(headers, name)?.ok_or_else(|| DirectError::parameter(format!("The header {name} is missing")))
}

/// A header that may be there and is a number.
pub(super) fn optional_number(headers: &HeaderMap, name: &'static str) -> Result<Option<u32>, DirectError> {
    text(headers, name)?.map(|text| number(name, text)).transpose()
}

/// A header that must be there and is a number.
pub(super) fn required_number(headers: &HeaderMap, name: &'static str) -> Result<u32, DirectError> {
    number(name, required(headers, name)?)
}
