//! Events between a device and its guest that cross KVM without waking the monitor: doorbells and interrupts.
//!
//! `kvm::irq` implements [`EventRoutes`] with ioeventfd, irqfd and the GSI routing table; the tests of `pci` and
//! `virtio` implement it with memory. Every call is an ioctl at most, so vCPU threads may make them.

use std::io;
use vmm_sys_util::eventfd::EventFd;

/// A global system interrupt: an entry of KVM's routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gsi(pub u32);

/// What an MSI-X table entry holds: the address and the data that the device writes (PCI Local Bus 3.0, 6.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MsiMessage {
    /// The message address, both halves.
    pub address: u64,
    /// The message data.
    pub data: u32,
}

/// Doorbells (guest to device) and message-signalled interrupts (device to guest).
pub trait EventRoutes: Send + Sync {
    /// Reserves an interrupt that [`Self::route`] may later point somewhere.
    ///
    /// # Errors
    /// The routing table is full.
    fn allocate_gsi(&self) -> io::Result<Gsi>;
    /// Gives an interrupt back; its route goes with it.
    fn free_gsi(&self, gsi: Gsi);
    /// Points interrupts at messages, or nowhere: all of them with one change of the table.
    fn route(&self, changes: &[(Gsi, Option<MsiMessage>)]) -> io::Result<()>;
    /// From now on a write to `event` raises `gsi`.
    fn assign_irqfd(&self, event: &EventFd, gsi: Gsi) -> io::Result<()>;
    /// Undoes [`Self::assign_irqfd`]; what was written before it returns may still raise the interrupt.
    fn deassign_irqfd(&self, event: &EventFd, gsi: Gsi) -> io::Result<()>;
    /// Raises `gsi` now, by its route: for an interrupt that was held back while its vector was masked.
    fn signal(&self, gsi: Gsi) -> io::Result<()>;
    /// From now on a guest's write of any length to `address` signals `event` and does not leave the kernel.
    fn assign_ioeventfd(&self, event: &EventFd, address: u64) -> io::Result<()>;
    /// Undoes [`Self::assign_ioeventfd`].
    fn deassign_ioeventfd(&self, event: &EventFd, address: u64) -> io::Result<()>;
}
