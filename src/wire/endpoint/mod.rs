//! The query endpoint on TCP, for clients of AWS that know no Unix sockets: each request is signed, or refused.
//!
//! `kilnd` serves it where `[ec2] listen` or `--ec2-listen` says, on the host's own loopback only: what is sent over it is not
//! encrypted.

use super::server::body::{self, Answer};
use super::server::{Asked, Respond};
use super::services::{Request, Services};
use super::signature::{Presented, SignatureError, Signed};
use crate::api::{ApiError, Caller, World, access_keys};
use hyper::Response;
use hyper::http::request::Parts;
use std::net::SocketAddr;
use std::sync::Arc;
use time::OffsetDateTime;

/// What answers there.
pub struct Endpoint {
    world: Arc<World>,
    services: Arc<Services>,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Other(#[from] ApiError),
}

impl Endpoint {
    /// Lets the holders of the access keys of `world` ask `services`.
    #[must_use]
    pub const fn new(world: Arc<World>, services: Arc<Services>) -> Self {
        Self { world, services }
    }

    /// In whose name a request is signed.
    async fn caller(&self, head: &Parts, body: &[u8], presented: &Presented) -> Result<Caller, Refused> {
        let id = &presented.access_key;
        let key = access_keys::find(&self.world, id).await?;
        let key = key.ok_or_else(|| SignatureError::UnknownKey(id.clone()))?;
        presented.verify(&Signed { head, body }, key.secret.reveal(), OffsetDateTime::now_utc())?;
        Ok(Caller {
            uid: key.uid,
            gid: key.gid,
            pid: None,
        })
    }
}

impl Respond<SocketAddr> for Endpoint {
    async fn respond(self: Arc<Self>, asked: Asked<SocketAddr>) -> Response<Answer> {
        let (id, peer) = (asked.id, asked.caller);
        let (head, body) = asked.request.into_parts();
        let body = match body::read(body).await {
            Ok(body) => body,
            Err(error) => return Services::refuse_body(&head, &error, id),
        };
        let presented = Presented::parse(&head).and_then(|presented| presented.ok_or(SignatureError::Missing));
        let known = match presented {
            Ok(presented) => {
                let caller = self.caller(&head, &body, &presented).await;
                caller.map(|caller| (caller, presented))
            }
            Err(error) => Err(error.into()),
        };
        match known {
            Ok((caller, presented)) => {
                let request = Request {
                    head,
                    body,
                    caller,
                    presented: Some(presented),
                    id,
                };
                self.services.respond(request).await
            }
            Err(Refused::Signature(error)) => {
                tracing::info!(%id, %peer, %error, "Not let in");
                Services::refuse(&head, &error, id)
            }
            Err(Refused::Other(error)) => Services::refuse_body(&head, &error, id),
        }
    }
}

#[cfg(test)]
mod tests;
