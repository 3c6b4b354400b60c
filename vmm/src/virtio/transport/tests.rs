//! The transport over PCI, as a driver that follows the specification, and one that doesn't, finds it.

use crate::protocol::Event;
use crate::registry::DeviceKind;
use crate::testing::{Driver, Machine, PATIENCE, readable, writable};
use crate::virtio::device::{
    DeviceConfig, DriverLink, Identity, QueueResources, QueueState, ResizeError, RestoreError, SavedState,
    StartQueueError, VirtioDevice,
};
use crate::virtio::rng::Rng;
use crate::virtio::transport::pci::attach;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use vm_memory::{Bytes, GuestAddress};

const ALL: u64 = u64::MAX;
const VERSION_1: u64 = 1 << 32;
const RING_RESET: u64 = 1 << 40;

fn rng() -> Machine {
    let machine = Machine::default();
    machine.add("rng", "rng0", serde_json::json!({}), vec![]).unwrap();
    machine
}

/// Asks the entropy device for 16 bytes.
fn works(driver: &mut Driver<'_>) -> bool {
    let at = driver.queues[0].data();
    driver.add(0, &[writable(at, 16)]);
    driver.notify(0);
    driver.wait_used(0, 1)[0].1 == 16
}

#[test]
fn features_are_agreed_on_only_if_they_are_the_devices_and_version_1_is_among_them() {
    let machine = rng();
    let mut driver = Driver::find(&machine, 1);
    for (chosen, agreed) in [
        (0, false),
        (VERSION_1 | 1 << 63, false),
        (1 << 28, false),
        (VERSION_1, true),
    ] {
        driver.reset();
        driver.add_status(3);
        driver.choose(chosen);
        driver.add_status(8);
        assert_eq!(driver.status() & 8 != 0, agreed, "{chosen:#x}");
    }
    driver.choose(0);
    driver.write(8, &0u32.to_le_bytes());
    assert_eq!(driver.read::<4>(12), [0; 4]);
    driver.write(8, &1u32.to_le_bytes());
    assert_eq!(
        driver.read::<4>(12),
        [1, 0, 0, 0],
        "features changed after they were agreed on"
    );
}

#[test]
fn a_driver_can_not_skip_the_agreement_or_take_bits_back() {
    let machine = rng();
    let mut driver = Driver::find(&machine, 1);
    driver.reset();
    driver.write(20, &[15]);
    assert_eq!(driver.status(), 3);
    driver.choose(VERSION_1);
    driver.write(20, &[11]);
    driver.write(20, &[1]);
    assert_eq!(driver.status(), 11);
    driver.write(20, &[0x4f]);
    assert_eq!(driver.status(), 15, "a driver set DEVICE_NEEDS_RESET");
    driver.reset();
    assert_eq!(driver.status(), 0);
}

#[test]
fn rings_outside_of_memory_break_the_device_until_its_reset() {
    let machine = rng();
    let mut driver = Driver::find(&machine, 1);
    driver.negotiate(ALL);
    driver.enable_msix(2);
    driver.write(16, &0u16.to_le_bytes());
    driver.write(32, &u64::MAX.to_le_bytes());
    driver.write(28, &1u16.to_le_bytes());
    assert_eq!(driver.read::<2>(28), [0, 0]);
    assert_eq!(driver.status() & 64, 64);
    assert_eq!(machine.routes.wait_messages(PATIENCE), [0]);
    assert!(driver.wait(|_| machine.events().len() == 1));
    assert!(
        matches!(&machine.events()[0], Event::DeviceNeedsReset { device, reason }
        if device == "rng0" && reason.contains("descriptor table"))
    );
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(works(&mut driver));
}

#[test]
fn a_loop_of_descriptors_breaks_the_device_until_its_reset() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    let at = driver.queues[0].base;
    let head = driver.add(0, &[writable(at + 0xc_0000, 16)]);
    let endless = [at + 0xc_0000, 16 | 1 << 32 | u64::from(head) << 48];
    machine
        .memory
        .write_obj(endless, GuestAddress(at + 16 * u64::from(head)))
        .unwrap();
    driver.notify(0);
    assert!(driver.wait(|driver| driver.status() & 64 != 0));
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(works(&mut driver));
}

