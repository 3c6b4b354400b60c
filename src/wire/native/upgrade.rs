//! Connections that stop being HTTP: with `Connection: Upgrade` and the protocol's name in `Upgrade` a request becomes a
//! stream of bytes, both ways, that nobody here looks at. Used for consoles and for the ports of guests.

use crate::api::RequestId;
use crate::wire::server::body::{Answer, answer};
use crate::wire::server::{Asked, Bounded, FileStream, stopping};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tracing::debug;

/// Whether the request asks for `protocol`.
pub(super) fn asks_for(asked: &Asked, protocol: &'static str) -> bool {
    asked.request.headers().get(UPGRADE).map(HeaderValue::as_bytes) == Some(protocol.as_bytes())
}

/// The answer to a request that does not.
pub(super) fn required(id: RequestId, protocol: &'static str) -> Response<Answer> {
    let message = format!("This is no document: ask with the headers Connection: Upgrade and Upgrade: {protocol}");
    let body = json!({"Error": {"Code": "UpgradeRequired", "Message": message}, "RequestId": id.to_string()});
    switching(StatusCode::UPGRADE_REQUIRED, protocol, answer(426, body.to_string()))
}

/// Lets the connection become `protocol`, which `guest` speaks at its other end.
pub(super) fn join(
    mut asked: Asked,
    protocol: &'static str,
    guest: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    permit: OwnedSemaphorePermit,
) -> Response<Answer> {
    let upgrade = hyper::upgrade::on(&mut asked.request);
    tokio::spawn(pass_on(upgrade, guest, asked.stop, permit));
    let mut response = switching(StatusCode::SWITCHING_PROTOCOLS, protocol, answer(101, String::new()));
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// Both ways until both sides have closed, or the daemon stops.
async fn pass_on(
    upgrade: OnUpgrade,
    mut guest: impl AsyncRead + AsyncWrite + Unpin,
    mut stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let session = async {
        let upgraded = upgrade.await.map_err(std::io::Error::other)?;
        let parts = upgraded.downcast::<Bounded<FileStream>>();
        let parts = parts.map_err(|_| std::io::Error::other("The connection is of another kind"))?;
        let mut client = parts.io.into_inner().into_socket();
        guest.write_all(&parts.read_buf).await?;
        copy_bidirectional(&mut client, &mut guest).await
    };
    tokio::select! {
        ended = session => if let Err(error) = ended {
            debug!(%error, "A connection to a guest ended badly");
        },
        () = stopping(&mut stop) => {}
    }
}

fn switching(status: StatusCode, protocol: &'static str, mut response: Response<Answer>) -> Response<Answer> {
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response
        .headers_mut()
        .insert(UPGRADE, HeaderValue::from_static(protocol));
    response
}
