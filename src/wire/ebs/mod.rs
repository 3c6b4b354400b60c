//! The EBS direct API (2019-11-02): `api::direct` behind the paths, queries and headers that Amazon's clients use.
//!
//! `services` comes here with requests that are signed for EBS, and on the socket with those that say by their path alone what
//! they are.

mod answer;
mod blocks;
mod head;
mod lists;
mod query;
#[cfg(test)]
mod tests;
mod whole;

pub use answer::refused;

use super::server::body::Answer;
use super::services::Request;
use crate::api::World;
use crate::api::direct::DirectError;
use crate::api::shown::shown_up_to;
use hyper::{Method, Response};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many blocks and lists are read or written at one time; further requests wait. Each may have a block in memory and
/// a thread that waits for the disk.
const MAX_TURNS: usize = 32;

/// Whether a path is below that of the snapshots.
#[must_use]
pub fn has(path: &str) -> bool {
    path.split('/').nth(1) == Some("snapshots")
}

/// The EBS direct API.
pub struct Ebs {
    world: Arc<World>,
    turns: Arc<Semaphore>,
}

impl Ebs {
    /// Serves the snapshots of `world`.
    #[must_use]
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            turns: Arc::new(Semaphore::new(MAX_TURNS)),
        }
    }

    /// Answers a request.
    pub async fn respond(&self, request: &Request) -> Response<Answer> {
        let path = request.head.uri.path();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let answered = self.answered(&segments, request).await;
        answered.unwrap_or_else(|error| {
            tracing::info!(id = %request.id, path = shown_up_to(path, 128), %error, "Refused");
            answer::refusal(&error)
        })
    }

    async fn answered(&self, path: &[&str], request: &Request) -> Result<Response<Answer>, DirectError> {
        let world = &self.world;
        match (&request.head.method, path) {
            (&Method::POST, ["snapshots"]) => whole::start(world, request).await,
            (&Method::POST, ["snapshots", "completion", snapshot]) => whole::complete(world, snapshot, request).await,
            (&Method::GET, ["snapshots", snapshot, "blocks"]) => {
                lists::blocks(world, snapshot, request, self.turn().await?).await
            }
            (&Method::GET, ["snapshots", snapshot, "changedblocks"]) => {
                lists::changed_blocks(world, snapshot, request, self.turn().await?).await
            }
            (&Method::GET, ["snapshots", snapshot, "blocks", index]) => {
                blocks::get(world, (snapshot, index), request, self.turn().await?).await
            }
            (&Method::PUT, ["snapshots", snapshot, "blocks", index]) => {
                blocks::put(world, (snapshot, index), request, self.turn().await?).await
            }
            _ => Err(DirectError::no_operation()),
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, DirectError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        // Nobody closes the semaphore.
        turn.map_err(|closed| DirectError::internal(&closed))
    }
}
