//! Over PCI and transport, with sockets in place of the tap.

use super::{frame, on_the_wire, settings};
use crate::protocol::Event;
use crate::testing::{Driver, Machine, PATIENCE, Piece, readable, writable};
use crate::virtio::net::testing::add;
use serde_json::json;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const ALL: u64 = u64::MAX;
const MERGEABLE: u64 = 1 << 15;
const RX: usize = 0;
const TX: usize = 1;

struct Rig {
    machine: Machine,
    slot: u8,
    wires: Vec<UnixDatagram>,
}

impl Rig {
    fn new(pairs: u16, offloads: bool) -> Self {
        Self::with(Machine::default(), &settings(pairs, offloads))
    }

    fn with(machine: Machine, config: &serde_json::Value) -> Self {
        let (slot, wires) = add(&machine, config);
        for wire in &wires {
            wire.set_read_timeout(Some(PATIENCE)).unwrap();
            wire.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        Self { machine, slot, wires }
    }

    fn probe(&self, mask: u64) -> Driver<'_> {
        Driver::probe(&self.machine, self.slot, mask).0
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.machine.memory.write_slice(bytes, GuestAddress(at)).unwrap();
    }

    fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.machine.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }

    fn receive(&self, pair: usize) -> Vec<u8> {
        let mut bytes = vec![0; 70_000];
        let length = self.wires[pair]
            .recv(&mut bytes)
            .expect("a frame within the test's patience");
        bytes.truncate(length);
        bytes
    }

    fn nothing_came(&self, pair: usize) -> bool {
        self.wires[pair].set_nonblocking(true).unwrap();
        let nothing = self.wires[pair].recv(&mut [0; 16]).is_err();
        self.wires[pair].set_nonblocking(false).unwrap();
        nothing
    }

    /// Sends what the guest has at `at`, and waits until the device has done with it.
    fn send(&self, driver: &mut Driver<'_>, bytes: &[u8]) {
        let at = driver.queues[TX].data();
        self.write(at, bytes);
        driver.add(TX, &[readable(at, u32::try_from(bytes.len()).unwrap())]);
        driver.notify(TX);
        assert_eq!(driver.wait_used(TX, 1)[0].1, 0);
    }

    fn link_is_up(&self, driver: &Driver<'_>) -> bool {
        self.machine.read::<2>(driver.structure(4) + 6) == [1, 0]
    }
}

#[test]
fn a_frame_goes_out_as_it_was_sent_however_its_buffers_are_cut() {
    let rig = Rig::new(1, true);
    let mut driver = rig.probe(ALL);
    let at = driver.queues[TX].data();
    let sent = on_the_wire(7, 600);
    rig.write(at, &sent);
    for cuts in [vec![612], vec![12, 600], vec![5, 3, 4, 1, 599], vec![20, 592]] {
        let mut next = at;
        let cut = |length: &u32| {
            let piece = readable(next, *length);
            next += u64::from(*length);
            piece
        };
        let pieces: Vec<Piece> = cuts.iter().map(cut).collect();
        driver.add(TX, &pieces);
        driver.add_indirect(TX, &pieces, at + 0x8000);
        driver.notify(TX);
        assert_eq!(driver.wait_used(TX, 2).len(), 2);
        assert_eq!(
            (rig.receive(0), rig.receive(0)),
            (sent.clone(), sent.clone()),
            "{cuts:?}"
        );
    }
    assert!(rig.machine.events().is_empty());
}

#[test]
fn a_frame_comes_in_behind_a_header_that_counts_its_buffers() {
    for (mask, cuts, lengths) in [
        (ALL, vec![vec![2048]], vec![612]),
        (ALL, vec![vec![100], vec![12], vec![700]], vec![100, 12, 500]),
        (ALL, vec![vec![5, 6, 1], vec![40, 60], vec![700]], vec![12, 100, 500]),
        (!MERGEABLE, vec![vec![2048]], vec![612]),
        (!MERGEABLE, vec![vec![4, 8, 600, 900]], vec![612]),
    ] {
        let rig = Rig::new(1, false);
        let mut driver = rig.probe(mask);
        let mut next = driver.queues[RX].data();
        let mut chains = Vec::new();
        for chain in &cuts {
            let piece = |length: &u32| {
                let piece = writable(next, *length);
                next += u64::from(*length) + 64;
                piece
            };
            let pieces: Vec<Piece> = chain.iter().map(piece).collect();
            driver.add(RX, &pieces);
            chains.push(pieces);
        }
        driver.notify(RX);
        rig.wires[0].send(&on_the_wire(9, 600)).unwrap();
        let used: Vec<u32> = driver.wait_used(RX, lengths.len()).iter().map(|used| used.1).collect();
        assert_eq!(used, lengths, "{cuts:?}");
        let mut bytes = Vec::new();
        for (chain, length) in chains.iter().zip(&lengths) {
            let all: Vec<u8> = chain
                .iter()
                .flat_map(|piece| rig.read(piece.address, piece.length as usize))
                .collect();
            bytes.extend_from_slice(&all[..*length as usize]);
        }
        let count = u8::try_from(lengths.len()).unwrap();
        assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, count, 0], "{cuts:?}");
        assert_eq!(bytes[12..], frame(9, 600), "{cuts:?}");
    }
}

