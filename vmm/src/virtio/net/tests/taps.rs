//! On real taps, in namespaces of their own.

use super::settings;
use super::tap::{self, Namespace, open_tap};
use crate::testing::{Driver, Machine, readable, writable};
use crate::virtio::device::Chained;
use std::fs::File;
use vm_memory::{Bytes, GuestAddress};

const ALL: u64 = u64::MAX;
const GUEST_TSO4: u64 = 1 << 7;
const GUEST_CSUM: u64 = 1 << 1;

fn machine(namespace: &Namespace, offloads: bool) -> (Machine, u8) {
    let machine = Machine::default();
    let pairs = u16::try_from(namespace.queues.len()).unwrap();
    let slot = machine
        .add("net", "eni-1", settings(pairs, offloads), namespace.files())
        .unwrap();
    (machine, slot)
}

/// A frame of an EtherType for experiments.
fn frame(number: u8, length: usize) -> Vec<u8> {
    let mut frame = super::frame(number, length);
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
    frame
}

fn behind(header: [u8; 12], frame: &[u8]) -> Vec<u8> {
    [&header, frame].concat()
}

fn write(machine: &Machine, at: u64, bytes: &[u8]) {
    machine.memory.write_slice(bytes, GuestAddress(at)).unwrap();
}

fn read(machine: &Machine, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    machine.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
    bytes
}

fn send(machine: &Machine, driver: &mut Driver<'_>, queue: usize, bytes: &[u8]) {
    let at = driver.queues[queue].data();
    write(machine, at, bytes);
    driver.add(queue, &[readable(at, u32::try_from(bytes.len()).unwrap())]);
    driver.notify(queue);
    assert_eq!(driver.wait_used(queue, 1).len(), 1);
}

/// Posts one buffer that holds any frame; gives where it is.
fn post(driver: &mut Driver<'_>, queue: usize) -> u64 {
    let at = driver.queues[queue].data();
    driver.add(queue, &[writable(at, 0x1_1000)]);
    driver.notify(queue);
    at
}

fn link(machine: &Machine, driver: &Driver<'_>) -> [u8; 2] {
    machine.read(driver.structure(4) + 6)
}

#[test]
fn frames_pass_both_ways() {
    let namespace = Namespace::new(1);
    let (machine, slot) = machine(&namespace, true);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    for number in 0..20 {
        let length = 14 + 70 * usize::from(number);
        send(&machine, &mut driver, 1, &behind([0; 12], &frame(number, length)));
        let (_, received) = namespace.receive();
        // The kernel fills short frames up.
        assert_eq!(received[..length], frame(number, length));
        let at = post(&mut driver, 0);
        namespace.send([0; 10], &frame(number, length.max(60)));
        let used = driver.wait_used(0, 1)[0].1;
        assert_eq!(used as usize, 12 + length.max(60));
        assert_eq!(read(&machine, at, 12)[10..], [1, 0]);
        assert_eq!(read(&machine, at + 12, length.max(60)), frame(number, length.max(60)));
    }
    assert!(machine.events().is_empty());
}

