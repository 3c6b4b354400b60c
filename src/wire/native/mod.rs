//! kiln's own resources beside EC2's operations: events, the console and the ports
//! of a guest, an instance's timeline, the daemon's status and pool, the key of its identity documents.
//!
//! `docs/openapi.json` describes them; a test holds the two together.

mod access_keys;
mod console;
mod events;
mod identity_key;
mod pool;
mod port;
mod scrub;
mod status;
mod timeline;
mod upgrade;

use super::json::refusal;
use super::server::Asked;
use super::server::body::{Answer, answer};
use crate::api::{ApiError, Code, World, ids};
use crate::model::InstanceId;
use hyper::{Method, Response};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections without an end (events, consoles, ports) at one time: fewer than there may be connections, so that they never
/// keep requests out.
const MAX_STREAMS: usize = 128;

/// kiln's own resources.
pub struct Native {
    world: Arc<World>,
    streams: Arc<Semaphore>,
}

impl Native {
    /// Serves those of `world`.
    #[must_use]
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }

    /// Answers a request for one of the resources; none if its path is not one of theirs.
    pub async fn respond(&self, path: &[&str], asked: Asked) -> Result<Response<Answer>, Asked> {
        let id = asked.id;
        match (asked.request.method(), path) {
            (&Method::GET, _) => {}
            (&Method::POST, ["access-keys"]) => {
                let created = access_keys::create(&self.world, asked.caller).await.map(whole);
                return Ok(created.unwrap_or_else(|error| refusal(&error, id)));
            }
            (&Method::DELETE, ["access-keys", key]) => {
                let deleted = access_keys::delete(&self.world, asked.caller, key).await.map(whole);
                return Ok(deleted.unwrap_or_else(|error| refusal(&error, id)));
            }
            (&Method::POST, ["pool", "scrub", snapshot]) => {
                let scrubbed = scrub::scrub(&self.world, snapshot).await.map(whole);
                return Ok(scrubbed.unwrap_or_else(|error| refusal(&error, id)));
            }
            _ => return Err(asked),
        }
        let answered = match path {
            ["access-keys"] => access_keys::list(&self.world, asked.caller).await.map(whole),
            ["events"] => self
                .stream()
                .map(|permit| events::stream(&self.world, permit, asked.stop)),
            ["identity-key"] => identity_key::identity_key(&self.world).await.map(whole),
            ["pool"] => pool::pool(&self.world).await.map(whole),
            ["status"] => status::status(&self.world).await.map(whole),
            ["instances", instance, "timeline"] => match instance_id(instance) {
                Ok(instance) => timeline::timeline(&self.world, instance).await.map(whole),
                Err(error) => Err(error),
            },
            ["instances", instance, "console"] => match (instance_id(instance), self.stream()) {
                (Ok(instance), Ok(permit)) => console::open(&self.world, instance, permit, asked).await,
                (Err(error), _) | (_, Err(error)) => Err(error),
            },
            ["instances", instance, "ports", port] => match (instance_id(instance), self.stream()) {
                (Ok(instance), Ok(permit)) => port::open(&self.world, (instance, port), permit, asked).await,
                (Err(error), _) | (_, Err(error)) => Err(error),
            },
            ["instances", instance, "vsock", port] => match (instance_id(instance), self.stream()) {
                (Ok(instance), Ok(permit)) => port::open_vsock(&self.world, (instance, port), permit, asked).await,
                (Err(error), _) | (_, Err(error)) => Err(error),
            },
            _ => return Err(asked),
        };
        Ok(answered.unwrap_or_else(|error| refusal(&error, id)))
    }

    fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let message = format!("{MAX_STREAMS} streams of events, consoles and ports are open; close one first");
            ApiError::new(Code::RequestLimitExceeded, message)
        })
    }
}

fn whole(value: Value) -> Response<Answer> {
    answer(200, value.to_string())
}

fn instance_id(text: &str) -> Result<InstanceId, ApiError> {
    ids::parse(text, Code::InvalidInstanceIdMalformed)
}

fn no_instance(id: InstanceId) -> ApiError {
    ids::not_found(Code::InvalidInstanceIdNotFound, "instance", &[id])
}

#[cfg(test)]
mod tests;
