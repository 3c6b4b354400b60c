//! EC2 Instance Connect: SendSSHPublicKey, by which a user of an instance gets in with a key that lasts a minute.
//!
//! Called by `wire`, which has it as a JSON service.

use super::shown::shown;
use super::{Caller, World, keys};
use crate::instance::SendKeyError;
use crate::model::OsUser;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// The bounds of the service's model, in characters.
const INSTANCE_ID: RangeInclusive<usize> = 10..=32;
const KEY: RangeInclusive<usize> = 80..=4096;
const ZONE: RangeInclusive<usize> = 6..=32;

/// A request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SendSshPublicKey {
    instance_id: String,
    #[serde(rename = "InstanceOSUser")]
    user: String,
    /// One line as `ssh-keygen` writes it.
    #[serde(rename = "SSHPublicKey")]
    key: String,
    availability_zone: Option<String>,
}

/// Why a key is not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendSshPublicKeyError {
    /// A member of the request can't be what it is.
    #[error("{member} is not valid: {why}")]
    Invalid {
        /// The member.
        member: &'static str,
        /// What it must be.
        why: String,
    },
    /// There is no such instance in that zone.
    #[error("The instance '{0}' does not exist")]
    NotFound(String),
    /// The instance can't be sent it.
    #[error(transparent)]
    Instance(#[from] SendKeyError),
}

/// Has the guest find the key for a minute.
///
/// # Errors
/// See [`SendSshPublicKeyError`].
pub async fn send_ssh_public_key(
    world: &World,
    caller: Caller,
    request: SendSshPublicKey,
) -> Result<(), SendSshPublicKeyError> {
    let invalid = |member, why: String| SendSshPublicKeyError::Invalid { member, why };
    let within = |member, text: &str, bounds: RangeInclusive<usize>| {
        let (least, most) = (bounds.start(), bounds.end());
        match bounds.contains(&text.chars().count()) {
            true => Ok(()),
            false => Err(invalid(member, format!("it must have {least} to {most} characters"))),
        }
    };
    within("InstanceId", &request.instance_id, INSTANCE_ID)?;
    let digits = request.instance_id.strip_prefix("i-").unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        let why = "it must be i- and lower-case hexadecimal digits";
        return Err(invalid("InstanceId", why.into()));
    }
    let user: Result<OsUser, _> = request.user.parse();
    let user = user.map_err(|error| invalid("InstanceOSUser", error.to_string()))?;
    within("SSHPublicKey", &request.key, KEY)?;
    let key = keys::public_key_line(request.key.as_bytes());
    let key = key.map_err(|error| invalid("SSHPublicKey", error.message))?;
    if let Some(zone) = &request.availability_zone {
        within("AvailabilityZone", zone, ZONE)?;
        if zone != world.config.place.zone() {
            let message = format!("{} in the zone {}", request.instance_id, shown(zone));
            return Err(SendSshPublicKeyError::NotFound(message));
        }
    }
    // Ids of EC2's older length are nobody's here.
    let id = request.instance_id.parse();
    let id = id.map_err(|_| SendSshPublicKeyError::NotFound(request.instance_id))?;
    world.instances.send_key(id, &user, key).await?;
    tracing::info!(instance = %id, %user, uid = caller.uid, "A public key was sent");
    Ok(())
}
