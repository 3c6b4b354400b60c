//! The status checks of running instances, as DescribeInstanceStatus tells them: the machine answers, and so does its guest.
//!
//! Each look is a new one; only since when a check fails is remembered.

use super::{Instances, Parts};
use crate::model::{Instance, InstanceId, InstanceState, Stage};
use crate::store::{self, StoreError};
use kiln_vmm::protocol::Request;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a monitor may take; usually it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many instances are looked at at the same time: each takes a thread while its guest is silent.
const AT_ONCE: usize = 64;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The instance does not run.
    NotApplicable,
    /// It was not looked at, as something before it failed.
    InsufficientData,
    /// The guest has not asked for its address yet.
    Initializing,
    /// All is well.
    Passed,
    /// It is not, and was not since then.
    Failed(OffsetDateTime),
}

/// Both checks of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// EC2's system status: the machine's monitor answers.
    pub system: Check,
    /// EC2's instance status: the guest answers ARP.
    pub instance: Check,
}

/// What is remembered between looks.
#[derive(Debug)]
pub struct Checks {
    failing: Mutex<HashMap<(InstanceId, Layer), OffsetDateTime>>,
    at_once: Semaphore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Layer {
    System,
    Instance,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            failing: Mutex::default(),
            at_once: Semaphore::new(AT_ONCE),
        }
    }
}

impl Checks {
    /// A failure since now, or since it was first seen.
    fn fails(&self, id: InstanceId, layer: Layer) -> Check {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let since = failing.entry((id, layer)).or_insert_with(OffsetDateTime::now_utc);
        Check::Failed(*since)
    }

    fn forget(&self, id: InstanceId, layer: Layer) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.remove(&(id, layer));
    }
}

impl Instances {
    /// Looks at an instance: at its machine, and at its guest.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn check(&self, instance: &Instance) -> Result<Checked, StoreError> {
        let (id, checks) = (instance.id, &self.parts.checks);
        if instance.state != InstanceState::Running {
            checks.forget(id, Layer::System);
            checks.forget(id, Layer::Instance);
            let (system, instance) = (Check::NotApplicable, Check::NotApplicable);
            return Ok(Checked { system, instance });
        }
        let _permit = checks.at_once.acquire().await;
        if !self.machine_answers(id).await {
            let system = checks.fails(id, Layer::System);
            let instance = Check::InsufficientData;
            return Ok(Checked { system, instance });
        }
        checks.forget(id, Layer::System);
        let instance = match guest(&self.parts, id).await? {
            Check::Failed(_) => checks.fails(id, Layer::Instance),
            other => {
                checks.forget(id, Layer::Instance);
                other
            }
        };
        let system = Check::Passed;
        Ok(Checked { system, instance })
    }

    async fn machine_answers(&self, id: InstanceId) -> bool {
        let machine = self.handle(id).and_then(|handle| handle.view.borrow().machine.clone());
        let Some(machine) = machine else { return false };
        matches!(timeout(PATIENCE, machine.request(&Request::Status)).await, Ok(Ok(_)))
    }
}

/// Whether the guest answers on its network. One without a network can't be asked more than its machine was.
async fn guest(parts: &Parts, id: InstanceId) -> Result<Check, StoreError> {
    match parts.networks.answers(id).await {
        Ok(None | Some(true)) => return Ok(Check::Passed),
        Ok(Some(false)) => {}
        Err(error) => {
            let error = crate::chain::chain(&error);
            tracing::warn!(instance = %id, %error, "A guest can't be asked whether it is there");
            return Ok(Check::InsufficientData);
        }
    }
    let milestones = parts.store.read(move |tx| store::instances::milestones(tx, id)).await?;
    let leased = milestones.iter().any(|milestone| milestone.stage == Stage::Lease);
    Ok(match leased {
        true => Check::Failed(OffsetDateTime::now_utc()),
        false => Check::Initializing,
    })
}
