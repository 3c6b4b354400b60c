//! An instance's record: written by its actor alone, durable before anybody hears of it.

use super::amend::AmendError;
use super::capacity::{Capacity, InsufficientCapacity};
use super::events::{Events, Happened};
use super::public_addresses;
use crate::machine::Machine;
use crate::model::{Amendment, Instance, InstanceState, Milestone, Protection, ReasonCode, Stage, StateReason};
use crate::store::{Store, StoreError, instance_attributes, instances};
use ipnet::Ipv4Net;
use rusqlite::Connection;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::watch;

/// What others see of an instance without asking its actor.
#[derive(Debug, Clone)]
pub struct View {
    /// Its state, which is durable.
    pub state: InstanceState,
    /// Whether it is rebooting.
    pub rebooting: bool,
    /// What holds off requests to take it down.
    pub protection: Protection,
    /// Its machine, while there is one.
    pub machine: Option<Arc<Machine>>,
}

/// Why an instance could not be made pending again.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// The host is too full.
    #[error(transparent)]
    Capacity(#[from] InsufficientCapacity),
    /// The store refused.
    #[error("The instance's record can't be written")]
    Store(#[from] StoreError),
}

/// The record and those who watch it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) instance: Instance,
    store: Store,
    events: Events,
    view: watch::Sender<View>,
}

impl Record {
    pub(super) fn new(instance: Instance, store: Store, events: Events) -> Self {
        let view = View {
            state: instance.state,
            rebooting: instance.rebooting,
            protection: instance.attributes.protection,
            machine: None,
        };
        Self {
            instance,
            store,
            events,
            view: watch::Sender::new(view),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Shows or hides the machine.
    pub(super) fn show_machine(&self, machine: Option<Arc<Machine>>) {
        self.view.send_modify(|view| view.machine = machine);
    }

    /// Puts the instance into a state; the reason stays as it is if none is given.
    pub(super) async fn enter(
        &mut self,
        state: InstanceState,
        reason: Option<(ReasonCode, String)>,
    ) -> Result<(), StoreError> {
        let now = OffsetDateTime::now_utc();
        self.change(|instance| {
            debug_assert!(
                instance.state.may_become(state),
                "{} may not become {state}",
                instance.state
            );
            instance.state = state;
            if let Some((code, detail)) = reason {
                instance.reason = Some(StateReason { code, detail, at: now });
            }
            match state {
                InstanceState::Running => {
                    instance.ran = true;
                    instance.reason = None;
                }
                InstanceState::Stopping | InstanceState::ShuttingDown => instance.rebooting = false,
                InstanceState::Terminated => {
                    instance.terminated = Some(now);
                    instance.kernel = None;
                    instance.ramdisk = None;
                }
                InstanceState::Pending | InstanceState::Stopped => {}
            }
        })
        .await
    }

    /// Begins or ends a reboot.
    pub(super) async fn set_rebooting(&mut self, rebooting: bool) -> Result<(), StoreError> {
        self.change(|instance| instance.rebooting = rebooting).await?;
        if rebooting {
            self.events.tell(self.instance.id, Happened::Rebooting);
        }
        Ok(())
    }

    /// Makes a stopped instance pending, if the host can hold it, with public addresses of the pool.
    pub(super) async fn reserve(&mut self, capacity: Capacity, pool: Vec<Ipv4Net>) -> Result<(), ReserveError> {
        let now = OffsetDateTime::now_utc();
        let pending = Instance {
            state: InstanceState::Pending,
            reason: None,
            launched: now,
            ..self.instance.clone()
        };
        let row = pending.clone();
        let reserved = self.store.write(move |tx| {
            capacity.fit(instances::held_capacity(tx)?, &row.instance_type, 1, 1)?;
            public_addresses::give(tx, &pool, row.id)?;
            instances::forget_milestones(tx, row.id)?;
            instances::reach(
                tx,
                row.id,
                Milestone {
                    stage: Stage::Requested,
                    at: now,
                },
            )?;
            instances::update(tx, &row).map_err(ReserveError::Store)
        });
        reserved.await?;
        self.publish(pending);
        Ok(())
    }

    /// Begins the timeline of a boot that no start asked for: a reboot's.
    pub(super) async fn restart_timeline(&self) -> Result<(), StoreError> {
        let (id, at) = (self.instance.id, OffsetDateTime::now_utc());
        let restarted = self.store.write(move |tx| {
            instances::forget_milestones(tx, id)?;
            instances::reach(
                tx,
                id,
                Milestone {
                    stage: Stage::Requested,
                    at,
                },
            )?;
            Ok(())
        });
        restarted.await
    }

    /// Notes that a step of the start was reached.
    pub(super) async fn reach(&self, milestone: Milestone) {
        reach(&self.store, &self.events, &self.instance, milestone).await;
    }

    pub(super) fn tell(&self, what: Happened) {
        self.events.tell(self.instance.id, what);
    }

    /// Changes what is no state.
    pub(super) async fn amend(&mut self, amendment: Amendment) -> Result<(), AmendError> {
        amendment.check(&self.instance)?;
        let mut changed = self.instance.clone();
        amendment.apply(&mut changed);
        let row = changed.clone();
        let written = self.store.write(move |tx| instance_attributes::amend(tx, &row));
        written.await?;
        self.publish(changed);
        Ok(())
    }

    async fn change(&mut self, change: impl FnOnce(&mut Instance)) -> Result<(), StoreError> {
        self.change_with(change, |_| Ok(())).await
    }

    /// Changes the record together with something else.
    pub(super) async fn change_with(
        &mut self,
        change: impl FnOnce(&mut Instance),
        also: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.change_if(change, |tx| also(tx).map(|()| true)).await.map(drop)
    }

    /// Changes the record if something else can be done in the same transaction; gives whether it was.
    pub(super) async fn change_if(
        &mut self,
        change: impl FnOnce(&mut Instance),
        can: impl FnOnce(&Connection) -> Result<bool, StoreError> + Send + 'static,
    ) -> Result<bool, StoreError> {
        let mut changed = self.instance.clone();
        change(&mut changed);
        let row = changed.clone();
        let done = self.store.write(move |tx| {
            let done = can(tx)?;
            if done {
                instances::update(tx, &row)?;
            }
            Ok::<_, StoreError>(done)
        });
        let done = done.await?;
        if done {
            self.publish(changed);
        }
        Ok(done)
    }

    fn publish(&mut self, changed: Instance) {
        let previous = std::mem::replace(&mut self.instance, changed).state;
        let (state, rebooting) = (self.instance.state, self.instance.rebooting);
        let protection = self.instance.attributes.protection;
        self.view
            .send_modify(|view| (view.state, view.rebooting, view.protection) = (state, rebooting, protection));
        if previous != state {
            let reason = self.instance.reason.as_ref().map(StateReason::message);
            tracing::info!(instance = %self.instance.id, %previous, %state, reason, "An instance changed its state");
            self.events.tell(
                self.instance.id,
                Happened::State {
                    previous: Some(previous),
                    state,
                    reason,
                },
            );
        }
    }
}

/// Notes that an instance reached a step of its start; a timeline that can't be written stops no guest.
pub(super) async fn reach(store: &Store, events: &Events, instance: &Instance, milestone: Milestone) {
    let id = instance.id;
    match store.write(move |tx| instances::reach(tx, id, milestone)).await {
        Ok(true) => events.tell(id, Happened::Reached(milestone.stage)),
        // The machine tells its story anew to each daemon that finds it.
        Ok(false) => {}
        Err(error) => tracing::warn!(instance = %id, %error, "A timeline could not be written"),
    }
}
