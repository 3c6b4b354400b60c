//! The status checks of running instances, as DescribeInstanceStatus tells them: the machine answers, and so does its guest.
//!
//! Each look is a new one; only since when a check fails is remembered.

use super::{Instances, Parts};
use crate::model::{Instance, InstanceId, InstanceState, Stage};
use crate::store::{self, StoreError};
use kiln_vmm::protocol::Request;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    failing: Mutex<HashMap<InstanceId, Failing>>,
    at_once: Semaphore,
}

/// Since when what fails, of the start at that time.
#[derive(Debug, Clone, Copy)]
struct Failing {
    launched: OffsetDateTime,
    layer: Layer,
    since: OffsetDateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Instances {
    /// Looks at an instance: at its machine, and at its guest.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn check(&self, instance: &Instance) -> Result<Checked, StoreError> {
        if instance.state != InstanceState::Running {
            self.mend(instance.id);
            let (system, instance) = (Check::NotApplicable, Check::NotApplicable);
            return Ok(Checked { system, instance });
        }
        let _permit = self.parts.checks.at_once.acquire().await;
        if !self.machine_answers(instance.id).await {
            let system = self.fails(instance, Layer::System);
            let instance = Check::InsufficientData;
            return Ok(Checked { system, instance });
        }
        let guest = match guest(&self.parts, instance.id).await? {
            Some(well) => {
                self.mend(instance.id);
                well
            }
            None => self.fails(instance, Layer::Instance),
        };
        let system = Check::Passed;
        Ok(Checked {
            system,
            instance: guest,
        })
    }

    async fn machine_answers(&self, id: InstanceId) -> bool {
        let machine = self.handle(id).and_then(|handle| handle.view.borrow().machine.clone());
        let Some(machine) = machine else { return false };
        matches!(timeout(PATIENCE, machine.request(&Request::Status)).await, Ok(Ok(_)))
    }

    /// A failure since now, or since it was first seen after this start.
    fn fails(&self, instance: &Instance, layer: Layer) -> Check {
        let launched = instance.launched;
        let mut failing = self.failing();
        let known = failing.get(&instance.id).copied();
        let same = known.filter(|known| known.launched == launched && known.layer == layer);
        let now = || Failing {
            launched,
            layer,
            since: OffsetDateTime::now_utc(),
        };
        let failure = same.unwrap_or_else(now);
        // Instances that are gone are not remembered.
        failing.retain(|&id, _| self.handle(id).is_some());
        failing.insert(instance.id, failure);
        Check::Failed(failure.since)
    }

    fn mend(&self, id: InstanceId) {
        self.failing().remove(&id);
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<InstanceId, Failing>> {
        let failing = &self.parts.checks.failing;
        failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the guest is, by whether it answers on its network; none if it should and does not. One without a network can't be
/// asked more than its machine was.
async fn guest(parts: &Parts, id: InstanceId) -> Result<Option<Check>, StoreError> {
    // First, or an address that is given while the guest is asked would make its silence a failure.
    let milestones = parts.store.read(move |tx| store::instances::milestones(tx, id)).await?;
    let leased = milestones.iter().any(|milestone| milestone.stage == Stage::Lease);
    Ok(match parts.networks.answers(id).await {
        Ok(None | Some(true)) => Some(Check::Passed),
        Ok(Some(false)) if leased => None,
        Ok(Some(false)) => Some(Check::Initializing),
        Err(error) => {
            let error = crate::chain::chain(&error);
            tracing::warn!(instance = %id, %error, "A guest can't be asked whether it is there");
            Some(Check::InsufficientData)
        }
    })
}