/// A TCP segment over IPv4 with `payload` bytes, its checksum left to be filled in.
fn tcp(payload: usize) -> Vec<u8> {
    let total = u16::try_from(40 + payload).unwrap().to_be_bytes();
    let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    packet.extend([
        0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    let checksum = !sum(&packet[14..34], 0);
    packet[24..26].copy_from_slice(&checksum.to_be_bytes());
    packet.extend([
        0x10, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    let pseudo = sum(&pseudo_header(&packet), 0);
    packet[50..52].copy_from_slice(&pseudo.to_be_bytes());
    packet.extend((0..payload).map(|place| (place % 253) as u8));
    packet
}

fn pseudo_header(packet: &[u8]) -> Vec<u8> {
    let length = u16::from_be_bytes([packet[16], packet[17]]) - 20;
    [&packet[26..34], &[0, 6], &length.to_be_bytes()].concat()
}

/// The sum of the Internet checksum.
fn sum(bytes: &[u8], first: u16) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let mut sum = u32::from(first) + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// The header of a TCP segment that is to be cut into parts of 1000 bytes.
const TO_BE_SEGMENTED: [u8; 10] = [1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0];

fn twelve(header: [u8; 10]) -> [u8; 12] {
    let mut longer = [0; 12];
    longer[..10].copy_from_slice(&header);
    longer
}

#[test]
fn a_guest_that_takes_large_segments_gets_them_and_another_gets_them_cut_and_summed() {
    for (mask, large) in [(ALL, true), (!GUEST_TSO4, false), (!GUEST_CSUM, false)] {
        let namespace = Namespace::new(1);
        let (machine, slot) = machine(&namespace, true);
        let (mut driver, _) = Driver::probe(&machine, slot, mask);
        // When this is sent the device has told the tap what was agreed upon.
        send(&machine, &mut driver, 1, &behind([0; 12], &frame(1, 60)));
        let at = driver.queues[0].data();
        for number in 0..32 {
            driver.add(0, &[writable(at + 0x800 * number, 0x800)]);
        }
        driver.add(0, &[writable(at + 0x1_0000, 0x1_1000)]);
        driver.notify(0);
        namespace.send(TO_BE_SEGMENTED, &tcp(4000));
        let count = if large { 2 } else { 4 };
        let used: Vec<u32> = driver.wait_used(0, count).iter().map(|used| used.1).collect();
        let kind = read(&machine, at, 12)[1];
        if large {
            assert_eq!((used, kind), (vec![0x800, 12 + 54 + 4000 - 0x800], 1));
            continue;
        }
        assert_eq!((used, kind), (vec![12 + 54 + 1000; 4], 0));
        for number in 0..4 {
            let place = at + 0x800 * number;
            let (flags, packet) = (read(&machine, place, 1)[0], read(&machine, place + 12, 1054));
            let summed = sum(&packet[34..], sum(&pseudo_header(&packet), 0)) == 0xffff;
            // With checksums left to it the guest may be given the sum of the pseudo header alone.
            assert!(
                summed || mask != !GUEST_CSUM && flags & 1 != 0,
                "segment {number} has a wrong checksum"
            );
            assert!(mask != !GUEST_CSUM || flags == 0);
        }
    }
}

#[test]
fn a_large_segment_of_the_guest_reaches_the_host_whole() {
    let namespace = Namespace::new(1);
    let (machine, slot) = machine(&namespace, true);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    send(&machine, &mut driver, 1, &behind(twelve(TO_BE_SEGMENTED), &tcp(40_000)));
    let (header, received) = namespace.receive();
    assert_eq!(
        (header[1], &received[34..36], received.len()),
        (1, &[0x10, 0][..], 54 + 40_000)
    );
    // One that the kernel does not believe is dropped, and the next one passes.
    let mut nonsense = twelve(TO_BE_SEGMENTED);
    nonsense[6] = 0xff;
    nonsense[7] = 0xff;
    send(&machine, &mut driver, 1, &behind(nonsense, &tcp(4000)));
    send(&machine, &mut driver, 1, &behind([0; 12], &frame(3, 60)));
    assert_eq!(namespace.receive().1, frame(3, 60));
}

#[test]
fn an_interface_that_is_down_drops_what_is_sent_and_one_that_is_up_again_takes_it() {
    let namespace = Namespace::new(1);
    let (machine, slot) = machine(&namespace, true);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    for round in 0..3 {
        namespace.while_down(|| send(&machine, &mut driver, 1, &behind([0; 12], &frame(99, 60))));
        assert_eq!(link(&machine, &driver), [1, 0]);
        send(&machine, &mut driver, 1, &behind([0; 12], &frame(round, 60)));
        assert_eq!(namespace.receive().1, frame(round, 60));
    }
}

#[test]
fn a_tap_that_was_removed_is_a_link_that_is_down_and_the_machine_lives() {
    for pairs in [1, 2] {
        let namespace = Namespace::new(pairs);
        let (machine, slot) = machine(&namespace, true);
        let (mut driver, _) = Driver::probe(&machine, slot, ALL);
        post(&mut driver, 0);
        assert_eq!(link(&machine, &driver), [1, 0]);
        machine.routes.take_messages();
        namespace.remove();
        assert!(
            machine.routes.wait_for(0, crate::testing::PATIENCE),
            "the driver was not told"
        );
        assert_eq!(link(&machine, &driver), [0, 0]);
        for number in 0..100 {
            send(&machine, &mut driver, 1, &behind([0; 12], &frame(number, 60)));
        }
        let (mut driver, _) = Driver::probe(&machine, slot, ALL);
        assert_eq!(link(&machine, &driver), [0, 0]);
        send(&machine, &mut driver, 1, &behind([0; 12], &frame(1, 60)));
        assert!(machine.events().is_empty());
        machine.root.stop();
        let again = self::machine(&namespace, true);
        let (mut driver, _) = Driver::probe(&again.0, again.1, ALL);
        assert_eq!(link(&again.0, &driver), [0, 0]);
        send(&again.0, &mut driver, 1, &behind([0; 12], &frame(1, 60)));
    }
}

#[test]
fn a_frame_finds_out_that_the_tap_was_removed_too() {
    let namespace = Namespace::new(1);
    let (machine, slot) = machine(&namespace, true);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    namespace.remove();
    assert_eq!(link(&machine, &driver), [1, 0]);
    send(&machine, &mut driver, 1, &behind([0; 12], &frame(1, 60)));
    assert_eq!(link(&machine, &driver), [0, 0]);
}

#[test]
fn the_kernel_spreads_frames_over_the_pairs_in_use_only() {
    let namespace = Namespace::new(3);
    let (machine, slot) = machine(&namespace, true);
    for pairs in [1u8, 3, 2, 1] {
        let (mut driver, _) = Driver::probe(&machine, slot, ALL);
        let control = 6;
        let at = driver.queues[control].data();
        write(&machine, at, &[4, 0, pairs, 0]);
        driver.add(control, &[readable(at, 4), writable(at + 8, 1)]);
        driver.notify(control);
        driver.wait_used(control, 1);
        assert_eq!(read(&machine, at + 8, 1), [0]);
        for pair in 0..3 {
            let at = driver.queues[2 * pair].data();
            for place in 0..48 {
                driver.add(2 * pair, &[writable(at + 0x800 * place, 0x800)]);
            }
            driver.notify(2 * pair);
        }
        let flows = 32u8;
        for flow in 0..flows {
            let mut packet = tcp(100);
            packet[35] = flow;
            packet[33] = flow;
            namespace.send([0; 10], &packet);
        }
        let mut came = [0; 3];
        let all = |came: &[usize; 3]| came.iter().sum::<usize>() == usize::from(flows);
        let end = std::time::Instant::now() + crate::testing::PATIENCE;
        while !all(&came) && std::time::Instant::now() < end {
            for (pair, count) in came.iter_mut().enumerate() {
                *count += driver.take_used(2 * pair).len();
            }
        }
        assert!(all(&came), "{pairs} pairs: {came:?}");
        let used = came.iter().filter(|count| **count > 0).count();
        assert!(
            came[usize::from(pairs)..].iter().all(|count| *count == 0),
            "{pairs} pairs: {came:?}"
        );
        assert!(pairs == 1 || used > 1, "{pairs} pairs: {came:?}");
        for pair in 0..usize::from(pairs) {
            send(
                &machine,
                &mut driver,
                2 * pair + 1,
                &behind([0; 12], &frame(pair as u8, 60)),
            );
            assert_eq!(namespace.receive().1, frame(pair as u8, 60));
        }
        assert_eq!(link(&machine, &driver), [1, 0]);
    }
}

#[test]
fn what_is_no_tap_as_it_should_be_is_refused_with_the_reason() {
    let refuse = |files: Vec<File>| {
        let machine = Machine::default();
        let pairs = u16::try_from(files.len()).unwrap();
        let built = machine.add("net", "eni-1", settings(pairs, true), files);
        Chained(&built.unwrap_err()).to_string()
    };
    assert!(refuse(vec![tempfile::tempfile().unwrap()]).contains("not an open tap"));
    let odd = |flags: libc::c_int| tap::inside(move || open_tap(flags));
    let (tap, no_pi, header) = (libc::IFF_TAP, libc::IFF_NO_PI, libc::IFF_VNET_HDR);
    for (flags, missing) in [
        (libc::IFF_TUN | no_pi | header, "IFF_TAP"),
        (tap | no_pi, "IFF_VNET_HDR"),
    ] {
        let reason = refuse(vec![odd(flags)]);
        assert!(reason.contains(missing), "{reason}");
    }
    let one = odd(tap | no_pi | header);
    let reason = refuse(vec![one.try_clone().unwrap(), one]);
    assert!(reason.contains("IFF_MULTI_QUEUE"), "{reason}");
}
