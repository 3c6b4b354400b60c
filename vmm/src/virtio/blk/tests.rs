//! The block device as a guest's driver sees it, over the whole of PCI and transport.

use super::*;
use crate::block::SyncEngine;
use crate::block::fault::{Faults, FaultyEngine};
use crate::protocol::Event;
use crate::testing::{Driver, Machine, PATIENCE, Piece, readable, writable};
use crate::virtio::device::ResizeError;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use virtio_bindings::virtio_blk as bits;
use vm_memory::{Bytes, GuestAddress};

const SIZE: u64 = 4 << 20;
const ALL: u64 = u64::MAX;
const IN: u32 = bits::VIRTIO_BLK_T_IN;
const OUT: u32 = bits::VIRTIO_BLK_T_OUT;
const FLUSH: u32 = bits::VIRTIO_BLK_T_FLUSH;

fn volume() -> File {
    let mut file = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..SIZE / 8).flat_map(|word| word.to_le_bytes()).collect();
    file.write_all(&bytes).unwrap();
    file
}

fn machine(config: serde_json::Value) -> (Machine, File, u8) {
    let machine = Machine::default();
    let file = volume();
    let files = vec![file.try_clone().unwrap()];
    let slot = machine.add("blk", "vol-0123456789abcdef0", config, files).unwrap();
    (machine, file, slot)
}

/// A machine whose volume fails on demand.
fn faulty(queues: u16) -> (Machine, Arc<Faults>, File, u8) {
    let machine = Machine::default();
    let faults = Arc::new(Faults::default());
    let file = volume();
    let engine = |file: &Arc<File>| -> Box<dyn Engine> {
        let inner = Box::new(SyncEngine::new(file.clone()));
        Box::new(FaultyEngine::new(inner, faults.clone()).unwrap())
    };
    let config = Config {
        read_only: false,
        queues,
        limits: Limits::default(),
    };
    let clone = file.try_clone().unwrap();
    let device = Device::new("vol-1", &config, clone, &machine.context, engine).unwrap();
    let function = attach("vol-1", Box::new(device), Blk::SYSCALLS, &machine.context).unwrap();
    let slot = machine.insert(function);
    (machine, faults, file, slot)
}

/// The parts of a request in a queue's data area: header, data, status.
struct Layout {
    header: u64,
    data: u64,
    status: u64,
}

fn layout(driver: &Driver<'_>, queue: usize, number: u64) -> Layout {
    let base = driver.queues[queue].data() + number * 0x2000;
    Layout {
        header: base,
        data: base + 0x1000,
        status: base + 0x10,
    }
}

fn prepare(machine: &Machine, at: &Layout, kind: u32, sector: u64) {
    let header = [u64::from(kind), sector];
    machine.memory.write_obj(header, GuestAddress(at.header)).unwrap();
    machine.memory.write_obj(0xeeu8, GuestAddress(at.status)).unwrap();
}

fn status(machine: &Machine, at: &Layout) -> u8 {
    machine.memory.read_obj(GuestAddress(at.status)).unwrap()
}

/// One request, from header to interrupt; gives its status and used length.
fn request(machine: &Machine, driver: &mut Driver<'_>, kind: u32, sector: u64, data: &[Piece]) -> (u8, u32) {
    let at = layout(driver, 0, 0);
    prepare(machine, &at, kind, sector);
    let mut pieces = vec![readable(at.header, 16)];
    pieces.extend_from_slice(data);
    pieces.push(writable(at.status, 1));
    let head = driver.add(0, &pieces);
    driver.notify(0);
    let used = driver.wait_used(0, 1);
    assert_eq!(used[0].0, u32::from(head));
    (status(machine, &at), used[0].1)
}

fn segment(machine: &Machine, at: u64, sector: u64, sectors: u32, flags: u32) -> Piece {
    let raw = [sector, u64::from(sectors) | u64::from(flags) << 32];
    machine.memory.write_obj(raw, GuestAddress(at)).unwrap();
    readable(at, 16)
}

