//! AttachNetworkInterface, DetachNetworkInterface: also while the instance runs.

use super::super::{ApiError, Call, Code, found, ids};
use super::{instance_of, vpc_of};
use crate::instance::{InterfacePlace, Part};
use crate::model::{InstanceId, NetworkInterface, NetworkInterfaceAttachmentId};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AttachNetworkInterface {
    network_interface_id: String,
    instance_id: String,
    device_index: i64,
    #[serde(default)]
    network_card_index: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attached {
    attachment_id: String,
    network_card_index: u16,
}

pub(super) async fn attach(call: Call, request: AttachNetworkInterface) -> Result<Attached, ApiError> {
    let interface = found::interface_id(&request.network_interface_id)?;
    let instance: InstanceId = ids::parse(&request.instance_id, Code::InvalidInstanceIdMalformed)?;
    let place = InterfacePlace {
        device_index: device_index(request.device_index)?,
        delete_on_termination: false,
    };
    if request.network_card_index != 0 {
        let message = "Instances have one network card: NetworkCardIndex must be 0";
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    let found = call.world.store.read(move |store| {
        if store::instances::get(store, instance)?.is_none() {
            return Err(ids::not_found(Code::InvalidInstanceIdNotFound, "instance", &[instance]));
        }
        vpc_of(store, &found::interface(store, interface)?)
    });
    let vpc = found.await?;
    let instances = &call.world.instances;
    let attached = instances.attach_interface(instance, interface, place, call.dry_run);
    attached.await.map_err(|error| ApiError::from(&error))?;
    let read = move |store: &Connection| found::interface(store, interface);
    let attachment = call.world.store.read(read).await?.attachment;
    // For a stopped instance nothing was done on the host: its address is a member of its groups all the same.
    call.world.apply_network(vpc).await?;
    Ok(Attached {
        attachment_id: attachment
            .map(|attachment| attachment.id.to_string())
            .unwrap_or_default(),
        network_card_index: 0,
    })
}

/// The place that a request names.
pub(in super::super) fn device_index(index: i64) -> Result<u16, ApiError> {
    u16::try_from(index).map_err(|_| {
        let message = format!("Value ({index}) for parameter DeviceIndex is invalid");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DetachNetworkInterface {
    attachment_id: String,
    #[serde(default)]
    force: bool,
}

pub(super) async fn detach(call: Call, request: DetachNetworkInterface) -> Result<(), ApiError> {
    let id: NetworkInterfaceAttachmentId = ids::parse(&request.attachment_id, Code::InvalidAttachmentIdNotFound)?;
    let found = call.world.store.read(move |store| {
        let interface = attached(store, id)?;
        let vpc = vpc_of(store, &interface)?;
        Ok::<_, ApiError>((interface, vpc))
    });
    let (interface, vpc) = found.await?;
    let is_primary = |one: &crate::model::InterfaceAttachment| one.device_index == 0;
    if interface.attachment.as_ref().is_some_and(is_primary) {
        let message = "The network interface at device index 0 cannot be detached.";
        return Err(ApiError::new(Code::OperationNotPermitted, message));
    }
    call.checked()?;
    let Some(instance) = instance_of(&interface) else {
        return Ok(());
    };
    let part = Part::Interface(interface.id);
    let detached = call.world.instances.detach(instance, part, request.force);
    detached.await.map_err(|error| ApiError::from(&error))?;
    call.world.apply_network(vpc).await
}

/// The interface of an attachment.
pub(super) fn attached(store: &Connection, id: NetworkInterfaceAttachmentId) -> Result<NetworkInterface, ApiError> {
    let mut all = store::network_interfaces::list(store)?.into_iter();
    let found = all.find(|one| one.attachment.as_ref().is_some_and(|attachment| attachment.id == id));
    found.ok_or_else(|| ids::not_found(Code::InvalidAttachmentIdNotFound, "attachment", &[id]))
}
