//! Attaching network interfaces and volumes to instances and detaching them: to those that are stopped on record, to those
//! that run in their machines, too.
//!
//! ```text
//! attach: record (attaching) ─► tap and rules, or file ─► tell ─► monitor ─► record (attached), or none of it
//! detach: record (detaching) ─► monitor asks the guest ─► … ─► Event::Detached ─► record
//! ```
//! The record is the instance's actor's. What a monitor is asked is waited for beside it; when a daemon ends in between, the
//! next one goes by the record ([`take_up`]), and so does the end of the machine (`settle` of [`super::interfaces`] and
//! [`super::volumes`]).

mod part;

pub use part::Part;
pub(super) use part::Placed;

use super::Parts;
use super::actor::{Actor, Phase};
use super::devices::{DeviceError, Files};
use super::interfaces::InterfaceError;
use super::told::{TellError, tell};
use super::volumes::AttachVolumeError;
use crate::chain::chain;
use crate::machine::{ControlError, Machine};
use crate::model::{AttachmentState, Instance, InstanceId, InstanceState, VpcId};
use crate::network::NetworkError;
use crate::store::StoreError;
use rusqlite::Connection;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is to be done, and where the answer goes.
#[derive(Debug)]
pub(super) struct Hotplug {
    pub(super) what: Change,
    pub(super) answer: oneshot::Sender<Result<(), HotplugError>>,
}

/// Something that is to be attached, or detached.
#[derive(Debug)]
pub(super) enum Change {
    Attach {
        placed: Placed,
        /// Only to see whether it can be: nothing is attached.
        rehearsal: bool,
    },
    Detach {
        part: Part,
        /// Without the guest's agreement.
        force: bool,
    },
}

/// Why nothing was attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum HotplugError {
    /// It could be attached, and was not to be.
    #[error("It was not to be attached")]
    Rehearsal,
    /// There is no such instance.
    #[error("The instance {0} does not exist")]
    NoInstance(InstanceId),
    /// It neither runs nor is it stopped.
    #[error("Instance '{0}' is not 'running' or 'stopped'")]
    WrongState(InstanceId),
    /// The interface can't be attached there.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The volume can't be attached there.
    #[error(transparent)]
    Volume(#[from] AttachVolumeError),
    /// It is not attached there.
    #[error("{part} is not attached to {instance}")]
    NotAttached {
        /// What.
        part: Part,
        /// The instance.
        instance: InstanceId,
    },
    /// The running machine could not be given it.
    #[error("The running instance {instance} can't be given {part}")]
    Plug {
        /// What.
        part: Part,
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: Box<PlugError>,
    },
    /// The running machine could not be asked for it.
    #[error("The running instance {instance} can't be asked to give up {part}")]
    Unplug {
        /// What.
        part: Part,
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ControlError,
    },
    /// The store refused.
    #[error("The attachment can't be recorded")]
    Store(#[from] StoreError),
    /// The daemon is ending.
    #[error("The daemon is ending")]
    Closing,
}

/// Why a running machine could not be given something.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// Its device could not be put together.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Its tap could not be made.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Its guest could not be told of it.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// The monitor refused.
    #[error("The monitor does not take it")]
    Control(#[from] ControlError),
    /// It was detached or deleted meanwhile.
    #[error("It is gone")]
    Gone,
}

impl Actor {
    /// Deals with a request; the answer comes when its machine has taken part.
    pub(super) async fn hotplug(&mut self, Hotplug { what, answer }: Hotplug) {
        let instance = self.instance().clone();
        let machine = self.machine();
        let parts = Arc::clone(&self.parts);
        let recorded = match machine {
            Ok(machine) => record(&parts, &instance, &what, machine.is_some())
                .await
                .map(|()| machine),
            Err(error) => Err(error),
        };
        tokio::spawn(async move {
            let done = match (recorded, what) {
                (Err(error), _) => Err(error),
                (Ok(None), _) => Ok(()),
                (Ok(Some(machine)), Change::Attach { placed, .. }) => {
                    let plugged = plug(&parts, &instance, placed.part(), &machine).await;
                    settle_attach(&parts, instance.id, placed.part(), plugged).await
                }
                (Ok(Some(machine)), Change::Detach { part, force }) => {
                    unplug(&parts, (instance.id, part), force, &machine).await
                }
            };
            // Whoever asked may have gone; what was done stays done.
            let _ = answer.send(done);
        });
    }

    /// The machine that runs, or none of an instance that is stopped.
    fn machine(&self) -> Result<Option<Arc<Machine>>, HotplugError> {
        match (&self.phase, self.instance().state) {
            (Phase::Idle, _) => Ok(None),
            (Phase::Running { machine, .. }, InstanceState::Running) => Ok(Some(Arc::clone(machine))),
            _ => Err(HotplugError::WrongState(self.instance().id)),
        }
    }

    /// The machine has a device no more that it was asked to give up.
    pub(super) async fn detached(&self, device: &str) {
        let Some(part) = Part::of_device(device) else { return };
        let (parts, id) = (Arc::clone(&self.parts), self.instance().id);
        let machine = self.machine().ok().flatten();
        match forget(&parts, id, part).await {
            Ok(vpc) => {
                tokio::spawn(async move { bring_up_to_date(&parts, id, vpc, machine.as_deref()).await });
            }
            Err(error) => tracing::error!(instance = %id, %part, %error, "That it is detached can't be recorded"),
        }
    }
}

/// Puts on record what is to be done; for an instance without a machine it is done then.
async fn record(parts: &Parts, instance: &Instance, what: &Change, runs: bool) -> Result<(), HotplugError> {
    match what {
        Change::Attach { placed, rehearsal } => {
            let (placed, instance, rehearsal) = (placed.clone(), instance.clone(), *rehearsal);
            let state = match runs {
                true => AttachmentState::Attaching,
                false => AttachmentState::Attached,
            };
            let write = move |tx: &Connection| {
                placed.record(tx, &instance, state)?;
                // An error undoes the transaction, so a rehearsal checks all that the real one does.
                if rehearsal {
                    Err(HotplugError::Rehearsal)
                } else {
                    Ok(())
                }
            };
            parts.store.write(write).await
        }
        Change::Detach { part, .. } => {
            let (part, instance) = (*part, instance.id);
            let write = move |tx: &Connection| {
                if part.attachment(tx)?.is_none_or(|(there, _)| there != instance) {
                    return Err(HotplugError::NotAttached { part, instance });
                }
                match runs {
                    true => part.set_state(tx, AttachmentState::Detaching)?,
                    false => part.detach(tx)?,
                }
                Ok(())
            };
            parts.store.write(write).await
        }
    }
}

/// Gives a running machine a part.
async fn plug(parts: &Parts, instance: &Instance, part: Part, machine: &Machine) -> Result<(), PlugError> {
    let mut files = Files::default();
    let device = part.device(parts, instance, &mut files).await?;
    // A guest asks for a lease as soon as its interface is there.
    tell(parts, instance.id, machine).await?;
    Ok(machine.attach(device, &files.into_all()).await?)
}

/// Records how it went. What could not be plugged in is attached nevertheless if its machine has ended meanwhile: the next
/// one has it.
async fn settle_attach(
    parts: &Parts,
    instance: InstanceId,
    part: Part,
    plugged: Result<(), PlugError>,
) -> Result<(), HotplugError> {
    let works = plugged.is_ok();
    let settled = parts.store.write(move |tx| {
        let here = part.attachment(tx)?.filter(|(there, _)| *there == instance);
        let is_there = match here.map(|(_, state)| state) {
            Some(AttachmentState::Attaching) if works => {
                part.set_state(tx, AttachmentState::Attached)?;
                true
            }
            Some(AttachmentState::Attaching) => {
                part.detach(tx)?;
                false
            }
            Some(AttachmentState::Attached) => true,
            Some(AttachmentState::Detaching) | None => works,
        };
        Ok::<_, StoreError>((is_there, part.vpc(tx)?))
    });
    let (is_there, vpc) = settled.await?;
    match plugged {
        Err(error) if !is_there => {
            bring_up_to_date(parts, instance, vpc, None).await;
            let source = Box::new(error);
            Err(HotplugError::Plug { part, instance, source })
        }
        _ => Ok(()),
    }
}

/// Has a running machine give up a part: now, or when its guest lets go of it.
async fn unplug(
    parts: &Parts,
    (instance, part): (InstanceId, Part),
    force: bool,
    machine: &Machine,
) -> Result<(), HotplugError> {
    match machine.detach(&part.to_string(), force).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let vpc = forget(parts, instance, part).await?;
            bring_up_to_date(parts, instance, vpc, Some(machine)).await;
            Ok(())
        }
        Err(source) => {
            let write = move |tx: &Connection| {
                if part.attachment(tx)? == Some((instance, AttachmentState::Detaching)) {
                    part.set_state(tx, AttachmentState::Attached)?;
                }
                Ok::<_, StoreError>(())
            };
            parts.store.write(write).await?;
            Err(HotplugError::Unplug { part, instance, source })
        }
    }
}

