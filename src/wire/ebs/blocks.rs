//! `GET` and `PUT /snapshots/{id}/blocks/{index}`: one block, as it is.

use super::answer;
use super::head;
use super::query::{Query, number};
use crate::api::World;
use crate::api::direct::{ALGORITHM, DirectError, Put, Reason, get_block, put_block};
use crate::wire::server::body::{Answer, typed};
use crate::wire::services::Request;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

const CHECKSUM: &str = "x-amz-checksum";
const CHECKSUM_ALGORITHM: &str = "x-amz-checksum-algorithm";
const DATA_LENGTH: &str = "x-amz-data-length";

pub(super) async fn get(
    world: &World,
    (snapshot, index): (&str, &str),
    request: &Request,
    turn: OwnedSemaphorePermit,
) -> Result<Response<Answer>, DirectError> {
    let query = Query::parse(request.head.uri.query(), &["blockToken"])?;
    let index = block_index(index)?;
    let token = query
        .text("blockToken")
        .ok_or_else(|| DirectError::validation(Reason::BlockToken, "The block token is missing"))?;
    let block = get_block(world, snapshot, index, token, turn).await?;
    let length = HeaderValue::from(block.data.len());
    let mut response = typed(200, "application/octet-stream", Answer::Whole(Full::new(block.data)));
    response.headers_mut().insert(DATA_LENGTH, length);
    with_checksum(response, &block.checksum)
}

pub(super) async fn put(
    world: &World,
    (snapshot, index): (&str, &str),
    request: &Request,
    turn: OwnedSemaphorePermit,
) -> Result<Response<Answer>, DirectError> {
    Query::parse(request.head.uri.query(), &[])?;
    let headers = &request.head.headers;
    if headers.contains_key(CONTENT_ENCODING) {
        let message = "A block comes as it is, without a content encoding";
        return Err(DirectError::validation(Reason::ContentEncoding, message));
    }
    let put = Put {
        index: block_index(index)?,
        length: head::required_number(headers, DATA_LENGTH)?.into(),
        checksum: head::required(headers, CHECKSUM)?.to_owned(),
        algorithm: head::required(headers, CHECKSUM_ALGORITHM)?.to_owned(),
        progress: head::optional_number(headers, "x-amz-progress")?,
    };
    put_block(world, snapshot, &put, request.body.clone(), turn).await?;
    with_checksum(answer::json(201, &json!({}))?, &put.checksum)
}

fn block_index(text: &str) -> Result<u32, DirectError> {
    number("The block index", text).map_err(|error| DirectError::validation(Reason::Block, error.message))
}

fn with_checksum(mut response: Response<Answer>, checksum: &str) -> Result<Response<Answer>, DirectError> {
    let checksum = HeaderValue::from_str(checksum).map_err(|error| DirectError::internal(&error))?;
    let headers = response.headers_mut();
    headers.insert(CHECKSUM, checksum);
    headers.insert(CHECKSUM_ALGORITHM, HeaderValue::from_static(ALGORITHM));
    Ok(response)
}
