//! The EC2 query protocol: an operation's name and dotted parameters in a form or a URL, answered with XML.
//!
//! `services` comes here with what is meant for EC2. The handlers are those of the JSON face, and so are the checks.

mod answer;
mod parameters;
mod request;
#[cfg(test)]
mod tests;
mod xml;

pub use parameters::Pairs;
pub use xml::Xml;

use super::dispatch::Dispatch;
use super::model::check;
use super::server::body::{Answer, typed};
use crate::api::shown::shown;
use crate::api::{ApiError, Caller, Code, RequestId};
use http_body_util::Full;
use hyper::Response;
use serde_json::Value;

/// The media type of EC2's answers.
pub const XML: &str = "text/xml;charset=UTF-8";
/// The one version of EC2's API that kiln speaks.
const VERSION: &str = "2016-11-15";

/// Answers one operation.
pub async fn operation(dispatch: &Dispatch, pairs: Pairs, caller: Caller, id: RequestId) -> Response<Answer> {
    match carried_out(dispatch, pairs, caller, id).await {
        Ok((operation, value)) => xml(200, answer::answer(&operation, &value, id)),
        Err(error) => refusal(&error, id),
    }
}

async fn carried_out(
    dispatch: &Dispatch,
    pairs: Pairs,
    caller: Caller,
    id: RequestId,
) -> Result<(String, Value), ApiError> {
    let operation = pairs.get("Action").unwrap_or_default().to_owned();
    if operation.is_empty() {
        let message = "The request must contain the parameter Action";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    if let Some(version) = pairs.get("Version").filter(|version| *version != VERSION) {
        let message = format!(
            "The requested version ({}) of service AmazonEC2 does not exist; kiln speaks {VERSION}",
            shown(version)
        );
        return Err(ApiError::new(Code::NoSuchVersion, message));
    }
    let shape = check::input(&operation)?;
    let mut request = request::request(shape, &pairs.tree()?)?;
    request::without_empty_names(&mut request);
    let value = dispatch.call(&operation, request, caller, Vec::new(), id).await?;
    Ok((operation, value))
}

/// A refusal as EC2 writes it.
#[must_use]
pub fn refusal(error: &ApiError, id: RequestId) -> Response<Answer> {
    xml(error.code.status(), answer::refusal(error, id))
}

/// The same for what is no operation's refusal.
#[must_use]
pub fn refused(code: &str, message: &str, status: u16, id: RequestId) -> Response<Answer> {
    xml(status, answer::refused(code, message, id))
}

/// An answer of XML.
#[must_use]
pub fn xml(status: u16, document: String) -> Response<Answer> {
    typed(status, XML, Answer::Whole(Full::new(document.into())))
}
