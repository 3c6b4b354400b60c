//! Virtio 1.2: queues, the PCI transport and the device kinds.
//!
//! `queue` is the split ring with its strict checks, `transport` the state machine between driver and device,
//! `device` the seam between it and the kinds (`blk`, `net`, `rng`), `worker` the thread on which a kind serves a queue.

pub mod blk;
pub mod device;
#[cfg(test)]
mod hostile;
pub mod net;
pub mod queue;
pub mod rng;
pub mod transport;
pub mod worker;
