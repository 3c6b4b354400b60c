//! Bringing an instance to rest once it has no machine: stopped, terminated, purged. Each step can be done again.

use super::Parts;
use super::instance_store;
use super::interfaces;
use super::policy::Fate;
use super::record::Record;
use super::replace_root::{self, StepError};
use super::volumes;
use crate::machine::ClearMachineError;
use crate::model::{InstanceId, InstanceState, ResourceId, VolumeState};
use crate::network::NetworkError;
use crate::store::{self, StoreError};
use crate::volumes::{DeleteVolumeError, HostFileError};
use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
use time::OffsetDateTime;

/// Why an instance could not be brought to rest yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum FinishError {
    #[error("The record of {instance} can't be read or written")]
    Store { instance: InstanceId, source: StoreError },
    #[error("What is left of the machine of {instance} can't be removed")]
    Clear {
        instance: InstanceId,
        source: ClearMachineError,
    },
    #[error("What {instance} had of its network can't be removed")]
    Network { instance: InstanceId, source: NetworkError },
    #[error("A volume of {instance} can't be deleted")]
    Volume {
        instance: InstanceId,
        source: DeleteVolumeError,
    },
    #[error("The root volume of {instance} can't be replaced")]
    ReplaceRoot { instance: InstanceId, source: StepError },
    #[error("The files of {instance} can't be removed")]
    Files {
        instance: InstanceId,
        source: HostFileError,
    },
}

/// Removes what is left of the machine, then does what `fate` says. The intention is durable before anything is removed.
pub(super) async fn finish(parts: &Parts, record: &mut Record, fate: &Fate) -> Result<(), FinishError> {
    let id = record.instance.id;
    let store_error = |source| FinishError::Store { instance: id, source };
    begin(record, fate).await.map_err(store_error)?;
    parts
        .machines
        .clear(id)
        .await
        .map_err(|source| FinishError::Clear { instance: id, source })?;
    let left = parts.networks.leave(id).await;
    left.map_err(|source| FinishError::Network { instance: id, source })?;
    let settled = parts.store.write(move |tx| {
        interfaces::settle(tx, id)?;
        volumes::settle(tx, id)
    });
    settled.await.map_err(store_error)?;
    // The others' rules name what it had, which may be somebody else's soon.
    let applied = parts.networks.apply_around(id).await;
    applied.map_err(|source| FinishError::Network { instance: id, source })?;
    let replaced = replace_root::step(parts, record, fate).await;
    replaced.map_err(|source| FinishError::ReplaceRoot { instance: id, source })?;
    if !matches!(fate, Fate::Boot(_)) {
        let removed = instance_store::remove(parts, &record.instance).await;
        removed.map_err(|source| FinishError::Files { instance: id, source })?;
    }
    match (fate, record.instance.state) {
        (Fate::Stop(reason), Pending) => record.enter(Stopped, reason.clone()).await.map_err(store_error),
        (Fate::Stop(_), Stopping) => record.enter(Stopped, None).await.map_err(store_error),
        (Fate::Terminate(_), ShuttingDown) => {
            release_volumes(parts, id).await?;
            let released = parts.store.write(move |tx| interfaces::release(tx, id));
            released.await.map_err(store_error)?;
            record.enter(Terminated, None).await.map_err(store_error)
        }
        (Fate::Stop(_) | Fate::Terminate(_) | Fate::Boot(_), _) => Ok(()),
    }
}

/// Says on record where an instance without a machine is going.
pub(super) async fn begin(record: &mut Record, fate: &Fate) -> Result<(), StoreError> {
    match (fate, record.instance.state) {
        (Fate::Stop(reason), Running) => record.enter(Stopping, reason.clone()).await,
        (Fate::Terminate(reason), Pending | Running | Stopping | Stopped) => {
            record.enter(ShuttingDown, reason.clone()).await
        }
        _ => Ok(()),
    }
}

/// Deletes the volumes that go with their instance, and those that never came to be; sets the others free.
async fn release_volumes(parts: &Parts, id: InstanceId) -> Result<(), FinishError> {
    let store_error = |source| FinishError::Store { instance: id, source };
    let attached = parts
        .store
        .read(move |tx| store::volumes::of_instance(tx, id))
        .await
        .map_err(store_error)?;
    for (volume, attachment) in attached {
        let volume_id = volume.id;
        if attachment.delete_on_termination || volume.state == VolumeState::Creating {
            let deleted = parts.volumes.delete(volume_id).await;
            deleted.map_err(|source| FinishError::Volume { instance: id, source })?;
        } else {
            let freed = parts.store.write(move |tx| {
                store::volumes::detach(tx, volume_id)?;
                store::volumes::set_state(tx, volume_id, VolumeState::Available)
            });
            freed.await.map_err(store_error)?;
        }
    }
    Ok(())
}

/// Removes the last traces of a terminated instance: its console log, its tags, its record.
pub(super) async fn purge(parts: &Parts, id: InstanceId) -> Result<(), FinishError> {
    let removed = parts.volumes.files().remove_dir(&parts.layout.instance_dir(id)).await;
    removed.map_err(|source| FinishError::Files { instance: id, source })?;
    let purged = parts.store.write(move |tx| {
        store::tags::remove_all(tx, ResourceId::Instance(id))?;
        store::replace_root_volume_tasks::remove_of(tx, id)?;
        store::instances::remove(tx, id)?;
        store::reservations::remove_empty(tx, OffsetDateTime::now_utc())
    });
    purged
        .await
        .map_err(|source| FinishError::Store { instance: id, source })
}
