//! The common configuration structure (virtio 1.2, 4.1.4.3): its fields, each accessed with its own width, the 64-bit
//! ones also by halves.

use super::vectors::Vectors;
use crate::virtio::queue::RingAddresses;
use crate::virtio::transport::Transport;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// Which feature word and which queue the driver is looking at.
#[derive(Default)]
pub struct Selectors {
    device_feature: AtomicU32,
    driver_feature: AtomicU32,
    queue: AtomicU16,
}

impl Selectors {
    /// What must be kept.
    pub fn save(&self) -> (u32, u32, u16) {
        let device = self.device_feature.load(Ordering::Relaxed);
        let driver = self.driver_feature.load(Ordering::Relaxed);
        (device, driver, self.queue.load(Ordering::Relaxed))
    }

    /// Takes what was kept.
    pub fn restore(&self, (device, driver, queue): (u32, u32, u16)) {
        self.device_feature.store(device, Ordering::Relaxed);
        self.driver_feature.store(driver, Ordering::Relaxed);
        self.queue.store(queue, Ordering::Relaxed);
    }

    /// Back to zero, as after a reset.
    pub fn reset(&self) {
        self.device_feature.store(0, Ordering::Relaxed);
        self.driver_feature.store(0, Ordering::Relaxed);
        self.queue.store(0, Ordering::Relaxed);
    }
}

/// The structure of one device, put together for one access.
pub struct Common<'a> {
    /// The registers behind it.
    pub transport: &'a Transport,
    /// The vectors behind it.
    pub vectors: &'a Vectors,
    /// The selectors behind it.
    pub selectors: &'a Selectors,
}

impl Common<'_> {
    /// Reads a field, or half of one of 64 bits; anything else reads as zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let value = self.field(offset, data.len()).unwrap_or(0);
        for (byte, value) in data.iter_mut().zip(value.to_le_bytes()) {
            *byte = value;
        }
    }

    fn field(&self, offset: u64, width: usize) -> Option<u64> {
        let index = self.selectors.queue.load(Ordering::Relaxed);
        let value = match (offset, width) {
            (0, 4) => self.selectors.device_feature.load(Ordering::Relaxed).into(),
            (4, 4) => {
                let offered = self.transport.read(|registers| registers.offered());
                half(offered, &self.selectors.device_feature)
            }
            (8, 4) => self.selectors.driver_feature.load(Ordering::Relaxed).into(),
            (12, 4) => {
                let accepted = self.transport.read(|registers| registers.accepted());
                half(accepted, &self.selectors.driver_feature)
            }
            (16, 2) => self.vectors.configuration().into(),
            (18, 2) => self.transport.read(|registers| registers.queue_count()).into(),
            (20, 1) => self.transport.read(|registers| registers.status()).into(),
            (21, 1) => self.transport.read(|registers| registers.generation()).into(),
            (22, 2) => index.into(),
            (26, 2) => self.vectors.queue_vector(index).into(),
            _ => return self.queue_field(index, offset, width),
        };
        Some(value)
    }

    fn queue_field(&self, index: u16, offset: u64, width: usize) -> Option<u64> {
        let queue = self.transport.read(|registers| registers.queue(index).cloned())?;
        let RingAddresses {
            descriptors,
            available,
            used,
        } = queue.addresses;
        let value = match (offset, width) {
            (24, 2) => queue.size.into(),
            (28, 2) => queue.enabled().into(),
            (30, 2) => index.into(),
            (32, 4 | 8) => descriptors,
            (36, 4) => descriptors >> 32,
            (40, 4 | 8) => available,
            (44, 4) => available >> 32,
            (48, 4 | 8) => used,
            (52, 4) => used >> 32,
            (56, 2) => 0,
            (58, 2) => queue.resetting().into(),
            _ => return None,
        };
        Some(value)
    }

    /// Writes a field; anything else is ignored.
    pub fn write(&self, offset: u64, data: &[u8]) {
        let value = number(data);
        let index = self.selectors.queue.load(Ordering::Relaxed);
        match (offset, data.len()) {
            (0, 4) => store(&self.selectors.device_feature, value),
            (8, 4) => store(&self.selectors.driver_feature, value),
            (12, 4) => self.accept(value),
            (16, 2) => self.vectors.set_configuration(low_u16(value)),
            (20, 1) => self.set_status(data),
            (22, 2) => self.selectors.queue.store(low_u16(value), Ordering::Relaxed),
            (26, 2) => self.vectors.set_queue_vector(index, low_u16(value)),
            (28, 2) if value == 1 => self.transport.enable_queue(index),
            (58, 2) if value == 1 => self.transport.change(|registers| registers.reset_queue(index)),
            (24, 2) | (32..56, 4 | 8) => self.set_up_queue(index, offset, data.len(), value),
            _ => {}
        }
    }

    fn accept(&self, value: u64) {
        let shift = match self.selectors.driver_feature.load(Ordering::Relaxed) {
            0 => 0,
            1 => 32,
            _ => return,
        };
        let mask = 0xffff_ffff << shift;
        self.transport
            .change(|registers| registers.accept(value << shift, mask));
    }

    fn set_status(&self, data: &[u8]) {
        let status = data.first().copied().unwrap_or(0);
        self.transport.set_status(status);
        if status == 0 {
            self.selectors.reset();
        }
    }

    fn set_up_queue(&self, index: u16, offset: u64, width: usize, value: u64) {
        self.transport.change(|registers| {
            let Some(queue) = registers.queue_setup(index) else {
                return;
            };
            let RingAddresses {
                descriptors,
                available,
                used,
            } = &mut queue.addresses;
            match (offset, width) {
                (24, 2) => queue.size = low_u16(value),
                (32, 8) => *descriptors = value,
                (40, 8) => *available = value,
                (48, 8) => *used = value,
                (32, 4) => set_low(descriptors, value),
                (36, 4) => set_high(descriptors, value),
                (40, 4) => set_low(available, value),
                (44, 4) => set_high(available, value),
                (48, 4) => set_low(used, value),
                (52, 4) => set_high(used, value),
                _ => {}
            }
        });
    }
}

fn half(word: u64, selector: &AtomicU32) -> u64 {
    match selector.load(Ordering::Relaxed) {
        0 => word & 0xffff_ffff,
        1 => word >> 32,
        _ => 0,
    }
}

fn number(data: &[u8]) -> u64 {
    data.iter()
        .rev()
        .take(8)
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn low_u16(value: u64) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

fn store(selector: &AtomicU32, value: u64) {
    selector.store(u32::try_from(value).unwrap_or(u32::MAX), Ordering::Relaxed);
}

fn set_low(register: &mut u64, value: u64) {
    *register = *register & !0xffff_ffff | value;
}

fn set_high(register: &mut u64, value: u64) {
    *register = *register & 0xffff_ffff | value << 32;
}
