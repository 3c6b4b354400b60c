//! The JSON face: `POST /<Operation>` with what `aws ec2 … --cli-input-json` takes, answered with what `--output json`
//! prints.

use super::dispatch::Dispatch;
use super::server::Asked;
use super::server::body::{self, Answer, answer};
use crate::api::{ApiError, Code, RequestId};
use hyper::Response;
use serde_json::{Value, json};

/// Answers one operation.
pub async fn operation(dispatch: &Dispatch, name: &str, asked: Asked) -> Response<Answer> {
    let id = asked.id;
    let result = match body::read(asked.request.into_body())
        .await
        .and_then(|bytes| parse(&bytes))
    {
        // The files came with the bytes of the request, so by now all of them are there.
        Ok(request) => dispatch.call(name, request, asked.caller, asked.files.take(), id).await,
        Err(error) => {
            drop(asked.files.take());
            Err(error)
        }
    };
    match result {
        // EC2 says of some operations only that they were done; the command line then prints nothing.
        Ok(Value::Null) => answer(200, "{}".into()),
        Ok(value) => answer(200, value.to_string()),
        Err(error) => refusal(&error, id),
    }
}

/// A body as a request; none is one without members.
fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(json!({}));
    }
    // serde_json ends at a nesting of 128.
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::new(
            Code::InvalidRequest,
            format!("The body of the request is not JSON: {error}"),
        )
    })
}

/// An error as the JSON face writes it.
#[must_use]
pub fn refusal(error: &ApiError, id: RequestId) -> Response<Answer> {
    let body = json!({
        "Error": {"Code": error.code.as_str(), "Message": error.message},
        "RequestId": id.to_string(),
    });
    answer(error.code.status(), body.to_string())
}
