//! The services that AWS's clients ask at one URL: EC2, the EBS direct API, and of STS, SSM and EC2 Instance Connect what goes with them.
//!
//! Both listeners come here: the Unix socket's with the kernel's word on who asks, the TCP endpoint's with a signature that
//! was checked.

mod instance_connect;
mod json;
mod service;
mod ssm;
mod sts;
#[cfg(test)]
mod tests;

pub use service::Service;

use super::dispatch::Dispatch;
use super::ebs::Ebs;
use super::query::{self, Pairs};
use super::server::body::Answer;
use super::signature::{Presented, SignatureError};
use crate::api::{ApiError, Caller, RequestId, World};
use bytes::Bytes;
use hyper::Response;
use hyper::http::request::Parts;
use std::sync::Arc;

/// What answers for all services.
pub struct Services {
    world: Arc<World>,
    dispatch: Arc<Dispatch>,
    ebs: Ebs,
}

/// A request whose sender is known.
#[derive(Debug)]
pub struct Request {
    /// Method, URL and headers.
    pub head: Parts,
    /// All of its body.
    pub body: Bytes,
    /// In whose name it is asked.
    pub caller: Caller,
    /// Its signature, if it has one.
    pub presented: Option<Presented>,
    /// Its id.
    pub id: RequestId,
}

impl Services {
    /// Serves `world`, EC2's operations by `dispatch`.
    #[must_use]
    pub fn new(world: Arc<World>, dispatch: Arc<Dispatch>) -> Self {
        let ebs = Ebs::new(Arc::clone(&world));
        Self { world, dispatch, ebs }
    }

    /// Answers one request.
    pub async fn respond(&self, request: Request) -> Response<Answer> {
        let service = Service::of(&request.head, request.presented.as_ref());
        let id = request.id;
        if service != Service::Ebs && request.head.uri.path() != "/" {
            return service.refused(&service::no_operation(), id);
        }
        match service {
            Service::Ebs => self.ebs.respond(&request).await,
            Service::Ec2 => match pairs(&request) {
                Ok(pairs) => query::operation(&self.dispatch, pairs, request.caller, id).await,
                Err(error) => query::refusal(&error, id),
            },
            Service::Sts => sts::respond(&self.world, &request),
            Service::Ssm => ssm::respond(&self.world, &request).await,
            Service::InstanceConnect => instance_connect::respond(&self.world, &request).await,
            Service::OtherQuery | Service::OtherJson => service.refused(&service::other(&request), id),
        }
    }

    /// Refuses a request that nobody is known to have sent.
    #[must_use]
    pub fn refuse(head: &Parts, error: &SignatureError, id: RequestId) -> Response<Answer> {
        let presented = Presented::parse(head).ok().flatten();
        let service = Service::of(head, presented.as_ref());
        service.refused(&service.signature_error(error), id)
    }

    /// Refuses a request whose body is none.
    #[must_use]
    pub fn refuse_body(head: &Parts, error: &ApiError, id: RequestId) -> Response<Answer> {
        Service::of(head, None).refused(&service::Refusal::from(error), id)
    }
}

fn pairs(request: &Request) -> Result<Pairs, ApiError> {
    Pairs::parse(request.head.uri.query().unwrap_or_default().as_bytes(), &request.body)
}
