//! The capabilities by which a driver finds the structures (virtio 1.2, 4.1.4), and the function-level reset.

use super::{BAR, COMMON, DEVICE, ISR, NOTIFY, NOTIFY_MULTIPLIER, PAGE, PENDING, TABLE};
use crate::pci::config::{ConfigSpace, Ids};
use crate::pci::msix::{self, Msix};
use crate::virtio::device::Identity;

const VENDOR: u16 = 0x1af4;
/// Added to the virtio device id (virtio 1.2, 4.1.2).
const DEVICE_BASE: u16 = 0x1040;
const SUBSYSTEM: u16 = 0x1100;
const VENDOR_SPECIFIC: u8 = 0x09;
/// PCI Advanced Features (an ECN to PCI Local Bus 3.0): function-level reset without PCI Express.
const ADVANCED_FEATURES: u8 = 0x13;
/// Transactions pending and function-level reset are there.
const AF_CAPABILITIES: u8 = 0b11;
/// In the control register of advanced features: reset now.
pub const AF_INITIATE_FLR: u8 = 1;
const WINDOW_DATA: u16 = 16;

/// Where the capabilities lie that are more than a description.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// The message control register of MSI-X.
    pub msix_control: u16,
    /// The control register of advanced features; its status register follows.
    pub af_control: u16,
    /// The window's capability: the way to the structures through configuration space.
    pub window: u16,
}

impl Places {
    /// The data register of the window.
    pub fn window_data(self) -> u16 {
        self.window + WINDOW_DATA
    }
}

/// The configuration space of a device, and where its live parts are.
pub fn config_space(identity: Identity, msix: &Msix) -> (ConfigSpace, Places) {
    let mut space = ConfigSpace::new(Ids {
        device: (VENDOR, DEVICE_BASE + identity.device_id),
        subsystem: (VENDOR, SUBSYSTEM),
        revision: 1,
        class: identity.pci_class,
    });
    space.add_bar(super::function::BARS[0]);
    let (body, mask) = msix.capability(BAR, low(TABLE), low(PENDING));
    let msix_control = space.add_capability(msix::CAPABILITY_ID, &body, &mask) + 2;
    for (kind, offset) in [(1, COMMON), (3, ISR), (4, DEVICE)] {
        space.add_capability(VENDOR_SPECIFIC, &structure(kind, offset, 0), &[]);
    }
    let mut notify = structure(2, NOTIFY, 4).to_vec();
    notify.extend(low(NOTIFY_MULTIPLIER).to_le_bytes());
    space.add_capability(VENDOR_SPECIFIC, &notify, &[]);
    // Of the window the driver writes the register number, the offset, the length and the data.
    let mut window = [0; 18];
    window[..2].copy_from_slice(&[20, 5]);
    let mut window_mask = [0xff; 18];
    window_mask[..2].fill(0);
    window_mask[3..6].fill(0);
    let window = space.add_capability(VENDOR_SPECIFIC, &window, &window_mask);
    let af = [6, AF_CAPABILITIES, 0, 0];
    let af_control = space.add_capability(ADVANCED_FEATURES, &af, &[]) + 4;
    let places = Places {
        msix_control,
        af_control,
        window,
    };
    (space, places)
}

/// The body of a `virtio_pci_cap` for the page at `offset`, with `extra` bytes to follow it.
fn structure(kind: u8, offset: u64, extra: u8) -> [u8; 14] {
    let mut body = [0; 14];
    body[..3].copy_from_slice(&[16 + extra, kind, BAR]);
    body[6..10].copy_from_slice(&low(offset).to_le_bytes());
    body[10..].copy_from_slice(&low(PAGE).to_le_bytes());
    body
}

fn low(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
