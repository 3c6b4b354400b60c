//! The back end in the kernel, with something in place of the kernel that notes what it is asked. No frame is moved here, and
//! no `/dev/vhost-net` is needed.

use super::settings;
use super::tap::Namespace;
use crate::registry::DeviceKind;
use crate::testing::{Driver, Machine, PATIENCE, readable};
use crate::virtio::device::Chained;
use crate::virtio::net::tap::Taps;
use crate::virtio::net::testing::wire;
use crate::virtio::net::vhost::{Call, IOCTLS, Kernel, memory_table, ring_addresses};
use crate::virtio::net::{Config, Device, Net};
use crate::virtio::queue::{RingAddresses, RingLayout};
use crate::virtio::transport::pci::attach;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const ALL: u64 = u64::MAX;

/// In place of the kernel, for one pair.
#[derive(Default)]
struct Noted {
    calls: Mutex<Vec<(u32, Call)>>,
    /// Duplicates of the events it was given, by queue and kind.
    events: Mutex<BTreeMap<(u32, &'static str), OwnedFd>>,
    position: Mutex<u32>,
    refuse_tap: Mutex<bool>,
}

impl Noted {
    fn take(&self) -> Vec<(u32, Call)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn keep(&self, queue: u32, kind: &'static str, fd: RawFd) {
        if fd >= 0 {
            // SAFETY: whoever makes a call holds its descriptor open meanwhile.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let own = fd.try_clone_to_owned().unwrap();
            self.events.lock().unwrap().insert((queue, kind), own);
        }
    }

    /// Rings one of the events that it was given.
    fn ring(&self, queue: u32, kind: &'static str) {
        let events = self.events.lock().unwrap();
        rustix::io::write(&events[&(queue, kind)], &1u64.to_ne_bytes()).unwrap();
    }

    /// Whether an event was rung since this was last asked.
    fn rung(&self, queue: u32, kind: &'static str) -> bool {
        let events = self.events.lock().unwrap();
        rustix::io::read(&events[&(queue, kind)], &mut [0u8; 8]).is_ok()
    }
}

impl Kernel for Noted {
    fn call(&self, queue: u32, call: &Call) -> io::Result<u32> {
        self.calls.lock().unwrap().push((queue, call.clone()));
        match call {
            Call::Doorbell(fd) => self.keep(queue, "doorbell", *fd),
            Call::Interrupt(fd) => self.keep(queue, "interrupt", *fd),
            Call::Broken(fd) => self.keep(queue, "broken", *fd),
            Call::Tap(0..) if *self.refuse_tap.lock().unwrap() => return Err(io::ErrorKind::InvalidInput.into()),
            Call::Position => return Ok(*self.position.lock().unwrap()),
            _ => {}
        }
        Ok(0)
    }
}

struct Rig {
    machine: Machine,
    slot: u8,
    kernels: Vec<Arc<Noted>>,
    taps: Vec<RawFd>,
}

impl Rig {
    fn new(pairs: u16) -> Self {
        let files: Vec<_> = (0..pairs).map(|_| wire().0).collect();
        let taps = files.iter().map(AsRawFd::as_raw_fd).collect();
        Self::with(Taps::new(files), taps)
    }

    fn on_taps(namespace: &Namespace) -> Self {
        let files = namespace.files();
        let taps = files.iter().map(AsRawFd::as_raw_fd).collect();
        Self::with(Taps::open(files).unwrap(), taps)
    }

    fn with(files: Taps, taps: Vec<RawFd>) -> Self {
        let machine = Machine::default();
        let pairs = u16::try_from(taps.len()).unwrap();
        let mut config = settings(pairs, true);
        config["backend"] = "vhost_net".into();
        let config: Config = serde_json::from_value(config).unwrap();
        let kernels: Vec<Arc<Noted>> = (0..pairs).map(|_| Arc::default()).collect();
        let own = kernels.iter().map(|kernel| kernel.clone() as Arc<dyn Kernel>).collect();
        let device = Device::new("eni-1", &config, files, own, &machine.context).unwrap();
        let function = attach("eni-1", Box::new(device), Net::SYSCALLS, &machine.context).unwrap();
        let slot = machine.insert(function);
        Self {
            machine,
            slot,
            kernels,
            taps,
        }
    }

    /// Probes, and waits until all queues run.
    fn probe(&self) -> Driver<'_> {
        let (driver, _) = Driver::probe(&self.machine, self.slot, ALL);
        self.wait_until_served(&driver);
        driver
    }