fn word(file: &File, sector: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, sector * 512).unwrap();
    u64::from_le_bytes(bytes)
}

#[test]
fn a_volume_that_grows_tells_its_driver_and_serves_what_is_new() {
    let (machine, file, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    driver.enable_msix(2);
    let function = machine.root.function(slot).unwrap();
    let capacity = |driver: &Driver<'_>| u64::from_le_bytes(machine.read(driver.structure(4)));
    let beyond = |driver: &mut Driver<'_>| {
        let at = driver.queues[0].data() + 0x1000;
        request(&machine, driver, IN, SIZE / 512, &[writable(at, 512)]).0
    };
    assert_eq!((capacity(&driver), beyond(&mut driver)), (SIZE / 512, 1));
    for (bytes, refused) in [(SIZE - 512, "shrink"), (SIZE + 1, "sectors")] {
        let error = function.resize(bytes).unwrap_err().to_string();
        assert!(error.contains(refused), "{error}");
    }
    assert_eq!(capacity(&driver), SIZE / 512);
    file.set_len(2 * SIZE).unwrap();
    machine.routes.take_messages();
    function.resize(2 * SIZE).unwrap();
    assert!(machine.routes.wait_for(0, PATIENCE), "the driver was not told");
    assert_eq!((capacity(&driver), beyond(&mut driver)), (2 * SIZE / 512, 0));
    assert!(matches!(rng_size(), Err(ResizeError::Sizeless)));
}

/// What a device says that has no size.
fn rng_size() -> Result<(), ResizeError> {
    let machine = Machine::default();
    let slot = machine.add("rng", "rng0", json!({}), vec![]).unwrap();
    machine.root.function(slot).unwrap().resize(512)
}

#[test]
fn a_volume_that_rests_takes_no_request_and_has_written_what_it_took() {
    let (machine, file, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let function = machine.root.function(slot).unwrap();
    function.pause();
    let at = layout(&driver, 0, 0);
    prepare(&machine, &at, OUT, 3);
    machine.memory.write_obj(7u64, GuestAddress(at.data)).unwrap();
    let pieces = [readable(at.header, 16), readable(at.data, 512), writable(at.status, 1)];
    driver.add(0, &pieces);
    driver.notify(0);
    // Nothing is to be waited for but a rest that does not end: it may be looked at any time.
    assert_eq!((status(&machine, &at), word(&file, 3)), (0xee, 3 * 64));
    function.resume();
    driver.wait_used(0, 1);
    assert_eq!((status(&machine, &at), word(&file, 3)), (0, 7));
}

#[test]
fn a_sector_is_read_and_written() {
    let (machine, file, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, features) = Driver::probe(&machine, slot, ALL);
    assert_ne!(features & 1 << bits::VIRTIO_BLK_F_FLUSH, 0);
    let at = layout(&driver, 0, 0).data;
    assert_eq!(request(&machine, &mut driver, IN, 8, &[writable(at, 512)]), (0, 513));
    assert_eq!(machine.memory.read_obj::<u64>(GuestAddress(at)).unwrap(), 8 * 64);
    machine.memory.write_slice(&[0x5a; 1024], GuestAddress(at)).unwrap();
    assert_eq!(
        request(
            &machine,
            &mut driver,
            OUT,
            3,
            &[readable(at, 512), readable(at + 512, 512)]
        ),
        (0, 1)
    );
    assert_eq!(
        (word(&file, 2), word(&file, 3), word(&file, 4), word(&file, 5)),
        (2 * 64, 0x5a5a_5a5a_5a5a_5a5a, 0x5a5a_5a5a_5a5a_5a5a, 5 * 64)
    );
    assert_eq!(request(&machine, &mut driver, FLUSH, 0, &[]), (0, 1));
    assert!(machine.events().is_empty());
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0);
    prepare(&machine, &at, IN, 8);
    driver.add(
        0,
        &[
            readable(at.header, 3),
            readable(at.header + 3, 13),
            writable(at.data, 100),
            writable(at.data + 100, 413),
        ],
    );
    driver.notify(0);
    assert_eq!(driver.wait_used(0, 1)[0].1, 513);
    assert_eq!(machine.memory.read_obj::<u8>(GuestAddress(at.data + 512)).unwrap(), 0);
    assert_eq!(
        machine.memory.read_obj::<u64>(GuestAddress(at.data + 504)).unwrap(),
        8 * 64 + 63
    );
}