#[test]
fn buffers_may_cross_from_one_region_of_memory_into_the_next() {
    let half = 4 << 20;
    let regions = [(GuestAddress(0), half), (GuestAddress(half as u64), half)];
    let memory = Arc::new(GuestMemoryMmap::from_ranges(&regions).unwrap());
    let rig = Rig::with(Machine::with_memory(memory), &settings(1, true));
    let mut driver = rig.probe(ALL);
    let at = half as u64 - 100;
    let sent = on_the_wire(3, 900);
    rig.write(at, &sent);
    driver.add(TX, &[readable(at, 912)]);
    driver.notify(TX);
    driver.wait_used(TX, 1);
    assert_eq!(rig.receive(0), sent);
    driver.add(RX, &[writable(half as u64 - 6, 70_000)]);
    driver.notify(RX);
    rig.wires[0].send(&on_the_wire(4, 900)).unwrap();
    assert_eq!(driver.wait_used(RX, 1)[0].1, 912);
    assert_eq!(rig.read(half as u64 + 6, 900), frame(4, 900));
}

#[test]
fn a_frame_that_finds_no_room_waits_for_it_also_over_a_pause() {
    let rig = Rig::new(1, false);
    let mut driver = rig.probe(ALL);
    let at = driver.queues[RX].data();
    driver.add(RX, &[writable(at, 100)]);
    driver.notify(RX);
    for number in 0..4 {
        rig.wires[0].send(&on_the_wire(number, 400)).unwrap();
    }
    for number in 0..4 {
        rig.machine.root.pause();
        rig.machine.root.resume();
        assert!(driver.take_used(RX).is_empty(), "part of a frame was delivered");
        driver.add(RX, &[writable(at + 0x100, 400)]);
        driver.add(RX, &[writable(at, 100)]);
        driver.notify(RX);
        let used: Vec<u32> = driver.wait_used(RX, 2).iter().map(|used| used.1).collect();
        assert_eq!(used, [100, 312]);
        let bytes = [rig.read(at + 12, 88), rig.read(at + 0x100, 312)].concat();
        assert_eq!(bytes, frame(number, 400));
    }
    assert!(rig.machine.events().is_empty());
}

#[test]
fn without_mergeable_buffers_a_frame_that_is_too_long_for_its_buffer_is_dropped_whole() {
    let rig = Rig::new(1, false);
    let mut driver = rig.probe(!MERGEABLE);
    let at = driver.queues[RX].data();
    driver.add(RX, &[writable(at, 200)]);
    driver.notify(RX);
    rig.wires[0].send(&on_the_wire(1, 189)).unwrap();
    rig.wires[0].send(&on_the_wire(2, 188)).unwrap();
    assert_eq!(driver.wait_used(RX, 1)[0].1, 200);
    assert_eq!(rig.read(at + 12, 188), frame(2, 188));
}

