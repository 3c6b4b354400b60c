//! The instances of a host: one actor each, and [`Instances`], through which the API reaches them.
//!
//! ```text
//! api ──► Instances ──► mailbox ──► Actor ──► Record (store, then watchers and events)
//!                                     │
//!                                     ├──► launch: volumes, monitor, machine
//!                                     ├──► plan:   power button, force
//!                                     └──► finish: clear the machine, release the volumes, purge
//! ```
//! What a request means in a state is decided by `policy`, which is pure. At the daemon's start `adopt` finds out what
//! became of each instance while no daemon was there.

mod actor;
mod adopt;
mod amend;
mod ask;
mod capacity;
mod checks;
mod copy;
mod devices;
mod ending;
mod events;
mod finish;
mod follow;
mod hotplug;
mod identity;
mod instance_store;
mod interfaces;
mod keys;
mod launch;
mod metadata;
mod modify;
mod plan;
mod policy;
mod public_addresses;
mod record;
mod replace_root;
mod run;
mod spec;
mod surroundings;
mod told;
mod volumes;

pub use amend::AmendError;
pub use ask::{AskError, StateChange, judge};
pub use capacity::{Capacity, InsufficientCapacity};
pub use checks::{Check, Checked, Checks};
pub use copy::{CopyError, CopyOrder, Instant as CopyInstant};
pub use devices::MAX_INTERFACES;
pub use events::{Events, Happened, InstanceEvent};
pub use hotplug::{HotplugError, Part, PlugError};
pub use identity::{IdentityKey, IdentityKeyError};
pub use interfaces::{
    AddressOrder, InterfaceError, InterfaceOrder, InterfacePlace, LaunchInterface, MAX_ADDRESSES, assign,
    create as create_interface, remove as remove_interface,
};
pub use keys::SendKeyError;
#[cfg(test)]
pub(crate) use metadata::Facts;
pub use metadata::InterfaceFacts;
pub use modify::ModifyVolumeError;
pub use policy::Ask;
pub use public_addresses::free as free_public_address;
pub use record::{ReserveError, View};
pub use run::{LaunchOrder, LaunchOrderError, Launched, VolumeOrder};
pub use told::{TellError, ToldError};
pub use volumes::{AttachVolumeError, VolumePlace, max_volumes};

use crate::config::Place;
use crate::machine::{ControlError, Machine, Machines};
use crate::model::{Instance, InstanceId, NetworkInterfaceId, VolumeId};
use crate::network::Networks;
use crate::store::layout::Layout;
use crate::store::machines::MachineRecord;
use crate::store::{self, Store, StoreError};
use crate::volumes::Volumes;
use actor::{Actor, Message, Phase};
use hotplug::{Change, Hotplug, Placed};
use ipnet::Ipv4Net;
use record::Record;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How many requests to one instance may wait.
const MAILBOX: usize = 32;

/// What all actors share.
#[derive(Debug)]
pub struct Parts {
    /// What the daemon knows.
    pub store: Store,
    /// Where things lie.
    pub layout: Layout,
    /// Volumes and files.
    pub volumes: Volumes,
    /// Monitors.
    pub machines: Machines,
    /// VPCs.
    pub networks: Networks,
    /// Addresses that the host was given for guests.
    pub public_pool: Vec<Ipv4Net>,
    /// Whether the host's kernel may move guests' frames.
    pub vhost_net: bool,
    /// What signs identity documents.
    pub identity: IdentityKey,
    /// Where this host says it is.
    pub place: Place,
    /// What is remembered of status checks.
    pub checks: Checks,
    /// What the host can hold.
    pub capacity: Capacity,
    /// Where events are told.
    pub events: Events,
    /// How long a guest may take to power itself off.
    pub stop_time_limit: Duration,
    /// How long a terminated instance stays on record.
    pub retention: Duration,
}

/// Why the instances on record could not be taken up.
#[derive(Debug, thiserror::Error)]
#[error("The instances on record can't be read")]
pub struct AdoptError(#[from] StoreError);

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// There is no such instance.
    #[error("The instance {0} does not exist")]
    NotFound(InstanceId),
    /// It has no machine.
    #[error("The instance {0} does not run: it has no console")]
    NotRunning(InstanceId),
    /// Its monitor refused.
    #[error("The console of {instance} can't be reached")]
    Control {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ControlError,
    },
}