#[test]
fn the_volume_is_known_by_its_name() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0).data;
    let answer = request(&machine, &mut driver, bits::VIRTIO_BLK_T_GET_ID, 0, &[writable(at, 20)]);
    assert_eq!(answer, (0, 21));
    let name: [u8; 20] = machine.memory.read_obj(GuestAddress(at)).unwrap();
    assert_eq!(&name, b"vol0123456789abcdef0");
}

#[test]
fn the_configuration_says_what_the_volume_is() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 4}));
    let (driver, features) = Driver::probe(&machine, slot, ALL);
    let config = driver.structure(4);
    assert_eq!(u64::from_le_bytes(machine.read(config)), SIZE / 512);
    assert_eq!(u32::from_le_bytes(machine.read(config + 12)), 254);
    assert_eq!(u16::from_le_bytes(machine.read(config + 34)), 4);
    assert_eq!(machine.read::<1>(config + 0xff), [0]);
    for bit in [
        bits::VIRTIO_BLK_F_MQ,
        bits::VIRTIO_BLK_F_DISCARD,
        bits::VIRTIO_BLK_F_CONFIG_WCE,
    ] {
        assert_ne!(features & 1 << bit, 0, "feature {bit}");
    }
    assert_eq!(features & 1 << bits::VIRTIO_BLK_F_RO, 0);
}

#[test]
fn impossible_requests_fail_and_leave_the_queue_whole() {
    let (machine, file, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0).data;
    let end = SIZE / 512;
    for (kind, sector, data, wanted) in [
        (IN, end, vec![writable(at, 512)], 1),
        (IN, u64::MAX, vec![writable(at, 512)], 1),
        (IN, 0, vec![writable(at, 511)], 1),
        (IN, 0, vec![], 1),
        (OUT, end - 1, vec![readable(at, 1024)], 1),
        (OUT, 0, vec![readable(at, 100)], 1),
        (77, 0, vec![], 2),
    ] {
        assert_eq!(
            request(&machine, &mut driver, kind, sector, &data).0,
            wanted,
            "{kind} {sector} {data:?}"
        );
    }
    for (kind, sector, sectors, flags, wanted) in [
        (bits::VIRTIO_BLK_T_DISCARD, end, 1, 0, 1),
        (bits::VIRTIO_BLK_T_DISCARD, u64::MAX, 2, 0, 1),
        (bits::VIRTIO_BLK_T_DISCARD, 0, 0, 0, 1),
        (bits::VIRTIO_BLK_T_DISCARD, 0, u32::MAX, 0, 1),
        (bits::VIRTIO_BLK_T_DISCARD, 0, 1, 1, 2),
        (bits::VIRTIO_BLK_T_WRITE_ZEROES, 0, config::MAX_ZEROES + 1, 0, 1),
        (bits::VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2, 2),
    ] {
        let range = segment(&machine, at, sector, sectors, flags);
        assert_eq!(
            request(&machine, &mut driver, kind, 0, &[range]).0,
            wanted,
            "{kind} {sector}+{sectors}"
        );
    }
    assert_eq!(file.metadata().unwrap().len(), SIZE);
    assert_eq!(request(&machine, &mut driver, IN, 0, &[writable(at, 512)]).0, 0);
    assert!(machine.events().is_empty());
}