/// At the daemon's start: what an earlier one was in the middle of with a machine that runs. What was being attached is not,
/// for nobody was told that it is; what was being detached goes on being so.
pub(super) async fn take_up(parts: &Parts, instance: InstanceId, machine: &Machine) -> Result<(), HotplugError> {
    let read = move |tx: &Connection| Part::of_instance(tx, instance);
    for (part, state) in parts.store.read(read).await? {
        let force = match state {
            AttachmentState::Attached => continue,
            AttachmentState::Attaching => true,
            AttachmentState::Detaching => false,
        };
        let asked = machine.detach(&part.to_string(), force).await;
        let is_there = asked.map_err(|source| HotplugError::Unplug { part, instance, source })?;
        if force || !is_there {
            forget(parts, instance, part).await?;
        }
    }
    Ok(())
}

/// Strikes an attachment off the record that the machine has no device for; gives the VPC whose rules were made of it.
async fn forget(parts: &Parts, instance: InstanceId, part: Part) -> Result<Option<VpcId>, StoreError> {
    let write = move |tx: &Connection| {
        if part.attachment(tx)?.is_some_and(|(there, _)| there == instance) {
            part.detach(tx)?;
        }
        part.vpc(tx)
    };
    parts.store.write(write).await
}

/// Brings the rules of a VPC and what a guest is told up to the record.
async fn bring_up_to_date(parts: &Parts, id: InstanceId, vpc: Option<VpcId>, machine: Option<&Machine>) {
    if let Some(vpc) = vpc
        && let Err(error) = parts.networks.apply(vpc).await
    {
        tracing::warn!(%vpc, error = %chain(&error), "The rules of a VPC can't be brought up to the record");
    }
    if let Some(machine) = machine
        && let Err(error) = tell(parts, id, machine).await
    {
        tracing::warn!(instance = %id, error = %chain(&error), "A running guest may be told what is out of date");
    }
}
