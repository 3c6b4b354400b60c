//! The machine that an instance is, in the words of the monitor's protocol, and the open files that go with it.

use super::Parts;
use super::told::{MTU, ToldError, told};
use crate::model::{Instance, KernelId};
use crate::network::{NetworkError, name_server_sockets};
use crate::store::{StoreError, kernels, volumes};
use crate::volumes::OpenVolumeError;
use kiln_vmm::protocol::{Boot, DeviceSpec, FileIndex, GuestServices, InterfaceService, MachineSpec, Smbios};
use serde_json::json;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The most queues of a disk: beyond it more vCPUs gain nothing.
const MAX_DISK_QUEUES: u8 = 4;

/// The most pairs of queues of a network interface, for the same reason.
const MAX_QUEUE_PAIRS: u8 = 4;

/// A million bits, in bytes.
const MBIT: u64 = 1_000_000 / 8;

/// The largest packet of IP, in bytes.
const LARGEST_PACKET: u64 = 1 << 16;

/// The kernel's back end of a network interface. Each queue pair has an open one of its own.
const VHOST_NET: &str = "/dev/vhost-net";

/// Why a machine could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The store refused.
    #[error("The records can't be read")]
    Store(#[from] StoreError),
    /// A file can't be opened.
    #[error("Can't open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A volume can't be opened.
    #[error("A volume can't be opened")]
    Volume(#[from] OpenVolumeError),
    /// A network interface can't be plugged in.
    #[error("A network interface can't be plugged in")]
    Network(#[from] NetworkError),
    /// It is not known what the guest is to be told.
    #[error("What the guest is to be told is not known")]
    Told(#[from] ToldError),
    /// The instance's kernel is gone.
    #[error("The kernel image {0} is not there")]
    NoKernel(KernelId),
    /// There is neither a root volume nor a kernel.
    #[error("There is no root volume and no kernel: nothing to boot")]
    NothingToBoot,
    /// Too many files for one launch.
    #[error("The machine has more open files than one launch can carry")]
    TooManyFiles,
}

/// The files that go along, each known by its place.
#[derive(Default)]
struct Files(Vec<OwnedFd>);

impl Files {
    fn add(&mut self, file: impl Into<OwnedFd>) -> Result<FileIndex, SpecError> {
        let index = u8::try_from(self.0.len()).map_err(|_| SpecError::TooManyFiles)?;
        self.0.push(file.into());
        Ok(FileIndex(index))
    }
}

/// Describes an instance's machine and opens its files.
pub(super) async fn machine_spec(parts: &Parts, instance: &Instance) -> Result<(MachineSpec, Vec<OwnedFd>), SpecError> {
    let mut files = Files::default();
    let kvm = files.add(open("/dev/kvm".as_ref(), true).await?)?;
    let console_log = files.add(open(&parts.layout.console_log(instance.id), true).await?)?;
    let report = files.add(open(&parts.layout.report(instance.id), true).await?)?;
    let (mut devices, root) = devices(parts, instance, &mut files).await?;
    let (interfaces, guest) = network(parts, instance, &mut files).await?;
    devices.extend(interfaces);
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
        },
        boot,
        devices,
        guest,
        kvm,
        console_log,
        report,
    };
    Ok((spec, files.0))
}

/// The devices in the order of their slots, and the root volume's place among them.
async fn devices(
    parts: &Parts,
    instance: &Instance,
    files: &mut Files,
) -> Result<(Vec<DeviceSpec>, Option<usize>), SpecError> {
    let id = instance.id;
    let mut attached = parts.store.read(move |tx| volumes::of_instance(tx, id)).await?;
    // The root comes first, so that it is the guest's first disk.
    attached.sort_by_key(|(_, attachment)| attachment.device_name != instance.root_device_name);
    let mut devices = Vec::new();
    let mut root = None;
    for (volume, attachment) in attached {
        if attachment.device_name == instance.root_device_name {
            root = Some(devices.len());
        }
        let disk = files.add(parts.volumes.open_for_guest(volume.id).await?)?;
        let queues = instance.instance_type.vcpus.min(MAX_DISK_QUEUES);
        devices.push(DeviceSpec {
            kind: "blk".into(),
            id: volume.id.to_string(),
            config: json!({"read_only": false, "queues": queues}),
            files: vec![disk],
        });
    }
    devices.push(DeviceSpec {
        kind: "rng".into(),
        id: "rng0".into(),
        config: json!({}),
        files: vec![],
    });
    Ok((devices, root))
}

/// The network interfaces, and what their guest is told on them.
async fn network(
    parts: &Parts,
    instance: &Instance,
    files: &mut Files,
) -> Result<(Vec<DeviceSpec>, Option<GuestServices>), SpecError> {
    let pairs = instance.instance_type.vcpus.min(MAX_QUEUE_PAIRS);
    let (mut devices, mut interfaces) = (Vec::new(), Vec::new());
    for (place, plug) in parts.networks.plug(instance.id, pairs).await? {
        let mac = place.interface.mac.to_string();
        let taps = plug
            .tap
            .into_iter()
            .map(|tap| files.add(tap))
            .collect::<Result<_, _>>()?;
        let mut device = DeviceSpec {
            kind: "net".into(),
            id: place.interface.id.to_string(),
            config: json!({"mac": mac, "mtu": MTU, "queue_pairs": pairs, "offloads": true}),
            files: taps,
        };
        move_frames(parts, instance, pairs, &mut device, files).await?;
        devices.push(device);
        interfaces.push(InterfaceService {
            mac,
            dhcp: files.add(plug.dhcp)?,
            metadata: files.add(plug.metadata)?,
            dns: plug
                .dns
                .into_iter()
                .map(|socket| files.add(socket))
                .collect::<Result<_, _>>()?,
        });
    }
    let Some(told) = told(parts, instance.id).await? else {
        return Ok((devices, None));
    };
    let name_servers = name_server_sockets(GuestServices::SERVERS_MAX).into_iter();
    let services = GuestServices {
        interfaces,
        name_servers: name_servers.map(|socket| files.add(socket)).collect::<Result<_, _>>()?,
        told,
    };
    Ok((devices, Some(services)))
}

/// Settles what moves the frames of an interface: the host's kernel, which knows no limits, if it may and can.
async fn move_frames(
    parts: &Parts,
    instance: &Instance,
    pairs: u8,
    device: &mut DeviceSpec,
    files: &mut Files,
) -> Result<(), SpecError> {
    if let Some(limit) = instance.instance_type.network_mbps {
        let per_second = u64::from(limit.get()) * MBIT;
        // A tenth of a second's worth, and no less than the largest packet that a guest leaves to be segmented.
        let burst = (per_second / 10).max(LARGEST_PACKET);
        let limit = json!({"bytes": {"per_second": per_second, "burst": burst}});
        device.config["limits"] = json!({"receive": limit, "transmit": limit});
    } else if parts.vhost_net
        && let Ok(first) = open(VHOST_NET.as_ref(), true).await
    {
        device.files.push(files.add(first)?);
        for _ in 1..pairs {
            device.files.push(files.add(open(VHOST_NET.as_ref(), true).await?)?);
        }
        device.config["backend"] = "vhost_net".into();
        return Ok(());
    }
    device.config["backend"] = "user_space".into();
    Ok(())
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

async fn open(path: &Path, write: bool) -> Result<File, SpecError> {
    let owned = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || File::options().read(true).write(write).open(owned)).await;
    let file = opened.unwrap_or_else(|error| Err(io::Error::other(error)));
    file.map_err(|source| SpecError::Open {
        path: path.into(),
        source,
    })
}
