//! Where the three parts of a split ring lie in guest memory (virtio 1.2, 2.7), checked once when the driver enables it.

use serde::{Deserialize, Serialize};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// The largest queue that a split ring can have (virtio 1.2, 2.7).
pub const MAX_QUEUE_SIZE: u16 = 32768;

/// Where the driver says that its rings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingAddresses {
    /// The descriptor table.
    pub descriptors: u64,
    /// The available ring ("driver area").
    pub available: u64,
    /// The used ring ("device area").
    pub used: u64,
}

/// Rings that lie in guest memory as a whole, aligned, with a possible size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLayout {
    addresses: RingAddresses,
    size: u16,
}

/// Why the rings of a driver can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingLayoutError {
    /// Not a power of two, or larger than the device takes.
    #[error("The queue size {size} is not a power of two up to {max}")]
    Size {
        /// The driver's size.
        size: u16,
        /// The device's largest.
        max: u16,
    },
    /// An address that the specification doesn't allow, or zero.
    #[error("The {part} at {address:#x} is not aligned to {alignment} bytes, or at zero")]
    Alignment {
        /// Which part.
        part: &'static str,
        /// Where it is.
        address: u64,
        /// What it must be aligned to, in bytes.
        alignment: u64,
    },
    /// Not all of it is memory.
    #[error("The {part} at {address:#x} with {length} bytes is not in guest memory")]
    Outside {
        /// Which part.
        part: &'static str,
        /// Where it is.
        address: u64,
        /// Its length in bytes.
        length: usize,
    },
}

impl RingLayout {
    /// Checks what the driver wrote against the largest size of the queue and the memory of the guest.
    ///
    /// # Errors
    /// The size is not one, or a part is not aligned or not in memory.
    pub fn check(
        addresses: RingAddresses,
        size: u16,
        max_size: u16,
        memory: &GuestMemoryMmap,
    ) -> Result<Self, RingLayoutError> {
        let max = max_size.min(MAX_QUEUE_SIZE);
        if !size.is_power_of_two() || size > max {
            return Err(RingLayoutError::Size { size, max });
        }
        let entries = usize::from(size);
        let parts = [
            ("descriptor table", addresses.descriptors, 16, 16 * entries),
            ("available ring", addresses.available, 2, 6 + 2 * entries),
            ("used ring", addresses.used, 4, 6 + 8 * entries),
        ];
        for (part, address, alignment, length) in parts {
            if address == 0 || address % alignment != 0 {
                return Err(RingLayoutError::Alignment {
                    part,
                    address,
                    alignment,
                });
            }
            if !memory.check_range(GuestAddress(address), length) {
                return Err(RingLayoutError::Outside { part, address, length });
            }
        }
        Ok(Self { addresses, size })
    }

    /// Where the parts are.
    pub fn addresses(&self) -> RingAddresses {
        self.addresses
    }

    /// How many entries the rings have.
    pub fn size(&self) -> u16 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1_0000)]).unwrap()
    }

    const GOOD: RingAddresses = RingAddresses {
        descriptors: 0x1000,
        available: 0x2000,
        used: 0x3000,
    };

    #[test]
    fn rings_in_memory_are_taken() {
        let layout = RingLayout::check(GOOD, 256, 256, &memory()).unwrap();
        assert_eq!((layout.addresses(), layout.size()), (GOOD, 256));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for size in [0, 3, 257, 512, u16::MAX] {
            let found = RingLayout::check(GOOD, size, 256, &memory());
            assert_eq!(found, Err(RingLayoutError::Size { size, max: 256 }));
        }
    }

    #[test]
    fn rings_off_their_alignment_are_refused() {
        for (descriptors, available, used) in [(0x1008, 0x2000, 0x3000), (0x1000, 0x2001, 0x3000), (0x1000, 0x2000, 2)]
        {
            let addresses = RingAddresses {
                descriptors,
                available,
                used,
            };
            let found = RingLayout::check(addresses, 8, 256, &memory());
            assert!(matches!(found, Err(RingLayoutError::Alignment { .. })), "{found:?}");
        }
    }

    #[test]
    fn rings_that_leave_memory_are_refused() {
        for used in [0xfff0, 0x1_0000, u64::MAX - 3] {
            let found = RingLayout::check(RingAddresses { used, ..GOOD }, 8, 256, &memory());
            assert!(matches!(found, Err(RingLayoutError::Outside { .. })), "{found:?}");
        }
    }
}