#[test]
fn discarded_space_is_given_back_and_zeroes_are_zero() {
    let (machine, file, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0).data;
    let before = file.metadata().unwrap().blocks();
    for (kind, sector, flags) in [
        (bits::VIRTIO_BLK_T_DISCARD, 0, 0),
        (bits::VIRTIO_BLK_T_WRITE_ZEROES, 2048, 1),
        (bits::VIRTIO_BLK_T_WRITE_ZEROES, 4096, 0),
    ] {
        let range = segment(&machine, at, sector, 2048, flags);
        assert_eq!(request(&machine, &mut driver, kind, 0, &[range]), (0, 1));
        assert_eq!(
            (
                word(&file, sector),
                word(&file, sector + 2047),
                word(&file, sector + 2048)
            ),
            (0, 0, (sector + 2048) * 64)
        );
    }
    let after = file.metadata().unwrap().blocks();
    assert!(after <= before - 4000, "{before} blocks became {after}");
    assert_eq!(file.metadata().unwrap().len(), SIZE);
}

#[test]
fn a_read_only_volume_is_never_written() {
    let (machine, file, slot) = machine(json!({"read_only": true, "queues": 1}));
    let (mut driver, features) = Driver::probe(&machine, slot, ALL);
    assert_ne!(features & 1 << bits::VIRTIO_BLK_F_RO, 0);
    assert_eq!(features & 1 << bits::VIRTIO_BLK_F_DISCARD, 0);
    let at = layout(&driver, 0, 0).data;
    assert_eq!(request(&machine, &mut driver, OUT, 1, &[readable(at, 512)]).0, 1);
    let range = segment(&machine, at, 0, 8, 0);
    assert_eq!(
        request(&machine, &mut driver, bits::VIRTIO_BLK_T_DISCARD, 0, &[range]).0,
        2
    );
    assert_eq!(request(&machine, &mut driver, IN, 1, &[writable(at, 512)]).0, 0);
    assert_eq!(word(&file, 1), 64);
}

#[test]
fn errors_of_the_host_reach_the_driver_and_interruptions_do_not() {
    let (machine, faults, _, slot) = faulty(1);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0).data;
    for error in [libc::EIO, libc::ENOSPC] {
        faults.fail([Some(error)]);
        assert_eq!(request(&machine, &mut driver, OUT, 0, &[readable(at, 512)]).0, 1);
        faults.fail([Some(error)]);
        assert_eq!(request(&machine, &mut driver, IN, 0, &[writable(at, 512)]), (1, 1));
        faults.fail([Some(error)]);
        assert_eq!(request(&machine, &mut driver, FLUSH, 0, &[]).0, 1);
    }
    faults.fail([Some(libc::EINTR), Some(libc::EAGAIN)]);
    assert_eq!(request(&machine, &mut driver, IN, 0, &[writable(at, 512)]).0, 0);
    faults.fail(std::iter::repeat_n(Some(libc::EAGAIN), 17));
    assert_eq!(request(&machine, &mut driver, IN, 0, &[writable(at, 512)]).0, 1);
    assert_eq!(request(&machine, &mut driver, IN, 0, &[writable(at, 512)]).0, 0);
}

#[test]
fn file_systems_that_know_neither_holes_nor_zeroes_get_them_written() {
    let (machine, faults, file, slot) = faulty(1);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0).data;
    let unsupported = Some(libc::EOPNOTSUPP);
    faults.fail([unsupported]);
    let range = segment(&machine, at, 0, 8, 0);
    assert_eq!(
        request(&machine, &mut driver, bits::VIRTIO_BLK_T_DISCARD, 0, &[range]).0,
        0
    );
    assert_eq!((word(&file, 1), faults.log()), (64, "p".to_owned()));
    faults.fail([unsupported, unsupported]);
    let range = segment(&machine, at, 0, 8, 1);
    assert_eq!(
        request(&machine, &mut driver, bits::VIRTIO_BLK_T_WRITE_ZEROES, 0, &[range]).0,
        0
    );
    assert_eq!(
        (word(&file, 7), word(&file, 8), faults.log()),
        (0, 8 * 64, "ppzw".to_owned())
    );
}

