//! Attaching devices to a running machine and detaching them: the plan changes with the machine, so that a reset builds
//! what is attached then.
//!
//! The supervisor calls this on the machine thread, which builds and ends devices anyway: no CPU waits for it.

use super::plan::{BootSource, Plan, PlannedDevice};
use super::report::chain;
use super::{BuildError, Machine, Workshop};
use crate::guest::{Change, Interface};
use crate::protocol::{Event, Failure, FailureKind};
use std::io;

/// Why a device was not attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Its name is another's.
    #[error("The machine already has a device {0}")]
    Taken(String),
    /// It has sockets to answer a guest on that is told nothing.
    #[error("Device {0} has sockets to answer a guest on that is told nothing")]
    Untold(String),
    /// The sockets can't be used.
    #[error("Device {id} has sockets that can't be used")]
    Sockets {
        /// The device.
        id: String,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be made or plugged in.
    #[error("Device {id} can't be attached")]
    Build {
        /// The device.
        id: String,
        /// Why.
        #[source]
        source: BuildError,
    },
}

/// Why a device is not detached.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// There is none of that name.
    #[error("The machine has no device {0}")]
    Unknown(String),
    /// The machine boots from it.
    #[error("The machine boots from device {0}, which stays for as long as it runs")]
    Root(String),
}

impl AttachError {
    /// As the protocol says it.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::Taken(_) | Self::Untold(_) => FailureKind::BadRequest,
            Self::Sockets { .. } => FailureKind::Host,
            Self::Build { .. } => FailureKind::Device,
        };
        let message = chain(self);
        Failure { kind, message }
    }
}

impl DetachError {
    /// As the protocol says it.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::Unknown(_) => FailureKind::NoSuchDevice,
            Self::Root(_) => FailureKind::BadRequest,
        };
        let message = chain(self);
        Failure { kind, message }
    }
}

impl Workshop {
    /// Attaches `device` to the machine and tells the guest, which is answered behind it from then on.
    ///
    /// # Errors
    /// See [`AttachError`]; nothing has changed then.
    pub fn attach(
        &mut self,
        machine: &Machine,
        device: PlannedDevice,
        interface: Option<Interface>,
    ) -> Result<(), AttachError> {
        let id = || device.spec.id.clone();
        if self.plan.slot_of(&device.spec.id).is_some() {
            return Err(AttachError::Taken(id()));
        }
        let served = match (interface, &self.door) {
            (None, _) => None,
            (Some(_), None) => return Err(AttachError::Untold(id())),
            (Some(interface), Some(door)) => {
                let usable = interface.set_nonblocking();
                usable.map_err(|source| AttachError::Sockets { id: id(), source })?;
                Some((door, interface))
            }
        };
        let attached = machine.pci.attach(&device);
        let slot = attached.map_err(|source| AttachError::Build { id: id(), source })?;
        if let Some((door, interface)) = served {
            door.send(Change::Come(interface));
        }
        self.plan.devices.insert(slot, device);
        Ok(())
    }

    /// Asks the guest to give up the device `id`; with `force` it is gone when this returns, and the event says so.
    ///
    /// # Errors
    /// See [`DetachError`].
    pub fn detach(&mut self, machine: &Machine, id: &str, force: bool) -> Result<Option<Event>, DetachError> {
        let slot = self.plan.detachable(id)?;
        if force {
            machine.pci.kill(slot);
            return Ok(self.forget(slot));
        }
        if let Some(device) = self.plan.devices.get_mut(&slot) {
            device.leaving = true;
        }
        machine.pci.ask_to_eject(slot);
        Ok(None)
    }

    /// Takes away what the guest has ejected; gives the events that say so.
    pub fn take_ejected(&mut self, machine: &Machine) -> Vec<Event> {
        let slots = machine.pci.take_ejected().into_iter();
        slots.filter_map(|slot| self.forget(slot)).collect()
    }

    /// Forgets the devices that were to be detached, for the next machine is built without them; gives the events that say
    /// so. The last machine must have ended.
    pub fn forget_leaving(&mut self) -> Vec<Event> {
        let slots = self.plan.leaving().into_iter();
        slots.filter_map(|slot| self.forget(slot)).collect()
    }

    /// Forgets the device in `slot`, and closes its files; gives the event that says so.
    fn forget(&mut self, slot: u8) -> Option<Event> {
        let device = self.plan.devices.remove(&slot)?;
        if let (Some(door), Some(mac)) = (&self.door, device.serves) {
            door.send(Change::Gone(mac));
        }
        drop(device.files);
        self.resting.forget(slot);
        Some(Event::Detached { device: device.spec.id })
    }
}

impl Plan {
    /// The slots of the devices that were to be detached.
    fn leaving(&self) -> Vec<u8> {
        let leaving = self.devices.iter().filter(|(_, device)| device.leaving);
        leaving.map(|(&slot, _)| slot).collect()
    }

    fn detachable(&self, id: &str) -> Result<u8, DetachError> {
        let slot = self.slot_of(id).ok_or_else(|| DetachError::Unknown(id.to_owned()))?;
        match self.boot {
            BootSource::Volume { slot: root, .. } if root == slot => Err(DetachError::Root(id.to_owned())),
            _ => Ok(slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A machine that boots from its second device.
    fn plan() -> Plan {
        let device =
            |kind, id, config, files| json!({"kind": kind, "id": id, "slot": 1, "config": config, "files": files});
        let blk = json!({"read_only": false, "queues": 1});
        let spec = json!({
            "instance_id": "i-0",
            "vcpus": 1,
            "memory": 64 << 20,
            "smbios": {"uuid": "ec2a0000-0000-4000-8000-000000000001", "product": "t3.micro"},
            "boot": {"volume": {"device": "root"}},
            "devices": [
                device("rng", "rng0", json!({}), json!([])),
                device("blk", "root", blk.clone(), json!([3])),
                device("blk", "data", blk, json!([4])),
            ],
            "kvm": 0,
            "console_log": 1,
            "report": 2,
        });
        let files = (0..5).map(|_| tempfile::tempfile().unwrap()).collect();
        let planned = Plan::new(serde_json::from_value(spec).unwrap(), files);
        planned.unwrap_or_else(|error| panic!("{}", chain(&error))).0
    }

    #[test]
    fn what_the_machine_boots_from_stays() {
        let plan = plan();
        assert_eq!(plan.detachable("data").unwrap(), 3);
        let refused = |id| plan.detachable(id).unwrap_err().failure().kind;
        assert_eq!(refused("root"), FailureKind::BadRequest);
        assert_eq!(refused("other"), FailureKind::NoSuchDevice);
    }

    #[test]
    fn what_was_to_be_detached_is_known_by_its_slot() {
        let mut plan = plan();
        assert!(plan.leaving().is_empty());
        plan.devices.get_mut(&3).unwrap().leaving = true;
        assert_eq!((plan.leaving(), plan.slot_of("data")), (vec![3], Some(3)));
    }
}
