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
    if let Some(reason) = error.reason {
        members["Reason"] = reason.name().into();
    }
    with_kind(error.kind.name(), error.kind.status(), &members)
}

/// The same for what is no operation's refusal.
pub fn refused(kind: &'static str, message: &str, status: u16) -> Response<Answer> {
    with_kind(kind, status, &json!({"Message": message}))
}

fn with_kind(kind: &'static str, status: u16, members: &Value) -> Response<Answer> {
    let mut response = body::answer(status, members.to_string());
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert("x-amzn-errortype", kind);
    response
}
