//! `GET /instances/{id}/ports/{port}` with `Upgrade: kiln-tcp`: from then on the connection is one to that TCP port of the
//! guest, made from within its VPC. It is how `kiln ssh` reaches a guest that has no public address.

use super::{no_instance, upgrade};
use crate::api::{ApiError, Code, World};
use crate::chain::chain;
use crate::model::InstanceId;
use crate::network::ConnectError;
use crate::wire::server::Asked;
use crate::wire::server::body::Answer;
use hyper::Response;
use tokio::sync::OwnedSemaphorePermit;

/// The protocol that a connection is upgraded to.
const PROTOCOL: &str = "kiln-tcp";

impl From<ConnectError> for ApiError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotThere(_) => Self::new(Code::IncorrectInstanceState, error.to_string()),
            ConnectError::Connect { .. } => Self::new(Code::Unavailable, chain(&error)),
            ConnectError::Store(_) => Self::internal(&error),
        }
    }
}

/// Connects to the port and lets the connection become it.
pub(super) async fn open(
    world: &World,
    (id, port): (InstanceId, &str),
    permit: OwnedSemaphorePermit,
    asked: Asked,
) -> Result<Response<Answer>, ApiError> {
    let port = port.parse().ok().filter(|&port: &u16| port > 0).ok_or_else(|| {
        let message = "A port is a number from 1 to 65535";
        ApiError::new(Code::InvalidParameterValue, message)
    })?;
    if !upgrade::asks_for(&asked, PROTOCOL) {
        return Ok(upgrade::required(asked.id, PROTOCOL));
    }
    if world.instances.watch(id).is_none() {
        return Err(no_instance(id));
    }
    let guest = world.instances.parts().networks.connect(id, port).await?;
    Ok(upgrade::join(asked, PROTOCOL, guest, permit))
}
