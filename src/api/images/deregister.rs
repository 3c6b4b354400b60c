//! DeregisterImage, for machine, kernel and RAM disk images.

use super::super::snapshots::remove_snapshot;
use super::super::{ApiError, Call, Code};
use super::{image_not_found, parse_image_id};
use crate::model::{Image, ImageId, ImageState, KernelId, RamdiskId, ResourceId, SnapshotId};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeregisterImage {
    image_id: String,
    #[serde(default)]
    delete_associated_snapshots: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deregistered {
    r#return: bool,
    delete_snapshot_results: Vec<SnapshotResult>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapshotResult {
    snapshot_id: String,
    return_code: &'static str,
}

/// Takes an image off the records. Instances of it run on: their volumes are their own. With
/// `DeleteAssociatedSnapshots` go the snapshots, kernel and RAM disk that nothing else needs.
pub(super) async fn deregister(call: Call, request: DeregisterImage) -> Result<Deregistered, ApiError> {
    let id = parse_image_id(&request.image_id)?;
    let (dry_run, all) = (call.dry_run, request.delete_associated_snapshots);
    let removed = call.world.store.write(move |store| {
        let removed = match id {
            ResourceId::Kernel(id) => kernel(store, id),
            ResourceId::Ramdisk(id) => ramdisk(store, id),
            ResourceId::Image(id) => machine(store, id, all),
            other => Err(image_not_found(other)),
        }?;
        // An error undoes the transaction, so a dry run checks all that the real one does.
        if dry_run {
            Err(super::super::call::dry_run())
        } else {
            Ok(removed)
        }
    });
    let removed = removed.await?;
    let layout = &call.world.layout;
    let paths = removed.files.iter().map(|file| match file {
        Stored::Snapshot(id) => layout.snapshot(*id),
        Stored::Kernel(id) => layout.kernel(*id),
        Stored::Ramdisk(id) => layout.ramdisk(*id),
    });
    let paths: Vec<PathBuf> = paths.collect();
    for path in paths {
        // The records are gone; a file that a crash leaves now is found by the ledger at the next start.
        call.world
            .volumes
            .files()
            .remove(&path)
            .await
            .map_err(|error| ApiError::internal(&error))?;
    }
    Ok(Deregistered {
        r#return: true,
        delete_snapshot_results: removed.snapshots,
    })
}

/// A file whose record is gone.
enum Stored {
    Snapshot(SnapshotId),
    Kernel(KernelId),
    Ramdisk(RamdiskId),
}

/// What a transaction has taken off the records, and the files that may go now.
#[derive(Default)]
struct Removed {
    files: Vec<Stored>,
    snapshots: Vec<SnapshotResult>,
}

fn machine(store: &Connection, id: ImageId, all: bool) -> Result<Removed, ApiError> {
    let resource = ResourceId::Image(id);
    let image = store::images::get(store, id)?.ok_or_else(|| image_not_found(resource))?;
    if image.state == ImageState::Pending {
        let message = format!("The image {id} is still being made; an import is ended by CancelImportTask");
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    if image.attributes.protected {
        let message = format!("The image {id} is protected: disable its deregistration protection first");
        return Err(ApiError::new(Code::OperationNotPermitted, message));
    }
    store::images::remove(store, id)?;
    store::tags::remove_all(store, resource)?;
    let mut removed = Removed::default();
    if all {
        snapshots_of(store, &image, &mut removed)?;
        if let Some(kernel) = image.kernel
            && !store::kernels::in_use(store, kernel)?
        {
            removed.files.extend(self::kernel(store, kernel)?.files);
        }
        if let Some(ramdisk) = image.ramdisk
            && !store::kernels::ramdisk_in_use(store, ramdisk)?
        {
            removed.files.extend(self::ramdisk(store, ramdisk)?.files);
        }
    }
    Ok(removed)
}

fn snapshots_of(store: &Connection, image: &Image, removed: &mut Removed) -> Result<(), ApiError> {
    for device in &image.block_devices {
        let needed = store::snapshots::in_use(store, device.snapshot)?;
        if !needed {
            remove_snapshot(store, device.snapshot)?;
            removed.files.push(Stored::Snapshot(device.snapshot));
        }
        removed.snapshots.push(SnapshotResult {
            snapshot_id: device.snapshot.to_string(),
            return_code: if needed { "skipped" } else { "success" },
        });
    }
    Ok(())
}

fn kernel(store: &Connection, id: KernelId) -> Result<Removed, ApiError> {
    let resource = ResourceId::Kernel(id);
    if store::kernels::get(store, id)?.is_none() {
        return Err(image_not_found(resource));
    }
    if store::kernels::in_use(store, id)? {
        return Err(still_needed(resource));
    }
    store::kernels::remove(store, id)?;
    store::tags::remove_all(store, resource)?;
    Ok(Removed {
        files: vec![Stored::Kernel(id)],
        ..Removed::default()
    })
}

fn ramdisk(store: &Connection, id: RamdiskId) -> Result<Removed, ApiError> {
    let resource = ResourceId::Ramdisk(id);
    if store::kernels::get_ramdisk(store, id)?.is_none() {
        return Err(image_not_found(resource));
    }
    if store::kernels::ramdisk_in_use(store, id)? {
        return Err(still_needed(resource));
    }
    store::kernels::remove_ramdisk(store, id)?;
    store::tags::remove_all(store, resource)?;
    Ok(Removed {
        files: vec![Stored::Ramdisk(id)],
        ..Removed::default()
    })
}

fn still_needed(id: ResourceId) -> ApiError {
    let message =
        format!("The image {id} is needed by other images or by instances; deregister or terminate those first");
    ApiError::new(Code::DependencyViolation, message)
}