#[test]
fn frames_that_are_none_are_dropped_and_the_queue_goes_on() {
    let rig = Rig::new(1, true);
    let mut driver = rig.probe(ALL);
    let at = driver.queues[TX].data();
    rig.write(at, &vec![0; 0x2_0000]);
    driver.add(TX, &[readable(at, 12)]);
    driver.add(TX, &[readable(at, 12 + 13)]);
    driver.add(TX, &[readable(at, 12 + 65551)]);
    driver.add(TX, &[readable(at, 0x2_0000)]);
    driver.notify(TX);
    assert_eq!(driver.wait_used(TX, 4).len(), 4);
    driver.add(TX, &[readable(at, 12 + 65550), writable(at + 0x2_0000, 4)]);
    driver.add(TX, &[readable(at, 12 + 14)]);
    driver.notify(TX);
    assert_eq!(driver.wait_used(TX, 2).len(), 2);
    assert_eq!((rig.receive(0).len(), rig.receive(0).len()), (12 + 65550, 12 + 14));

    driver.add(RX, &[writable(driver.queues[RX].data(), 0x1_1000)]);
    driver.notify(RX);
    for wrong in [
        vec![0; 11],
        vec![0; 12 + 13],
        vec![0; 12 + 1519],
        vec![0; 12 + 65551 + 4096],
    ] {
        rig.wires[0].send(&wrong).unwrap();
    }
    rig.wires[0].send(&on_the_wire(5, 60)).unwrap();
    assert_eq!(driver.wait_used(RX, 1)[0].1, 72);
    assert!(rig.machine.events().is_empty());
}

#[test]
fn a_queue_without_headers_breaks_the_device_until_its_reset() {
    let rig = Rig::new(1, true);
    for (queue, piece) in [
        (TX, readable as fn(u64, u32) -> Piece),
        (TX, writable),
        (RX, writable),
        (RX, readable),
    ] {
        let mut driver = rig.probe(ALL);
        let at = driver.queues[queue].data();
        driver.add(queue, &[piece(at, 11)]);
        driver.notify(queue);
        assert!(driver.wait(|driver| driver.status() & 64 != 0));
        assert!(rig.machine.routes.wait_for(0, PATIENCE));
        let mut driver = rig.probe(ALL);
        rig.send(&mut driver, &on_the_wire(1, 60));
        assert_eq!(rig.receive(0), on_the_wire(1, 60));
    }
    let events = rig.machine.events();
    assert_eq!(events.len(), 4);
    let about = |event: &Event, part: &str| matches!(event, Event::DeviceNeedsReset { device, reason } if device == "eni-1" && reason.contains(part));
    assert!(
        about(&events[0], "no header") && about(&events[2], "11 bytes"),
        "{events:?}"
    );
}

#[test]
fn what_was_not_negotiated_passes_in_neither_direction() {
    let needs_checksum = |number| [vec![1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0], frame(number, 100)].concat();
    let checksum_known = |number| [vec![2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], frame(number, 100)].concat();
    for offloads in [true, false] {
        let rig = Rig::new(1, offloads);
        let (mut driver, features) = Driver::probe(&rig.machine, rig.slot, ALL);
        let offered = [0, 1, 7, 8, 9, 11, 12, 13].map(|bit| features & 1 << bit != 0);
        assert_eq!(offered, [offloads; 8]);
        rig.send(&mut driver, &needs_checksum(1));
        rig.send(&mut driver, &on_the_wire(2, 100));
        if offloads {
            assert_eq!(rig.receive(0), needs_checksum(1));
        }
        assert_eq!(rig.receive(0), on_the_wire(2, 100));
        let at = driver.queues[RX].data();
        for number in 0..64 {
            driver.add(RX, &[writable(at + 0x400 * number, 0x400)]);
        }
        driver.add(RX, &[writable(at + 0x1_0000, 0x1_1000)]);
        driver.notify(RX);
        rig.wires[0].send(&needs_checksum(3)).unwrap();
        rig.wires[0].send(&checksum_known(4)).unwrap();
        let count = if offloads { 2 } else { 1 };
        assert_eq!(driver.wait_used(RX, count).len(), count);
        let flags = [rig.read(at, 1)[0], rig.read(at + 0x400, 1)[0]];
        let wanted = if offloads { [1, 2] } else { [0, 0] };
        assert_eq!(flags, wanted);
        assert!(rig.machine.events().is_empty());
    }
}

#[test]
fn a_tap_without_room_is_waited_for_and_every_frame_arrives_once_and_in_order() {
    let rig = Rig::new(1, true);
    let mut driver = rig.probe(ALL);
    let at = driver.queues[TX].data();
    for number in 0..200u8 {
        let place = at + 0x400 * u64::from(number);
        rig.write(place, &on_the_wire(number, 300));
        driver.add(TX, &[readable(place, 312)]);
    }
    driver.notify(TX);
    for number in 0..200 {
        assert_eq!(rig.receive(0), on_the_wire(number, 300));
    }
    assert_eq!(driver.wait_used(TX, 200).len(), 200);
    assert!(rig.nothing_came(0));
}

