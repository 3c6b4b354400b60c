//! At the daemon's start: comparing what is on record with what is there.
//!
//! Guests that run are taken back. What ended meanwhile is brought to rest by its report. A start that was under way is
//! begun again: it was acknowledged. Nothing of a user's data is removed but what the user had asked to be removed.

use super::Parts;
use super::actor::Phase;
use super::ending::Ending;
use super::finish::begin;
use super::hotplug::take_up;
use super::plan::{LastResort, Plan};
use super::policy::Fate;
use super::record::Record;
use super::replace_root;
use super::told::tell;
use crate::machine::{Found, Machine};
use crate::model::{Instance, InstanceState};
use crate::store::machines::MachineRecord;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;

/// What an instance was found in the middle of.
pub(super) async fn adopt(parts: &Arc<Parts>, record: &mut Record, machine: Option<MachineRecord>) -> Phase {
    let found = match &machine {
        Some(machine) => parts.machines.find(machine).await,
        None => Found::Gone,
    };
    match found {
        Found::Running(machine) => {
            let pid = machine.process().identity().pid;
            if let Err(error) = parts.networks.adopt(record.instance.id, pid).await {
                let error = crate::chain::chain(&error);
                tracing::error!(instance = %record.instance.id, %error, "The network of a running guest can't be taken up");
            }
            if let Err(error) = take_up(parts, record.instance.id, &machine).await {
                let error = crate::chain::chain(&error);
                tracing::error!(instance = %record.instance.id, %error, "What a running guest was being given or asked for is not settled");
            }
            // The daemon may have ended between a change and telling it.
            if let Err(error) = tell(parts, record.instance.id, &machine).await {
                let error = crate::chain::chain(&error);
                tracing::warn!(instance = %record.instance.id, %error, "A running guest may be told what is out of date");
            }
            take_back(parts, record, Arc::new(machine)).await
        }
        Found::Waiting(_) => at_rest_or_again(parts, record, Ending::Vanished).await,
        Found::Gone => {
            let path = parts.layout.report(record.instance.id);
            let ending = tokio::task::spawn_blocking(move || Ending::read(&path))
                .await
                .unwrap_or(Ending::Vanished);
            at_rest_or_again(parts, record, ending).await
        }
    }
}

/// A guest that runs goes on, or goes on going down.
async fn take_back(parts: &Parts, record: &mut Record, machine: Arc<Machine>) -> Phase {
    let now = Instant::now();
    let instance = &record.instance;
    tracing::info!(instance = %instance.id, state = %instance.state, "A running guest was found again");
    let plan = match instance.state {
        InstanceState::Stopping | InstanceState::ShuttingDown => {
            let left = parts.stop_time_limit.saturating_sub(since_asked(instance));
            Some(Plan::gentle(now, now + left, LastResort::End))
        }
        // The daemon ended between the launch and its record.
        InstanceState::Pending => match record.enter(InstanceState::Running, None).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(instance = %record.instance.id, %error, "A running guest could not be recorded");
                Some(Plan::forced(now))
            }
        },
        InstanceState::Running => left_to_do(parts, record).await,
        // A machine that the record says is gone: it is none of a user's any more.
        InstanceState::Stopped | InstanceState::Terminated => Some(Plan::forced(now)),
    };
    record.show_machine(Some(Arc::clone(&machine)));
    Phase::running(machine, plan)
}

/// What an earlier daemon had begun with a guest that runs.
async fn left_to_do(parts: &Parts, record: &mut Record) -> Option<Plan> {
    match replace_root::taken_back(parts, record).await {
        Ok(Some(plan)) => return Some(plan),
        Ok(None) => {}
        Err(error) => {
            let error = crate::chain::chain(&error);
            tracing::error!(instance = %record.instance.id, %error, "The task that replaces a root volume can't be taken up");
        }
    }
    let now = Instant::now();
    let reboot = || Plan::gentle(now, now + parts.stop_time_limit, LastResort::Reset);
    record.instance.rebooting.then(reboot)
}

/// Without a machine an instance is at rest, is brought there, or starts. That it runs no more is on record before
/// anybody can ask.
async fn at_rest_or_again(parts: &Arc<Parts>, record: &mut Record, ending: Ending) -> Phase {
    let instance = &record.instance;
    match instance.state {
        InstanceState::Pending => Phase::launching(parts, instance),
        // What a crash left of its machine, if anything, goes the same way as after an ordinary end.
        InstanceState::Stopped => Phase::ending(Fate::Stop(None)),
        InstanceState::Terminated => {
            let age = instance.terminated.map_or(Duration::ZERO, age);
            Phase::Terminated {
                purge_at: Instant::now() + parts.retention.saturating_sub(age),
            }
        }
        InstanceState::Running | InstanceState::Stopping | InstanceState::ShuttingDown => {
            let fate = replace_root::fate(parts, instance, &ending).await;
            if let Err(error) = begin(record, &fate).await {
                tracing::warn!(instance = %record.instance.id, %error, "The end of a machine can't be recorded yet");
            }
            Phase::ending(fate)
        }
    }
}

/// How long ago the instance was asked to go down.
fn since_asked(instance: &Instance) -> Duration {
    instance.reason.as_ref().map_or(Duration::MAX, |reason| age(reason.at))
}

/// A clock that was set back makes nothing negative.
fn age(at: OffsetDateTime) -> Duration {
    Duration::try_from(OffsetDateTime::now_utc() - at).unwrap_or(Duration::ZERO)
}
