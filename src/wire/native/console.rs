//! `GET /instances/{id}/console` with `Upgrade: kiln-console`: from then on the connection is the serial console, both
//! ways. Its bytes are passed on and looked at by nobody here.

use super::no_instance;
use crate::api::{ApiError, Code, RequestId, World};
use crate::chain::chain;
use crate::instance::ConsoleError;
use crate::model::InstanceId;
use crate::wire::server::body::{Answer, answer};
use crate::wire::server::{Asked, FileStream, stopping};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::io::{AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tracing::debug;

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
    mut asked: Asked,
) -> Result<Response<Answer>, ApiError> {
    let wanted = asked.request.headers().get(UPGRADE).map(HeaderValue::as_bytes);
    if wanted != Some(PROTOCOL.as_bytes()) {
        return Ok(upgrade_required(asked.id));
    }
    let console = world.instances.console(id).await?;
    let upgrade = hyper::upgrade::on(&mut asked.request);
    tokio::spawn(pass_on(upgrade, console, asked.stop, permit));
    Ok(switched())
}

/// The answer after which the connection is the console.
pub(super) fn switched() -> Response<Answer> {
    let mut response = switching(StatusCode::SWITCHING_PROTOCOLS, answer(101, String::new()));
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// Both ways until one side closes, or the daemon stops.
pub(super) async fn pass_on(
    upgrade: OnUpgrade,
    mut console: BufReader<UnixStream>,
    mut stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let session = async {
        let upgraded = upgrade.await.map_err(std::io::Error::other)?;
        let parts = upgraded.downcast::<FileStream>();
        let parts = parts.map_err(|_| std::io::Error::other("The connection is of another kind"))?;
        let mut client = parts.io.into_socket();
        console.write_all(&parts.read_buf).await?;
        copy_bidirectional(&mut client, &mut console).await
    };
    tokio::select! {
        ended = session => if let Err(error) = ended {
            debug!(%error, "A console session ended badly");
        },
        () = stopping(&mut stop) => {}
    }
}

fn upgrade_required(id: RequestId) -> Response<Answer> {
    let message =
        format!("The console is no document: ask with the headers Connection: Upgrade and Upgrade: {PROTOCOL}");
    let body = json!({"Error": {"Code": "UpgradeRequired", "Message": message}, "RequestId": id.to_string()});
    switching(StatusCode::UPGRADE_REQUIRED, answer(426, body.to_string()))
}

fn switching(status: StatusCode, mut response: Response<Answer>) -> Response<Answer> {
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response
        .headers_mut()
        .insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}
