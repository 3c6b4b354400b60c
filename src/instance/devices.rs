//! The devices of an instance's machine, in the words of the monitor's protocol, and the open files that go with them: for
//! [`super::spec`], which launches machines, and [`super::hotplug`], which attaches devices to those that run.
//!
//! Slots are as guests of EC2 know them: a guest's first interface is `ens5`, the second `ens6`, whatever else is attached.

use super::Parts;
use super::told::MTU;
use crate::model::{Instance, VolumeId, VolumeLimits};
use crate::network::{NetworkError, Place, Plug};
use crate::store::{StoreError, volumes};
use crate::volumes::OpenVolumeError;
use kiln_vmm::protocol::{DeviceSpec, DiskLimits, FileIndex, InterfaceService, MAX_FILES, Rate};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where the PCI slots of a kind begin.
pub(super) mod slot {
    /// The random number generator.
    pub const RNG: u8 = 1;
    /// The socket device.
    pub const VSOCK: u8 = 2;
    /// The root volume: the guest's first disk.
    pub const ROOT: u8 = 4;
    /// Interfaces, by their device index.
    pub const INTERFACES: u8 = 5;
    /// Instance store, and after it other volumes.
    pub const VOLUMES: u8 = 13;
}

/// The most interfaces of an instance: as many as have slots of their own.
pub const MAX_INTERFACES: u16 = (slot::VOLUMES - slot::INTERFACES) as u16;

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

/// Why a device could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
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
    /// Too many files for one message.
    #[error("The machine has more open files than the {MAX_FILES} that one message can carry")]
    TooManyFiles,
}

/// The files that go along with a message, each known by its place.
#[derive(Default)]
pub(super) struct Files(Vec<OwnedFd>);

impl Files {
    /// One more.
    pub(super) fn add(&mut self, file: impl Into<OwnedFd>) -> Result<FileIndex, DeviceError> {
        let index = u8::try_from(self.0.len()).map_err(|_| DeviceError::TooManyFiles)?;
        if usize::from(index) == MAX_FILES {
            return Err(DeviceError::TooManyFiles);
        }
        self.0.push(file.into());
        Ok(FileIndex(index))
    }

    fn add_all(&mut self, files: impl IntoIterator<Item = impl Into<OwnedFd>>) -> Result<Vec<FileIndex>, DeviceError> {
        files.into_iter().map(|file| self.add(file)).collect()
    }

    /// All of them, in their order.
    pub(super) fn into_all(self) -> Vec<OwnedFd> {
        self.0
    }
}

/// A device without files.
pub(super) fn plain(kind: &str, id: &str, slot: u8, config: Value) -> DeviceSpec {
    DeviceSpec {
        kind: kind.into(),
        id: id.into(),
        slot,
        config,
        files: Vec::new(),
        service: None,
    }
}

/// A volume.
pub(super) async fn disk(
    parts: &Parts,
    instance: &Instance,
    (volume, slot): (VolumeId, u8),
    files: &mut Files,
) -> Result<DeviceSpec, DeviceError> {
    let record = parts
        .store
        .read(move |tx: &Connection| volumes::get(tx, volume))
        .await?;
    let limits = limits(record.map(|record| record.limits).unwrap_or_default());
    let disk = files.add(parts.volumes.open_for_guest(volume).await?)?;
    Ok(block(instance, (volume.to_string(), slot), disk, limits))
}

/// A disk of that name, which is its serial number, too.
pub(super) fn block(instance: &Instance, (id, slot): (String, u8), file: FileIndex, limits: DiskLimits) -> DeviceSpec {
    let queues = instance.instance_type.vcpus.min(MAX_DISK_QUEUES);
    let config = json!({"read_only": false, "queues": queues, "limits": limits});
    DeviceSpec {
        files: vec![file],
        ..plain("blk", &id, slot, config)
    }
}

/// A volume's limits, as its monitor keeps them: after a rest, what comes to a tenth of a second may go at once.
pub(super) fn limits(limits: VolumeLimits) -> DiskLimits {
    let rate = |per_second: u64| {
        let per_second = NonZeroU64::new(per_second)?;
        let burst = NonZeroU64::new(per_second.get() / 10).unwrap_or(NonZeroU64::MIN);
        Some(Rate { per_second, burst })
    };
    DiskLimits {
        operations: limits.iops.and_then(|iops| rate(iops.into())),
        bytes: limits.throughput.and_then(|mib| rate(u64::from(mib) << 20)),
    }
}

/// How many pairs of queues each interface of an instance has.
pub(super) fn queue_pairs(instance: &Instance) -> u8 {
    instance.instance_type.vcpus.min(MAX_QUEUE_PAIRS)
}

/// An interface that was plugged into its VPC with [`queue_pairs`] queues.
pub(super) async fn interface(
    parts: &Parts,
    instance: &Instance,
    (place, plug): (Place, Plug),
    files: &mut Files,
) -> Result<DeviceSpec, DeviceError> {
    let (pairs, mac) = (queue_pairs(instance), place.interface.mac.to_string());
    let index = place
        .interface
        .attachment
        .map_or(0, |attachment| attachment.device_index);
    let slot = u8::try_from(index).map_or(u8::MAX, |index| slot::INTERFACES.saturating_add(index));
    let config = json!({"mac": mac, "mtu": MTU, "queue_pairs": pairs, "offloads": true});
    let mut device = DeviceSpec {
        files: files.add_all(plug.tap)?,
        ..plain("net", &place.interface.id.to_string(), slot, config)
    };
    move_frames(parts, instance, &mut device, files).await?;
    device.service = Some(InterfaceService {
        mac,
        dhcp: files.add(plug.dhcp)?,
        metadata: files.add(plug.metadata)?,
        dns: files.add_all(plug.dns)?,
    });
    Ok(device)
}

/// Settles what moves the frames of an interface: the host's kernel, which knows no limits, if it may and can.
async fn move_frames(
    parts: &Parts,
    instance: &Instance,
    device: &mut DeviceSpec,
    files: &mut Files,
) -> Result<(), DeviceError> {
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
        for _ in 1..queue_pairs(instance) {
            device.files.push(files.add(open(VHOST_NET.as_ref(), true).await?)?);
        }
        device.config["backend"] = "vhost_net".into();
        return Ok(());
    }
    device.config["backend"] = "user_space".into();
    Ok(())
}

/// Opens a file without holding up the daemon.
pub(super) async fn open(path: &Path, write: bool) -> Result<File, DeviceError> {
    let owned = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || File::options().read(true).write(write).open(owned)).await;
    let file = opened.unwrap_or_else(|error| Err(io::Error::other(error)));
    file.map_err(|source| DeviceError::Open {
        path: path.into(),
        source,
    })
}
