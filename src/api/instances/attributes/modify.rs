//! ModifyInstanceAttribute: through the instance's actor, its primary interface or its volumes' attachments.

use super::super::super::change::{Changed, change};
use super::super::super::interfaces::{InterfaceChange, change_interface};
use super::super::super::{ApiError, Call, Code, World, found, ids};
use super::super::amend::amend;
use super::super::run::{behavior, user_data};
use super::super::{kinds, volumes};
use super::wanted::{DeviceChange, ModifyInstanceAttribute, Wanted, missing};
use crate::instance::max_volumes;
use crate::model::{
    Amendment, Instance, InstanceId, InstanceType, KernelId, NetworkInterface, RamdiskId, VolumeId, must_be_there,
};
use crate::store;
use rusqlite::Connection;
use std::str::FromStr;
use std::sync::Arc;

pub(in super::super) async fn modify(call: Call, request: ModifyInstanceAttribute) -> Result<(), ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    match Wanted::new(request)? {
        Wanted::Groups(groups) => change_primary(&call, id, InterfaceChange::groups(&groups)?).await,
        Wanted::SourceDestCheck(check) => change_primary(&call, id, InterfaceChange::SourceDestCheck(check)).await,
        Wanted::Devices(devices) => change_devices(&call, id, devices).await,
        Wanted::Enclaves(enabled) => enclaves(&call, id, enabled).await,
        wanted => {
            let world = Arc::clone(&call.world);
            amend(&call, id, move |store, instance| {
                amendment(wanted, &world, store, instance)
            })
            .await
        }
    }
}

/// Changes an attribute of an instance's primary interface, which is in force when this returns.
pub(super) async fn change_primary(call: &Call, id: InstanceId, new: InterfaceChange) -> Result<(), ApiError> {
    change_interface(call, move |store| primary(store, id), new).await
}

fn primary(store: &Connection, id: InstanceId) -> Result<NetworkInterface, ApiError> {
    must_be_there(&found::instance(store, id)?)?;
    let interfaces = store::network_interfaces::of_instance(store, id)?;
    interfaces.into_iter().next().ok_or_else(|| {
        let message = format!("The instance '{id}' has no network interface");
        ApiError::new(Code::IncorrectInstanceState, message)
    })
}

async fn change_devices(call: &Call, id: InstanceId, devices: Vec<DeviceChange>) -> Result<(), ApiError> {
    let done = change(call, move |store| {
        must_be_there(&found::instance(store, id)?)?;
        for device in devices {
            change_device(store, id, device)?;
        }
        Ok(Changed::nothing(()))
    });
    done.await
}

fn change_device(store: &Connection, id: InstanceId, device: DeviceChange) -> Result<(), ApiError> {
    let invalid = |message: String| ApiError::new(Code::InvalidInstanceAttributeValue, message);
    let name = device.device_name.ok_or_else(|| missing("DeviceName"))?;
    let volume = device.ebs.ok_or_else(|| missing("Ebs"))?;
    let delete = volume.delete_on_termination;
    let delete = delete.ok_or_else(|| missing("Ebs.DeleteOnTermination"))?;
    let named: Option<VolumeId> = volume.volume_id.as_deref().map(found::volume_id).transpose()?;
    let attached = store::volumes::of_instance(store, id)?;
    let there = attached
        .into_iter()
        .find(|(_, attachment)| volumes::is_same(&name, &attachment.device_name));
    let Some((there, _)) = there else {
        let shown = name.escape_debug();
        return Err(invalid(format!("No device is currently mapped at {shown}")));
    };
    if let Some(named) = named.filter(|named| *named != there.id) {
        let shown = name.escape_debug();
        return Err(invalid(format!("The volume '{named}' is not mapped at {shown}")));
    }
    store::volumes::set_delete_on_termination(store, there.id, delete)?;
    Ok(())
}

/// There are none, so that nothing changes when there are to be none.
async fn enclaves(call: &Call, id: InstanceId, enabled: bool) -> Result<(), ApiError> {
    call.world.store.read(move |store| found::instance(store, id)).await?;
    if enabled {
        let message = "Nitro Enclaves are not served";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    call.checked()
}

/// What the instance's actor is to change.
fn amendment(wanted: Wanted, world: &World, store: &Connection, instance: &Instance) -> Result<Amendment, ApiError> {
    Ok(match wanted {
        Wanted::InstanceType(name) => Amendment::InstanceType(instance_type(&name, world, store, instance)?),
        Wanted::UserData(text) => Amendment::UserData(Some(user_data(&text)?).filter(|data| !data.is_empty())),
        Wanted::Kernel(text) => Amendment::Kernel(kernel(store, &text)?),
        Wanted::Ramdisk(text) => Amendment::Ramdisk(ramdisk(store, &text)?),
        Wanted::ShutdownBehavior(name) => Amendment::ShutdownBehavior(behavior(Some(&name))?),
        Wanted::StopProtection(on) => Amendment::StopProtection(on),
        Wanted::TerminationProtection(on) => Amendment::TerminationProtection(on),
        Wanted::EbsOptimized(on) => Amendment::EbsOptimized(on),
        Wanted::EnaSupport(on) => Amendment::EnaSupport(on),
        Wanted::SriovNetSupport(text) if text == "simple" => Amendment::SriovNetSupport,
        Wanted::SriovNetSupport(_) => {
            let message = "SriovNetSupport can only be simple";
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        Wanted::Devices(_) | Wanted::Groups(_) | Wanted::SourceDestCheck(_) | Wanted::Enclaves(_) => {
            let message = "This attribute is not the instance's own";
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
    })
}

/// The type of that name, if a machine of it has places for all that is attached. Whether the host can hold it is seen
/// when the instance is started.
fn instance_type(name: &str, world: &World, store: &Connection, instance: &Instance) -> Result<InstanceType, ApiError> {
    let new = kinds::named(world, name, Code::InvalidInstanceAttributeValue)?;
    let (there, most) = (
        store::volumes::of_instance(store, instance.id)?.len(),
        max_volumes(&new),
    );
    if there > most {
        let message =
            format!("{there} volumes are attached, and an instance of the type {name} may have {most} at most");
        return Err(ApiError::new(Code::AttachmentLimitExceeded, message));
    }
    Ok(new)
}

/// The kernel of that id; an empty one stands for that of the root volume.
fn kernel(store: &Connection, text: &str) -> Result<Option<KernelId>, ApiError> {
    let id = id(text, Code::InvalidAkiIdMalformed)?;
    match id {
        Some(id) if store::kernels::get(store, id)?.is_none() => {
            Err(ids::not_found(Code::InvalidAkiIdNotFound, "kernel", &[id]))
        }
        id => Ok(id),
    }
}

fn ramdisk(store: &Connection, text: &str) -> Result<Option<RamdiskId>, ApiError> {
    let id = id(text, Code::InvalidAriIdMalformed)?;
    match id {
        Some(id) if store::kernels::get_ramdisk(store, id)?.is_none() => {
            Err(ids::not_found(Code::InvalidAriIdNotFound, "ramdisk", &[id]))
        }
        id => Ok(id),
    }
}

fn id<T: FromStr>(text: &str, malformed: Code) -> Result<Option<T>, ApiError> {
    (!text.is_empty()).then(|| ids::parse(text, malformed)).transpose()
}
