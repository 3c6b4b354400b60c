//! Virtio 1.2: queues, the PCI transport and the device kinds.
//!
//! `queue` is the split ring with its strict checks, `transport` the state machine between driver and device,
//! `device` the seam between it and the kinds (`blk`, `net`, `rng`, `vsock`), `worker` the thread on which a kind serves a queue,
//! `limit` the pace that it keeps.

pub mod blk;
pub mod device;
#[cfg(test)]
mod hostile;
pub mod limit;
pub mod net;
pub mod queue;
pub mod rng;
pub mod transport;
pub mod vsock;
pub mod worker;
