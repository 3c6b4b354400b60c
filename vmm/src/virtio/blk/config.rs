//! The configuration structure of a block device (virtio 1.2, 5.2.4) and the features that go with it.

use super::super::device::{DeviceConfig, ResizeError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use virtio_bindings::virtio_blk as bits;

/// Bytes of a sector, the unit of all addresses.
pub const SECTOR: u64 = 512;
/// The most sectors of one write-zeroes: what one system call writes where the file system can't make zeroes itself.
pub const MAX_ZEROES: u32 = 128 * 1024;
/// The most sectors of one discard: 2 GiB.
pub const MAX_DISCARD: u32 = 4 * 1024 * 1024;
/// The largest buffer of a request, in bytes.
const SIZE_MAX: u32 = 1 << 20;
/// Blocks of 4 KiB are what files are made of: 2^3 sectors.
const PHYSICAL_BLOCK_EXPONENT: u8 = 3;
const PHYSICAL_BLOCK_SECTORS: u16 = 1 << PHYSICAL_BLOCK_EXPONENT;
const WRITEBACK: u64 = 32;

/// What the driver sees of the volume, and the one thing that it sets.
#[derive(Debug)]
pub struct BlkConfig {
    capacity: AtomicU64,
    read_only: bool,
    queues: u16,
    seg_max: u32,
    writeback: AtomicBool,
}

impl BlkConfig {
    /// A volume of `capacity` sectors behind `queues` queues of `queue_size` entries.
    pub fn new(capacity: u64, read_only: bool, queues: u16, queue_size: u16) -> Self {
        Self {
            capacity: AtomicU64::new(capacity),
            read_only,
            queues,
            // A request has two descriptors more: its header and its status.
            seg_max: u32::from(queue_size).saturating_sub(2),
            writeback: AtomicBool::new(true),
        }
    }

    /// The size of the volume in sectors.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Acquire)
    }

    /// Whether it may only be read.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// How many queues it has.
    pub fn queues(&self) -> u16 {
        self.queues
    }

    /// Whether writes may rest in the host's cache until the driver flushes, given the negotiated `features`. A driver
    /// that can't flush must not need to (virtio 1.2, 5.2.6.2).
    pub fn may_cache(&self, features: u64) -> bool {
        let negotiated = |bit: u32| features & 1 << bit != 0;
        let chosen = !negotiated(bits::VIRTIO_BLK_F_CONFIG_WCE) || self.writeback.load(Ordering::Acquire);
        negotiated(bits::VIRTIO_BLK_F_FLUSH) && chosen
    }

    /// What the driver set.
    pub fn writeback(&self) -> bool {
        self.writeback.load(Ordering::Acquire)
    }

    /// Sets it as the driver would.
    pub fn set_writeback(&self, writeback: bool) {
        self.writeback.store(writeback, Ordering::Release);
    }

    fn bytes(&self) -> [u8; 60] {
        let mut bytes = [0; 60];
        let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
        put(0, &self.capacity().to_le_bytes());
        put(8, &SIZE_MAX.to_le_bytes());
        put(12, &self.seg_max.to_le_bytes());
        put(20, &512u32.to_le_bytes());
        put(24, &[PHYSICAL_BLOCK_EXPONENT, 0]);
        put(26, &PHYSICAL_BLOCK_SECTORS.to_le_bytes());
        put(32, &[u8::from(self.writeback())]);
        put(34, &self.queues.to_le_bytes());
        if !self.read_only {
            put(36, &MAX_DISCARD.to_le_bytes());
            put(40, &1u32.to_le_bytes());
            put(44, &u32::from(PHYSICAL_BLOCK_SECTORS).to_le_bytes());
            put(48, &MAX_ZEROES.to_le_bytes());
            put(52, &1u32.to_le_bytes());
            put(56, &[1]);
        }
        bytes
    }
}

impl DeviceConfig for BlkConfig {
    fn features(&self) -> u64 {
        let always = 1 << bits::VIRTIO_BLK_F_SIZE_MAX
            | 1 << bits::VIRTIO_BLK_F_SEG_MAX
            | 1 << bits::VIRTIO_BLK_F_BLK_SIZE
            | 1 << bits::VIRTIO_BLK_F_TOPOLOGY
            | 1 << bits::VIRTIO_BLK_F_FLUSH
            | 1 << bits::VIRTIO_BLK_F_CONFIG_WCE;
        let multi_queue = if self.queues > 1 { 1 << bits::VIRTIO_BLK_F_MQ } else { 0 };
        let access = match self.read_only {
            true => 1 << bits::VIRTIO_BLK_F_RO,
            false => 1 << bits::VIRTIO_BLK_F_DISCARD | 1 << bits::VIRTIO_BLK_F_WRITE_ZEROES,
        };
        always | multi_queue | access
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let bytes = self.bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, byte) in data.iter_mut().enumerate() {
            *byte = from
                .checked_add(place)
                .and_then(|place| bytes.get(place))
                .copied()
                .unwrap_or(0);
        }
    }

    fn write(&self, offset: u64, data: &[u8], features: u64) {
        let negotiated = features & 1 << bits::VIRTIO_BLK_F_CONFIG_WCE != 0;
        if let (WRITEBACK, [value @ (0 | 1)], true) = (offset, data, negotiated) {
            self.set_writeback(*value == 1);
        }
    }

    fn resize(&self, bytes: u64) -> Result<(), ResizeError> {
        let (now, capacity) = (self.capacity(), bytes / SECTOR);
        if !bytes.is_multiple_of(SECTOR) {
            return Err(ResizeError::Unaligned);
        }
        if capacity < now {
            return Err(ResizeError::Shrinks { now: now * SECTOR });
        }
        self.capacity.store(capacity, Ordering::Release);
        Ok(())
    }

    fn reset(&self) {
        self.set_writeback(true);
    }
}