#[test]
fn a_flood_that_nobody_takes_does_not_keep_the_device_from_its_reset() {
    let rig = Rig::new(1, true);
    for _ in 0..20 {
        let mut driver = rig.probe(ALL);
        let at = driver.queues[TX].data();
        rig.write(at, &on_the_wire(1, 300));
        for _ in 0..256 {
            driver.add(TX, &[readable(at, 312)]);
        }
        driver.ring(1);
        driver.reset();
        while !rig.nothing_came(0) {}
    }
    let mut driver = rig.probe(ALL);
    rig.send(&mut driver, &on_the_wire(2, 60));
    assert_eq!(rig.receive(0), on_the_wire(2, 60));
}

#[test]
fn a_batch_has_one_interrupt_and_a_driver_that_wants_none_gets_none() {
    let rig = Rig::new(1, true);
    for (mask, wanted) in [(ALL, true), (!(1 << 29), true), (!(1 << 29), false)] {
        let mut driver = rig.probe(mask);
        let at = driver.queues[TX].data();
        rig.write(at, &on_the_wire(1, 60));
        rig.write(driver.queues[TX].available(), &[u8::from(!wanted), 0]);
        for _ in 0..8 {
            driver.add(TX, &[readable(at, 72)]);
        }
        rig.machine.routes.take_messages();
        driver.notify(TX);
        let received: Vec<_> = (0..8).map(|_| rig.receive(0).len()).collect();
        assert_eq!(received, [72; 8]);
        let used = rig.machine.memory.clone();
        let index = GuestAddress(driver.queues[TX].used() + 2);
        assert!(driver.wait(|_| used.read_obj::<u16>(index).unwrap() == 8));
        // What the thread had to say it says before it stops.
        rig.machine.root.pause();
        let messages = rig.machine.routes.take_messages();
        rig.machine.root.resume();
        match (wanted, mask) {
            (false, _) => assert!(messages.is_empty()),
            (true, ALL) => assert_eq!(messages, [2]),
            (true, _) => assert!(messages.contains(&2)),
        }
    }
}

#[test]
fn the_configuration_says_what_the_interface_is() {
    let config =
        json!({"mac": "02:11:22:33:44:55", "mtu": 9001, "queue_pairs": 4, "offloads": true, "backend": "user_space"});
    let rig = Rig::with(Machine::default(), &config);
    let (driver, features) = Driver::probe(&rig.machine, rig.slot, ALL);
    let at = driver.structure(4);
    assert_eq!(rig.machine.read::<6>(at), [2, 0x11, 0x22, 0x33, 0x44, 0x55]);
    assert!(rig.link_is_up(&driver));
    assert_eq!(u16::from_le_bytes(rig.machine.read(at + 8)), 4);
    assert_eq!(u16::from_le_bytes(rig.machine.read(at + 10)), 9001);
    assert_eq!(rig.machine.read::<4>(at + 12), [0; 4]);
    assert_eq!(driver.queues.len(), 9);
    for bit in [3, 5, 15, 16, 17, 22] {
        assert_ne!(features & 1 << bit, 0, "feature {bit}");
    }
    machine_writes_change_nothing(&rig, at);
    let one = Rig::new(1, true);
    let (driver, features) = Driver::probe(&one.machine, one.slot, ALL);
    assert_eq!((features & (1 << 17 | 1 << 22), driver.queues.len()), (0, 2));
}

fn machine_writes_change_nothing(rig: &Rig, at: u64) {
    rig.machine.write(at, &[0xff; 4]);
    assert_eq!(rig.machine.read::<4>(at), [2, 0x11, 0x22, 0x33]);
}

/// Has the driver use `pairs` pairs by the control queue `queue`; gives the answer.
fn use_pairs(rig: &Rig, driver: &mut Driver<'_>, queue: usize, command: [u8; 4]) -> u8 {
    let at = driver.queues[queue].data();
    rig.write(at, &command);
    rig.write(at + 16, &[0xee]);
    driver.add(queue, &[readable(at, 2), readable(at + 2, 2), writable(at + 16, 1)]);
    driver.notify(queue);
    assert_eq!(driver.wait_used(queue, 1)[0].1, 1);
    rig.read(at + 16, 1)[0]
}

