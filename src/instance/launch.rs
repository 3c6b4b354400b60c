//! From a pending instance to a guest that runs: its volumes, its monitor, its machine.

use super::Parts;
use super::instance_store;
use super::record::reach;
use super::spec::{SpecError, machine_spec};
use crate::machine::{ClearMachineError, ControlError, Machine, StartMachineError};
use crate::model::{Instance, InstanceId, InstanceState, Milestone, ReasonCode, Stage, VolumeState};
use crate::network::NetworkError;
use crate::store::{StoreError, volumes};
use crate::volumes::{CreateVolumeError, HostFileError};
use kiln_images::clone::CloneError;
use kiln_vmm::protocol::FailureKind;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::watch;

/// Why an instance could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The store refused.
    #[error("The records of {instance} can't be read or written")]
    Store {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: StoreError,
    },
    /// What an earlier machine left can't be removed.
    #[error("What is left of an earlier machine of {instance} can't be removed")]
    Clear {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ClearMachineError,
    },
    /// A volume could not be made.
    #[error("A volume of {instance} can't be made")]
    Volume {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: CreateVolumeError,
    },
    /// Console log, report and instance store could not be prepared.
    #[error("The files of {instance} can't be made")]
    Files {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: HostFileError,
    },
    /// Its VPC could not be put on the host.
    #[error("The network of {instance} can't be made")]
    Network {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: NetworkError,
    },
    /// The monitor did not start.
    #[error("The monitor of {instance} can't be started")]
    Start {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: StartMachineError,
    },
    /// The machine can't be described.
    #[error("The machine of {instance} can't be put together")]
    Spec {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: SpecError,
    },
    /// The monitor did not run the machine.
    #[error("The machine of {instance} does not run")]
    Control {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ControlError,
    },
    /// The instance is to go down before it was up.
    #[error("The start of {instance} was called off")]
    CalledOff {
        /// The instance.
        instance: InstanceId,
    },
}

impl LaunchError {
    /// The code of the state's reason: whose fault it was.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Volume {
                source: CreateVolumeError::Snapshot { .. },
                ..
            } => ReasonCode::SnapshotNotFound,
            Self::Volume {
                source:
                    CreateVolumeError::Clone {
                        source: CloneError::NoSpace { .. },
                        ..
                    },
                ..
            } => ReasonCode::InsufficientCapacity,
            Self::Control {
                source: ControlError::Refused(failure),
                ..
            } if failure.kind == FailureKind::NotBootable => ReasonCode::ClientError,
            _ => ReasonCode::InternalError,
        }
    }
}

/// Starts an instance. Its volumes are made if they are not yet there; what an earlier attempt left of a machine is
/// removed first. When `call_off` becomes true, a guest that does not run yet is given up.
///
/// # Errors
/// See [`LaunchError`]; what was made stays on the ledger for `Machines::clear`.
pub(super) async fn launch(
    parts: Arc<Parts>,
    instance: Instance,
    mut call_off: watch::Receiver<bool>,
) -> Result<Arc<Machine>, LaunchError> {
    let id = instance.id;
    let cleared = parts.machines.clear(id).await;
    cleared.map_err(|source| LaunchError::Clear { instance: id, source })?;
    make_volumes(&parts, &instance).await?;
    prepare_files(&parts, &instance)
        .await
        .map_err(|source| LaunchError::Files { instance: id, source })?;
    if *call_off.borrow() {
        return Err(LaunchError::CalledOff { instance: id });
    }
    let network = parts.networks.enter(id).await;
    let network = network.map_err(|source| LaunchError::Network { instance: id, source })?;
    let started = parts.machines.start(&instance, network.as_ref()).await;
    let machine = Arc::new(started.map_err(|source| LaunchError::Start { instance: id, source })?);
    reach_now(&parts, &instance, Stage::MonitorStarted).await;
    let described = machine_spec(&parts, &instance).await;
    let (spec, files) = described.map_err(|source| LaunchError::Spec { instance: id, source })?;
    let run = async {
        let mut control = machine.connect().await?;
        control.launch(spec, &files).await
    };
    tokio::select! {
        ran = run => ran.map_err(|source| LaunchError::Control { instance: id, source })?,
        // Only the sender's `true` ends this; if the sender is gone, so is the actor, and the launch is to go on.
        Ok(_) = call_off.wait_for(|off| *off) => return Err(LaunchError::CalledOff { instance: id }),
    };
    Ok(machine)
}

async fn make_volumes(parts: &Parts, instance: &Instance) -> Result<(), LaunchError> {
    let id = instance.id;
    let store_error = |source| LaunchError::Store { instance: id, source };
    let attached = parts
        .store
        .read(move |tx| volumes::of_instance(tx, id))
        .await
        .map_err(store_error)?;
    for (volume, _) in attached
        .into_iter()
        .filter(|(volume, _)| volume.state == VolumeState::Creating)
    {
        let volume_id = volume.id;
        let made = parts.volumes.create(&volume).await;
        made.map_err(|source| LaunchError::Volume { instance: id, source })?;
        let marked = parts
            .store
            .write(move |tx| volumes::set_state(tx, volume_id, VolumeState::InUse));
        marked.await.map_err(store_error)?;
    }
    reach_now(parts, instance, Stage::VolumeReady).await;
    Ok(())
}

/// Makes the directory of console log, report and instance store, and all of them empty.
async fn prepare_files(parts: &Parts, instance: &Instance) -> Result<(), HostFileError> {
    let id = instance.id;
    let files = parts.volumes.files();
    files
        .create_dir(&id.to_string(), &parts.layout.instance_dir(id))
        .await?;
    for path in [parts.layout.console_log(id), parts.layout.report(id)] {
        files.create_anew(&path).await?;
    }
    match instance.state {
        // It boots again: a reboot leaves instance store as it is.
        InstanceState::Running => Ok(()),
        _ => instance_store::make(parts, instance).await,
    }
}

async fn reach_now(parts: &Parts, instance: &Instance, stage: Stage) {
    let milestone = Milestone {
        stage,
        at: OffsetDateTime::now_utc(),
    };
    reach(&parts.store, &parts.events, instance, milestone).await;
}
