//! What lies where on the socket: EC2's operations, the EBS direct API, and kiln's own resources beside them.

use super::dispatch::Dispatch;
use super::ebs::Ebs;
use super::json;
use super::native::Native;
use super::server::body::{Answer, answer};
use super::server::{Asked, Respond};
use crate::api::{Operations, World};
use hyper::{Method, Response};
use serde_json::json;
use std::sync::Arc;

/// All that the socket serves.
pub struct Routes {
    dispatch: Dispatch,
    ebs: Ebs,
    native: Native,
}

impl Routes {
    /// Serves `operations` with `world`.
    #[must_use]
    pub fn new(world: Arc<World>, operations: Operations) -> Self {
        Self {
            ebs: Ebs::new(Arc::clone(&world)),
            native: Native::new(Arc::clone(&world)),
            dispatch: Dispatch::new(world, operations),
        }
    }
}

impl Respond for Routes {
    async fn respond(self: Arc<Self>, asked: Asked) -> Response<Answer> {
        let path = asked.request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let asked = match self.ebs.respond(&segments, asked).await {
            Ok(response) => return response,
            Err(asked) => asked,
        };
        match (asked.request.method(), segments.as_slice()) {
            (&Method::POST, [operation]) if !operation.is_empty() => {
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
