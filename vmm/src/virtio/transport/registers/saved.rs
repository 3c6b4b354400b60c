//! What is kept of the registers, for a device to go on elsewhere.

use super::{DRIVER_OK, FEATURES_OK, NEEDS_RESET, QueueRegisters, Registers, WRITABLE};
use crate::virtio::device::QueueState;
use crate::virtio::queue::{RingAddresses, RingLayout};
use serde::{Deserialize, Serialize};

/// What must be kept of a device that stands still, to go on elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedRegisters {
    status: u8,
    accepted: u64,
    generation: u8,
    queues: Vec<SavedQueue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedQueue {
    size: u16,
    addresses: RingAddresses,
    enabled: bool,
    state: Option<QueueState>,
}

impl Registers {
    /// What must be kept. The queues must stand still.
    pub fn save(&self) -> SavedRegisters {
        let queues = self.queues.iter().map(|queue| SavedQueue {
            size: queue.size,
            addresses: queue.addresses,
            enabled: queue.enabled(),
            state: queue.state,
        });
        SavedRegisters {
            status: self.status,
            accepted: self.accepted,
            generation: self.generation,
            queues: queues.collect(),
        }
    }

    /// Takes what was kept, if it is possible; enabled rings are found good by `check`. Nothing may have run yet.
    ///
    /// # Errors
    /// What is impossible.
    pub fn restore<E>(
        &mut self,
        saved: SavedRegisters,
        check: impl Fn(&QueueRegisters) -> Result<RingLayout, E>,
    ) -> Result<(), &'static str> {
        if saved.queues.len() != self.queues.len() {
            return Err("number of queues");
        }
        self.accepted = saved.accepted;
        if saved.status & FEATURES_OK != 0 && !self.features_agree() {
            return Err("features");
        }
        for (queue, saved) in self.queues.iter_mut().zip(saved.queues) {
            queue.size = saved.size;
            queue.addresses = saved.addresses;
            queue.state = saved.state;
            if saved.enabled {
                queue.enabled = Some(check(queue).map_err(|_| "rings")?);
            }
        }
        self.status = saved.status & (WRITABLE | NEEDS_RESET);
        self.generation = saved.generation;
        // Queues ran before, so the next reset must reach the device.
        self.touched = self.status & DRIVER_OK != 0;
        Ok(())
    }
}
