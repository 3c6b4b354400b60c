//! The EBS direct API (2019-11-02) on the socket: `api::direct` behind the paths, queries and headers that Amazon's clients use.
//!
//! `routes` asks here first. Whoever is told nothing of this API sees no difference: its paths begin with `/snapshots`.

mod answer;
mod blocks;
mod head;
mod lists;
mod query;
#[cfg(test)]
mod tests;
mod whole;

use super::server::Asked;
use super::server::body::Answer;
use crate::api::World;
use crate::api::direct::DirectError;
use hyper::{Method, Response};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many blocks and lists are read or written at one time; further requests wait. Each may have a block in memory and
/// a thread that waits for the disk.
const MAX_TURNS: usize = 32;

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

    /// Answers a request of this API; gives one back that is none.
    pub async fn respond(&self, path: &[&str], asked: Asked) -> Result<Response<Answer>, Asked> {
        let (method, id) = (asked.request.method().clone(), asked.id);
        let answered = match (method, path) {
            (Method::POST, ["snapshots"]) => whole::start(&self.world, asked).await,
            (Method::POST, ["snapshots", "completion", snapshot]) => {
                whole::complete(&self.world, snapshot, &asked).await
            }
            (Method::GET, ["snapshots", snapshot, "blocks"]) => match self.turn().await {
                Ok(turn) => lists::blocks(&self.world, snapshot, &asked, turn).await,
                Err(error) => Err(error),
            },
            (Method::GET, ["snapshots", snapshot, "changedblocks"]) => match self.turn().await {
                Ok(turn) => lists::changed_blocks(&self.world, snapshot, &asked, turn).await,
                Err(error) => Err(error),
            },
            (Method::GET, ["snapshots", snapshot, "blocks", index]) => match self.turn().await {
                Ok(turn) => blocks::get(&self.world, (snapshot, index), &asked, turn).await,
                Err(error) => Err(error),
            },
            (Method::PUT, ["snapshots", snapshot, "blocks", index]) => match self.turn().await {
                Ok(turn) => blocks::put(&self.world, (snapshot, index), asked, turn).await,
                Err(error) => Err(error),
            },
            _ => return Err(asked),
        };
        Ok(answered.unwrap_or_else(|error| {
            let shown: String = path.join("/").chars().take(128).collect();
            tracing::info!(%id, path = shown, %error, "Refused");
            answer::refusal(&error)
        }))
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, DirectError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        // Nobody closes the semaphore.
        turn.map_err(|closed| DirectError::internal(&closed))
    }
}