#[test]
fn a_volume_that_was_cut_short_reads_as_an_error() {
    let (machine, file, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    file.set_len(512).unwrap();
    let at = layout(&driver, 0, 0).data;
    assert_eq!(request(&machine, &mut driver, IN, 0, &[writable(at, 1024)]).0, 1);
    assert_eq!(request(&machine, &mut driver, IN, 0, &[writable(at, 512)]).0, 0);
}

#[test]
fn writes_are_durable_at_once_when_the_driver_turned_the_cache_off_or_can_not_flush() {
    let (machine, faults, _, slot) = faulty(1);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0).data;
    request(&machine, &mut driver, OUT, 0, &[readable(at, 512)]);
    machine.write(driver.structure(4) + 32, &[0]);
    assert_eq!(machine.read::<1>(driver.structure(4) + 32), [0]);
    request(&machine, &mut driver, OUT, 0, &[readable(at, 512)]);
    let range = segment(&machine, at, 0, 8, 0);
    request(&machine, &mut driver, bits::VIRTIO_BLK_T_DISCARD, 0, &[range]);
    assert_eq!(faults.log(), "wWps");
    driver.reset();
    assert_eq!(machine.read::<1>(driver.structure(4) + 32), [1]);
    drop(driver);
    let (mut driver, _) = Driver::probe(&machine, slot, !(1 << bits::VIRTIO_BLK_F_FLUSH));
    request(&machine, &mut driver, OUT, 0, &[readable(at, 512)]);
    assert_eq!(faults.log(), "wWps".to_owned() + "s" + "W");
}

#[test]
fn a_flush_begins_after_the_writes_that_were_complete() {
    let (machine, faults, _, slot) = faulty(1);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    for number in 0..4 {
        let at = layout(&driver, 0, number);
        prepare(&machine, &at, OUT, number);
        driver.add(
            0,
            &[readable(at.header, 16), readable(at.data, 512), writable(at.status, 1)],
        );
    }
    driver.notify(0);
    driver.wait_used(0, 4);
    assert_eq!(request(&machine, &mut driver, FLUSH, 0, &[]), (0, 1));
    assert_eq!(faults.log(), "wwwws");
}

#[test]
fn a_reset_waits_for_what_is_under_way_and_makes_it_durable() {
    let (machine, faults, file, slot) = faulty(1);
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0);
    machine.memory.write_slice(&[7; 512], GuestAddress(at.data)).unwrap();
    faults.hold(true);
    prepare(&machine, &at, OUT, 0);
    driver.add(
        0,
        &[readable(at.header, 16), readable(at.data, 512), writable(at.status, 1)],
    );
    driver.notify(0);
    assert!(driver.wait(|_| faults.log() == "w"));
    driver.write(20, &[0]);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_ne!(driver.status(), 0, "the reset was done before the write was");
    faults.hold(false);
    driver.reset();
    assert_eq!((faults.log(), word(&file, 0)), ("ws".to_owned(), 0x0707_0707_0707_0707));
}

#[test]
fn a_driver_can_be_unloaded_and_loaded_again_and_again() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 2}));
    for round in 0..20 {
        let (mut driver, _) = Driver::probe(&machine, slot, ALL);
        let at = layout(&driver, 0, 0).data;
        assert_eq!(request(&machine, &mut driver, IN, round, &[writable(at, 512)]).0, 0);
        assert_eq!(machine.memory.read_obj::<u64>(GuestAddress(at)).unwrap(), round * 64);
        driver.reset();
        machine.write(driver.capability(0x11) + 2, &[0, 0]);
        machine.write(driver.config_register(4), &[0, 0]);
        assert_eq!((machine.routes.irqfds(), machine.routes.routed()), (0, 0));
        assert!(machine.routes.doorbells().is_empty());
    }
    assert_eq!(machine.routes.gsis(), 3);
}

