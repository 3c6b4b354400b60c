//! AttachVolume, DetachVolume: also while the instance runs.

use super::super::{ApiError, Call, Code, ids};
use super::describe::WireAttachment;
use super::found;
use crate::api::shown::shown;
use crate::instance::{Part, VolumePlace};
use crate::model::{Attachment, AttachmentState, DeviceName, InstanceId};
use crate::store;
use rusqlite::Connection;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AttachVolume {
    volume_id: String,
    instance_id: String,
    device: String,
}

pub(super) async fn attach(call: Call, request: AttachVolume) -> Result<WireAttachment, ApiError> {
    let volume = found::volume_id(&request.volume_id)?;
    let instance: InstanceId = ids::parse(&request.instance_id, Code::InvalidInstanceIdMalformed)?;
    let device_name = device(&request.device)?;
    let looked = call.world.store.read(move |store| {
        if store::instances::get(store, instance)?.is_none() {
            return Err(ids::not_found(Code::InvalidInstanceIdNotFound, "instance", &[instance]));
        }
        found::volume(store, volume).map(drop)
    });
    looked.await?;
    let place = VolumePlace {
        device_name,
        delete_on_termination: false,
    };
    let instances = &call.world.instances;
    let attached = instances.attach_volume(instance, volume, place, call.dry_run);
    attached.await.map_err(|error| ApiError::from(&error))?;
    let read = move |store: &Connection| Ok::<_, ApiError>(store::volumes::attachment(store, volume)?);
    let attachment = call.world.store.read(read).await?;
    attachment
        .map(|attachment| WireAttachment::new(&attachment))
        .ok_or_else(|| {
            let message = format!("The volume '{volume}' was detached again meanwhile");
            ApiError::new(Code::IncorrectState, message)
        })
}

fn device(text: &str) -> Result<DeviceName, ApiError> {
    text.parse().map_err(|error| {
        let shown = shown(text);
        let message = format!("Value ({shown}) for parameter device is invalid. {error}");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DetachVolume {
    volume_id: String,
    instance_id: Option<String>,
    device: Option<String>,
    #[serde(default)]
    force: bool,
}

pub(super) async fn detach(call: Call, request: DetachVolume) -> Result<WireAttachment, ApiError> {
    let volume = found::volume_id(&request.volume_id)?;
    let instance: Option<InstanceId> = request
        .instance_id
        .map(|id| ids::parse(&id, Code::InvalidInstanceIdMalformed))
        .transpose()?;
    let device = request.device.as_deref().map(device).transpose()?;
    let found = call.world.store.read(move |store| {
        found::volume(store, volume)?;
        let attachment = store::volumes::attachment(store, volume)?;
        let meant = |one: &Attachment| {
            let device = device.as_ref().is_none_or(|device| device.is_that_of(&one.device_name));
            device && instance.is_none_or(|instance| instance == one.instance)
        };
        let attachment = attachment.filter(meant).ok_or_else(|| not_attached(volume))?;
        let instance = store::instances::get(store, attachment.instance)?;
        let is_root = instance.is_some_and(|instance| instance.root_device_name == attachment.device_name);
        Ok::<_, ApiError>((attachment, is_root))
    });
    let (mut attachment, is_root) = found.await?;
    let instance = attachment.instance;
    if is_root
        && call
            .world
            .instances
            .watch(instance)
            .is_some_and(|view| view.borrow().machine.is_some())
    {
        let message = format!("Unable to detach root volume '{volume}' from instance '{instance}' while it runs");
        return Err(ApiError::new(Code::OperationNotPermitted, message));
    }
    call.checked()?;
    let detached = call
        .world
        .instances
        .detach(instance, Part::Volume(volume), request.force);
    detached.await.map_err(|error| ApiError::from(&error))?;
    attachment.state = AttachmentState::Detaching;
    Ok(WireAttachment::new(&attachment))
}

fn not_attached(volume: crate::model::VolumeId) -> ApiError {
    let message = format!("Volume '{volume}' is not attached so: it is in the 'available' state, or elsewhere");
    ApiError::new(Code::IncorrectState, message)
}
