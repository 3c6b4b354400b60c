//! StartInstances, StopInstances, RebootInstances, TerminateInstances: all of the instances named, or none.

use super::super::error::Code;
use super::super::{ApiError, Call};
use super::wire::WireState;
use super::{must_exist, not_found, some_ids};
use crate::chain::chain;
use crate::instance::{Ask, AskError, ReserveError, StateChange, judge};
use crate::model::{Instance, InstanceId};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct StartInstances {
    instance_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct StopInstances {
    instance_ids: Vec<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    skip_os_shutdown: bool,
    #[serde(default)]
    hibernate: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TerminateInstances {
    instance_ids: Vec<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    skip_os_shutdown: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct RebootInstances {
    instance_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Started {
    starting_instances: Vec<WireChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StoppedOnes {
    stopping_instances: Vec<WireChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TerminatedOnes {
    terminating_instances: Vec<WireChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireChange {
    instance_id: String,
    previous_state: WireState,
    current_state: WireState,
}

impl From<StateChange> for WireChange {
    fn from(change: StateChange) -> Self {
        Self {
            instance_id: change.instance.to_string(),
            previous_state: change.previous.into(),
            current_state: change.current.into(),
        }
    }
}

pub(super) async fn start(call: Call, request: StartInstances) -> Result<Started, ApiError> {
    let starting_instances = ask(&call, &request.instance_ids, Ask::Start).await?;
    Ok(Started { starting_instances })
}

pub(super) async fn stop(call: Call, request: StopInstances) -> Result<StoppedOnes, ApiError> {
    if request.hibernate {
        return Err(ApiError::new(
            Code::UnsupportedOperation,
            "Hibernation is not served: stop without Hibernate",
        ));
    }
    let force = request.force || request.skip_os_shutdown;
    let stopping_instances = ask(&call, &request.instance_ids, Ask::Stop { force }).await?;
    Ok(StoppedOnes { stopping_instances })
}

pub(super) async fn terminate(call: Call, request: TerminateInstances) -> Result<TerminatedOnes, ApiError> {
    let force = request.force || request.skip_os_shutdown;
    let terminating_instances = ask(&call, &request.instance_ids, Ask::Terminate { force }).await?;
    Ok(TerminatedOnes { terminating_instances })
}

/// Presses the power button and boots the machine again once the guest is off; a guest that does not react within the
/// time limit is reset. The answer is empty, as EC2's.
pub(super) async fn reboot(call: Call, request: RebootInstances) -> Result<(), ApiError> {
    ask(&call, &request.instance_ids, Ask::Reboot).await?;
    Ok(())
}

async fn ask(call: &Call, texts: &[String], ask: Ask) -> Result<Vec<WireChange>, ApiError> {
    let ids = some_ids(texts)?;
    check(call, ids.clone(), ask).await?;
    call.checked()?;
    let changes = call.world.instances.ask(&ids, ask).await.map_err(to_api)?;
    Ok(changes.into_iter().map(WireChange::from).collect())
}

/// What can be known before anything is asked of an actor; so a dry run checks it, too.
async fn check(call: &Call, ids: Vec<InstanceId>, ask: Ask) -> Result<(), ApiError> {
    let checked = call.world.store.read(move |tx| {
        must_exist(tx, &ids)?;
        for instance in ids.iter().filter_map(|&id| store::instances::get(tx, id).transpose()) {
            let instance = instance?;
            let standing = (instance.state, instance.rebooting);
            let acts = judge(instance.id, standing, instance.attributes.protection, ask).map_err(to_api)?;
            if acts && ask == Ask::Start {
                must_have_root(tx, &instance)?;
            }
        }
        Ok(())
    });
    checked.await
}

/// Refuses to start what would have nothing to boot.
fn must_have_root(store: &Connection, instance: &Instance) -> Result<(), ApiError> {
    let root = &instance.root_device_name;
    let attached = store::volumes::of_instance(store, instance.id)?;
    if attached.iter().any(|(_, attachment)| attachment.device_name == *root) {
        return Ok(());
    }
    let message = format!(
        "Invalid value '{}' for instanceId. Instance does not have a volume attached at root ({root})",
        instance.id
    );
    Err(ApiError::new(Code::InvalidParameterValue, message))
}

fn to_api(error: AskError) -> ApiError {
    match &error {
        AskError::NotFound(id) => not_found(&[*id]),
        AskError::WrongState { .. } => ApiError::new(Code::IncorrectInstanceState, error.to_string()),
        AskError::Protected { .. } => ApiError::new(Code::OperationNotPermitted, error.to_string()),
        AskError::Reserve {
            source: ReserveError::Capacity(_),
            ..
        } => ApiError::new(Code::InsufficientInstanceCapacity, chain(&error)),
        AskError::Reserve { .. } | AskError::Record { .. } => ApiError::internal(&error),
        AskError::Closing => ApiError::new(Code::Unavailable, error.to_string()),
    }
}
