//! What lies where on the socket: EC2's operations, the EBS direct API, and kiln's own resources beside them.

use super::dispatch::Dispatch;
use super::ebs;
use super::endpoint::Endpoint;
use super::json;
use super::native::Native;
use super::server::body::{self, Answer, answer};
use super::server::{Asked, Respond};
use super::services::{Request, Services};
use super::signature::Presented;
use crate::api::{Operations, World};
use hyper::{Method, Response};
use serde_json::json;
use std::sync::Arc;

/// All that the socket serves.
pub struct Routes {
    world: Arc<World>,
    dispatch: Arc<Dispatch>,
    services: Arc<Services>,
    native: Native,
}

impl Routes {
    /// Serves `operations` with `world`.
    #[must_use]
    pub fn new(world: Arc<World>, operations: Operations) -> Self {
        let dispatch = Arc::new(Dispatch::new(Arc::clone(&world), operations));
        Self {
            native: Native::new(Arc::clone(&world)),
            services: Arc::new(Services::new(Arc::clone(&world), Arc::clone(&dispatch))),
            dispatch,
            world,
        }
    }

    /// What answers the same for clients of EC2 on TCP.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(Arc::clone(&self.world), Arc::clone(&self.services))
    }

    /// Answers what clients of EC2 ask. The kernel has said who it is, so a signature says only which service is meant.
    async fn service(&self, asked: Asked) -> Response<Answer> {
        let (id, caller) = (asked.id, asked.caller);
        let (head, body) = asked.request.into_parts();
        match body::read(body).await {
            Ok(body) => {
                let presented = Presented::parse(&head).ok().flatten();
                let request = Request {
                    head,
                    body,
                    caller,
                    presented,
                    id,
                };
                self.services.respond(request).await
            }
            Err(error) => Services::refuse_body(&head, &error, id),
        }
    }
}

impl Respond for Routes {
    async fn respond(self: Arc<Self>, asked: Asked) -> Response<Answer> {
        let path = asked.request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        if path == "/" || ebs::has(&path) {
            return self.service(asked).await;
        }
        match (asked.request.method(), segments.as_slice()) {
            // Operations begin with a capital letter, and kiln's own resources with a small one.
            (&Method::POST, [operation]) if operation.starts_with(|first: char| !first.is_ascii_lowercase()) => {
                json::operation(&self.dispatch, operation, asked).await
            }
            (_, segments) => match self.native.respond(segments, asked).await {
                Ok(response) => response,
                Err(asked) => not_found(&asked),
            },
        }
    }
}

/// No resource of ours: the socket has no pages, so the answer says what there is.
fn not_found(asked: &Asked) -> Response<Answer> {
    let message = "There is nothing here; an operation is POST /<Operation>, and docs/openapi.json has the rest";
    let body = json!({"Error": {"Code": "NotFound", "Message": message}, "RequestId": asked.id.to_string()});
    answer(404, body.to_string())
}