#[test]
fn a_queue_can_be_reset_alone_and_enabled_again_elsewhere() {
    let machine = rng();
    let (mut driver, features) = Driver::probe(&machine, 1, ALL);
    assert_ne!(features & RING_RESET, 0);
    assert!(works(&mut driver));
    driver.write(22, &0u16.to_le_bytes());
    driver.write(58, &1u16.to_le_bytes());
    assert!(driver.wait(|driver| driver.read::<2>(58) == [0, 0]));
    assert_eq!((driver.read::<2>(28), driver.read::<8>(32)), ([0, 0], [0; 8]));
    driver.set_up_queue(0, features);
    assert!(works(&mut driver));
    assert_eq!(driver.status(), 15);
}

#[test]
fn the_window_in_configuration_space_reaches_the_structures() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    let window = driver.structure(5);
    let select = |offset: u32, length: u32| {
        machine.write(window + 4, &[0]);
        machine.write(window + 8, &offset.to_le_bytes());
        machine.write(window + 12, &length.to_le_bytes());
    };
    select(20, 1);
    assert_eq!(machine.read::<1>(window + 16), [15]);
    select(18, 2);
    assert_eq!(machine.read::<2>(window + 16), [1, 0]);
    select(22, 2);
    machine.write(window + 16, &[7, 0, 0, 0]);
    assert_eq!(driver.read::<2>(22), [7, 0]);
    let at = driver.queues[0].data();
    driver.add(0, &[writable(at, 16)]);
    select(0x3000, 2);
    machine.write(window + 16, &[0, 0, 0, 0]);
    assert_eq!(driver.wait_used(0, 1).len(), 1);
    for (offset, length) in [(0x8000, 4), (1, 2), (0, 3), (u32::MAX, 1), (0, u32::MAX)] {
        select(offset, length);
        machine.write(window + 16, &[0xff; 4]);
        machine.read::<4>(window + 16);
    }
    assert_eq!(driver.status(), 15);
}

#[test]
fn a_function_level_reset_forgets_everything() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(works(&mut driver));
    let bar = driver.bar();
    let af = driver.capability(0x13);
    machine.write(af + 4, &[1]);
    assert!(driver.wait(|_| machine.read::<1>(af + 5) == [0]));
    assert_eq!(machine.read::<2>(driver.config_register(4)), [0, 0]);
    assert_eq!((machine.routes.doorbells(), machine.routes.irqfds()), (vec![], 0));
    machine.write(driver.config_register(0x10), &bar.to_le_bytes());
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(works(&mut driver));
}

#[test]
fn a_function_that_may_not_master_the_bus_stops_and_goes_on_where_it_stood() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(works(&mut driver));
    let command = driver.config_register(4);
    for _ in 0..10 {
        machine.write(command, &2u16.to_le_bytes());
        let at = driver.queues[0].data();
        std::thread::sleep(std::time::Duration::from_millis(5));
        driver.add(0, &[writable(at, 16)]);
        driver.notify(0);
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(
            driver.take_used(0).is_empty(),
            "a request was served without bus mastering"
        );
        machine.write(command, &6u16.to_le_bytes());
        assert_eq!(driver.wait_used(0, 1).len(), 1);
    }
}

#[test]
fn doorbells_and_structures_move_with_the_base_address_register() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    let old = driver.bar();
    for new in [0xc000_0000, 0x40_0800_0000] {
        machine.write(driver.config_register(4), &4u16.to_le_bytes());
        assert!(machine.routes.doorbells().is_empty());
        machine.write(driver.config_register(0x10), &u64::to_le_bytes(new));
        machine.write(driver.config_register(4), &6u16.to_le_bytes());
        assert_eq!(machine.routes.doorbells(), [new + 0x3000]);
        assert_eq!(machine.read::<1>(old + 20), [0xff]);
        assert_eq!(machine.read::<1>(new + 20), [15]);
        let at = driver.queues[0].data();
        driver.add(0, &[writable(at, 16)]);
        machine.write(new + 0x3000, &[0, 0]);
        assert_eq!(driver.wait_used(0, 1).len(), 1);
    }
}

