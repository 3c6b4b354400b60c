//! The registers by which a guest's ACPI learns which slots were filled and which it should empty, and by which it ejects
//! (ACPI 6.5, 5.6.6 and 6.3): `x86_64::acpi` has the methods that use them, `machine` puts devices in and takes them out.
//!
//! ```text
//!   0  inserted  slots that were filled; writing a one acknowledges
//!   4  leaving   slots that the guest is asked to empty; writing a one acknowledges
//!   8  eject     writing a one ejects what is in the slot; reads as zero
//! ```
//! Each is 32 bits wide, a bit a slot, and is accessed whole.

use crate::bus::BusDevice;
use std::sync::{Mutex, MutexGuard};

/// Offsets of the registers.
pub mod offset {
    /// Slots that were filled.
    pub const INSERTED: u64 = 0;
    /// Slots that the guest is asked to empty.
    pub const LEAVING: u64 = 4;
    /// Slots that the guest empties.
    pub const EJECT: u64 = 8;
}

/// Called by the registers; must not block, for a vCPU thread may be the caller.
pub type Signal = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Slots {
    inserted: u32,
    leaving: u32,
    /// Those that the guest may eject, as it was asked to.
    asked: u32,
    /// Those that it has ejected and nobody has emptied yet.
    ejected: u32,
}

/// The registers.
pub struct Hotplug {
    slots: Mutex<Slots>,
    tell_guest: Signal,
    on_eject: Signal,
}

impl Hotplug {
    /// No slot has news. `tell_guest` raises the event whose method reads the registers; `on_eject` says that
    /// [`Self::take_ejected`] has something.
    pub fn new(tell_guest: Signal, on_eject: Signal) -> Self {
        Self {
            slots: Mutex::default(),
            tell_guest,
            on_eject,
        }
    }

    /// Tells the guest that `slot` was filled.
    pub fn inserted(&self, slot: u8) {
        self.lock().inserted |= bit(slot);
        (self.tell_guest)();
    }

    /// Asks the guest to empty `slot`; it may be asked again.
    pub fn ask(&self, slot: u8) {
        let mut slots = self.lock();
        slots.leaving |= bit(slot);
        slots.asked |= bit(slot);
        drop(slots);
        (self.tell_guest)();
    }

    /// The slots that the guest has ejected since this was last asked. They have no more news.
    pub fn take_ejected(&self) -> Vec<u8> {
        let mut slots = self.lock();
        let ejected = std::mem::take(&mut slots.ejected);
        slots.inserted &= !ejected;
        slots.leaving &= !ejected;
        slots.asked &= !ejected;
        (0..32).filter(|slot| ejected & bit(*slot) != 0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What the guest was not asked to eject stays. However often it writes, `on_eject` is called once until
    /// [`Self::take_ejected`] is.
    fn eject(&self, written: u32) {
        let mut slots = self.lock();
        let before = slots.ejected;
        slots.ejected |= written & slots.asked;
        let news = before == 0 && slots.ejected != 0;
        drop(slots);
        if news {
            (self.on_eject)();
        }
    }
}

fn bit(slot: u8) -> u32 {
    1u32.checked_shl(slot.into()).unwrap_or(0)
}

impl BusDevice for Hotplug {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Ok(data) = <&mut [u8; 4]>::try_from(data) {
            let slots = self.lock();
            let register = match offset {
                offset::INSERTED => slots.inserted,
                offset::LEAVING => slots.leaving,
                _ => 0,
            };
            *data = register.to_le_bytes();
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let Ok(written) = <[u8; 4]>::try_from(data).map(u32::from_le_bytes) else {
            return;
        };
        match offset {
            offset::INSERTED => self.lock().inserted &= !written,
            offset::LEAVING => self.lock().leaving &= !written,
            offset::EJECT => self.eject(written),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Registers {
        hotplug: Hotplug,
        told: Arc<AtomicU32>,
        ejects: Arc<AtomicU32>,
    }

    fn counting() -> (Signal, Arc<AtomicU32>) {
        let count = Arc::new(AtomicU32::new(0));
        let own = Arc::clone(&count);
        let signal = move || {
            own.fetch_add(1, Ordering::Relaxed);
        };
        (Box::new(signal), count)
    }

    fn registers() -> Registers {
        let ((tell_guest, told), (on_eject, ejects)) = (counting(), counting());
        let hotplug = Hotplug::new(tell_guest, on_eject);
        Registers { hotplug, told, ejects }
    }

    impl Registers {
        fn read(&self, offset: u64) -> u32 {
            let mut data = [0; 4];
            self.hotplug.read(offset, &mut data);
            u32::from_le_bytes(data)
        }

        fn write(&self, offset: u64, value: u32) {
            self.hotplug.write(offset, &value.to_le_bytes());
        }

        fn counts(&self) -> (u32, u32) {
            (self.told.load(Ordering::Relaxed), self.ejects.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn news_of_a_slot_stay_until_they_are_acknowledged() {
        let registers = registers();
        registers.hotplug.inserted(1);
        registers.hotplug.inserted(31);
        registers.hotplug.ask(5);
        assert_eq!(registers.counts(), (3, 0));
        assert_eq!(registers.read(offset::INSERTED), 1 << 1 | 1 << 31);
        registers.write(offset::INSERTED, 1 << 31);
        assert_eq!(registers.read(offset::INSERTED), 1 << 1);
        assert_eq!(registers.read(offset::LEAVING), 1 << 5);
        registers.write(offset::LEAVING, u32::MAX);
        assert_eq!((registers.read(offset::LEAVING), registers.read(offset::EJECT)), (0, 0));
    }

    #[test]
    fn a_slot_is_ejected_once_and_only_if_that_was_asked_for() {
        let registers = registers();
        registers.write(offset::EJECT, u32::MAX);
        assert_eq!((registers.counts(), registers.hotplug.take_ejected()), ((0, 0), vec![]));
        registers.hotplug.ask(3);
        registers.hotplug.ask(4);
        for _ in 0..3 {
            registers.write(offset::EJECT, u32::MAX);
        }
        assert_eq!(registers.counts(), (2, 1));
        assert_eq!(registers.hotplug.take_ejected(), [3, 4]);
        assert_eq!(registers.read(offset::LEAVING), 0);
        registers.write(offset::EJECT, u32::MAX);
        assert_eq!((registers.counts(), registers.hotplug.take_ejected()), ((2, 1), vec![]));
    }

    proptest! {
        #[test]
        fn no_access_ejects_what_was_not_asked_for(
            accesses in prop::collection::vec((0u64..16, prop::collection::vec(any::<u8>(), 0..9)), 0..40),
            asked in 1u8..32,
        ) {
            let registers = registers();
            registers.hotplug.ask(asked);
            for (offset, mut data) in accesses {
                registers.hotplug.write(offset, &data);
                registers.hotplug.read(offset, &mut data);
            }
            let ejected = registers.hotplug.take_ejected();
            prop_assert!(ejected.iter().all(|slot| *slot == asked) && ejected.len() <= 1);
            prop_assert!(registers.counts().1 <= 1);
        }
    }
}
