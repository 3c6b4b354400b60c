//! `POST /snapshots` and `POST /snapshots/completion/{id}`: the beginning and the end of a snapshot that a client writes. Both go on if
//! the client hangs up, so that nothing is left half done.

use super::answer;
use super::head;
use super::query::Query;
use crate::api::World;
use crate::api::direct::{self, Completion, DirectError};
use crate::wire::model::digest::digest;
use crate::wire::server::Asked;
use crate::wire::server::body::{Answer, read_up_to};
use hyper::Response;
use serde_json::Value;
use std::sync::Arc;

/// The longest request, in bytes: 50 tags, and room for all the rest.
const MAX_REQUEST: usize = 128 << 10;

pub(super) async fn start(world: &Arc<World>, asked: Asked) -> Result<Response<Answer>, DirectError> {
    Query::parse(asked.request.uri().query(), &[])?;
    let read = read_up_to(asked.request.into_body(), MAX_REQUEST).await;
    let body = read.map_err(|error| DirectError::parameter(error.message))?;
    let not_json = |error| DirectError::parameter(format!("The body of the request is not JSON: {error}"));
    let mut request: Value = serde_json::from_slice(&body).map_err(not_json)?;
    if let Value::Object(members) = &mut request {
        // A member that is null is none.
        members.retain(|_, member| !member.is_null());
    }
    let digest = digest("StartSnapshot", &request).to_string();
    let world = Arc::clone(world);
    let started = tokio::spawn(async move { direct::start(&world, request, digest).await });
    let started = started.await.map_err(|died| DirectError::internal(&died))?;
    answer::json(201, &started?)
}

pub(super) async fn complete(
    world: &Arc<World>,
    snapshot: &str,
    asked: &Asked,
) -> Result<Response<Answer>, DirectError> {
    Query::parse(asked.request.uri().query(), &[])?;
    let headers = asked.request.headers();
    let text = |name| head::text(headers, name).map(|text| text.map(ToOwned::to_owned));
    let completion = Completion {
        changed_blocks: head::required_number(headers, "x-amz-changedblockscount")?,
        checksum: text("x-amz-checksum")?,
        algorithm: text("x-amz-checksum-algorithm")?,
        aggregation: text("x-amz-checksum-aggregation-method")?,
    };
    let (world, snapshot) = (Arc::clone(world), snapshot.to_owned());
    let completed = tokio::spawn(async move { direct::complete(&world, &snapshot, &completion).await });
    let completed = completed.await.map_err(|died| DirectError::internal(&died))?;
    answer::json(202, &completed?)
}