#[test]
fn a_driver_uses_as_many_pairs_as_it_says_and_one_until_then() {
    let rig = Rig::new(3, true);
    let mut driver = rig.probe(ALL);
    let control = 6;
    let post = |driver: &mut Driver<'_>| {
        for pair in 0..3 {
            let at = driver.queues[2 * pair].data();
            driver.add(2 * pair, &[writable(at, 0x1_1000)]);
            driver.notify(2 * pair);
        }
    };
    post(&mut driver);
    for wire in &rig.wires {
        wire.send(&on_the_wire(1, 60)).unwrap();
    }
    assert_eq!(driver.wait_used(0, 1)[0].1, 72);
    for wrong in [[4, 0, 0, 0], [4, 0, 4, 0], [4, 1, 1, 0], [0, 0, 1, 0], [4, 0, 1, 1]] {
        assert_eq!(use_pairs(&rig, &mut driver, control, wrong), 1, "{wrong:?}");
    }
    assert!(driver.take_used(2).is_empty() && driver.take_used(4).is_empty());
    assert_eq!(use_pairs(&rig, &mut driver, control, [4, 0, 2, 0]), 0);
    // A socket has no edge for its having become one of the tap's active queues; a tap has one for each frame.
    rig.wires[1].send(&on_the_wire(2, 60)).unwrap();
    assert_eq!(driver.wait_used(2, 1)[0].1, 72);
    for queue in [1, 3, 5] {
        let at = driver.queues[queue].data();
        rig.write(at, &on_the_wire(4, 60));
        driver.add(queue, &[readable(at, 72)]);
        driver.notify(queue);
        assert_eq!(driver.wait_used(queue, 1).len(), 1);
    }
    assert_eq!(
        (rig.receive(0), rig.receive(1)),
        (on_the_wire(4, 60), on_the_wire(4, 60))
    );
    assert!(rig.nothing_came(2), "a pair that is not used carried a frame");
    driver.reset();
    let mut driver = rig.probe(ALL);
    let at = driver.queues[3].data();
    rig.write(at, &on_the_wire(5, 60));
    driver.add(3, &[readable(at, 72)]);
    driver.notify(3);
    driver.wait_used(3, 1);
    assert!(rig.nothing_came(1), "the pairs of the driver before were still used");
}

#[test]
fn a_driver_that_knows_of_one_pair_finds_the_control_queue_behind_it() {
    let rig = Rig::new(3, true);
    let mut driver = rig.probe(!(1 << 22));
    assert_eq!(use_pairs(&rig, &mut driver, 2, [4, 0, 1, 0]), 1);
    rig.send(&mut driver, &on_the_wire(1, 60));
    assert_eq!(rig.receive(0), on_the_wire(1, 60));
}

#[test]
fn a_command_without_a_place_for_its_answer_breaks_the_device() {
    let rig = Rig::new(2, true);
    let mut driver = rig.probe(ALL);
    let at = driver.queues[4].data();
    driver.add(4, &[readable(at, 4)]);
    driver.notify(4);
    assert!(driver.wait(|driver| driver.status() & 64 != 0));
    let mut driver = rig.probe(ALL);
    assert_eq!(use_pairs(&rig, &mut driver, 4, [4, 0, 2, 0]), 0);
}

#[test]
fn a_driver_can_be_unloaded_and_loaded_again_in_the_middle_of_its_frames() {
    let rig = Rig::new(1, true);
    for round in 0..50u8 {
        let mut driver = rig.probe(ALL);
        let (to, from) = (driver.queues[RX].data(), driver.queues[TX].data());
        for number in 0..8 {
            driver.add(RX, &[writable(to + 0x4000 * number, 0x4000)]);
        }
        driver.notify(RX);
        rig.wires[0].send(&on_the_wire(round, 60)).unwrap();
        rig.write(from, &on_the_wire(round, 80));
        driver.add(TX, &[readable(from, 92)]);
        driver.notify(TX);
        assert_eq!(rig.receive(0), on_the_wire(round, 80));
        if round % 2 == 0 {
            driver.wait_used(RX, 1);
        }
        driver.reset();
        let before = rig.read(to - 0xc_0000 + 0xa_0000, 64);
        rig.wires[0].set_nonblocking(true).unwrap();
        let _ = rig.wires[0].send(&on_the_wire(round, 60));
        rig.wires[0].set_nonblocking(false).unwrap();
        assert_eq!(
            before,
            rig.read(to - 0xc_0000 + 0xa_0000, 64),
            "a ring was written after its reset"
        );
        let mut driver = rig.probe(ALL);
        driver.add(RX, &[writable(to, 0x1_1000)]);
        driver.notify(RX);
        driver.wait_used(RX, 1);
        driver.reset();
    }
    assert!(rig.machine.events().is_empty());
}

