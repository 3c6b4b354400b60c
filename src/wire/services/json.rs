//! The form of AWS's JSON 1.1 services.

use super::service::Refusal;
use crate::wire::server::body::{Answer, typed};
use http_body_util::Full;
use hyper::Response;
use serde_json::{Value, json};

/// The media type.
const JSON: &str = "application/x-amz-json-1.1";

/// An answer.
pub(super) fn answered(value: &Value) -> Response<Answer> {
    typed(200, JSON, Answer::Whole(Full::new(value.to_string().into())))
}

/// A refusal.
pub(super) fn refused(refusal: &Refusal) -> Response<Answer> {
    let body = json!({"__type": refusal.code, "message": refusal.message});
    typed(refusal.status, JSON, Answer::Whole(Full::new(body.to_string().into())))
}
