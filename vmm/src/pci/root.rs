//! The bus itself: which function sits in which slot, the two ways to its configuration space, and which of its
//! memory is reachable.

use super::config::{ConfigSpace, Ids};
use super::{Function, Window, WindowError, Windows};
use crate::bus::{Bus, BusDevice};
use crate::virtio::device::{RestoreError, SavedState};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// The slots beside the host bridge's own.
pub const SLOTS: u8 = 31;
const ADDRESS_ENABLE: u32 = 1 << 31;

/// Why a function was not put into the root.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// Every slot is taken.
    #[error("The PCI bus has no slot left for {id}: it has {SLOTS}")]
    NoSlot {
        /// The function.
        id: String,
    },
    /// The slot is taken, or is none.
    #[error("The PCI bus can't take {id} in slot {slot}")]
    Slot {
        /// The function.
        id: String,
        /// Where it should go.
        slot: u8,
    },
    /// Its memory has no place.
    #[error("The memory of {id} has no place on the PCI bus")]
    NoWindow {
        /// The function.
        id: String,
        /// Why.
        #[source]
        source: WindowError,
    },
}

struct Slot {
    function: Arc<dyn Function>,
    /// What of the windows was taken for it.
    placed: Vec<u64>,
    /// Base address register to where it is on the bus now.
    mapped: BTreeMap<u8, u64>,
}

struct Inner {
    bridge: ConfigSpace,
    slots: BTreeMap<u8, Slot>,
    windows: Windows,
    /// Not owned: the bus owns the way to configuration space, and with it this root.
    mmio: Weak<Bus>,
}

/// A host bridge with its bus. One lock guards all configuration accesses, as one register pair does on hardware.
pub struct Root {
    inner: Mutex<Inner>,
    address: AtomicU32,
}

