//! Snapshots of volumes, of one or of several at the same instant, also while a guest writes to them, and of other snapshots;
//! and the images that are made of them.
//!
//! What is to be made is on record as pending. The volumes of a running machine rest while their files are cloned, for as long
//! as our connection to its monitor lasts: so they go on whatever becomes of us. Where the file system shares blocks this
//! is a moment, and done before anybody is answered; elsewhere the instant is settled then, and the copying goes on.

use super::{Ask, AskError, Instances, Parts};
use crate::chain::chain;
use crate::machine::{ControlError, Machine, Resting};
use crate::model::{ImageId, ImageState, InstanceId, Snapshot, SnapshotId, SnapshotState, VolumeId};
use crate::store::{self, StoreError};
use crate::volumes::{OpenVolumeError, Original, SnapshotError};
use rusqlite::Connection;
use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;

/// How often volumes are copied whose machine ends meanwhile.
const ATTEMPTS: u32 = 3;

/// Snapshots that are to be made, and are on record as pending.
#[derive(Debug, Clone)]
pub struct CopyOrder {
    /// The instance that has the volumes; none if no instance has.
    pub instance: Option<InstanceId>,
    /// Each original, and the snapshot that is to be made of it.
    pub copies: Vec<(Original, SnapshotId)>,
    /// The image that is available when they are completed.
    pub image: Option<ImageId>,
    /// When the copies are taken.
    pub instant: Instant,
}

/// When copies are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instant {
    /// Now: a guest that runs goes on as if its power had failed at that moment.
    Now,
    /// When the guest has shut itself down, before it boots again. One that does not run is copied now.
    Reboot,
}

