//! One request of a driver: a chain of buffers, read from the descriptor table once and checked as a whole.
//!
//! The chain iterator of `virtio-queue` ends silently where a chain is malformed. That leaves a device to guess, so
//! here every rule of virtio 1.2, 2.7.5 that a driver may break is an error instead.

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const DESCRIPTOR_SIZE: u64 = 16;

/// The most buffers in one chain. An indirect table may be longer than its queue, as drivers make them so, but no
/// longer than this.
pub const MAX_CHAIN: usize = 1024;

/// A buffer of the driver, wholly in guest memory and not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Where it begins.
    pub address: GuestAddress,
    /// Its length in bytes.
    pub length: u32,
}

/// A request: what the device may read, then what it may write. Both together are less than 4 GiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    head: u16,
    buffers: Vec<Buffer>,
    readable: usize,
}

/// How a driver broke the rules for descriptors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A descriptor that the table does not have.
    #[error("Descriptor {index} lies past the end of a table of {size}")]
    Index {
        /// Its number.
        index: u16,
        /// How many the table has.
        size: u16,
    },
    /// More descriptors than the table has: a loop.
    #[error("A chain of more than {limit} descriptors, from descriptor {head}")]
    TooLong {
        /// Where it began.
        head: u16,
        /// The most it may have.
        limit: usize,
    },
    /// The table itself can't be read.
    #[error("The descriptor at {address:#x} is not in guest memory")]
    Table {
        /// Where it should be.
        address: u64,
    },
    /// A buffer of no bytes.
    #[error("A buffer at {address:#x} is empty")]
    Empty {
        /// Where it begins.
        address: u64,
    },
    /// A buffer outside of memory.
    #[error("The buffer at {address:#x} with {length} bytes is not in guest memory")]
    Outside {
        /// Where it begins.
        address: u64,
        /// Its length in bytes.
        length: u32,
    },
    /// All buffers together are 4 GiB or more.
    #[error("A chain of 4 GiB or more, from descriptor {head}")]
    TooLarge {
        /// Where it began.
        head: u16,
    },
    /// A buffer for reading after one for writing.
    #[error("A readable buffer follows a writable one, in the chain from descriptor {head}")]
    Order {
        /// Where it began.
        head: u16,
    },
    /// An indirect descriptor where none may be: not negotiated, within another, or not the last.
    #[error("An indirect descriptor where none may be, in the chain from descriptor {head}")]
    Indirect {
        /// Where it began.
        head: u16,
    },
    /// An indirect table whose length is not that of one or more descriptors.
    #[error("An indirect table of {length} bytes")]
    IndirectLength {
        /// Its length in bytes.
        length: u32,
    },
}

struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

struct Table {
    base: u64,
    size: u16,
}

impl Table {
    /// Copies descriptor `index` out of guest memory, so that what is checked is what is used.
    fn read(&self, index: u16, memory: &GuestMemoryMmap) -> Result<Descriptor, ChainError> {
        if index >= self.size {
            return Err(ChainError::Index { index, size: self.size });
        }
        let address = self.base.wrapping_add(DESCRIPTOR_SIZE * u64::from(index));
        let raw: [u64; 2] = memory
            .read_obj(GuestAddress(address))
            .map_err(|_| ChainError::Table { address })?;
        let [low, high] = raw.map(u64::from_le);
        let [l0, l1, l2, l3, f0, f1, n0, n1] = high.to_le_bytes();
        Ok(Descriptor {
            address: low,
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }
}

impl Chain {
    /// Reads the chain that begins at descriptor `head` of the table at `base` with `size` entries.
    ///
    /// # Errors
    /// The driver broke a rule; the queue can't go on.
    pub fn read(
        memory: &GuestMemoryMmap,
        base: GuestAddress,
        size: u16,
        head: u16,
        indirect_allowed: bool,
    ) -> Result<Self, ChainError> {
        let mut chain = Self {
            head,
            buffers: Vec::with_capacity(4),
            readable: 0,
        };
        let table = Table { base: base.0, size };
        if let Some(descriptor) = chain.walk(&table, head, memory)? {
            if !indirect_allowed || descriptor.flags & NEXT != 0 {
                return Err(ChainError::Indirect { head });
            }
            let table = indirect_table(&descriptor)?;
            if chain.walk(&table, 0, memory)?.is_some() {
                return Err(ChainError::Indirect { head });
            }
        }
        chain.check_total()?;
        Ok(chain)
    }

    /// Collects buffers from descriptor `index` on, until the chain ends or an indirect descriptor is met, which is
    /// given back.
    fn walk(
        &mut self,
        table: &Table,
        mut index: u16,
        memory: &GuestMemoryMmap,
    ) -> Result<Option<Descriptor>, ChainError> {
        let limit = usize::from(table.size);
        for _ in 0..limit {
            let descriptor = table.read(index, memory)?;
            if descriptor.flags & INDIRECT != 0 {
                return Ok(Some(descriptor));
            }
            self.push(&descriptor, memory)?;
            if descriptor.flags & NEXT == 0 {
                return Ok(None);
            }
            index = descriptor.next;
        }
        let head = self.head;
        Err(ChainError::TooLong { head, limit })
    }

    fn push(&mut self, descriptor: &Descriptor, memory: &GuestMemoryMmap) -> Result<(), ChainError> {
        let Descriptor { address, length, .. } = *descriptor;
        let head = self.head;
        if length == 0 {
            return Err(ChainError::Empty { address });
        }
        let in_memory = usize::try_from(length).is_ok_and(|length| memory.check_range(GuestAddress(address), length));
        if !in_memory {
            return Err(ChainError::Outside { address, length });
        }
        if self.buffers.len() >= MAX_CHAIN {
            let limit = MAX_CHAIN;
            return Err(ChainError::TooLong { head, limit });
        }
        if descriptor.flags & WRITE == 0 {
            if self.readable != self.buffers.len() {
                return Err(ChainError::Order { head });
            }
            self.readable += 1;
        }
        let address = GuestAddress(address);
        self.buffers.push(Buffer { address, length });
        Ok(())
    }

    fn check_total(&self) -> Result<(), ChainError> {
        let total: u64 = self.buffers.iter().map(|buffer| u64::from(buffer.length)).sum();
        match u32::try_from(total) {
            Ok(_) => Ok(()),
            Err(_) => Err(ChainError::TooLarge { head: self.head }),
        }
    }

    /// The number of its first descriptor, by which the driver knows it.
    pub fn head(&self) -> u16 {
        self.head
    }

    /// The buffers that the device may read.
    pub fn readable(&self) -> &[Buffer] {
        self.buffers.get(..self.readable).unwrap_or_default()
    }

    /// The buffers that the device may write.
    pub fn writable(&self) -> &[Buffer] {
        self.buffers.get(self.readable..).unwrap_or_default()
    }
}

fn indirect_table(descriptor: &Descriptor) -> Result<Table, ChainError> {
    let length = descriptor.length;
    let count = length / 16;
    let size = u16::try_from(count)
        .ok()
        .filter(|size| *size > 0 && length.is_multiple_of(16));
    let size = size.ok_or(ChainError::IndirectLength { length })?;
    Ok(Table {
        base: descriptor.address,
        size,
    })
}
