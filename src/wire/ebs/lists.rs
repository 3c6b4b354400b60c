//! `GET /snapshots/{id}/blocks` and `GET /snapshots/{id}/changedblocks`.

use super::answer;
use super::query::Query;
use crate::api::World;
use crate::api::direct::{DirectError, PageRequest, list_blocks, list_changed_blocks};
use crate::wire::server::body::Answer;
use crate::wire::services::Request;
use hyper::Response;
use tokio::sync::OwnedSemaphorePermit;

const PAGE: [&str; 3] = ["pageToken", "maxResults", "startingBlockIndex"];

pub(super) async fn blocks(
    world: &World,
    snapshot: &str,
    request: &Request,
    turn: OwnedSemaphorePermit,
) -> Result<Response<Answer>, DirectError> {
    let query = Query::parse(request.head.uri.query(), &PAGE)?;
    let listed = list_blocks(world, snapshot, &page(&query)?, turn).await?;
    answer::json(200, &listed)
}

pub(super) async fn changed_blocks(
    world: &World,
    second: &str,
    request: &Request,
    turn: OwnedSemaphorePermit,
) -> Result<Response<Answer>, DirectError> {
    let [token, max, start] = PAGE;
    let query = Query::parse(request.head.uri.query(), &["firstSnapshotId", token, max, start])?;
    let first = query.text("firstSnapshotId");
    let listed = list_changed_blocks(world, first, second, &page(&query)?, turn).await?;
    answer::json(200, &listed)
}

fn page(query: &Query) -> Result<PageRequest, DirectError> {
    let [token, max, start] = PAGE;
    Ok(PageRequest {
        page_token: query.text(token).map(ToOwned::to_owned),
        max_results: query.number(max)?,
        starting_block_index: query.number(start)?,
    })
}
