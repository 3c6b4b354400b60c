//! Block devices that rest while the daemon copies what is behind them, and such as have grown.
//!
//! The supervisor calls this on the machine thread. Who asked is known by its connection: when that ends, however it does,
//! the devices go on.

use super::hotplug::DetachError;
use super::report::chain;
use super::{Machine, Workshop};
use crate::protocol::{Failure, FailureKind};
use crate::virtio::blk::Limits;
use crate::virtio::device::ResizeError;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Seek, SeekFrom};

/// Which slots rest, by the connections that asked for it.
#[derive(Debug, Default)]
pub struct Resting {
    slots: BTreeMap<u64, BTreeSet<u8>>,
    /// What was asked for from the next reset on: the devices' names.
    put_off: BTreeMap<u64, Vec<String>>,
}

/// Why a device was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is none of that name.
    #[error("The machine has no device {0}")]
    Unknown(String),
    /// Its file can't be measured.
    #[error("The file of device {id} can't be measured")]
    Measure {
        /// The device.
        id: String,
        /// What the system said.
        source: io::Error,
    },
    /// The device can't take it.
    #[error("Device {id} can't have {bytes} bytes")]
    Resize {
        /// The device.
        id: String,
        /// Its new size.
        bytes: u64,
        /// Why.
        source: ResizeError,
    },
}

impl ChangeError {
    /// As the protocol says it.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::Unknown(_) => FailureKind::NoSuchDevice,
            Self::Measure { .. } => FailureKind::Host,
            Self::Resize { .. } => FailureKind::Device,
        };
        let message = chain(self);
        Failure { kind, message }
    }
}

impl Resting {
    fn rests(&self, slot: u8) -> bool {
        self.slots.values().any(|slots| slots.contains(&slot))
    }

    /// A slot is empty now, and what comes there next goes on at once.
    pub fn forget(&mut self, slot: u8) {
        for slots in self.slots.values_mut() {
            slots.remove(&slot);
        }
    }

    /// The devices `ids` are to rest for `asker` from the next reset on.
    pub fn put_off(&mut self, asker: u64, ids: Vec<String>) {
        self.put_off.insert(asker, ids);
    }

    /// What was put off until the reset that was just now.
    pub fn take_put_off(&mut self) -> BTreeMap<u64, Vec<String>> {
        std::mem::take(&mut self.put_off)
    }
}

impl Workshop {
    /// Has the devices `ids` rest for `asker`: when this returns, what was under way is durable.
    ///
    /// # Errors
    /// One is not there; then none rests for it.
    pub fn quiesce(&mut self, machine: &Machine, ids: &[String], asker: u64) -> Result<(), DetachError> {
        let slot = |id: &String| self.plan.slot_of(id).ok_or_else(|| DetachError::Unknown(id.clone()));
        let slots: BTreeSet<u8> = ids.iter().map(slot).collect::<Result<_, _>>()?;
        for &slot in &slots {
            machine.pci.pause(slot);
        }
        self.resting.slots.insert(asker, slots);
        Ok(())
    }

    /// Lets those go on that rested for `asker` alone.
    pub fn release(&mut self, machine: &Machine, asker: u64) {
        self.resting.put_off.remove(&asker);
        for slot in self.resting.slots.remove(&asker).unwrap_or_default() {
            if !self.resting.rests(slot) {
                machine.pci.resume(slot);
            }
        }
    }

    /// Has those rest in a machine that was built anew which rested in the last one. It must not run yet.
    pub fn rest_again(&self, machine: &Machine) {
        for &slot in self.plan.devices.keys().filter(|slot| self.resting.rests(**slot)) {
            machine.pci.pause(slot);
        }
    }

    /// Gives a block device other limits, in this life of the machine and all that follow.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn limit(&mut self, id: &str, limits: Limits) -> Result<(), ChangeError> {
        let unknown = || ChangeError::Unknown(id.to_owned());
        let slot = self.plan.slot_of(id).filter(|_| self.limiters.adjust(id, limits));
        let device = slot
            .and_then(|slot| self.plan.devices.get_mut(&slot))
            .ok_or_else(unknown)?;
        device.spec.config["limits"] = serde_json::json!(limits);
        Ok(())
    }

    /// Gives a block device the size that its file has now, and tells the driver.
    ///
    /// # Errors
    /// See [`ChangeError`]; it has its old size then.
    pub fn grow(&mut self, machine: &Machine, id: &str) -> Result<(), ChangeError> {
        let unknown = || ChangeError::Unknown(id.to_owned());
        let slot = self.plan.slot_of(id).ok_or_else(unknown)?;
        let file = self.plan.devices.get(&slot).and_then(|device| device.files.first());
        let mut file = file.ok_or_else(unknown)?;
        let measured = file.seek(SeekFrom::End(0));
        let bytes = measured.map_err(|source| ChangeError::Measure {
            id: id.to_owned(),
            source,
        })?;
        let resized = machine.pci.resize(slot, bytes);
        resized.map_err(|source| ChangeError::Resize {
            id: id.to_owned(),
            bytes,
            source,
        })
    }
}