impl Root {
    /// A bus with nothing but the host bridge. Base address registers are placed and answered in `low` (below 4 GiB)
    /// and `high`, on `mmio`.
    pub fn new(mmio: &Arc<Bus>, low: Window, high: Window) -> Arc<Self> {
        let bridge = ConfigSpace::new(Ids {
            device: (0x1b36, 0x0008),
            subsystem: (0x1af4, 0x1100),
            revision: 0,
            class: 0x06_0000,
        });
        let inner = Inner {
            bridge,
            slots: BTreeMap::new(),
            windows: Windows::new(low, high),
            mmio: Arc::downgrade(mmio),
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            address: AtomicU32::new(0),
        })
    }

    /// Puts `function` into the first free slot from `from` on and places its memory; gives the slot. The vCPUs may run.
    ///
    /// # Errors
    /// No slot, or no room in the windows.
    pub fn insert(&self, function: Arc<dyn Function>, from: u8) -> Result<u8, InsertError> {
        let mut inner = self.lock();
        let slot = (from.max(1)..=SLOTS).find(|slot| !inner.slots.contains_key(slot));
        let slot = slot.ok_or_else(|| InsertError::NoSlot {
            id: function.id().to_owned(),
        })?;
        inner.insert(slot, function)?;
        Ok(slot)
    }

    /// As [`Self::insert`], into this slot.
    ///
    /// # Errors
    /// The slot is taken or none, or there is no room in the windows.
    pub fn insert_at(&self, slot: u8, function: Arc<dyn Function>) -> Result<(), InsertError> {
        let mut inner = self.lock();
        if !(1..=SLOTS).contains(&slot) || inner.slots.contains_key(&slot) {
            let id = function.id().to_owned();
            return Err(InsertError::Slot { id, slot });
        }
        inner.insert(slot, function)
    }

    /// Takes the function out of `slot`, if there is one: from then on the guest reaches nothing there. Its I/O goes on
    /// until it is stopped. The vCPUs may run.
    pub fn remove(&self, slot: u8) -> Option<Arc<dyn Function>> {
        let mut inner = self.lock();
        let removed = inner.slots.remove(&slot)?;
        let mmio = inner.mmio.upgrade();
        for (bar, address) in removed.mapped {
            removed.function.moved(bar, None);
            mmio.as_ref().map(|mmio| mmio.remove(address));
        }
        removed.placed.iter().for_each(|start| inner.windows.free(*start));
        // What wanted its place gets it.
        inner.map();
        Some(removed.function)
    }

    /// The function in `slot`.
    pub fn function(&self, slot: u8) -> Option<Arc<dyn Function>> {
        self.lock().slots.get(&slot).map(|slot| Arc::clone(&slot.function))
    }

    /// The functions, by slot.
    pub fn functions(&self) -> Vec<(u8, Arc<dyn Function>)> {
        let inner = self.lock();
        let functions = inner.slots.iter();
        functions
            .map(|(slot, entry)| (*slot, Arc::clone(&entry.function)))
            .collect()
    }

    /// Stops the I/O of every function where it stands. The vCPUs must not run.
    pub fn pause(&self) {
        for (_, function) in self.functions() {
            function.pause();
        }
    }

    /// Lets every function go on.
    pub fn resume(&self) {
        for (_, function) in self.functions() {
            function.resume();
        }
    }

    /// What must be kept of the functions, by slot. They must be paused.
    pub fn save(&self) -> BTreeMap<u8, SavedState> {
        let functions = self.functions().into_iter();
        functions
            .filter_map(|(slot, function)| Some((slot, function.save()?)))
            .collect()
    }

    /// Takes what was kept, into a bus with the same functions, new and paused.
    ///
    /// # Errors
    /// A state is not one of the function in its slot, or there is no such slot.
    pub fn restore(&self, states: &BTreeMap<u8, SavedState>) -> Result<(), RestoreError> {
        let functions: BTreeMap<_, _> = self.functions().into_iter().collect();
        if !functions.keys().eq(states.keys()) {
            let (kind, what) = ("pci", "slots");
            return Err(RestoreError::Impossible { kind, what });
        }
        for (slot, function) in &functions {
            if let Some(state) = states.get(slot) {
                function.restore(state)?;
            }
        }
        self.lock().map();
        Ok(())
    }

    /// Ends the I/O of every function and waits until it is durable. The vCPUs must not run any more.
    pub fn stop(&self) {
        for (_, function) in self.functions() {
            function.stop();
        }
    }

    /// The memory-mapped way to configuration space (PCI Express 7.2.2): [`super::ECAM_SIZE`] bytes.
    pub fn ecam(self: &Arc<Self>) -> Arc<dyn BusDevice> {
        Arc::new(Ecam(Arc::clone(self)))
    }

    /// The register at port 0xCF8, 4 bytes: what is accessed at [`Self::data_port`] (PCI Local Bus 3.0, 3.2.2.3.2).
    pub fn address_port(self: &Arc<Self>) -> Arc<dyn BusDevice> {
        Arc::new(AddressPort(Arc::clone(self)))
    }

    /// The registers at port 0xCFC, 4 bytes.
    pub fn data_port(self: &Arc<Self>) -> Arc<dyn BusDevice> {
        Arc::new(DataPort(Arc::clone(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn read(&self, place: Place, data: &mut [u8]) {
        let inner = self.lock();
        match (place.slot, inner.slots.get(&place.slot)) {
            (0, _) => inner.bridge.read(place.register, data),
            (_, Some(slot)) => slot.function.read_config(place.register, data),
            (_, None) => data.fill(0xff),
        }
    }

    fn write(&self, place: Place, data: &[u8]) {
        let mut inner = self.lock();
        match (place.slot, inner.slots.get(&place.slot)) {
            (0, _) => inner.bridge.write(place.register, data),
            (_, Some(slot)) => {
                slot.function.write_config(place.register, data);
                inner.map();
            }
            (_, None) => {}
        }
    }

    /// The place that the address register names, for an access of `length` bytes at `offset` in the data register.
    fn addressed(&self, offset: u64, length: usize) -> Option<Place> {
        let address = self.address.load(Ordering::Relaxed);
        let offset = u32::try_from(offset).ok().filter(|offset| *offset < 4)?;
        let bus = address >> 16 & 0xff;
        let in_bus = u64::from(address >> 8 & 0xff) << 12 | u64::from(address & 0xfc | offset);
        (address & ADDRESS_ENABLE != 0 && bus == 0)
            .then(|| Place::find(in_bus, length))
            .flatten()
    }
}

impl Inner {
    fn insert(&mut self, slot: u8, function: Arc<dyn Function>) -> Result<(), InsertError> {
        let mut placed = Vec::new();
        for bar in function.bars() {
            match self.windows.allocate(bar.length, bar.prefetchable) {
                Ok(address) => {
                    placed.push(address);
                    function.place(bar.index, address);
                }
                Err(source) => {
                    placed.iter().for_each(|start| self.windows.free(*start));
                    let id = function.id().to_owned();
                    return Err(InsertError::NoWindow { id, source });
                }
            }
        }
        let slot_of = Slot {
            function,
            placed,
            mapped: BTreeMap::new(),
        };
        self.slots.insert(slot, slot_of);
        self.map();
        Ok(())
    }

    /// Makes the bus agree with what the functions decode. What found its place taken gets it as soon as it is free.
    fn map(&mut self) {
        let Some(mmio) = self.mmio.upgrade() else {
            return;
        };
        let mut wanted = Vec::new();
        for (number, slot) in &mut self.slots {
            for bar in slot.function.bars() {
                let address = slot.function.decoded(bar.index);
                let address = address.filter(|address| self.windows.forwards(*address, bar.length));
                let mapped = slot.mapped.get(&bar.index).copied();
                if let Some(old) = mapped.filter(|old| Some(*old) != address) {
                    slot.function.moved(bar.index, None);
                    mmio.remove(old);
                    slot.mapped.remove(&bar.index);
                }
                if let Some(address) = address.filter(|address| Some(*address) != mapped) {
                    wanted.push((*number, bar, address));
                }
            }
        }
        for (number, bar, address) in wanted {
            let Some(slot) = self.slots.get_mut(&number) else {
                continue;
            };
            let device = slot.function.bar_device(bar.index);
            if mmio.insert(address, bar.length, device).is_ok() {
                slot.mapped.insert(bar.index, address);
                slot.function.moved(bar.index, Some(address));
            }
        }
    }
}

/// A register of the function in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    slot: u8,
    register: u16,
}

impl Place {
    /// What lies `offset` bytes into the bus's ECAM space; none for functions other than the first, and for accesses
    /// across the end of a function.
    fn find(offset: u64, length: usize) -> Option<Self> {
        let slot = u8::try_from(offset >> 15 & 0x1f).ok()?;
        let function = offset >> 12 & 7;
        let register = u16::try_from(offset & 0xfff).ok()?;
        let fits = usize::from(register) + length <= 4096;
        (function == 0 && fits && length <= 8 && offset < super::ECAM_SIZE).then_some(Self { slot, register })
    }
}

struct Ecam(Arc<Root>);

impl BusDevice for Ecam {
    fn read(&self, offset: u64, data: &mut [u8]) {
        match Place::find(offset, data.len()) {
            Some(place) => self.0.read(place, data),
            None => data.fill(0xff),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Some(place) = Place::find(offset, data.len()) {
            self.0.write(place, data);
        }
    }
}

struct AddressPort(Arc<Root>);

impl BusDevice for AddressPort {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let (0, Ok(data)) = (offset, <&mut [u8; 4]>::try_from(data)) {
            *data = self.0.address.load(Ordering::Relaxed).to_le_bytes();
        }
    }

    /// Only the whole register is one; a byte at 0xCF9, say, is not configuration.
    fn write(&self, offset: u64, data: &[u8]) {
        if let (0, Ok(data)) = (offset, <[u8; 4]>::try_from(data)) {
            let address = u32::from_le_bytes(data) & !0x7f00_0003;
            self.0.address.store(address, Ordering::Relaxed);
        }
    }
}

struct DataPort(Arc<Root>);

impl BusDevice for DataPort {
    fn read(&self, offset: u64, data: &mut [u8]) {
        match self.0.addressed(offset, data.len()) {
            Some(place) => self.0.read(place, data),
            None => data.fill(0xff),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Some(place) = self.0.addressed(offset, data.len()) {
            self.0.write(place, data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::{Bar, ECAM_SIZE};
    use crate::virtio::device::ResizeError;

    const LOW: Window = Window {
        start: 0xc000_0000,
        length: 0x1000_0000,
    };
    const HIGH: Window = Window {
        start: 0x40_0000_0000,
        length: 0x1000_0000,
    };
    const LENGTH: u64 = 0x1000;

    struct Register(u8);

    impl BusDevice for Register {
        fn read(&self, _offset: u64, data: &mut [u8]) {
            data.fill(self.0);
        }
        fn write(&self, _offset: u64, _data: &[u8]) {}
    }

    struct Device {
        config: Mutex<ConfigSpace>,
        moves: Mutex<Vec<Option<u64>>>,
        value: u8,
    }

    impl Device {
        fn new(value: u8) -> Arc<Self> {
            let mut config = ConfigSpace::new(Ids {
                device: (0x1234, u16::from(value)),
                subsystem: (0, 0),
                revision: 0,
                class: 0,
            });
            config.add_bar(Bar {
                index: 0,
                length: LENGTH,
                prefetchable: true,
            });
            Arc::new(Self {
                config: Mutex::new(config),
                moves: Mutex::default(),
                value,
            })
        }
    }

    impl Function for Device {
        fn id(&self) -> &str {
            "test"
        }
        fn bars(&self) -> Vec<Bar> {
            self.config.lock().unwrap().bars().to_vec()
        }
        fn place(&self, index: u8, address: u64) {
            self.config.lock().unwrap().place(index, address);
        }
        fn decoded(&self, index: u8) -> Option<u64> {
            self.config.lock().unwrap().decoded(index)
        }
        fn bar_device(&self, _index: u8) -> Arc<dyn BusDevice> {
            Arc::new(Register(self.value))
        }
        fn moved(&self, _index: u8, address: Option<u64>) {
            self.moves.lock().unwrap().push(address);
        }
        fn read_config(&self, offset: u16, data: &mut [u8]) {
            self.config.lock().unwrap().read(offset, data);
        }
        fn write_config(&self, offset: u16, data: &[u8]) {
            self.config.lock().unwrap().write(offset, data);
        }
        fn pause(&self) {}
        fn resume(&self) {}
        fn resize(&self, _bytes: u64) -> Result<(), ResizeError> {
            Err(ResizeError::Sizeless)
        }
        fn save(&self) -> Option<SavedState> {
            None
        }
        fn restore(&self, _state: &SavedState) -> Result<(), RestoreError> {
            Ok(())
        }
        fn stop(&self) {}
    }

    struct Machine {
        mmio: Arc<Bus>,
        root: Arc<Root>,
        devices: Vec<Arc<Device>>,
    }

    impl Machine {
        fn new(devices: u8) -> Self {
            let mmio = Arc::new(Bus::default());
            let root = Root::new(&mmio, LOW, HIGH);
            let devices: Vec<_> = (1..=devices).map(Device::new).collect();
            for device in &devices {
                root.insert(device.clone(), 1).unwrap();
            }
            Self { mmio, root, devices }
        }

        fn write(&self, slot: u64, register: u64, value: u32) {
            self.root.ecam().write(slot << 15 | register, &value.to_le_bytes());
        }

        fn read(&self, slot: u64, register: u64) -> u32 {
            let mut data = [0; 4];
            self.root.ecam().read(slot << 15 | register, &mut data);
            u32::from_le_bytes(data)
        }

        fn move_to(&self, slot: u64, address: u64) {
            self.write(slot, 0x10, u32::try_from(address & 0xffff_ffff).unwrap());
            self.write(slot, 0x14, u32::try_from(address >> 32).unwrap());
        }

        fn at(&self, address: u64) -> u8 {
            let mut data = [0];
            self.mmio.read(address, &mut data);
            data[0]
        }
    }

    #[test]
    fn both_ways_reach_the_same_registers() {
        let machine = Machine::new(2);
        let (address, data) = (machine.root.address_port(), machine.root.data_port());
        for slot in [0u32, 1, 2, 3] {
            let mut value = [0; 4];
            address.write(0, &(1u32 << 31 | slot << 11).to_le_bytes());
            data.read(0, &mut value);
            assert_eq!(
                u32::from_le_bytes(value),
                machine.read(u64::from(slot), 0),
                "slot {slot}"
            );
        }
        assert_eq!(machine.read(0, 0), 0x0008_1b36);
        assert_eq!(machine.read(2, 0), 0x0002_1234);
        assert_eq!(machine.read(3, 0), 0xffff_ffff);
        let mut value = [0; 2];
        address.write(0, &(1u32 << 31 | 1 << 11).to_le_bytes());
        data.read(2, &mut value);
        assert_eq!(u16::from_le_bytes(value), 1);
        address.write(1, &[0xff]);
        address.write(0, &[0; 4]);
        data.read(0, &mut value);
        assert_eq!(value, [0xff; 2]);
    }

    #[test]
    fn other_functions_buses_and_odd_accesses_are_nobodys() {
        let machine = Machine::new(1);
        assert_eq!(machine.read(1, 0x1000), 0xffff_ffff);
        assert_eq!(machine.read(1, 0xffe), 0xffff_ffff);
        assert_eq!(machine.read(1, ECAM_SIZE), 0xffff_ffff);
        let (address, data) = (machine.root.address_port(), machine.root.data_port());
        address.write(0, &(1u32 << 31 | 1 << 16 | 1 << 11).to_le_bytes());
        let mut value = [0; 4];
        data.read(0, &mut value);
        assert_eq!(value, [0xff; 4]);
    }

    #[test]
    fn memory_follows_its_register() {
        let machine = Machine::new(1);
        assert_eq!(machine.at(HIGH.start), 0xff);
        machine.write(1, 4, 2);
        assert_eq!(machine.at(HIGH.start), 1);
        machine.move_to(1, HIGH.start + 0x8000);
        assert_eq!((machine.at(HIGH.start), machine.at(HIGH.start + 0x8000)), (0xff, 1));
        machine.write(1, 4, 0);
        assert_eq!(machine.at(HIGH.start + 0x8000), 0xff);
        assert_eq!(machine.devices[0].moves.lock().unwrap().last(), Some(&None));
    }

    #[test]
    fn memory_outside_the_windows_is_not_decoded() {
        let machine = Machine::new(1);
        machine.write(1, 4, 2);
        for address in [0, 0x1000, 0xfee0_0000, HIGH.start + HIGH.length, !(LENGTH - 1)] {
            machine.move_to(1, address);
            assert_eq!(machine.at(address), 0xff);
        }
        machine.move_to(1, LOW.start);
        assert_eq!(machine.at(LOW.start), 1);
    }

    #[test]
    fn functions_can_swap_places_while_they_decode() {
        let machine = Machine::new(2);
        machine.write(1, 4, 2);
        machine.write(2, 4, 2);
        let (a, b) = (HIGH.start, HIGH.start + LENGTH);
        assert_eq!((machine.at(a), machine.at(b)), (1, 2));
        machine.move_to(1, b);
        assert_eq!((machine.at(a), machine.at(b)), (0xff, 2));
        machine.move_to(2, a);
        assert_eq!((machine.at(a), machine.at(b)), (2, 1));
    }

    #[test]
    fn the_bus_takes_31_functions() {
        let machine = Machine::new(31);
        let found = machine.root.insert(Device::new(99), 1);
        assert!(matches!(found, Err(InsertError::NoSlot { .. })));
        assert_eq!(machine.read(31, 0), 0x001f_1234);
    }

    #[test]
    fn a_function_that_is_removed_leaves_its_slot_and_its_memory_to_others() {
        let machine = Machine::new(3);
        for slot in 1..=3 {
            machine.write(slot, 4, 2);
        }
        let place = HIGH.start + LENGTH;
        assert_eq!(machine.at(place), 2);
        assert!(machine.root.remove(2).is_some());
        assert!(machine.root.remove(2).is_none());
        assert_eq!((machine.at(place), machine.read(2, 0)), (0xff, 0xffff_ffff));
        assert_eq!(machine.devices[1].moves.lock().unwrap().last(), Some(&None));
        machine.write(2, 4, 2);
        assert_eq!((machine.at(HIGH.start), machine.at(place + LENGTH)), (1, 3));
        assert_eq!(machine.root.insert(Device::new(9), 1).unwrap(), 2);
        assert_eq!(machine.at(place), 0xff);
        machine.write(2, 4, 2);
        assert_eq!((machine.at(place), machine.read(2, 0)), (9, 0x0009_1234));
    }

    #[test]
    fn a_slot_is_taken_once_and_only_if_there_is_one() {
        let machine = Machine::new(0);
        machine.root.insert_at(7, Device::new(1)).unwrap();
        for slot in [0, 7, 32, 255] {
            let refused = machine.root.insert_at(slot, Device::new(2));
            assert!(matches!(refused, Err(InsertError::Slot { .. })), "slot {slot}");
        }
        assert_eq!(machine.read(7, 0), 0x0001_1234);
        assert_eq!(machine.root.insert(Device::new(3), 1).unwrap(), 1);
    }

    #[test]
    fn functions_come_and_go_while_the_guest_looks_at_them() {
        let machine = Machine::new(1);
        machine.write(1, 4, 2);
        std::thread::scope(|scope| {
            let guests: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for turn in 0..2000u64 {
                            machine.write(2, 4, u32::from(turn % 2 == 0) << 1);
                            machine.move_to(2, HIGH.start + LENGTH * (1 + turn % 4));
                            assert!([0xffff_ffff, 0x0002_1234].contains(&machine.read(2, 0)));
                            assert_eq!((machine.at(HIGH.start), machine.read(1, 0)), (1, 0x0001_1234));
                        }
                    })
                })
                .collect();
            while guests.iter().any(|guest| !guest.is_finished()) {
                let device = Device::new(2);
                machine.root.insert_at(2, device.clone()).unwrap();
                assert!(machine.root.remove(2).is_some());
                assert!(matches!(device.moves.lock().unwrap().last(), None | Some(None)));
            }
        });
        assert!((1..=4).all(|place| machine.at(HIGH.start + LENGTH * place) == 0xff));
    }
}
