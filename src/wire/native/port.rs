//! `GET /instances/{id}/ports/{port}` with `Upgrade: kiln-tcp`, and `GET /instances/{id}/vsock/{port}` with `Upgrade:
//! kiln-vsock`: from then on the connection is one to that port of the guest, made from within its VPC, or by its vsock
//! device. It is how `kiln ssh` and `kiln exec` reach a guest that has no public address, or no network.

use super::{no_instance, upgrade};
use crate::api::{ApiError, Code, World};
use crate::chain::chain;
use crate::instance::VsockError;
use crate::model::InstanceId;
use crate::network::ConnectError;
use crate::wire::server::Asked;
use crate::wire::server::body::Answer;
use hyper::Response;
use std::ops::RangeInclusive;
use tokio::sync::OwnedSemaphorePermit;

/// The protocols that a connection is upgraded to.
const TCP: &str = "kiln-tcp";
const VSOCK: &str = "kiln-vsock";
/// The highest port of a vsock device; the number after it stands for any.
const VSOCK_MAX: u32 = u32::MAX - 1;

impl From<ConnectError> for ApiError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotThere(_) => Self::new(Code::IncorrectInstanceState, error.to_string()),
            ConnectError::Connect { .. } => Self::new(Code::Unavailable, chain(&error)),
            ConnectError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<VsockError> for ApiError {
    fn from(error: VsockError) -> Self {
        match error {
            VsockError::NotFound(id) => no_instance(id),
            VsockError::NotRunning(_) => Self::new(Code::IncorrectInstanceState, error.to_string()),
            VsockError::Control { .. } => Self::new(Code::Unavailable, chain(&error)),
        }
    }
}

/// Connects to the TCP port and lets the connection become it.
pub(super) async fn open(
    world: &World,
    (id, port): (InstanceId, &str),
    permit: OwnedSemaphorePermit,
    asked: Asked,
) -> Result<Response<Answer>, ApiError> {
    let port = u16::try_from(number(port, 1..=u16::MAX.into())?).unwrap_or(u16::MAX);
    if !upgrade::asks_for(&asked, TCP) {
        return Ok(upgrade::required(asked.id, TCP));
    }
    if world.instances.watch(id).is_none() {
        return Err(no_instance(id));
    }
    let guest = world.instances.parts().networks.connect(id, port).await?;
    Ok(upgrade::join(asked, TCP, guest, permit))
}

/// Connects to the port of the vsock device and lets the connection become it.
pub(super) async fn open_vsock(
    world: &World,
    (id, port): (InstanceId, &str),
    permit: OwnedSemaphorePermit,
    asked: Asked,
) -> Result<Response<Answer>, ApiError> {
    let port = number(port, 0..=VSOCK_MAX)?;
    if !upgrade::asks_for(&asked, VSOCK) {
        return Ok(upgrade::required(asked.id, VSOCK));
    }
    let guest = world.instances.vsock(id, port).await?;
    Ok(upgrade::join(asked, VSOCK, guest, permit))
}

/// The number of a port.
fn number(text: &str, possible: RangeInclusive<u32>) -> Result<u32, ApiError> {
    let number = text.parse().ok().filter(|number| possible.contains(number));
    number.ok_or_else(|| {
        let message = format!("A port is a number from {} to {}", possible.start(), possible.end());
        ApiError::new(Code::InvalidParameterValue, message)
    })
}
