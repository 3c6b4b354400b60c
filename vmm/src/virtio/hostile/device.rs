//! Whole devices behind PCI, their threads and all, under random writes to configuration space, to their structures and
//! to the memory of their rings.

use crate::testing::{Driver, ECAM, Machine, PATIENCE, readable, writable};
use crate::virtio::net;
use crate::virtio::vsock::testing::{self as vsock, Guest};
use proptest::prelude::*;
use serde_json::json;
use std::cell::Cell;
use std::io::{Read, Write};
use std::time::Instant;
use vm_memory::{Bytes, GuestAddress};

/// What the driver does next. Addresses are relative to what is written to.
#[derive(Debug, Clone)]
enum Step {
    Config(u16, Vec<u8>),
    ReadConfig(u16, usize),
    Structure(u64, Vec<u8>),
    ReadStructure(u64, usize),
    Common(u64, u64),
    Status(u8),
    /// Bytes into the rings of a queue.
    Rings(u16, u64, u64),
    AvailableIndex(u16, u16),
    Descriptor(u16, u16, u64, u64),
    Kick(u16),
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(vec![1usize, 2, 4, 8]), any::<[u8; 8]>()).prop_map(|(width, data)| data[..width].to_vec())
}

fn step(queues: u16) -> impl Strategy<Value = Step> {
    let width = prop::sample::select(vec![1usize, 2, 4, 8]);
    let queue = 0..queues + 1;
    let raw = prop_oneof![
        3 => (0..0x800u64, 1..0x800u64, 0..8u64, 0..256u64).prop_map(|(address, length, flags, next)| {
            (0x1c_0000 + address, length | flags << 32 | next << 48)
        }),
        1 => any::<(u64, u64)>(),
    ];
    prop_oneof![
        1 => (0..0x104u16, data()).prop_map(|(offset, data)| Step::Config(offset, data)),
        1 => (0..0x104u16, width.clone()).prop_map(|(offset, width)| Step::ReadConfig(offset, width)),
        2 => (0..0x8000u64, data()).prop_map(|(offset, data)| Step::Structure(offset, data)),
        1 => (0..0x8000u64, width).prop_map(|(offset, width)| Step::ReadStructure(offset, width)),
        3 => (0..60u64, any::<u64>()).prop_map(|(field, value)| Step::Common(field, value)),
        2 => prop_oneof![Just(0), Just(3), Just(11), Just(15), any::<u8>()].prop_map(Step::Status),
        2 => (queue.clone(), 0..0x2_0000u64, any::<u64>()).prop_map(|(queue, at, value)| Step::Rings(queue, at, value)),
        3 => (queue.clone(), prop_oneof![3 => 0..8u16, 1 => any::<u16>()]).prop_map(|(q, i)| Step::AvailableIndex(q, i)),
        4 => (queue.clone(), 0..8u16, raw).prop_map(|(q, index, (low, high))| Step::Descriptor(q, index, low, high)),
        4 => queue.prop_map(Step::Kick),
    ]
}

/// The base of a queue's rings, as [`Driver`] lays them out.
fn base(queue: u16) -> u64 {
    (u64::from(queue) + 1) << 20
}

fn apply(machine: &Machine, bar: u64, step: Step) {
    let memory = &*machine.memory;
    match step {
        Step::Config(offset, data) => machine.write(ECAM + (1 << 15) + u64::from(offset), &data),
        Step::ReadConfig(offset, width) => machine
            .mmio
            .read(ECAM + (1 << 15) + u64::from(offset), &mut vec![0; width]),
        Step::Structure(offset, data) => machine.write(bar + offset, &data),
        Step::ReadStructure(offset, width) => machine.mmio.read(bar + offset, &mut vec![0; width]),
        Step::Common(field, value) => {
            let width = match field {
                20 | 21 => 1,
                16..32 | 56.. => 2,
                _ => 4,
            };
            machine.write(bar + field, &value.to_le_bytes()[..width]);
        }
        Step::Status(status) => machine.write(bar + 20, &[status]),
        Step::Rings(queue, at, value) => {
            memory
                .write_obj(value, GuestAddress(base(queue) + 0x8_0000 + (at & !7)))
                .unwrap();
        }
        Step::AvailableIndex(queue, index) => {
            memory.write_obj(index, GuestAddress(base(queue) + 0x8_0002)).unwrap();
        }
        Step::Descriptor(queue, index, low, high) => {
            memory
                .write_obj([low, high], GuestAddress(base(queue) + 16 * u64::from(index)))
                .unwrap();
        }
        Step::Kick(queue) => machine.write(bar + 0x3000 + 4 * u64::from(queue), &queue.to_le_bytes()),
    }
}

/// What firmware and driver do to a device in any state: put it back, reset it, and set it up anew.
fn restored(machine: &Machine, bar: u64) -> Driver<'_> {
    let config = ECAM + (1 << 15);
    machine.write(config + 4, &[0, 0]);
    machine.write(config + 0x10, &bar.to_le_bytes());
    machine.write(config + 4, &[6, 0]);
    machine.write(bar + 20, &[0]);
    let mut driver = Driver::find(machine, 1);
    driver.reset();
    driver
}