/// Why there is no connection to a port of a guest's vsock device.
#[derive(Debug, thiserror::Error)]
pub enum VsockError {
    /// There is no such instance.
    #[error("The instance {0} does not exist")]
    NotFound(InstanceId),
    /// It has no machine.
    #[error("The instance {0} does not run: nothing can be connected to")]
    NotRunning(InstanceId),
    /// Its guest or its monitor refused.
    #[error("The vsock port {port} of {instance} can't be connected to")]
    Control {
        /// The instance.
        instance: InstanceId,
        /// The port.
        port: u32,
        /// Why.
        source: ControlError,
    },
}

type Actors = Mutex<HashMap<InstanceId, Handle>>;

#[derive(Debug, Clone)]
struct Handle {
    mailbox: mpsc::Sender<Message>,
    view: watch::Receiver<View>,
}

/// The instances of this host; clones are the same ones.
#[derive(Debug, Clone)]
pub struct Instances {
    parts: Arc<Parts>,
    actors: Arc<Actors>,
}

impl Instances {
    /// Takes up the instances on record, as they are found. When this returns, their states are true.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn adopt(parts: Parts) -> Result<Self, AdoptError> {
        let parts = Arc::new(parts);
        parts.volumes.recover().await?;
        copy::recover(&parts).await?;
        let read = parts
            .store
            .read(|tx| Ok::<_, StoreError>((store::instances::list(tx)?, store::machines::list(tx)?)));
        let (instances, machines) = read.await?;
        let mut machines: HashMap<InstanceId, MachineRecord> = machines
            .into_iter()
            .map(|machine| (machine.instance, machine))
            .collect();
        let this = Self {
            parts,
            actors: Arc::default(),
        };
        let mut found = JoinSet::new();
        for instance in instances {
            let (parts, machine) = (Arc::clone(&this.parts), machines.remove(&instance.id));
            let mut record = this.record(instance);
            found.spawn(async move {
                let phase = adopt::adopt(&parts, &mut record, machine).await;
                (record, phase)
            });
        }
        while let Some(adopted) = found.join_next().await {
            match adopted {
                Ok((record, phase)) => this.spawn(record, phase),
                Err(error) => tracing::error!(%error, "An instance could not be taken up"),
            }
        }
        this.finish_modifying().await?;
        this.go_on_replacing().await?;
        if let Err(error) = this.parts.networks.recover().await {
            tracing::error!(error = %crate::chain::chain(&error), "The networks could not be taken up");
        }
        Ok(this)
    }

    fn record(&self, instance: Instance) -> Record {
        Record::new(instance, self.parts.store.clone(), self.parts.events.clone())
    }

    /// Gives an instance its actor.
    fn spawn(&self, record: Record, phase: Phase) {
        let id = record.instance.id;
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let handle = Handle {
            mailbox,
            view: record.watch(),
        };
        self.lock().insert(id, handle);
        let actor = Actor::new(Arc::clone(&self.parts), record, messages, phase);
        // Weak: the actors end when the last [`Instances`] goes and takes their mailboxes along.
        let actors: Weak<Actors> = Arc::downgrade(&self.actors);
        tokio::spawn(async move {
            actor.run().await;
            if let Some(actors) = actors.upgrade() {
                actors.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, Handle>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, id: InstanceId) -> Option<Handle> {
        self.lock().get(&id).cloned()
    }

    /// Launches instances: answers when they are on record, pending, and their capacity is reserved. All of at least the
    /// wanted number, or none.
    ///
    /// # Errors
    /// See [`LaunchOrderError`]; nothing was made then.
    pub async fn launch(&self, order: LaunchOrder) -> Result<Launched, LaunchOrderError> {
        for volume in &order.volumes {
            if let Some(snapshot) = volume.snapshot {
                let room = self.parts.volumes.check_room(snapshot, order.min.into()).await;
                room.map_err(LaunchOrderError::Space)?;
            }
        }
        let (capacity, pool) = (self.parts.capacity, self.parts.public_pool.clone());
        let launched = self
            .parts
            .store
            .write(move |tx| run::record(tx, &order, (capacity, &pool)))
            .await?;
        if launched.new {
            for instance in &launched.instances {
                let what = Happened::State {
                    previous: None,
                    state: instance.state,
                    reason: None,
                };
                self.parts.events.tell(instance.id, what);
                let phase = Phase::launching(&self.parts, instance);
                self.spawn(self.record(instance.clone()), phase);
            }
        }
        Ok(launched)
    }

    /// Asks the same of several instances: of all, or, if one of them is in a wrong state or protected, of none. Answers when the
    /// new states are durable; what they lead to goes on by itself.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, ids: &[InstanceId], ask: Ask) -> Result<Vec<StateChange>, AskError> {
        let mut handles = Vec::with_capacity(ids.len());
        for &id in ids {
            let handle = self.handle(id).ok_or(AskError::NotFound(id))?;
            let (standing, protection) = {
                let view = handle.view.borrow();
                ((view.state, view.rebooting), view.protection)
            };
            judge(id, standing, protection, ask)?;
            handles.push(handle);
        }
        let mut answers = Vec::with_capacity(handles.len());
        for handle in handles {
            let (answer, change) = oneshot::channel();
            handle
                .mailbox
                .send(Message::Ask(ask, answer))
                .await
                .map_err(|_| AskError::Closing)?;
            answers.push(change);
        }
        let mut changes = Vec::with_capacity(answers.len());
        for answer in answers {
            changes.push(answer.await.map_err(|_| AskError::Closing)??);
        }
        Ok(changes)
    }

    /// Attaches an interface to an instance: a running guest finds it when this returns, a stopped one at its next start. A
    /// rehearsal checks all that the real one does, and fails nevertheless.
    ///
    /// # Errors
    /// See [`HotplugError`]; it is not attached then.
    pub async fn attach_interface(
        &self,
        id: InstanceId,
        interface: NetworkInterfaceId,
        place: InterfacePlace,
        rehearsal: bool,
    ) -> Result<(), HotplugError> {
        let placed = Placed::Interface(interface, place);
        self.hotplug(id, Change::Attach { placed, rehearsal }).await
    }

    /// As [`Self::attach_interface`], a volume.
    ///
    /// # Errors
    /// See [`HotplugError`]; it is not attached then.
    pub async fn attach_volume(
        &self,
        id: InstanceId,
        volume: VolumeId,
        place: VolumePlace,
        rehearsal: bool,
    ) -> Result<(), HotplugError> {
        let placed = Placed::Volume(volume, place);
        self.hotplug(id, Change::Attach { placed, rehearsal }).await
    }

    /// Detaches a part: from a running guest when that has let go of it, or at once, with force.
    ///
    /// # Errors
    /// See [`HotplugError`].
    pub async fn detach(&self, id: InstanceId, part: Part, force: bool) -> Result<(), HotplugError> {
        self.hotplug(id, Change::Detach { part, force }).await
    }

    async fn hotplug(&self, id: InstanceId, what: Change) -> Result<(), HotplugError> {
        let handle = self.handle(id).ok_or(HotplugError::NoInstance(id))?;
        let (answer, answered) = oneshot::channel();
        let message = Message::Hotplug(Hotplug { what, answer });
        handle.mailbox.send(message).await.map_err(|_| HotplugError::Closing)?;
        answered.await.map_err(|_| HotplugError::Closing)?
    }

    /// The serial console of a running instance, both ways: bytes that nobody here looks at.
    ///
    /// # Errors
    /// See [`ConsoleError`].
    pub async fn console(&self, id: InstanceId) -> Result<BufReader<UnixStream>, ConsoleError> {
        let machine = self.machine(id).ok_or(ConsoleError::NotFound(id))?;
        let machine = machine.ok_or(ConsoleError::NotRunning(id))?;
        machine
            .console()
            .await
            .map_err(|source| ConsoleError::Control { instance: id, source })
    }

    /// A connection to a port of a running guest's vsock device, both ways.
    ///
    /// # Errors
    /// See [`VsockError`].
    pub async fn vsock(&self, id: InstanceId, port: u32) -> Result<BufReader<UnixStream>, VsockError> {
        let machine = self.machine(id).ok_or(VsockError::NotFound(id))?;
        let machine = machine.ok_or(VsockError::NotRunning(id))?;
        machine.vsock(port).await.map_err(|source| VsockError::Control {
            instance: id,
            port,
            source,
        })
    }

    /// The machine of an instance, if it has one; none if there is no such instance.
    fn machine(&self, id: InstanceId) -> Option<Option<Arc<Machine>>> {
        self.handle(id).map(|handle| handle.view.borrow().machine.clone())
    }

    /// Brings what a guest is told of itself up to what is on record; one that does not run is told at its start.
    ///
    /// # Errors
    /// See [`TellError`].
    pub async fn tell(&self, id: InstanceId) -> Result<(), TellError> {
        match self.machine(id).flatten() {
            Some(machine) => told::tell(&self.parts, id, &machine).await,
            None => Ok(()),
        }
    }

    /// What can be seen of an instance as it changes; none if there is no such instance.
    pub fn watch(&self, id: InstanceId) -> Option<watch::Receiver<View>> {
        self.handle(id).map(|handle| handle.view)
    }

    /// What all actors share.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}