/// Why copies were not taken.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The machine's devices could not be made to rest.
    #[error("The volumes of the running instance {instance} do not stand still")]
    Rest {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ControlError,
    },
    /// The guest could not be asked to reboot.
    #[error("The instance can't be rebooted for it")]
    Reboot(#[source] AskError),
    /// A volume of no machine could not be held.
    #[error("A volume can't be held")]
    Hold(#[from] OpenVolumeError),
    /// A file could not be made.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The machine ended over and over while its volumes were copied.
    #[error("The volumes changed while they were copied: their machine ended meanwhile")]
    Disturbed,
    /// The store refused.
    #[error("The copies can't be recorded")]
    Store(#[from] StoreError),
}

/// What keeps volumes still.
enum Hold {
    /// A running machine lets them rest.
    Machine(Resting),
    /// No machine has them, or can get them.
    Files { _held: Vec<File> },
}

impl Hold {
    /// Whether they have stood still until now.
    fn lasts(&self) -> bool {
        match self {
            Self::Machine(resting) => resting.lasts(),
            Self::Files { .. } => true,
        }
    }
}

impl Instances {
    /// Takes copies as the record says. When this returns without an error the instant of [`Instant::Now`] is settled: what is
    /// written from then on is in none of them. They are completed then, or soon; or in error.
    ///
    /// # Errors
    /// See [`CopyError`]: the instant could not be settled, and the record says so.
    pub async fn copy(&self, order: CopyOrder) -> Result<(), CopyError> {
        let hold = match order.instant {
            Instant::Reboot => None,
            Instant::Now => match self.hold(&order).await {
                Ok(hold) => Some(hold),
                Err(error) => {
                    let why = chain(&error);
                    fail(&self.parts, &order, &why).await?;
                    return Err(error);
                }
            },
        };
        let this = self.clone();
        let at_once = hold.is_some() && self.parts.volumes.reflinks();
        let copying = tokio::spawn(async move {
            let copied = this.carry_out(&order, hold).await;
            let settled = match copied {
                Ok(sizes) => complete(&this.parts, &order, sizes).await,
                Err(error) => fail(&this.parts, &order, &chain(&error)).await,
            };
            if let Err(error) = settled {
                tracing::error!(error = %chain(&error), "How copies of volumes came out is not recorded");
            }
        });
        if at_once {
            // It takes a moment: nobody need see it pending.
            let _ = copying.await;
        }
        Ok(())
    }

    /// Has the volumes stand still, and copies them: again, if their machine has ended meanwhile. Gives the copies' sizes.
    async fn carry_out(&self, order: &CopyOrder, mut hold: Option<Hold>) -> Result<Vec<u64>, CopyError> {
        for attempt in 0..ATTEMPTS {
            let held = match (hold.take(), order.instant) {
                (Some(held), _) => held,
                (None, Instant::Reboot) if attempt == 0 => self.hold_at_reboot(order).await?,
                (None, _) => self.hold(order).await?,
            };
            let mut sizes = Vec::with_capacity(order.copies.len());
            for &(original, snapshot) in &order.copies {
                sizes.push(self.parts.volumes.snapshot(original, snapshot).await?);
            }
            if held.lasts() {
                return Ok(sizes);
            }
        }
        Err(CopyError::Disturbed)
    }

    async fn hold(&self, order: &CopyOrder) -> Result<Hold, CopyError> {
        if let Some((instance, machine)) = self.machine_of(order) {
            match machine.rest(ids(order), false).await {
                Ok(resting) => return Ok(Hold::Machine(resting)),
                // It has ended just now.
                Err(ControlError::HungUp | ControlError::Io(_)) => {}
                Err(source) => return Err(CopyError::Rest { instance, source }),
            }
        }
        let mut held = Vec::with_capacity(order.copies.len());
        for volume in volumes(order) {
            held.push(self.parts.volumes.hold(volume).await?);
        }
        Ok(Hold::Files { _held: held })
    }

    /// Reboots the guest; its volumes rest between its two lives.
    async fn hold_at_reboot(&self, order: &CopyOrder) -> Result<Hold, CopyError> {
        let Some((instance, machine)) = self.machine_of(order) else {
            return self.hold(order).await;
        };
        let resting = machine.rest(ids(order), true);
        let guest = [instance];
        let asked = self.ask(&guest, Ask::Reboot);
        let (resting, asked) = tokio::join!(resting, asked);
        asked.map_err(CopyError::Reboot)?;
        match resting {
            Ok(resting) => Ok(Hold::Machine(resting)),
            // Its guest did not come back.
            Err(ControlError::HungUp | ControlError::Io(_)) => self.hold(order).await,
            Err(source) => Err(CopyError::Rest { instance, source }),
        }
    }

    fn machine_of(&self, order: &CopyOrder) -> Option<(InstanceId, Arc<Machine>)> {
        let instance = order.instance?;
        let machine = self.handle(instance)?.view.borrow().machine.clone()?;
        Some((instance, machine))
    }
}

/// The names of the volumes' devices.
fn ids(order: &CopyOrder) -> Vec<String> {
    volumes(order).map(|volume| volume.to_string()).collect()
}

/// The volumes that are copied. Snapshots never change, so nothing need keep them still.
fn volumes(order: &CopyOrder) -> impl Iterator<Item = VolumeId> {
    order.copies.iter().filter_map(|(original, _)| match original {
        Original::Volume(id) => Some(*id),
        Original::Snapshot(_) => None,
    })
}

/// Records that the copies are there.
async fn complete(parts: &Parts, order: &CopyOrder, sizes: Vec<u64>) -> Result<(), CopyError> {
    let order = order.clone();
    let recorded = parts.store.write(move |tx| {
        for (&(_, id), size) in order.copies.iter().zip(sizes) {
            change(tx, id, |snapshot| {
                snapshot.size = size;
                snapshot.state = SnapshotState::Completed;
            })?;
        }
        change_image(tx, order.image, ImageState::Available, None)
    });
    Ok(recorded.await?)
}

/// Records that there are no copies, and removes what there is of them.
async fn fail(parts: &Parts, order: &CopyOrder, why: &str) -> Result<(), CopyError> {
    tracing::warn!(?order, error = why, "Volumes could not be copied");
    for &(_, snapshot) in &order.copies {
        let removed = parts.volumes.files().remove(&parts.layout.snapshot(snapshot)).await;
        removed.map_err(|source| SnapshotError::File { snapshot, source })?;
    }
    let (order, why) = (order.clone(), why.to_owned());
    let recorded = parts.store.write(move |tx| {
        for &(_, id) in &order.copies {
            change(tx, id, |snapshot| {
                snapshot.state = SnapshotState::Error;
                snapshot.state_message = Some(why.clone());
            })?;
        }
        change_image(tx, order.image, ImageState::Failed, Some(why))
    });
    Ok(recorded.await?)
}

fn change(connection: &Connection, id: SnapshotId, change: impl FnOnce(&mut Snapshot)) -> Result<(), StoreError> {
    if let Some(mut snapshot) = store::snapshots::get(connection, id)? {
        change(&mut snapshot);
        store::snapshots::put(connection, &snapshot)?;
    }
    Ok(())
}

fn change_image(
    connection: &Connection,
    id: Option<ImageId>,
    state: ImageState,
    reason: Option<String>,
) -> Result<(), StoreError> {
    let image = id.map(|id| store::images::get(connection, id)).transpose()?.flatten();
    if let Some(mut image) = image {
        image.state = state;
        image.state_reason = reason;
        store::images::put(connection, &image)?;
    }
    Ok(())
}

/// At the daemon's start: copies that an earlier daemon was taking are in error, for their instant is over. Those of imports
/// were dealt with before, and drafts wait for their clients.
pub(super) async fn recover(parts: &Parts) -> Result<(), StoreError> {
    const WHY: &str = "The daemon ended while it was being copied";
    let read = parts.store.read(|tx| {
        let mut snapshots = store::snapshots::list(tx)?;
        let drafts: HashSet<SnapshotId> = store::drafts::list(tx)?
            .iter()
            .map(|(draft, _)| draft.snapshot)
            .collect();
        snapshots.retain(|snapshot| snapshot.state == SnapshotState::Pending && !drafts.contains(&snapshot.id));
        let mut images = store::images::list(tx)?;
        images.retain(|image| image.state == ImageState::Pending);
        Ok::<_, StoreError>((snapshots, images))
    });
    let (snapshots, images) = read.await?;
    for snapshot in &snapshots {
        if let Err(error) = parts.volumes.files().remove(&parts.layout.snapshot(snapshot.id)).await {
            let error = chain(&error);
            tracing::warn!(snapshot = %snapshot.id, error, "What there is of a snapshot can't be removed yet");
        }
    }
    let recorded = parts.store.write(move |tx| {
        for snapshot in snapshots {
            change(tx, snapshot.id, |snapshot| {
                snapshot.state = SnapshotState::Error;
                snapshot.state_message = Some(WHY.into());
            })?;
        }
        for image in images {
            change_image(tx, Some(image.id), ImageState::Failed, Some(WHY.into()))?;
        }
        Ok(())
    });
    recorded.await
}
