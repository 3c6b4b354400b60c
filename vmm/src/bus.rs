//! Which device answers at an address: one [`Bus`] for port I/O, one for memory-mapped I/O.
//!
//! vCPU threads call [`Bus::read`] and [`Bus::write`] on each exit; devices lock inside themselves, so that two vCPUs
//! reach two devices at once.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// A device with registers. Offsets count from the start of the range it was put at.
///
/// Called by vCPU threads, which do no I/O: a device hands whatever may wait to a thread of its own.
pub trait BusDevice: Send + Sync {
    /// Fills `data` with what is read at `offset`. What nothing answers reads as all ones.
    fn read(&self, offset: u64, data: &mut [u8]);
    /// Takes `data` as written at `offset`.
    fn write(&self, offset: u64, data: &[u8]);
}

/// Why a range was not put on a bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// Ranges must not be empty, nor run past the end of the address space.
    #[error("The range at {start:#x} with {length:#x} bytes is impossible")]
    Impossible {
        /// Its first address.
        start: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// Another device answers there.
    #[error("The range at {start:#x} with {length:#x} bytes meets the one at {other:#x}")]
    Overlap {
        /// Its first address.
        start: u64,
        /// Its length in bytes.
        length: u64,
        /// The first address of the one that is there.
        other: u64,
    },
}

struct Entry {
    length: u64,
    device: Arc<dyn BusDevice>,
}

/// An address space of devices.
#[derive(Default)]
pub struct Bus {
    entries: RwLock<BTreeMap<u64, Entry>>,
}

impl Bus {
    /// Puts `device` at `start`.
    pub fn insert(&self, start: u64, length: u64, device: Arc<dyn BusDevice>) -> Result<(), BusError> {
        let end = match start.checked_add(length) {
            Some(end) if length > 0 => end,
            _ => return Err(BusError::Impossible { start, length }),
        };
        let mut entries = self.entries.write().unwrap_or_else(|e| e.into_inner());
        if let Some((&other, entry)) = entries.range(..end).next_back()
            && other + entry.length > start
        {
            return Err(BusError::Overlap { start, length, other });
        }
        entries.insert(start, Entry { length, device });
        Ok(())
    }

    /// Takes away what was put at `start`; says whether something was.
    pub fn remove(&self, start: u64) -> bool {
        self.entries
            .write()
            .unwrap_or_else(|e| e.into_inner())
            .remove(&start)
            .is_some()
    }

    /// Reads; an address that nobody answers reads as all ones, as on a real bus.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        match self.find(address, data.len()) {
            Some((offset, device)) => device.read(offset, data),
            None => data.fill(0xff),
        }
    }

    /// Writes; an address that nobody answers swallows it.
    pub fn write(&self, address: u64, data: &[u8]) {
        if let Some((offset, device)) = self.find(address, data.len()) {
            device.write(offset, data);
        }
    }

    /// The device at `address`, if the whole access lies in its range.
    fn find(&self, address: u64, length: usize) -> Option<(u64, Arc<dyn BusDevice>)> {
        let entries = self.entries.read().unwrap_or_else(|e| e.into_inner());
        let (&start, entry) = entries.range(..=address).next_back()?;
        let offset = address - start;
        let inside = offset.checked_add(u64::try_from(length).ok()?)? <= entry.length;
        inside.then(|| (offset, Arc::clone(&entry.device)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<u64>>);

    impl BusDevice for Recorder {
        fn read(&self, offset: u64, data: &mut [u8]) {
            self.0.lock().unwrap().push(offset);
            data.fill(7);
        }
        fn write(&self, offset: u64, _data: &[u8]) {
            self.0.lock().unwrap().push(offset);
        }
    }

    #[test]
    fn an_access_reaches_the_device_with_its_own_offset() {
        let bus = Bus::default();
        let device = Arc::new(Recorder::default());
        bus.insert(0x100, 0x10, device.clone()).unwrap();
        let mut data = [0; 4];
        bus.read(0x10c, &mut data);
        assert_eq!(data, [7; 4]);
        bus.write(0x100, &[1]);
        assert_eq!(*device.0.lock().unwrap(), [0xc, 0]);
    }

    #[test]
    fn an_access_across_the_edge_is_nobodys() {
        let bus = Bus::default();
        bus.insert(0x100, 0x10, Arc::new(Recorder::default())).unwrap();
        let mut data = [0; 4];
        bus.read(0x10e, &mut data);
        assert_eq!(data, [0xff; 4]);
        bus.read(u64::MAX, &mut data);
        assert_eq!(data, [0xff; 4]);
    }

    #[test]
    fn ranges_never_overlap() {
        let bus = Bus::default();
        bus.insert(0x100, 0x10, Arc::new(Recorder::default())).unwrap();
        for (start, length) in [(0x100, 1), (0xff, 2), (0x10f, 1), (0, 0x1000)] {
            assert!(matches!(
                bus.insert(start, length, Arc::new(Recorder::default())),
                Err(BusError::Overlap { other: 0x100, .. })
            ));
        }
        bus.insert(0xf0, 0x10, Arc::new(Recorder::default())).unwrap();
        assert!(bus.remove(0x100));
        bus.insert(0x100, 1, Arc::new(Recorder::default())).unwrap();
        assert!(bus.insert(u64::MAX, 2, Arc::new(Recorder::default())).is_err());
    }
}
