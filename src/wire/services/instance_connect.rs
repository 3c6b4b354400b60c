//! EC2 Instance Connect (2018-04-02): SendSSHPublicKey.

use super::service::Refusal;
use super::{Request, json};
use crate::api::instance_connect::{SendSshPublicKeyError, send_ssh_public_key};
use crate::api::{Code, World};
use crate::chain::chain;
use crate::instance::SendKeyError;
use crate::wire::server::body::Answer;
use hyper::Response;
use serde_json::{Value, json};

/// What the names of its operations begin with in the header `X-Amz-Target`.
pub(super) const TARGET: &str = "AWSEC2InstanceConnectService.";
/// What the service calls a request that it can't read.
const INVALID: &str = "InvalidArgsException";

pub(super) async fn respond(world: &World, request: &Request) -> Response<Answer> {
    json::respond(match json::operation(request, TARGET) {
        Some("SendSSHPublicKey") => send(world, request).await,
        _ => Err(json::refusal(
            Code::UnsupportedOperation.as_str(),
            "Of EC2 Instance Connect kiln serves SendSSHPublicKey only".into(),
        )),
    })
}

async fn send(world: &World, request: &Request) -> Result<Value, Refusal> {
    let asked = json::parse(&request.body, INVALID)?;
    send_ssh_public_key(world, request.caller, asked).await?;
    Ok(json!({"RequestId": request.id.to_string(), "Success": true}))
}

impl From<SendSshPublicKeyError> for Refusal {
    fn from(error: SendSshPublicKeyError) -> Self {
        use SendSshPublicKeyError::{Instance, Invalid, NotFound};
        let code = match &error {
            Invalid { .. } => INVALID,
            NotFound(_) | Instance(SendKeyError::NotFound(_)) => "EC2InstanceNotFoundException",
            Instance(SendKeyError::NotRunning(_)) => "EC2InstanceStateInvalidException",
            Instance(SendKeyError::Full { .. }) => "ThrottlingException",
            Instance(SendKeyError::Control { .. }) => "EC2InstanceUnavailableException",
        };
        json::refusal(code, chain(&error))
    }
}
