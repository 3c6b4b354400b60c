//! HTTP/1.1 on the daemon's sockets: connections, their bounds, and a stop that cuts no answer.
//!
//! `kilnd` calls [`serve`] with a listener of [`listen`] and what answers there. Everything that a client can hold up is
//! bounded: connections, the time to send a request, the time to take an answer, headers, bodies and open files.

mod accept;
pub mod body;
mod files;
pub mod listen;
mod stall;
mod stream;

pub use accept::{Accept, Accepted};
pub use files::FileBag;
pub use stall::Bounded;
pub use stream::FileStream;

use crate::api::{Caller, RequestId};
use body::{Answer, answer};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// What clients may use up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at one time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// The longest head of a request, in bytes.
    pub head: usize,
    /// How long the head of a request may take to come, also counted from the end of the answer before.
    pub head_time: Duration,
    /// How long an answer may wait for a client that does not read.
    pub stall_time: Duration,
    /// How long a stop waits for answers under way.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head: 16 * 1024,
            head_time: Duration::from_secs(10),
            stall_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(20),
        }
    }
}

/// One request with what is known of its sender.
#[derive(Debug)]
pub struct Asked<P = Caller> {
    /// The request; its body has yet to be read.
    pub request: Request<Incoming>,
    /// Who sent it.
    pub caller: P,
    /// The files that came over the connection and no request has taken yet.
    pub files: FileBag,
    /// Its id.
    pub id: RequestId,
    /// Becomes true when the daemon stops: an answer without an end must end then.
    pub stop: watch::Receiver<bool>,
}

/// What answers requests.
pub trait Respond<P = Caller>: Send + Sync + 'static {
    /// Answers one request.
    fn respond(self: Arc<Self>, asked: Asked<P>) -> impl Future<Output = Response<Answer>> + Send;
}

/// Serves connections until `stop` is done, then lets the answers under way end.
pub async fn serve<L, R>(listener: L, routes: Arc<R>, limits: Limits, stop: impl Future<Output = ()>)
where
    L: Accept,
    R: Respond<L::Peer>,
{
    let (stopping, stopped) = watch::channel(false);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let (accepted, permit) = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        connections.spawn(connection(
            accepted,
            permit,
            Arc::clone(&routes),
            limits.clone(),
            stopped.clone(),
        ));
    }
    drop(listener);
    // Nobody may listen any more; then there is nobody to tell.
    let _ = stopping.send(true);
    let drained = tokio::time::timeout(limits.drain_time, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        warn!(
            connections = connections.len(),
            "Connections were cut because the stop waited long enough"
        );
    }
}

/// The next connection, once there is room for one.
async fn accept<L: Accept>(
    listener: &L,
    permits: &Arc<Semaphore>,
) -> (Accepted<L::Stream, L::Peer>, OwnedSemaphorePermit) {
    let permit = match Arc::clone(permits).acquire_owned().await {
        Ok(permit) => permit,
        // Nobody closes the semaphore.
        Err(_) => std::future::pending().await,
    };
    let mut pause = Duration::from_millis(10);
    loop {
        match listener.accept().await {
            Ok(accepted) => return (accepted, permit),
            Err(error) => {
                // Out of descriptors or memory: some connection must end first.
                warn!(%error, "A connection could not be accepted");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

async fn connection<S, P, R>(
    accepted: Accepted<S, P>,
    _permit: OwnedSemaphorePermit,
    routes: Arc<R>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    P: Copy + std::fmt::Debug + Send + 'static,
    R: Respond<P>,
{
    let Accepted { stream, peer, files } = accepted;
    let stream = Bounded::new(stream, limits.stall_time);
    let asking = stop.clone();
    let service = service_fn(move |request| {
        let id = request_id();
        let asked = Asked {
            request,
            caller: peer,
            files: files.clone(),
            id,
            stop: asking.clone(),
        };
        let (routes, files) = (Arc::clone(&routes), files.clone());
        async move {
            let response = routes.respond(asked).await;
            // Files that this request brought and nobody wanted are not the next one's.
            drop(files.take());
            Ok::<_, Infallible>(stamp(response, id))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopping(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error = %crate::chain::chain(&error), ?peer, "A connection ended badly");
    }
}

/// Done when the daemon stops.
pub(crate) async fn stopping(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped, too.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

fn request_id() -> RequestId {
    let mut bytes = [0; 16];
    // The id tells requests apart and protects nothing: should the kernel have no random bytes yet, zeros will do.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    RequestId(u128::from_ne_bytes(bytes))
}

/// Puts the request's id on its answer.
fn stamp(mut response: Response<Answer>, id: RequestId) -> Response<Answer> {
    match HeaderValue::from_str(&id.to_string()) {
        Ok(id) => {
            response.headers_mut().insert("x-amzn-requestid", id);
            response
        }
        Err(_) => answer(500, String::new()),
    }
}

#[cfg(test)]
mod tests;
