//! The disks of an instance's type: sparse files in the instance's folder, made empty at each start and removed when the
//! machine is gone. A reboot keeps them, for the machine does.
//!
//! Each is on the ledger before it is made, and off it after it is gone. Whatever a daemon that was killed has left of
//! them is made anew by the next start, or removed by the end that the next daemon comes to.

use super::Parts;
use super::devices::{DeviceError, Files, block, open, slot};
use crate::model::{Instance, InstanceStoreMapping, ResourceId};
use crate::store::{self, StoreError};
use crate::volumes::HostFileError;
use kiln_vmm::protocol::{DeviceSpec, DiskLimits};
use rusqlite::Connection;

/// Makes all of them, empty.
pub(super) async fn make(parts: &Parts, instance: &Instance) -> Result<(), HostFileError> {
    let size = instance.instance_type.instance_store.map_or(0, |store| store.disk_size);
    let (files, owner) = (parts.volumes.files(), instance.id.to_string());
    for disk in instance.instance_type.instance_store_disks() {
        let path = parts.layout.instance_store(instance.id, disk);
        files.create_sparse(&owner, &path, size).await?;
    }
    Ok(())
}

/// Removes those that are there.
pub(super) async fn remove(parts: &Parts, instance: &Instance) -> Result<(), HostFileError> {
    for disk in instance.instance_type.instance_store_disks() {
        let path = parts.layout.instance_store(instance.id, disk);
        parts.volumes.files().remove(&path).await?;
    }
    Ok(())
}

/// Their devices. Guests find them by their names (`/dev/disk/by-id/virtio-ephemeral0`), right after the root: the slots
/// before all other volumes' are theirs, whatever is attached later.
pub(super) async fn devices(
    parts: &Parts,
    instance: &Instance,
    files: &mut Files,
) -> Result<Vec<DeviceSpec>, DeviceError> {
    let mut devices = Vec::new();
    for disk in instance.instance_type.instance_store_disks() {
        let path = parts.layout.instance_store(instance.id, disk);
        let file = files.add(open(&path, true).await?)?;
        let device = (disk.to_string(), slot::VOLUMES);
        devices.push(block(instance, device, file, DiskLimits::default()));
    }
    Ok(devices)
}

/// The names that its disks have. Those of disks that its type has not are ignored, as EC2 does.
pub(super) fn mapped(connection: &Connection, instance: &Instance) -> Result<Vec<InstanceStoreMapping>, StoreError> {
    let mut mappings = store::instance_store::of(connection, ResourceId::Instance(instance.id))?;
    mappings.retain(|mapping| mapping.virtual_name.is_of(&instance.instance_type));
    Ok(mappings)
}
