//! Volumes that grow or get other limits, also while guests use them: their file, their record, and then the machine.

use super::Instances;
use crate::chain::chain;
use crate::machine::ControlError;
use crate::model::{VolumeId, VolumeModification};
use crate::store::{self, StoreError};
use crate::volumes::HostFileError;
use kiln_vmm::protocol::Request;
use rusqlite::Connection;
use time::OffsetDateTime;

/// Why a volume was not changed. It is tried again at the daemon's next start.
#[derive(Debug, thiserror::Error)]
pub enum ModifyVolumeError {
    /// Its file can't grow.
    #[error("The file of the volume {volume} can't grow")]
    File {
        /// The volume.
        volume: VolumeId,
        /// Why.
        source: HostFileError,
    },
    /// The store refused.
    #[error("The record of the volume {volume} can't be read or written")]
    Store {
        /// The volume.
        volume: VolumeId,
        /// Why.
        source: StoreError,
    },
    /// Its machine could not be told.
    #[error("The volume {volume} is changed, but the machine that runs can't be told before its next start")]
    Tell {
        /// The volume.
        volume: VolumeId,
        /// Why.
        source: ControlError,
    },
}

impl Instances {
    /// Changes a volume as its modification on record says, and tells the machine that has it.
    ///
    /// # Errors
    /// See [`ModifyVolumeError`].
    pub async fn modify_volume(&self, volume: VolumeId) -> Result<(), ModifyVolumeError> {
        let store_error = |source| ModifyVolumeError::Store { volume, source };
        let store = &self.parts.store;
        let wanted = store.read(move |tx: &Connection| store::volumes::modification(tx, volume));
        let Some(wanted) = wanted.await.map_err(store_error)?.filter(|one| one.ended.is_none()) else {
            return Ok(());
        };
        let grown = self.parts.volumes.grow(volume, wanted.target_size).await;
        grown.map_err(|source| ModifyVolumeError::File { volume, source })?;
        let recorded = store.write(move |tx| {
            store::volumes::modify(tx, volume, wanted.target_size, wanted.target_limits)?;
            let ended = Some(OffsetDateTime::now_utc());
            store::volumes::put_modification(tx, &VolumeModification { ended, ..wanted })?;
            store::volumes::attachment(tx, volume)
        });
        let attachment = recorded.await.map_err(store_error)?;
        let handle = attachment.and_then(|attachment| self.handle(attachment.instance));
        let machine = handle.and_then(|handle| handle.view.borrow().machine.clone());
        if let Some(machine) = machine {
            let tell = |source| ModifyVolumeError::Tell { volume, source };
            let id = volume.to_string();
            if wanted.target_size != wanted.original_size {
                machine
                    .request(&Request::Resize { id: id.clone() })
                    .await
                    .map_err(tell)?;
            }
            if wanted.target_limits != wanted.original_limits {
                let limits = super::devices::limits(wanted.target_limits);
                machine.request(&Request::Limit { id, limits }).await.map_err(tell)?;
            }
        }
        Ok(())
    }

    /// At the daemon's start: changes those that an earlier one had promised to.
    pub(super) async fn finish_modifying(&self) -> Result<(), StoreError> {
        for one in self.parts.store.read(store::volumes::modifications).await? {
            if one.ended.is_none()
                && let Err(error) = self.modify_volume(one.volume).await
            {
                tracing::warn!(volume = %one.volume, error = %chain(&error), "A volume is not changed yet");
            }
        }
        Ok(())
    }
}
