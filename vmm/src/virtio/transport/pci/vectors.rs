//! Which MSI-X vector tells what, as the driver chose, and the interrupt status register (virtio 1.2, 4.1.4.5).

use crate::pci::msix::{Msix, Vector};
use crate::virtio::device::QueueInterrupt;
use crate::virtio::transport::Interrupts;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use vmm_sys_util::eventfd::EventFd;

/// The vector number that means none.
pub const NO_VECTOR: u16 = 0xffff;
const ISR_QUEUE: u8 = 1;
const ISR_CONFIGURATION: u8 = 2;

/// The vectors of one device.
pub struct Vectors {
    msix: Arc<Msix>,
    configuration: AtomicU16,
    queues: Arc<[AtomicU16]>,
    status: Arc<AtomicU8>,
}

impl Vectors {
    /// No vector chosen, for a device with `queues` queues.
    pub fn new(msix: Arc<Msix>, queues: usize) -> Self {
        Self {
            msix,
            configuration: AtomicU16::new(NO_VECTOR),
            queues: (0..queues).map(|_| AtomicU16::new(NO_VECTOR)).collect(),
            status: Arc::default(),
        }
    }

    /// The interrupt status, which reading clears.
    pub fn take_status(&self) -> u8 {
        self.status.swap(0, Ordering::AcqRel)
    }

    /// The vector for changes of the configuration.
    pub fn configuration(&self) -> u16 {
        self.configuration.load(Ordering::Acquire)
    }

    /// Takes the driver's choice; what is no vector reads back as none.
    pub fn set_configuration(&self, vector: u16) {
        self.configuration.store(self.valid(vector), Ordering::Release);
    }

    /// The vector of queue `index`.
    pub fn queue_vector(&self, index: u16) -> u16 {
        let queue = self.queues.get(usize::from(index));
        queue.map_or(NO_VECTOR, |vector| vector.load(Ordering::Acquire))
    }

    /// Takes the driver's choice for queue `index`.
    pub fn set_queue_vector(&self, index: u16, vector: u16) {
        if let Some(queue) = self.queues.get(usize::from(index)) {
            queue.store(self.valid(vector), Ordering::Release);
        }
    }

    /// What must be kept: the vector for the configuration, those of the queues, and the interrupt status.
    pub fn save(&self) -> (u16, Vec<u16>, u8) {
        let queues = self.queues.iter().map(|queue| queue.load(Ordering::Acquire));
        let status = self.status.load(Ordering::Acquire);
        (self.configuration(), queues.collect(), status)
    }

    /// Takes what was kept; a vector that can't be one becomes none.
    pub fn restore(&self, (configuration, queues, status): (u16, Vec<u16>, u8)) {
        self.set_configuration(configuration);
        for (index, vector) in (0..).zip(queues) {
            self.set_queue_vector(index, vector);
        }
        self.status.store(status, Ordering::Release);
    }

    fn valid(&self, vector: u16) -> u16 {
        match self.msix.vector(vector) {
            Some(_) => vector,
            None => NO_VECTOR,
        }
    }
}

impl Interrupts for Vectors {
    fn configuration_changed(&self) {
        self.status.fetch_or(ISR_CONFIGURATION, Ordering::AcqRel);
        if let Some(vector) = self.msix.vector(self.configuration()) {
            vector.signal();
        }
    }

    fn queue(&self, index: u16) -> Arc<dyn QueueInterrupt> {
        Arc::new(QueueVector {
            msix: Arc::clone(&self.msix),
            queues: Arc::clone(&self.queues),
            status: Arc::clone(&self.status),
            index: usize::from(index),
        })
    }

    fn reset(&self) {
        self.configuration.store(NO_VECTOR, Ordering::Release);
        for queue in self.queues.iter() {
            queue.store(NO_VECTOR, Ordering::Release);
        }
        self.status.store(0, Ordering::Release);
    }
}

struct QueueVector {
    msix: Arc<Msix>,
    queues: Arc<[AtomicU16]>,
    status: Arc<AtomicU8>,
    index: usize,
}

impl QueueVector {
    fn vector(&self) -> Option<&Arc<Vector>> {
        let vector = self.queues.get(self.index)?.load(Ordering::Acquire);
        self.msix.vector(vector)
    }
}

impl QueueInterrupt for QueueVector {
    fn signal(&self) {
        let sent = self.vector().is_some_and(|vector| vector.signal());
        if !sent && !self.msix.enabled() {
            self.status.fetch_or(ISR_QUEUE, Ordering::AcqRel);
        }
    }

    fn event(&self) -> Option<Arc<EventFd>> {
        self.vector().map(|vector| vector.event())
    }
}