/// Lets hostile drivers have the device in slot 1, which has so many queues. After each it must be reset in time, and
/// now and then `works` says whether it works; `before` is done before each.
fn survives(
    (name, cases, queues): (&str, u32, u16),
    machine: &Machine,
    before: impl Fn(),
    works: impl Fn(&mut Driver<'_>) -> Result<(), TestCaseError>,
) {
    let bar = Driver::find(machine, 1).bar();
    let count = Cell::new(0u32);
    let strategy = (any::<bool>(), prop::collection::vec(step(queues), 1..24));
    super::run(name, cases, &strategy, |(probed, steps)| {
        before();
        if probed {
            Driver::probe(machine, 1, u64::MAX);
        }
        for step in steps {
            apply(machine, bar, step);
        }
        count.set(count.get() + 1);
        let mut driver = restored(machine, bar);
        if count.get().is_multiple_of(16) {
            let features = driver.negotiate(u64::MAX);
            driver.set_up(features);
            driver.add_status(4);
            works(&mut driver)?;
        }
        Ok(())
    });
    assert!(machine.events().len() <= 16, "a broken driver floods the daemon");
    machine.root.stop();
}

#[test]
fn no_driver_breaks_a_block_device_for_the_next_one() {
    let machine = Machine::default();
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    machine
        .add("blk", "vol-1", json!({"read_only": false, "queues": 2}), vec![file])
        .unwrap();
    let works = |driver: &mut Driver<'_>| {
        let at = driver.queues[1].data();
        machine.memory.write_obj([0u64, 1], GuestAddress(at)).unwrap();
        driver.add(
            1,
            &[readable(at, 16), writable(at + 0x1000, 512), writable(at + 0x20, 1)],
        );
        driver.notify(1);
        prop_assert_eq!(driver.wait_used(1, 1)[0].1, 513);
        Ok(())
    };
    survives(("block devices", super::BLOCK, 2), &machine, || {}, works);
}

#[test]
fn no_driver_breaks_a_network_device_for_the_next_one() {
    let machine = Machine::default();
    let config =
        json!({"mac": "02:00:5e:10:00:01", "mtu": 1500, "queue_pairs": 2, "offloads": true, "backend": "user_space"});
    let (_, wires) = net::testing::add(&machine, &config);
    for wire in &wires {
        wire.set_nonblocking(true).unwrap();
    }
    // So that there is always something to receive; what is too much is lost.
    let before = || wires.iter().for_each(|wire| drop(wire.send(&[0; 200])));
    let works = |driver: &mut Driver<'_>| {
        let wire = &wires[0];
        let empty = || while wire.recv(&mut [0; 16]).is_ok() {};
        empty();
        let (to, from) = (driver.queues[0].data(), driver.queues[1].data());
        for number in 0..64 {
            driver.add(0, &[writable(to + 0x1_2000 * (number % 2), 0x1_1000)]);
        }
        driver.notify(0);
        // What waited before comes first.
        let end = Instant::now() + PATIENCE;
        let mut sent = false;
        while driver.take_used(0).iter().all(|used| used.1 != 12 + 77) {
            prop_assert!(Instant::now() < end, "no frame comes in");
            sent = sent || wire.send(&[0; 12 + 77]).is_ok();
        }
        machine.memory.write_slice(&[0; 12 + 66], GuestAddress(from)).unwrap();
        driver.add(1, &[readable(from, 12 + 66)]);
        driver.notify(1);
        prop_assert_eq!(driver.wait_used(1, 1).len(), 1);
        prop_assert_eq!(wire.recv(&mut [0; 100]).ok(), Some(12 + 66));
        Ok(())
    };
    survives(("network devices", super::NETWORK, 5), &machine, before, works);
}

#[test]
fn no_driver_breaks_a_socket_device_for_the_next_one() {
    let machine = Machine::default();
    machine.add("vsock", "vsock0", vsock::config(), vec![]).unwrap();
    let dialer = &machine.context.dialer;
    // So that there is somebody to be refused, whatever the queues are.
    let before = || drop(vsock::dial(dialer, 22));
    let works = |driver: &mut Driver<'_>| {
        let mut guest = Guest::of(&machine, driver);
        guest.post_all();
        prop_assert!(guest.is_left_alone());
        let mut caller = vsock::dial(dialer, 22);
        let (port, host) = guest.accept();
        vsock::answer(&caller);
        caller.write_all(b"there").unwrap();
        prop_assert_eq!(guest.next().data, b"there");
        guest.send(&vsock::packet(vsock::Op::Data, port, host), b"back");
        let mut back = [0; 4];
        caller.read_exact(&mut back).unwrap();
        prop_assert_eq!(&back, b"back");
        Ok(())
    };
    survives(("socket devices", super::SOCKETS, 3), &machine, before, works);
}
