//! The form of AWS's JSON 1.1 services.

use super::Request;
use super::service::Refusal;
use crate::wire::server::body::{Answer, typed};
use http_body_util::Full;
use hyper::Response;
use serde::Deserialize;
use serde_json::{Value, json};

/// The media type.
const JSON: &str = "application/x-amz-json-1.1";

/// The operation that is meant, by the header that says so: what comes after `service` there.
pub(super) fn operation<'a>(request: &'a Request, service: &str) -> Option<&'a str> {
    let target = request.head.headers.get("x-amz-target")?;
    target.to_str().ok()?.strip_prefix(service)
}

/// Reads a body; what can't be read is refused as `code`.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], code: &'static str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| refusal(code, format!("The request is not valid: {error}")))
}

/// A refusal for which the client must do otherwise.
pub(super) const fn refusal(code: &'static str, message: String) -> Refusal {
    Refusal {
        code,
        message,
        status: 400,
    }
}

/// The answer or the refusal.
pub(super) fn respond(answered: Result<Value, Refusal>) -> Response<Answer> {
    match answered {
        Ok(value) => typed(200, JSON, Answer::Whole(Full::new(value.to_string().into()))),
        Err(refusal) => refused(&refusal),
    }
}

/// A refusal.
pub(super) fn refused(refusal: &Refusal) -> Response<Answer> {
    let body = json!({"__type": refusal.code, "message": refusal.message});
    typed(refusal.status, JSON, Answer::Whole(Full::new(body.to_string().into())))
}
