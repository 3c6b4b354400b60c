//! Virtio over PCI, as virtio 1.2, 4.1 has it: no legacy interface, MSI-X only.
//!
//! All structures lie in base address register 0, each on a page of its own, so that the notification page and the
//! MSI-X table can be treated apart:
//!
//! | offset | structure |
//! |---|---|
//! | 0x0000 | common configuration |
//! | 0x1000 | interrupt status |
//! | 0x2000 | device-specific configuration |
//! | 0x3000 | notification, 4 bytes a queue |
//! | 0x4000 | MSI-X table |
//! | 0x5000 | MSI-X pending bits |

mod capabilities;
mod common;
mod function;
mod saved;
mod vectors;

pub use function::{AttachError, attach};

/// The base address register of all structures.
const BAR: u8 = 0;
const BAR_LENGTH: u64 = 0x8000;
const PAGE: u64 = 0x1000;
const COMMON: u64 = 0x0000;
const ISR: u64 = 0x1000;
const DEVICE: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
const TABLE: u64 = 0x4000;
const PENDING: u64 = 0x5000;
/// Bytes between the doorbells of two queues.
const NOTIFY_MULTIPLIER: u64 = 4;
/// The most queues: one vector each and one for the configuration fill the table's page.
const MAX_QUEUES: usize = 255;