#[test]
fn an_interrupt_that_was_masked_comes_at_unmask_and_once() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    let control = driver.vector(1) + 12;
    for _ in 0..10 {
        machine.write(control, &1u32.to_le_bytes());
        let at = driver.queues[0].data();
        driver.add(0, &[writable(at, 16)]);
        driver.notify(0);
        let used = machine
            .memory
            .load::<u16>(GuestAddress(driver.queues[0].used() + 2), Ordering::Acquire)
            .unwrap();
        let pending = driver.bar() + 0x5000;
        assert!(driver.wait(|_| machine.read::<1>(pending) == [2]), "after {used} used");
        assert!(machine.routes.take_messages().is_empty());
        machine.write(control, &0u32.to_le_bytes());
        assert_eq!(machine.routes.take_messages(), [1]);
        assert_eq!((machine.read::<1>(pending), driver.take_used(0).len()), ([0], 1));
    }
}

#[test]
fn without_msix_the_interrupt_status_tells_and_reading_clears_it() {
    let machine = rng();
    let mut driver = Driver::find(&machine, 1);
    let features = driver.negotiate(!(1 << 29));
    driver.set_up_queue(0, features);
    driver.add_status(4);
    let at = driver.queues[0].data();
    driver.add(0, &[writable(at, 16)]);
    driver.notify(0);
    let isr = driver.structure(3);
    let end = std::time::Instant::now() + PATIENCE;
    while machine.read::<1>(isr) != [1] {
        assert!(std::time::Instant::now() < end, "no interrupt status");
    }
    assert_eq!(machine.read::<1>(isr), [0]);
    assert_eq!(driver.take_used(0).len(), 1);
}

#[test]
fn a_function_that_was_stopped_can_be_reset_and_does_nothing_more() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(works(&mut driver));
    let function = machine.root.function(1).unwrap();
    function.stop();
    let at = driver.queues[0].data();
    driver.add(0, &[writable(at, 16)]);
    driver.notify(0);
    driver.write(58, &1u16.to_le_bytes());
    assert_eq!((driver.read::<2>(58), driver.read::<2>(28)), ([0; 2], [0; 2]));
    driver.reset();
    driver.negotiate(ALL);
    driver.write(32, &u64::MAX.to_le_bytes());
    driver.write(28, &1u16.to_le_bytes());
    assert_eq!(driver.status() & 64, 64);
    assert!(machine.events().is_empty());
    // Neither waits for a thread that has ended.
    function.pause();
    function.stop();
    driver.reset();
    assert_eq!(driver.status(), 0);
}

#[test]
fn a_function_that_is_removed_gives_back_its_interrupts_and_its_doorbells() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    driver.enable_msix(2);
    assert!(works(&mut driver));
    let removed = machine.root.remove(1).unwrap();
    assert_eq!(driver.status(), 0xff);
    removed.stop();
    drop(removed);
    let routes = &machine.routes;
    assert_eq!((routes.doorbells(), routes.irqfds(), routes.gsis()), (vec![], 0, 0));
    assert_eq!(machine.add("rng", "rng1", serde_json::json!({}), vec![]).unwrap(), 1);
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(works(&mut driver));
}

#[test]
fn a_machine_that_ends_leaves_nothing_behind() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(works(&mut driver));
    machine.root.stop();
    driver.ring(0);
    let Machine { root, mmio, routes, .. } = machine;
    drop((root, mmio));
    assert_eq!((routes.doorbells(), routes.irqfds(), routes.gsis()), (vec![], 0, 0));
}

/// A device whose configuration is one number that a test changes, and whose queue goes nowhere.
struct Number {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    number: AtomicU32,
    resets: AtomicUsize,
    refuse: AtomicUsize,
    link: Mutex<Option<Arc<dyn DriverLink>>>,
}

impl DeviceConfig for Shared {
    fn features(&self) -> u64 {
        0
    }
    fn read(&self, _offset: u64, data: &mut [u8]) {
        let number = self.number.load(Ordering::SeqCst).to_le_bytes();
        data.copy_from_slice(&number[..data.len()]);
    }
    fn write(&self, _offset: u64, _data: &[u8], _features: u64) {}
    fn resize(&self, _bytes: u64) -> Result<(), ResizeError> {
        Err(ResizeError::Sizeless)
    }
    fn reset(&self) {
        self.resets.fetch_add(1, Ordering::SeqCst);
    }
}

