//! `GET /instances/{id}/console` with `Upgrade: kiln-console`: from then on the connection is the serial console, both
//! ways.

use super::{no_instance, upgrade};
use crate::api::{ApiError, Code, World};
use crate::chain::chain;
use crate::instance::ConsoleError;
use crate::model::InstanceId;
use crate::wire::server::Asked;
use crate::wire::server::body::Answer;
use hyper::Response;
use tokio::sync::OwnedSemaphorePermit;

/// The protocol that a connection is upgraded to.
const PROTOCOL: &str = "kiln-console";

impl From<ConsoleError> for ApiError {
    fn from(error: ConsoleError) -> Self {
        match error {
            ConsoleError::NotFound(id) => no_instance(id),
            ConsoleError::NotRunning(_) => Self::new(Code::IncorrectInstanceState, error.to_string()),
            ConsoleError::Control { .. } => Self::new(Code::Unavailable, chain(&error)),
        }
    }
}

/// Opens the console and lets the connection become it.
pub(super) async fn open(
    world: &World,
    id: InstanceId,
    permit: OwnedSemaphorePermit,
    asked: Asked,
) -> Result<Response<Answer>, ApiError> {
    if !upgrade::asks_for(&asked, PROTOCOL) {
        return Ok(upgrade::required(asked.id, PROTOCOL));
    }
    let console = world.instances.console(id).await?;
    Ok(upgrade::join(asked, PROTOCOL, console, permit))
}