#[test]
fn a_driver_may_vanish_in_the_middle_of_its_requests() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 2}));
    for round in 0..50 {
        let (mut driver, _) = Driver::probe(&machine, slot, ALL);
        for queue in 0..2 {
            for number in 0..16 {
                let at = layout(&driver, queue, number);
                prepare(&machine, &at, if number % 4 == 0 { OUT } else { IN }, number * 8);
                let writes = number % 4 != 0;
                let data = if writes {
                    writable(at.data, 4096)
                } else {
                    readable(at.data, 4096)
                };
                driver.add(queue, &[readable(at.header, 16), data, writable(at.status, 1)]);
            }
            driver.notify(queue);
        }
        if round % 2 == 0 {
            driver.wait_used(0, 1);
        }
        driver.reset();
        let before: [u8; 32] = machine.memory.read_obj(GuestAddress(1 << 20 | 0xa_0000)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let after: [u8; 32] = machine.memory.read_obj(GuestAddress(1 << 20 | 0xa_0000)).unwrap();
        assert_eq!(before, after, "the device wrote to the rings after its reset");
    }
    assert!(request_works(&machine, slot));
    assert!(machine.events().is_empty());
}

#[test]
fn no_interrupt_is_lost_while_its_vector_is_masked_and_unmasked() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 1}));
    let (mut driver, _) = Driver::probe(&machine, slot, !(1 << 29));
    let control = driver.vector(1) + 12;
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                machine.write(control, &1u32.to_le_bytes());
                machine.write(control, &0u32.to_le_bytes());
            }
        });
        for number in 0..500 {
            let at = layout(&driver, 0, number % 16);
            prepare(&machine, &at, IN, number);
            driver.add(
                0,
                &[readable(at.header, 16), writable(at.data, 512), writable(at.status, 1)],
            );
            driver.notify(0);
            let interrupted = machine.routes.wait_for(1, crate::testing::PATIENCE);
            let used = driver.take_used(0).len();
            if !interrupted || used != 1 {
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(interrupted, "request {number} was used ({used}) but not told");
            assert_eq!(used, 1, "request {number} was told before it was used, or told twice");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn every_queue_works_by_itself_and_with_its_own_interrupt() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 4}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    for queue in 0..4 {
        let at = layout(&driver, queue, 0);
        prepare(&machine, &at, IN, 1);
        driver.add(
            queue,
            &[readable(at.header, 16), writable(at.data, 512), writable(at.status, 1)],
        );
        driver.notify(queue);
        let vector = u32::try_from(queue).unwrap() + 1;
        assert_eq!(machine.routes.wait_messages(crate::testing::PATIENCE), [vector]);
        assert_eq!((driver.wait_used(queue, 1).len(), status(&machine, &at)), (1, 0));
    }
}

#[test]
fn deep_queues_work_with_and_without_indirect_descriptors_and_event_indices() {
    for mask in [ALL, !(1 << 28), !(1 << 29), !(1 << 28 | 1 << 29)] {
        let (machine, _, slot) = machine(json!({"read_only": false, "queues": 1}));
        let (mut driver, features) = Driver::probe(&machine, slot, mask);
        for round in 0..20 {
            for number in 0..16 {
                let at = layout(&driver, 0, number);
                prepare(&machine, &at, IN, round * 16 + number);
                let pieces = [readable(at.header, 16), writable(at.data, 1024), writable(at.status, 1)];
                match features & 1 << 28 {
                    0 => driver.add(0, &pieces),
                    _ => driver.add_indirect(0, &pieces, at.header + 0x100),
                };
                driver.notify(0);
            }
            assert_eq!(driver.wait_used(0, 16).len(), 16);
            for number in 0..16 {
                let at = layout(&driver, 0, number);
                let word: u64 = machine.memory.read_obj(GuestAddress(at.data)).unwrap();
                assert_eq!((status(&machine, &at), word), (0, (round * 16 + number) * 64));
            }
        }
    }
}