#[test]
fn limits_slow_frames_down_and_lose_none() {
    let mut config = settings(1, true);
    let packets =
        json!({"packets": {"per_second": 2000, "burst": 3}, "bytes": {"per_second": 10_000_000, "burst": 100}});
    config["limits"] = json!({"receive": packets.clone(), "transmit": packets});
    let rig = Rig::with(Machine::default(), &config);
    let mut driver = rig.probe(ALL);
    let (to, from) = (driver.queues[RX].data(), driver.queues[TX].data());
    for number in 0..60 {
        driver.add(RX, &[writable(to + 0x800 * number, 0x800)]);
        rig.write(from + 0x400 * number, &on_the_wire(number as u8, 500));
        driver.add(TX, &[readable(from + 0x400 * number, 512)]);
    }
    driver.notify(RX);
    driver.notify(TX);
    for number in 0..20 {
        rig.wires[0].send(&on_the_wire(number, 500)).unwrap();
        assert_eq!(rig.receive(0), on_the_wire(number, 500));
    }
    for number in 20..60 {
        assert_eq!(rig.receive(0), on_the_wire(number, 500));
    }
    assert_eq!(driver.wait_used(TX, 60).len(), 60);
    assert_eq!(driver.wait_used(RX, 20).len(), 20);
}

#[test]
fn an_interface_that_was_saved_goes_on_elsewhere_as_if_nothing_had_been() {
    let rig = Rig::new(2, true);
    let mut driver = rig.probe(ALL);
    assert_eq!(use_pairs(&rig, &mut driver, 4, [4, 0, 2, 0]), 0);
    let at = driver.queues[RX].data();
    for number in 0..8 {
        driver.add(RX, &[writable(at + 0x4000 * number, 0x4000)]);
    }
    driver.notify(RX);
    rig.wires[0].send(&on_the_wire(1, 60)).unwrap();
    assert_eq!(driver.wait_used(RX, 1)[0].1, 72);
    rig.machine.root.pause();
    let states = rig.machine.root.save();
    let queues = std::mem::take(&mut driver.queues);
    drop(driver);
    let Rig { machine, slot, .. } = rig;
    let memory = machine.memory.clone();
    drop(machine);

    let other = Rig::with(Machine::with_memory(memory), &settings(2, true));
    other.machine.root.pause();
    let text = serde_json::to_string(&states).unwrap();
    other
        .machine
        .root
        .restore(&serde_json::from_str(&text).unwrap())
        .unwrap();
    other.machine.root.resume();
    let mut driver = Driver::find(&other.machine, slot);
    driver.queues = queues;
    for number in 1..4 {
        other.wires[0].send(&on_the_wire(number, 60)).unwrap();
        assert_eq!(driver.wait_used(RX, 1)[0].1, 72);
        let place = at + 0x4000 * u64::from(number);
        assert_eq!(other.read(place + 12, 60), frame(number, 60));
    }
    let from = driver.queues[3].data();
    other.write(from, &on_the_wire(9, 60));
    driver.add(3, &[readable(from, 72)]);
    driver.notify(3);
    assert_eq!(other.receive(1), on_the_wire(9, 60));
}

#[test]
fn a_state_of_another_interface_is_refused() {
    let first = Rig::new(2, true);
    first.probe(ALL);
    first.machine.root.pause();
    let good = first.machine.root.save();
    for (member, value) in [
        ("mac", json!("02:00:00:00:00:09")),
        ("queue_pairs", json!(3)),
        ("active_pairs", json!(0)),
        ("active_pairs", json!(3)),
        ("surplus", json!(1)),
    ] {
        let mut text = serde_json::to_value(&good).unwrap();
        text["1"]["state"]["device"]["state"][member] = value;
        let other = Rig::new(2, true);
        other.machine.root.pause();
        assert!(
            other
                .machine
                .root
                .restore(&serde_json::from_value(text).unwrap())
                .is_err(),
            "{member}"
        );
    }
}
