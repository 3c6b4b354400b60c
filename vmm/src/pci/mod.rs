//! PCI: one bus behind a host bridge, with up to 31 devices in it, reached through ECAM and through the ports 0xCF8
//! and 0xCFC.
//!
//! What the machine does, in this order:
//! 1. [`Root::new`] with the MMIO bus and the address windows that the ACPI tables name;
//! 2. [`Root::ecam`] onto the MMIO bus ([`ECAM_SIZE`] bytes) and [`Root::address_port`], [`Root::data_port`] onto the
//!    port bus at 0xCF8 and 0xCFC (4 bytes each);
//! 3. for each device of the launch, `registry::build` and [`Root::insert_at`] of what it gives, before the vCPUs run.
//!    That also places its BARs; the guest enables their decoding, and may move them within the windows;
//! 4. for a device that comes later, [`Root::insert`]; for one that goes, [`Root::remove`], then its `stop`;
//! 5. when the machine ends or is reset: stop the vCPUs, then [`Root::stop`], which ends all I/O and makes it durable;
//!    then drop the root and whatever else holds its devices.

pub mod config;
pub mod hotplug;
pub mod msix;
mod root;
mod window;

pub use root::{InsertError, Root, SLOTS};
pub use window::{Window, WindowError, Windows};

use crate::bus::BusDevice;
use crate::virtio::device::{ResizeError, RestoreError, SavedState};
use std::sync::Arc;

/// The bytes of ECAM space that one bus takes: 32 devices of 8 functions of 4 KiB.
pub const ECAM_SIZE: u64 = 1 << 20;

/// A memory range that a function wants to have decoded: one 64-bit base address register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Its first register, 0 to 4.
    pub index: u8,
    /// Its length in bytes: a power of two, 16 at least.
    pub length: u64,
    /// Whether reading it has no side effects, so that it may lie above 4 GiB behind any bridge.
    pub prefetchable: bool,
}

/// A PCI function: what the root needs of a device, be it virtio or one of the host's own.
///
/// The root calls it with its own lock held, mostly from vCPU threads, and nothing here may wait: but [`Self::pause`] and
/// [`Self::resize`], which the machine's own thread calls, [`Self::save`] and [`Self::restore`], which it calls while no vCPU
/// runs, and [`Self::stop`].
pub trait Function: Send + Sync {
    /// Its name in the machine, `vol-…` for instance.
    fn id(&self) -> &str;
    /// Its base address registers.
    fn bars(&self) -> Vec<Bar>;
    /// Writes `address` into base address register `index`, as firmware would.
    fn place(&self, index: u8, address: u64);
    /// Where base address register `index` points while memory decoding is enabled; none while it is not.
    fn decoded(&self, index: u8) -> Option<u64>;
    /// What answers behind base address register `index`.
    fn bar_device(&self, index: u8) -> Arc<dyn BusDevice>;
    /// Base address register `index` is now reachable at `address`, or nowhere: doorbells move along.
    fn moved(&self, index: u8, address: Option<u64>);
    /// Fills `data` from configuration space at `offset`; the access lies in its 4096 bytes.
    fn read_config(&self, offset: u16, data: &mut [u8]);
    /// Takes what was written to configuration space at `offset`.
    fn write_config(&self, offset: u16, data: &[u8]);
    /// Stops all I/O where it stands, and waits until it does; registers still answer. Called by a thread that may wait.
    fn pause(&self);
    /// Goes on.
    fn resume(&self);
    /// What it stands on has `bytes` bytes now: it takes that size and tells its driver. Called by a thread that may wait.
    ///
    /// # Errors
    /// See [`ResizeError`]; it has its old size then.
    fn resize(&self, bytes: u64) -> Result<(), ResizeError>;
    /// All that must be kept for the function to go on elsewhere; none after [`Self::stop`]. Called while it is paused.
    fn save(&self) -> Option<SavedState>;
    /// Takes what [`Self::save`] gave. Called while it is paused, before the guest has touched it.
    ///
    /// # Errors
    /// It is another kind's, or impossible.
    fn restore(&self, state: &SavedState) -> Result<(), RestoreError>;
    /// Ends all I/O for good, waits until it is durable, and closes the files that it was built with; registers still
    /// answer, and resets succeed. Called by the machine's own thread, with the vCPUs stopped or not; may be called again.
    fn stop(&self);
}
