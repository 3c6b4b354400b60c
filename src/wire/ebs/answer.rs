//! Answers of the EBS direct API: JSON, and errors whose family is in a header.

use crate::api::direct::DirectError;
use crate::wire::server::body::{self, Answer};
use hyper::Response;
use hyper::header::HeaderValue;
use serde::Serialize;
use serde_json::{Value, json};

/// An answer of JSON.
pub(super) fn json(status: u16, value: &impl Serialize) -> Result<Response<Answer>, DirectError> {
    let text = serde_json::to_string(value).map_err(|error| DirectError::internal(&error))?;
    Ok(body::answer(status, text))
}

/// An error.
pub(super) fn refusal(error: &DirectError) -> Response<Answer> {
    let mut members = json!({"Message": error.message});
    if let (Some(reason), Value::Object(members)) = (error.reason, &mut members) {
        members.insert("Reason".into(), reason.name().into());
    }
    let mut response = body::answer(error.kind.status(), members.to_string());
    let kind = HeaderValue::from_static(error.kind.name());
    response.headers_mut().insert("x-amzn-errortype", kind);
    response
}