    /// Waits until every kernel was given the tap for both queues, since its calls were last taken.
    fn wait_until_served(&self, driver: &Driver<'_>) {
        let given = |kernel: &Arc<Noted>| {
            let calls = kernel.calls.lock().unwrap();
            calls.iter().filter(|(_, call)| matches!(call, Call::Tap(0..))).count() == 2
        };
        assert!(driver.wait(|_| self.kernels.iter().all(given)));
    }
}

#[test]
fn requests_have_the_numbers_of_the_kernels_header() {
    let header = [
        0x8008_af00,
        0x4008_af00,
        0xaf01,
        0x4008_af03,
        0x4008_af10,
        0x4028_af11,
        0x4008_af12,
        0xc008_af12,
        0x4008_af20,
        0x4008_af21,
        0x4008_af22,
        0x4008_af30,
    ];
    assert_eq!(IOCTLS, header);
}

#[test]
fn the_kernel_is_told_all_of_a_queue_before_it_is_given_the_tap() {
    let rig = Rig::new(1);
    let driver = rig.probe();
    let calls = rig.kernels[0].take();
    for queue in 0..2u32 {
        let own: Vec<&Call> = calls
            .iter()
            .filter(|(of, _)| *of == queue)
            .map(|(_, call)| call)
            .collect();
        let rings = &driver.queues[usize::try_from(queue).unwrap()];
        let place = |address| {
            let slice = GuestMemoryBackend::get_slice(&*rig.machine.memory, GuestAddress(address), 1).unwrap();
            slice.ptr_guard().as_ptr().addr() as u64
        };
        let memory = [1, 0, crate::testing::MEMORY as u64, place(0), 0].to_vec();
        let rings = [place(rings.base), place(rings.used()), place(rings.available())];
        let [
            features,
            own_memory,
            size,
            base,
            own_rings,
            Call::Doorbell(_),
            Call::Interrupt(_),
            Call::Broken(_),
            tap,
        ] = own[..]
        else {
            panic!("{own:?}");
        };
        assert_eq!(features, &Call::Features(1 << 32 | 1 << 29 | 1 << 28 | 1 << 15));
        assert_eq!(
            (own_memory, size, base),
            (&Call::Memory(memory), &Call::Size(256), &Call::Base(0))
        );
        assert_eq!((own_rings, tap), (&Call::Rings(rings), &Call::Tap(rig.taps[0])));
        assert!(
            rig.kernels[0].rung(queue, "doorbell"),
            "what was there before is not told"
        );
    }
}

#[test]
fn doorbells_and_interrupts_go_past_the_monitor() {
    let rig = Rig::new(1);
    let mut driver = rig.probe();
    for queue in 0..2u16 {
        rig.kernels[0].rung(queue.into(), "doorbell");
        driver.add(queue.into(), &[readable(driver.queues[0].data(), 16)]);
        driver.ring(queue);
        assert!(rig.kernels[0].rung(queue.into(), "doorbell"));
        rig.machine.routes.take_messages();
        rig.kernels[0].ring(queue.into(), "interrupt");
        assert_eq!(rig.machine.routes.wait_messages(PATIENCE), [u32::from(queue) + 1]);
    }
}

#[test]
fn a_queue_that_was_stopped_goes_on_where_the_kernel_left_it() {
    let rig = Rig::new(1);
    let driver = rig.probe();
    rig.kernels[0].take();
    *rig.kernels[0].position.lock().unwrap() = 0xfff7;
    rig.machine.root.pause();
    let stopped = rig.kernels[0].take();
    let wanted = |queue| [(queue, Call::Tap(-1)), (queue, Call::Position)];
    assert_eq!(stopped, [wanted(0), wanted(1)].concat());
    rig.machine.root.resume();
    rig.wait_until_served(&driver);
    let started = rig.kernels[0].take();
    for queue in 0..2 {
        assert!(started.contains(&(queue, Call::Base(0xfff7))) && started.contains(&(queue, Call::Tap(rig.taps[0]))));
    }
    drop(driver);
    let mut driver = rig.probe();
    assert!(
        rig.kernels[0].take().contains(&(0, Call::Base(0))),
        "a new driver begins in the middle"
    );
    driver.reset();
}

