//! The machine that an instance is, in the words of the monitor's protocol, and the open files that go with it.

use super::Parts;
use super::devices::{DeviceError, Files, disk, interface, open, plain, queue_pairs, slot};
use super::instance_store;
use super::told::{ToldError, told};
use crate::model::{Instance, KernelId};
use crate::network::name_server_sockets;
use crate::store::{StoreError, kernels, volumes};
use kiln_vmm::protocol::{Boot, DeviceSpec, GuestServices, MachineSpec, Smbios};
use serde_json::json;
use std::os::fd::OwnedFd;

/// The guest's address on its vsock device: nothing beyond its own monitor knows it, so all guests have the same.
const GUEST_CID: u32 = 3;

/// The port of the host, as only its own guest sees it, at which the guest says that it is ready.
const NOTIFY_PORT: u32 = 9999;

/// Why a machine could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The store refused.
    #[error("The records can't be read")]
    Store(#[from] StoreError),
    /// One of its devices.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// It is not known what the guest is to be told.
    #[error("What the guest is to be told is not known")]
    Told(#[from] ToldError),
    /// The instance's kernel is gone.
    #[error("The kernel image {0} is not there")]
    NoKernel(KernelId),
    /// There is neither a root volume nor a kernel.
    #[error("There is no root volume and no kernel: nothing to boot")]
    NothingToBoot,
}

/// Describes an instance's machine and opens its files.
pub(super) async fn machine_spec(parts: &Parts, instance: &Instance) -> Result<(MachineSpec, Vec<OwnedFd>), SpecError> {
    let mut files = Files::default();
    let kvm = files.add(open("/dev/kvm".as_ref(), true).await?)?;
    let console_log = files.add(open(&parts.layout.console_log(instance.id), true).await?)?;
    let report = files.add(open(&parts.layout.report(instance.id), true).await?)?;
    let (devices, root) = devices(parts, instance, &mut files).await?;
    let guest = guest_services(parts, instance, &mut files).await?;
    let boot = match instance.kernel {
        Some(kernel) => kernel_boot(parts, instance, kernel, &mut files).await?,
        None => Boot::Volume {
            device: root.ok_or(SpecError::NothingToBoot)?,
        },
    };
    let spec = MachineSpec {
        instance_id: instance.id.to_string(),
        vcpus: instance.instance_type.vcpus,
        memory: instance.instance_type.memory,
        smbios: Smbios {
            uuid: instance.uuid(),
            product: instance.instance_type.name.clone(),
            oem_strings: vec![notify_socket()],
        },
        boot,
        devices,
        guest,
        kvm,
        console_log,
        report,
    };
    Ok((spec, files.into_all()))
}

/// Where systemd (254 and later) says that the guest is ready, as the credential by which it is told so. A stream, as the
/// monitor's vsock device carries nothing else.
fn notify_socket() -> String {
    format!("io.systemd.credential:vmm.notify_socket=vsock-stream:2:{NOTIFY_PORT}")
}

/// The devices, and the name of the root volume's.
async fn devices(
    parts: &Parts,
    instance: &Instance,
    files: &mut Files,
) -> Result<(Vec<DeviceSpec>, Option<String>), DeviceError> {
    let id = instance.id;
    let vsock = json!({"guest_cid": GUEST_CID, "notify_port": NOTIFY_PORT});
    let mut devices = vec![
        plain("rng", "rng0", slot::RNG, json!({})),
        plain("vsock", "vsock0", slot::VSOCK, vsock),
    ];
    devices.extend(instance_store::devices(parts, instance, files).await?);
    let mut root = None;
    for (volume, attachment) in parts.store.read(move |tx| volumes::of_instance(tx, id)).await? {
        let is_root = attachment.device_name == instance.root_device_name;
        let slot = if is_root { slot::ROOT } else { slot::VOLUMES };
        let device = disk(parts, instance, (volume.id, slot), files).await?;
        if is_root {
            root = Some(device.id.clone());
        }
        devices.push(device);
    }
    for plugged in parts.networks.plug(id, queue_pairs(instance)).await? {
        devices.push(interface(parts, instance, plugged, files).await?);
    }
    Ok((devices, root))
}

/// What the guest is told on its interfaces, if it has any.
async fn guest_services(
    parts: &Parts,
    instance: &Instance,
    files: &mut Files,
) -> Result<Option<GuestServices>, SpecError> {
    let Some(told) = told(parts, instance.id).await? else {
        return Ok(None);
    };
    let name_servers = name_server_sockets(GuestServices::SERVERS_MAX).into_iter();
    let name_servers = name_servers.map(|socket| files.add(socket)).collect::<Result<_, _>>()?;
    Ok(Some(GuestServices { name_servers, told }))
}

async fn kernel_boot(
    parts: &Parts,
    instance: &Instance,
    kernel: KernelId,
    files: &mut Files,
) -> Result<Boot, SpecError> {
    let image = parts.store.read(move |tx| kernels::get(tx, kernel)).await?;
    let image = image.ok_or(SpecError::NoKernel(kernel))?;
    let ramdisk = match instance.ramdisk {
        Some(ramdisk) => Some(files.add(open(&parts.layout.ramdisk(ramdisk), false).await?)?),
        None => None,
    };
    let kernel = files.add(open(&parts.layout.kernel(kernel), false).await?)?;
    Ok(Boot::Kernel {
        kernel,
        ramdisk,
        command_line: image.command_line,
    })
}
