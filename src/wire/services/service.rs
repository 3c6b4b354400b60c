//! Which service a request is for, and how that one refuses: each has its own names and its own form for what went wrong.

use super::{Request, json, sts};
use crate::api::{ApiError, Code, RequestId};
use crate::wire::server::body::Answer;
use crate::wire::signature::{Presented, SignatureError};
use crate::wire::{ebs, query};
use hyper::Response;
use hyper::http::request::Parts;

/// A service of AWS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// EC2, in its query protocol.
    Ec2,
    /// The EBS direct API, in REST and JSON.
    Ebs,
    /// The Security Token Service, in the query protocol.
    Sts,
    /// Systems Manager, in JSON 1.1.
    Ssm,
    /// EC2 Instance Connect, in JSON 1.1.
    InstanceConnect,
    /// One that kiln has nothing of, asked by a form.
    OtherQuery,
    /// One that kiln has nothing of, asked by JSON.
    OtherJson,
}

/// Why a request is refused, in a service's own words.
#[derive(Debug)]
pub struct Refusal {
    /// The service's code.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

impl From<&ApiError> for Refusal {
    fn from(error: &ApiError) -> Self {
        Self {
            code: error.code.as_str(),
            message: error.message.clone(),
            status: error.code.status(),
        }
    }
}

impl Service {
    /// The service that is meant: by the signature's scope, else by the header of JSON services, else by the path.
    #[must_use]
    pub fn of(head: &Parts, presented: Option<&Presented>) -> Self {
        let target = head.headers.get("x-amz-target").map(|target| target.as_bytes());
        let is_of = |target: &[u8], service: &str| target.starts_with(service.as_bytes());
        match (presented.map(|presented| presented.scope.service.as_str()), target) {
            (Some("ec2"), _) => Self::Ec2,
            (Some("ebs"), _) => Self::Ebs,
            (Some("sts"), _) => Self::Sts,
            (Some("ssm"), _) => Self::Ssm,
            (Some("ec2-instance-connect"), _) => Self::InstanceConnect,
            (None, Some(target)) if is_of(target, super::ssm::TARGET) => Self::Ssm,
            (None, Some(target)) if is_of(target, super::instance_connect::TARGET) => Self::InstanceConnect,
            (None, None) if ebs::has(head.uri.path()) => Self::Ebs,
            (None, None) => Self::Ec2,
            (_, Some(_)) => Self::OtherJson,
            (_, None) => Self::OtherQuery,
        }
    }

    /// What the service calls this.
    pub(super) fn signature_error(self, error: &SignatureError) -> Refusal {
        let refusal = |code, status| Refusal {
            code,
            message: error.to_string(),
            status,
        };
        match (self, error) {
            (Self::Ec2, SignatureError::UnknownKey(_) | SignatureError::Mismatch | SignatureError::Unsupported(_)) => {
                refusal(Code::AuthFailure.as_str(), Code::AuthFailure.status())
            }
            (Self::Ec2, SignatureError::Expired(_)) => refusal(Code::RequestExpired.as_str(), 400),
            (Self::Ssm, SignatureError::UnknownKey(_) | SignatureError::Unsupported(_)) => {
                refusal("UnrecognizedClientException", 400)
            }
            (Self::Ssm, SignatureError::Mismatch | SignatureError::Expired(_)) => {
                refusal("InvalidSignatureException", 400)
            }
            (Self::Ebs, SignatureError::UnknownKey(_) | SignatureError::Unsupported(_)) => {
                refusal("UnrecognizedClientException", 403)
            }
            (Self::Ebs, SignatureError::Mismatch | SignatureError::Expired(_)) => {
                refusal("InvalidSignatureException", 403)
            }
            (Self::InstanceConnect, _) => refusal("AuthException", 400),
            (_, SignatureError::UnknownKey(_) | SignatureError::Unsupported(_)) => refusal("InvalidClientTokenId", 403),
            (_, SignatureError::Mismatch | SignatureError::Expired(_)) => refusal("SignatureDoesNotMatch", 403),
            (_, SignatureError::Missing) => refusal(Code::MissingAuthenticationToken.as_str(), 403),
            (_, SignatureError::Incomplete(_)) => refusal(Code::IncompleteSignature.as_str(), 400),
        }
    }

    /// The refusal in the service's form.
    pub(super) fn refused(self, refusal: &Refusal, id: RequestId) -> Response<Answer> {
        match self {
            Self::Ec2 => query::refused(refusal.code, &refusal.message, refusal.status, id),
            Self::Ebs => ebs::refused(refusal.code, &refusal.message, refusal.status),
            Self::Sts | Self::OtherQuery => sts::refused(refusal, id),
            Self::Ssm | Self::InstanceConnect | Self::OtherJson => json::refused(refusal),
        }
    }
}

/// The refusal of a path that a service has nothing at: of those that tell operations by a parameter or a header, any but the root.
pub(super) fn no_operation() -> Refusal {
    Refusal {
        code: "UnknownOperationException",
        message: "There is nothing at this path: the service is asked at /".into(),
        status: 404,
    }
}

/// The refusal of what is for a service that kiln has nothing of.
pub(super) fn other(request: &Request) -> Refusal {
    let service = request
        .presented
        .as_ref()
        .map_or("", |presented| presented.scope.service.as_str());
    Refusal {
        code: Code::UnsupportedOperation.as_str(),
        message: format!(
            "kiln has nothing of the service '{service}': it has ec2, ec2-instance-connect, ebs, sts and ssm"
        ),
        status: Code::UnsupportedOperation.status(),
    }
}
