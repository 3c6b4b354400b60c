//! `POST /snapshots` and `POST /snapshots/completion/{id}`: the beginning and the end of a snapshot that a client writes. Both go on if
//! the client hangs up, so that nothing is left half done.

use super::answer;
use super::head;
use super::query::Query;
use crate::api::World;
use crate::api::direct::{self, Completion, DirectError};
use crate::wire::model::digest::digest;
use crate::wire::server::body::Answer;
use crate::wire::services::Request;
use hyper::Response;
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn start(world: &Arc<World>, request: &Request) -> Result<Response<Answer>, DirectError> {
    Query::parse(request.head.uri.query(), &[])?;
    let not_json = |error| DirectError::parameter(format!("The body of the request is not JSON: {error}"));
    let mut order: Value = serde_json::from_slice(&request.body).map_err(not_json)?;
    if let Value::Object(members) = &mut order {
        // A member that is null is none.
        members.retain(|_, member| !member.is_null());
    }
    let digest = digest("StartSnapshot", &order).to_string();
    let world = Arc::clone(world);
    let started = tokio::spawn(async move { direct::start(&world, order, digest).await });
    let started = started.await.map_err(|died| DirectError::internal(&died))?;
    answer::json(201, &started?)
}

pub(super) async fn complete(
    world: &Arc<World>,
    snapshot: &str,
    request: &Request,
) -> Result<Response<Answer>, DirectError> {
    Query::parse(request.head.uri.query(), &[])?;
    let headers = &request.head.headers;
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