#[test]
fn a_driver_that_breaks_a_queue_of_the_kernels_is_told_once_and_the_kernel_left_alone() {
    let rig = Rig::new(1);
    let driver = rig.probe();
    rig.kernels[0].take();
    for _ in 0..3 {
        rig.kernels[0].ring(1, "broken");
        assert!(driver.wait(|driver| driver.status() & 64 != 0 && !rig.machine.events().is_empty()));
    }
    assert!(driver.wait(|_| !rig.kernels[0].calls.lock().unwrap().is_empty()));
    assert_eq!(rig.kernels[0].take(), [(1, Call::Tap(-1))]);
    let driver = rig.probe();
    assert_eq!(driver.status(), 15);
    assert_eq!(rig.machine.events().len(), 1);
}

#[test]
fn a_kernel_that_refuses_a_queue_breaks_the_device_with_the_reason() {
    let rig = Rig::new(1);
    *rig.kernels[0].refuse_tap.lock().unwrap() = true;
    let (driver, _) = Driver::probe(&rig.machine, rig.slot, ALL);
    assert!(driver.wait(|driver| driver.status() & 64 != 0 && !rig.machine.events().is_empty()));
    rig.kernels[0].take();
    let events = format!("{:?}", rig.machine.events());
    assert!(events.contains("The kernel does not serve the queue"), "{events}");
    *rig.kernels[0].refuse_tap.lock().unwrap() = false;
    let mut driver = driver;
    driver.reset();
    rig.kernels[0].take();
    assert_eq!(rig.probe().status(), 15);
}

#[test]
fn each_pair_has_a_kernel_and_a_tap_of_its_own() {
    let rig = Rig::new(3);
    rig.probe();
    for (kernel, tap) in rig.kernels.iter().zip(&rig.taps) {
        let calls = kernel.take();
        assert!(calls.contains(&(0, Call::Tap(*tap))) && calls.contains(&(1, Call::Tap(*tap))));
    }
}

#[test]
fn a_tap_that_was_removed_is_a_link_that_is_down_and_the_kernel_is_not_asked() {
    let namespace = Namespace::new(1);
    let rig = Rig::on_taps(&namespace);
    let mut driver = rig.probe();
    namespace.remove();
    driver.reset();
    rig.kernels[0].take();
    let (driver, _) = Driver::probe(&rig.machine, rig.slot, ALL);
    let status = driver.structure(4) + 6;
    assert!(driver.wait(|_| rig.machine.read::<2>(status) == [0, 0]));
    rig.machine.root.pause();
    rig.machine.root.resume();
    assert_eq!((driver.status(), rig.kernels[0].take()), (15, vec![]));
}

#[test]
fn every_region_of_memory_is_told_and_rings_that_cross_them_are_refused() {
    let ranges = [(GuestAddress(0), 0x1_0000), (GuestAddress(0x1_0000), 0x2_0000)];
    let memory = GuestMemoryMmap::<()>::from_ranges(&ranges).unwrap();
    let [2, 0, 0x1_0000, low, 0, 0x1_0000, 0x2_0000, high, 0] = memory_table(&memory)[..] else {
        panic!("{:?}", memory_table(&memory));
    };
    memory.write_obj(7u8, GuestAddress(0x10)).unwrap();
    assert_ne!(low, high);
    let addresses = |used| {
        let rings = RingAddresses {
            descriptors: 0x1000,
            available: 0x2000,
            used,
        };
        ring_addresses(&memory, &RingLayout::check(rings, 256, 256, &memory).unwrap())
    };
    assert_eq!(addresses(0x3000).unwrap(), [low + 0x1000, low + 0x3000, low + 0x2000]);
    assert_eq!(addresses(0x1_1000).unwrap()[1], high + 0x1000);
    assert!(addresses(0xfff0).is_err());
}

#[test]
fn what_is_no_vhost_net_is_refused_and_so_are_limits() {
    let machine = Machine::default();
    let mut config = settings(1, true);
    config["backend"] = "vhost_net".into();
    let mut files = Namespace::new(1).files();
    files.push(tempfile::tempfile().unwrap());
    let built = machine.add("net", "eni-1", config.clone(), files);
    let reason = Chained(&built.unwrap_err()).to_string();
    assert!(reason.contains("not an open /dev/vhost-net"), "{reason}");
    config["limits"] = serde_json::json!({"receive": {"packets": {"per_second": 1, "burst": 1}}});
    let config: Config = serde_json::from_value(config).unwrap();
    let built = Device::new(
        "eni-1",
        &config,
        Taps::new(vec![wire().0]),
        vec![Arc::new(Noted::default())],
        &machine.context,
    );
    let reason = built.err().unwrap().to_string();
    assert!(reason.contains("does not keep"), "{reason}");
}
