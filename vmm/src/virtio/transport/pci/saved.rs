//! What is kept of a virtio device over PCI, for it to go on elsewhere. Apart from the types that it runs on, so that
//! those can change.

use crate::pci::msix::Entry;
use crate::virtio::device::SavedState;
use crate::virtio::transport::registers::SavedRegisters;
use serde::{Deserialize, Serialize};

/// The kind of this state.
pub const KIND: &str = "virtio-pci";
/// The version of its format.
pub const VERSION: u32 = 1;

/// Version 1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Configuration space.
    pub config: Vec<u8>,
    /// The MSI-X table with its pending bits.
    pub msix: Vec<Entry>,
    /// The vectors the driver chose, for the configuration and each queue, and the interrupt status.
    pub vectors: (u16, Vec<u16>, u8),
    /// The selectors of the common structure: device features, driver features, queue.
    pub selectors: (u32, u32, u16),
    /// Status, features and queues.
    pub registers: SavedRegisters,
    /// What the kind of device keeps.
    pub device: SavedState,
}