#[test]
fn a_request_without_header_or_status_breaks_the_device_until_its_reset() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 1}));
    for short in [true, false] {
        let (mut driver, _) = Driver::probe(&machine, slot, ALL);
        let at = layout(&driver, 0, 0);
        match short {
            true => driver.add(0, &[readable(at.header, 8), writable(at.status, 1)]),
            false => driver.add(0, &[readable(at.header, 16)]),
        };
        driver.notify(0);
        assert!(driver.wait(|driver| driver.status() & 64 != 0));
        assert!(machine.routes.wait_for(0, crate::testing::PATIENCE));
        assert!(request_works(&machine, slot));
    }
    let events = machine.events();
    assert_eq!(events.len(), 2);
    assert!(
        matches!(&events[0], Event::DeviceNeedsReset { device, reason }
        if device == "vol-0123456789abcdef0" && reason.contains("no header")),
        "{events:?}"
    );
}

fn request_works(machine: &Machine, slot: u8) -> bool {
    let (mut driver, _) = Driver::probe(machine, slot, ALL);
    let at = layout(&driver, 0, 0).data;
    request(machine, &mut driver, IN, 0, &[writable(at, 512)]).0 == 0
}

#[test]
fn what_is_no_volume_is_refused() {
    let machine = Machine::default();
    let build = |config: serde_json::Value, file: File| {
        let built = machine.add("blk", "vol-1", config, vec![file]);
        crate::virtio::device::Chained(&built.unwrap_err()).to_string()
    };
    let good = json!({"read_only": false, "queues": 1});
    let cut = tempfile::tempfile().unwrap();
    assert!(build(good.clone(), cut.try_clone().unwrap()).contains("0 bytes"));
    cut.set_len(1000).unwrap();
    assert!(build(good.clone(), cut).contains("1000 bytes"));
    assert!(build(json!({"read_only": false, "queues": 33}), volume()).contains("33 queues"));
    assert!(build(json!({"read_only": false, "queues": 1, "x": 1}), volume()).contains("unknown field"));
    let named = tempfile::NamedTempFile::new().unwrap();
    named.as_file().set_len(SIZE).unwrap();
    lock_elsewhere(&named, |file| assert!(build(good, file).contains("in use")));
}

fn lock_elsewhere(named: &tempfile::NamedTempFile, test: impl FnOnce(File)) {
    let open = || File::options().read(true).write(true).open(named.path()).unwrap();
    let other = open();
    block::lock(&other, false).unwrap();
    test(open());
}

#[test]
fn a_device_that_was_saved_goes_on_elsewhere_as_if_nothing_had_been() {
    let (machine, file, slot) = machine(json!({"read_only": false, "queues": 2}));
    let (mut driver, _) = Driver::probe(&machine, slot, ALL);
    let at = layout(&driver, 0, 0).data;
    machine.write(driver.structure(4) + 32, &[0]);
    assert_eq!(request(&machine, &mut driver, IN, 1, &[writable(at, 512)]).0, 0);
    machine.root.pause();
    let states = machine.root.save();
    let queue = driver.queues.remove(0);
    drop(driver);
    let Machine {
        memory,
        context,
        root,
        mmio,
        ..
    } = machine;
    drop((root, mmio));

    let other = Machine::with_memory(memory);
    drop(context);
    let files = vec![file.try_clone().unwrap()];
    other
        .add(
            "blk",
            "vol-0123456789abcdef0",
            json!({"read_only": false, "queues": 2}),
            files,
        )
        .unwrap();
    other.root.pause();
    let text = serde_json::to_string(&states).unwrap();
    other.root.restore(&serde_json::from_str(&text).unwrap()).unwrap();
    other.root.resume();
    let mut driver = Driver::find(&other, slot);
    driver.queues.push(queue);
    assert_eq!((driver.status(), other.read::<1>(driver.structure(4) + 32)), (15, [0]));
    for sector in 2..20 {
        assert_eq!(request(&other, &mut driver, IN, sector, &[writable(at, 512)]).0, 0);
        assert_eq!(other.memory.read_obj::<u64>(GuestAddress(at)).unwrap(), sector * 64);
    }
}

