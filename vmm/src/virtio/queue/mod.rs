//! The split virtqueue (virtio 1.2, 2.7), from the device's side.
//!
//! Index keeping, the used ring and doorbell suppression are those of the `virtio-queue` crate. What that crate leaves to
//! trust is checked here: where the rings lie ([`RingLayout`]), each chain as a whole ([`Chain`]), and that a driver
//! never has more requests under way than its queue has entries. What it can't do is here too: several requests given
//! back at once, and their interrupt. An error means that the driver is broken: the device must stop the queue and say
//! so by [`DriverLink::needs_reset`](super::device::DriverLink::needs_reset).

mod chain;
pub mod cursor;
mod layout;

pub use chain::{Buffer, Chain, ChainError, MAX_CHAIN};
pub use layout::{MAX_QUEUE_SIZE, RingAddresses, RingLayout, RingLayoutError};

use super::device::QueueState;
use std::sync::atomic::{Ordering, fence};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC, VRING_AVAIL_F_NO_INTERRUPT};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// How a driver broke a queue.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// A chain that breaks the rules.
    #[error("The driver made a malformed request available")]
    Chain(#[from] ChainError),
    /// The available ring's index, or the rings themselves.
    #[error("The driver's rings can't be used")]
    Ring(#[source] virtio_queue::Error),
    /// What serves the queue in the kernel did not take it.
    #[error("The kernel does not serve the queue")]
    Kernel(#[source] std::io::Error),
    /// More requests under way than there are descriptors for.
    #[error("The driver made more than {size} requests available at once")]
    TooMany {
        /// The size of the queue.
        size: u16,
    },
}

impl From<virtio_queue::Error> for RingError {
    fn from(source: virtio_queue::Error) -> Self {
        Self::Ring(source)
    }
}

/// One queue that runs. Memory is handed to each call, as what is mapped may change.
pub struct Ring {
    queue: Queue,
    indirect: bool,
    /// Where the used ring stood when [`Self::needs_interrupt`] was last asked.
    told: u16,
}

impl Ring {
    /// A queue at `layout` under the negotiated `features`, from its beginning or from `state`.
    ///
    /// # Errors
    /// `state` says that more requests are under way than the queue has entries.
    pub fn new(layout: &RingLayout, features: u64, state: Option<QueueState>) -> Result<Self, RingError> {
        let size = layout.size();
        let addresses = layout.addresses();
        let mut queue = Queue::new(size)?;
        queue.try_set_desc_table_address(GuestAddress(addresses.descriptors))?;
        queue.try_set_avail_ring_address(GuestAddress(addresses.available))?;
        queue.try_set_used_ring_address(GuestAddress(addresses.used))?;
        queue.set_event_idx(features & (1 << VIRTIO_RING_F_EVENT_IDX) != 0);
        queue.set_ready(true);
        let QueueState { next_avail, next_used } = state.unwrap_or_default();
        if next_avail.wrapping_sub(next_used) > size {
            return Err(RingError::TooMany { size });
        }
        queue.set_next_avail(next_avail);
        queue.set_next_used(next_used);
        let indirect = features & (1 << VIRTIO_RING_F_INDIRECT_DESC) != 0;
        Ok(Self {
            queue,
            indirect,
            told: next_used,
        })
    }

    /// Where the queue stands.
    pub fn state(&self) -> QueueState {
        QueueState {
            next_avail: self.queue.next_avail(),
            next_used: self.queue.next_used(),
        }
    }

    /// The number of entries.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// How many requests were taken and not yet given back.
    pub fn in_flight(&self) -> u16 {
        self.queue.next_avail().wrapping_sub(self.queue.next_used())
    }

    /// Takes the next request, if there is one.
    ///
    /// # Errors
    /// The driver is broken.
    pub fn pop(&mut self, memory: &GuestMemoryMmap) -> Result<Option<Chain>, RingError> {
        let size = self.queue.size();
        let base = GuestAddress(self.queue.desc_table());
        let available = self.queue.avail_idx(memory, Ordering::Acquire)?.0;
        let new = available.wrapping_sub(self.queue.next_avail());
        if new == 0 {
            return Ok(None);
        }
        if u32::from(new) + u32::from(self.in_flight()) > u32::from(size) {
            return Err(RingError::TooMany { size });
        }
        let chain = self.queue.iter(memory)?.next();
        let head = chain.ok_or(virtio_queue::Error::FindMemoryRegion)?.head_index();
        Ok(Some(Chain::read(memory, base, size, head, self.indirect)?))
    }

    /// Puts the last `count` requests that were taken back, to be taken again. None of them may have been given back.
    pub fn unpop(&mut self, count: u16) {
        let count = count.min(self.in_flight());
        self.queue.set_next_avail(self.queue.next_avail().wrapping_sub(count));
    }

    /// Gives the request that began at `head` back, with the first `written` bytes of its writable buffers filled.
    ///
    /// # Errors
    /// The used ring is not in memory any more.
    pub fn push(&mut self, memory: &GuestMemoryMmap, head: u16, written: u32) -> Result<(), RingError> {
        Ok(self.queue.add_used(memory, head, written)?)
    }

    /// Gives several requests back, each as [`Self::push`] does, but so that the driver sees all of them or none.
    ///
    /// # Errors
    /// The used ring is not in memory any more.
    pub fn push_together(&mut self, memory: &GuestMemoryMmap, used: &[(u16, u32)]) -> Result<(), RingError> {
        let Some((&(head, written), before)) = used.split_last() else {
            return Ok(());
        };
        for &(head, written) in before {
            let next = self.queue.next_used();
            let entry = self.queue.used_ring() + 4 + 8 * u64::from(next % self.queue.size());
            memory
                .write_obj([u32::from(head).to_le(), written.to_le()], GuestAddress(entry))
                .map_err(virtio_queue::Error::GuestMemory)?;
            self.queue.set_next_used(next.wrapping_add(1));
        }
        // Only this moves the index that the driver sees.
        self.push(memory, head, written)
    }

    /// Whether the driver wants an interrupt for what was pushed since this was last asked (virtio 1.2, 2.7.7.2).
    ///
    /// # Errors
    /// The available ring is not in memory any more.
    pub fn needs_interrupt(&mut self, memory: &GuestMemoryMmap) -> Result<bool, RingError> {
        let used = self.queue.next_used();
        let new = used.wrapping_sub(std::mem::replace(&mut self.told, used));
        // The used index must be seen before the driver is asked.
        fence(Ordering::SeqCst);
        let load = |address| -> Result<u16, RingError> {
            let value: Result<u16, _> = memory.load(GuestAddress(address), Ordering::Relaxed);
            Ok(u16::from_le(value.map_err(virtio_queue::Error::GuestMemory)?))
        };
        if self.queue.event_idx_enabled() {
            let event = load(self.queue.avail_ring() + 4 + 2 * u64::from(self.queue.size()))?;
            return Ok(used.wrapping_sub(event).wrapping_sub(1) < new);
        }
        Ok(u32::from(load(self.queue.avail_ring())?) & VRING_AVAIL_F_NO_INTERRUPT == 0)
    }

    /// Asks the driver for a doorbell with its next request. True if one has come meanwhile: take it first.
    ///
    /// # Errors
    /// The rings are not in memory any more.
    pub fn enable_doorbell(&mut self, memory: &GuestMemoryMmap) -> Result<bool, RingError> {
        Ok(self.queue.enable_notification(memory)?)
    }

    /// Tells the driver that doorbells are not needed, as its requests are being taken.
    ///
    /// # Errors
    /// The used ring is not in memory any more.
    pub fn disable_doorbell(&mut self, memory: &GuestMemoryMmap) -> Result<(), RingError> {
        Ok(self.queue.disable_notification(memory)?)
    }
}

#[cfg(test)]
mod tests;