impl VirtioDevice for Number {
    fn identity(&self) -> Identity {
        Identity {
            device_id: 63,
            pci_class: 0,
        }
    }
    fn queue_sizes(&self) -> Vec<u16> {
        vec![8]
    }
    fn config(&self) -> Arc<dyn DeviceConfig> {
        self.shared.clone()
    }
    fn start_queue(
        &mut self,
        index: u16,
        resources: QueueResources,
        _features: u64,
        _state: Option<QueueState>,
    ) -> Result<(), StartQueueError> {
        if self.shared.refuse.load(Ordering::SeqCst) > 0 {
            return Err(StartQueueError::NotStopped { index });
        }
        *self.shared.link.lock().unwrap() = Some(resources.link);
        Ok(())
    }
    fn stop_queue(&mut self, _index: u16) -> Option<QueueState> {
        self.shared.link.lock().unwrap().take().map(|_| QueueState::default())
    }
    fn reset(&mut self) {}
    fn save(&self) -> SavedState {
        SavedState::new("number", 1, &())
    }
    fn restore(&mut self, state: &SavedState) -> Result<(), RestoreError> {
        state.parse("number", 1)
    }
}

fn number() -> (Machine, Arc<Shared>) {
    let machine = Machine::default();
    let shared = Arc::new(Shared::default());
    let device = Box::new(Number { shared: shared.clone() });
    machine.insert(attach("number", device, Rng::SYSCALLS, &machine.context).unwrap());
    (machine, shared)
}

#[test]
fn a_change_of_the_configuration_has_a_generation_and_an_interrupt() {
    let (machine, shared) = number();
    let (driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(driver.wait(|_| shared.link.lock().unwrap().is_some()));
    let before = driver.read::<1>(21);
    let link = shared.link.lock().unwrap().clone().unwrap();
    link.change_config(&mut || shared.number.store(42, Ordering::SeqCst));
    assert_ne!(driver.read::<1>(21), before);
    assert_eq!(machine.read::<4>(driver.structure(4)), [42, 0, 0, 0]);
    assert_eq!(machine.routes.take_messages(), [0]);
}

#[test]
fn a_queue_that_does_not_start_breaks_the_device() {
    let (machine, shared) = number();
    shared.refuse.store(1, Ordering::SeqCst);
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    assert!(driver.wait(|driver| driver.status() & 64 != 0));
    driver.reset();
    assert!(shared.resets.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_guest_that_breaks_its_device_over_and_over_is_reported_a_few_times() {
    let (machine, shared) = number();
    for _ in 0..100 {
        let (mut driver, _) = Driver::probe(&machine, 1, ALL);
        assert!(driver.wait(|_| shared.link.lock().unwrap().is_some()));
        let link = shared.link.lock().unwrap().clone().unwrap();
        link.needs_reset(&"a test says so");
        link.needs_reset(&"a test says so again");
        assert_eq!(driver.status() & 64, 64);
        assert_eq!(machine.routes.wait_messages(PATIENCE), [0]);
        drop(link);
        driver.reset();
    }
    assert_eq!(machine.events().len(), 16);
}

#[test]
fn what_a_saved_state_is_of_is_checked() {
    let state = SavedState::new("rng", 1, &());
    assert!(state.parse::<()>("rng", 1).is_ok());
    assert!(matches!(
        state.parse::<()>("rng", 2),
        Err(RestoreError::Unknown { version: 1, .. })
    ));
    assert!(matches!(state.parse::<()>("blk", 1), Err(RestoreError::Unknown { .. })));
    assert!(matches!(
        state.parse::<u32>("rng", 1),
        Err(RestoreError::Malformed { kind: "rng", .. })
    ));
}

#[test]
fn a_request_with_only_readable_parts_is_used_with_no_bytes() {
    let machine = rng();
    let (mut driver, _) = Driver::probe(&machine, 1, ALL);
    let at = driver.queues[0].data();
    driver.add(0, &[readable(at, 16)]);
    driver.notify(0);
    assert_eq!(driver.wait_used(0, 1)[0].1, 0);
}