#[test]
fn what_has_ended_has_no_state() {
    let (machine, _, slot) = machine(json!({"read_only": false, "queues": 1}));
    Driver::probe(&machine, slot, ALL);
    machine.root.stop();
    machine.root.pause();
    assert!(machine.root.save().is_empty());
}

/// Reads a sector so many times, all asked for at once.
fn reads(machine: &Machine, driver: &mut Driver<'_>, count: u64) {
    for number in 0..count {
        let at = layout(driver, 0, number);
        prepare(machine, &at, IN, number);
        driver.add(
            0,
            &[readable(at.header, 16), writable(at.data, 512), writable(at.status, 1)],
        );
    }
    driver.notify(0);
}

#[test]
fn a_volume_does_no_more_than_its_limit_and_all_of_it_once_that_is_lifted() {
    let rate = json!({"per_second": 1, "burst": 2});
    for limits in [
        json!({"operations": rate}),
        json!({"bytes": {"per_second": 512, "burst": 1024}}),
    ] {
        let (machine, _, slot) = machine(json!({"read_only": false, "queues": 1, "limits": limits}));
        let (mut driver, _) = Driver::probe(&machine, slot, ALL);
        driver.enable_msix(2);
        let began = std::time::Instant::now();
        reads(&machine, &mut driver, 20);
        let done = driver.wait_used(0, 2).len();
        // What the bucket held, one that overdraws it, and what has come in meanwhile.
        let allowed = 3 + usize::try_from(began.elapsed().as_secs()).unwrap();
        assert!(done <= allowed.min(19), "{done} of {allowed} that were allowed");
        assert!(!machine.context.limiters.adjust("vol-1", Limits::default()));
        assert!(
            machine
                .context
                .limiters
                .adjust("vol-0123456789abcdef0", Limits::default())
        );
        driver.wait_used(0, 20 - done);
    }
}

#[test]
fn a_large_operation_counts_for_its_parts_and_only_data_counts() {
    let one = |length| {
        let address = GuestAddress(0);
        vec![crate::virtio::queue::Buffer { address, length }]
    };
    let read = |length| {
        limits::price(&request::Task::Read {
            offset: 0,
            buffers: one(length),
        })
    };
    assert_eq!((read(512), read(256 << 10)), ((512, 1), (256 << 10, 1)));
    assert_eq!(read((256 << 10) + 512), ((256 << 10) + 512, 2));
    assert_eq!(limits::price(&request::Task::Flush), (0, 0));
}

#[test]
fn a_state_of_another_volume_or_with_other_queues_is_refused() {
    let (first, _, slot) = machine(json!({"read_only": false, "queues": 2}));
    Driver::probe(&first, slot, ALL);
    first.root.pause();
    let good = first.root.save();
    let refuse = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut text = serde_json::to_value(&good).unwrap();
        change(&mut text["1"]);
        let (other, _, _) = machine(json!({"read_only": false, "queues": 2}));
        other.root.pause();
        let states = serde_json::from_value(text).unwrap();
        assert!(other.root.restore(&states).is_err());
    };
    refuse(&|state| state["state"]["device"]["state"]["capacity"] = json!(1));
    refuse(&|state| state["state"]["device"]["version"] = json!(2));
    refuse(&|state| state["state"]["registers"]["queues"] = json!([]));
    refuse(&|state| state["state"]["registers"]["accepted"] = json!(u64::MAX));
    refuse(&|state| state["state"]["registers"]["queues"][0]["addresses"]["used"] = json!(3));
    refuse(&|state| state["state"]["msix"] = json!([]));
    refuse(&|state| state["state"]["surplus"] = json!(1));
    refuse(&|state| state["version"] = json!(0));
}
