//! Bodies: reading a bounded one, answering with a whole one or with lines as they come.

use crate::api::{ApiError, Code};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Response;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// The longest body of a request, in bytes; the longest that EC2's own members need is some 64 KiB.
pub const MAX_BODY: usize = 1024 * 1024;
/// How long a body may take to come.
pub const BODY_TIME: Duration = Duration::from_secs(20);

/// The body of an answer.
#[derive(Debug)]
pub enum Answer {
    /// All of it.
    Whole(Full<Bytes>),
    /// Pieces as they come; it ends when the sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Pin::new(bytes).poll_frame(cx),
            Self::Stream(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(bytes) => bytes.size_hint(),
            Self::Stream(_) => hyper::body::SizeHint::default(),
        }
    }
}

/// Reads the body of a request.
///
/// # Errors
/// `RequestEntityTooLarge` beyond [`MAX_BODY`], `InvalidRequest` if it does not come whole and in time.
pub async fn read(body: Incoming) -> Result<Bytes, ApiError> {
    read_up_to(body, MAX_BODY).await
}

/// Reads the body of a request that has its own bound.
///
/// # Errors
/// `RequestEntityTooLarge` beyond `max` bytes, `InvalidRequest` if it does not come whole and in time.
pub async fn read_up_to(body: Incoming, max: usize) -> Result<Bytes, ApiError> {
    let too_long = || {
        let message = format!("The body of the request is longer than {max} bytes");
        ApiError::new(Code::RequestEntityTooLarge, message)
    };
    let invalid = |message: String| Err(ApiError::new(Code::InvalidRequest, message));
    // A length that the head announces needs no reading to be too long.
    if body.size_hint().lower() > max as u64 {
        return Err(too_long());
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => invalid("The body of the request did not come whole".into()),
        Err(_) => invalid(format!(
            "The body of the request did not come within {} seconds",
            BODY_TIME.as_secs()
        )),
    }
}

/// An answer of JSON.
#[must_use]
pub fn answer(status: u16, json: String) -> Response<Answer> {
    typed(status, "application/json", Answer::Whole(Full::new(json.into())))
}

/// An answer of that media type.
#[must_use]
pub fn typed(status: u16, media_type: &'static str, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
