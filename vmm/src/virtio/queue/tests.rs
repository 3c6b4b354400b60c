//! Each rule for descriptors and rings, kept and broken.

use super::*;
use crate::virtio::device::QueueState;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const TABLE: u64 = 0x1000;
const AVAILABLE: u64 = 0x2000;
const USED: u64 = 0x3000;
const SIZE: u16 = 4;

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1_0000), (GuestAddress(0x10_0000), 0x1000)]).unwrap()
}

/// Address, length, flags, next.
type Raw = (u64, u32, u16, u16);

fn put(memory: &GuestMemoryMmap, table: u64, descriptors: &[Raw]) {
    for (place, (address, length, flags, next)) in (0u64..).zip(descriptors) {
        let rest = u64::from(*length) | u64::from(*flags) << 32 | u64::from(*next) << 48;
        memory
            .write_obj([*address, rest], GuestAddress(table + 16 * place))
            .unwrap();
    }
}

fn read(descriptors: &[Raw]) -> Result<Chain, ChainError> {
    let memory = memory();
    put(&memory, TABLE, descriptors);
    Chain::read(&memory, GuestAddress(TABLE), SIZE, 0, true)
}

fn lengths(buffers: &[Buffer]) -> Vec<u32> {
    buffers.iter().map(|buffer| buffer.length).collect()
}

#[test]
fn a_chain_is_what_may_be_read_and_then_what_may_be_written() {
    let chain = read(&[
        (0x5000, 16, NEXT, 2),
        (0x8000, 1, WRITE, 0),
        (0x6000, 100, NEXT, 3),
        (0x7000, 512, NEXT | WRITE, 1),
    ]);
    let chain = chain.unwrap();
    assert_eq!(
        (lengths(chain.readable()), lengths(chain.writable())),
        (vec![16, 100], vec![512, 1])
    );
}

#[test]
fn every_broken_rule_is_an_error_of_its_own() {
    use ChainError as E;
    let good = (0x5000, 16, 0, 0);
    let cases: &[(&[Raw], E)] = &[
        (&[(0x5000, 16, NEXT, 4)], E::Index { index: 4, size: 4 }),
        (&[(0x5000, 16, NEXT, 0)], E::TooLong { head: 0, limit: 4 }),
        (
            &[(0x5000, 16, NEXT, 1), (0x5000, 16, NEXT, 0)],
            E::TooLong { head: 0, limit: 4 },
        ),
        (&[(0x5000, 0, 0, 0)], E::Empty { address: 0x5000 }),
        (
            &[(0xffff, 2, 0, 0)],
            E::Outside {
                address: 0xffff,
                length: 2,
            },
        ),
        (
            &[(u64::MAX, 2, 0, 0)],
            E::Outside {
                address: u64::MAX,
                length: 2,
            },
        ),
        (&[(0x5000, 1, NEXT | WRITE, 1), good], E::Order { head: 0 }),
        (&[(0x5000, 16, INDIRECT | NEXT, 1), good], E::Indirect { head: 0 }),
        (&[(0x5000, 17, INDIRECT, 0)], E::IndirectLength { length: 17 }),
        (&[(0x5000, 0, INDIRECT, 0)], E::IndirectLength { length: 0 }),
        (&[(0x5000, 1 << 20, INDIRECT, 0)], E::IndirectLength { length: 1 << 20 }),
        (&[(0x2_0000, 16, INDIRECT, 0)], E::Table { address: 0x2_0000 }),
    ];
    for (descriptors, wanted) in cases {
        assert_eq!(read(descriptors).as_ref(), Err(wanted), "{descriptors:?}");
    }
}

#[test]
fn four_gigabytes_are_too_many() {
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 1 << 32)]).unwrap();
    put(
        &memory,
        TABLE,
        &[(0x5000, 0x8000_0000, NEXT, 1), (0x5000, 0x8000_0000, 0, 0)],
    );
    let found = Chain::read(&memory, GuestAddress(TABLE), SIZE, 0, true);
    assert_eq!(found, Err(ChainError::TooLarge { head: 0 }));
}

#[test]
fn an_indirect_table_may_follow_direct_descriptors_and_be_longer_than_the_queue() {
    let memory = memory();
    put(
        &memory,
        TABLE,
        &[(0x5000, 16, NEXT, 1), (0x8000, 16 * 6, INDIRECT | WRITE, 0)],
    );
    let table: Vec<Raw> = (0..6)
        .map(|place| (0x6000, 8, if place < 5 { NEXT } else { 0 }, place + 1))
        .collect();
    put(&memory, 0x8000, &table);
    let chain = Chain::read(&memory, GuestAddress(TABLE), SIZE, 0, true).unwrap();
    assert_eq!(lengths(chain.readable()), [16, 8, 8, 8, 8, 8, 8]);
    let refused = Chain::read(&memory, GuestAddress(TABLE), SIZE, 0, false);
    assert_eq!(refused, Err(ChainError::Indirect { head: 0 }));
}

#[test]
fn an_indirect_table_may_not_hold_another_or_be_endless() {
    let memory = memory();
    put(&memory, TABLE, &[(0x8000, 32, INDIRECT, 0)]);
    put(&memory, 0x8000, &[(0x8000, 32, INDIRECT, 0)]);
    let chain = || Chain::read(&memory, GuestAddress(TABLE), SIZE, 0, true);
    assert_eq!(chain(), Err(ChainError::Indirect { head: 0 }));
    put(&memory, 0x8000, &[(0x5000, 1, NEXT, 1), (0x5000, 1, NEXT, 0)]);
    assert_eq!(chain(), Err(ChainError::TooLong { head: 0, limit: 2 }));
    let long = u16::try_from(MAX_CHAIN).unwrap() + 1;
    put(&memory, TABLE, &[(0x8000, u32::from(long) * 16, INDIRECT, 0)]);
    let table: Vec<Raw> = (1..=long)
        .map(|next| (0x5000, 1, if next < long { NEXT } else { 0 }, next))
        .collect();
    put(&memory, 0x8000, &table);
    assert_eq!(
        chain(),
        Err(ChainError::TooLong {
            head: 0,
            limit: MAX_CHAIN
        })
    );
}

fn ring(memory: &GuestMemoryMmap, features: u64, state: Option<QueueState>) -> Result<Ring, RingError> {
    let addresses = RingAddresses {
        descriptors: TABLE,
        available: AVAILABLE,
        used: USED,
    };
    Ring::new(
        &RingLayout::check(addresses, SIZE, 256, memory).unwrap(),
        features,
        state,
    )
}

/// Makes `count` one-descriptor requests available in all.
fn offer(memory: &GuestMemoryMmap, count: u16) {
    put(memory, TABLE, &[(0x5000, 16, 0, 0); SIZE as usize]);
    for place in 0..SIZE {
        memory
            .write_obj(place, GuestAddress(AVAILABLE + 4 + 2 * u64::from(place)))
            .unwrap();
    }
    memory.write_obj(count, GuestAddress(AVAILABLE + 2)).unwrap();
}

fn load(memory: &GuestMemoryMmap, address: u64) -> u16 {
    memory.read_obj(GuestAddress(address)).unwrap()
}

#[test]
fn requests_are_taken_in_order_and_given_back_in_any() {
    let memory = memory();
    let mut ring = ring(&memory, 0, None).unwrap();
    assert!(ring.pop(&memory).unwrap().is_none());
    offer(&memory, 3);
    let mut pop = || ring.pop(&memory).unwrap().map(|chain| chain.head());
    assert_eq!((pop(), pop(), pop(), pop()), (Some(0), Some(1), Some(2), None));
    assert_eq!(ring.in_flight(), 3);
    ring.push(&memory, 2, 7).unwrap();
    ring.push(&memory, 0, 0).unwrap();
    let entry: [u32; 2] = memory.read_obj(GuestAddress(USED + 4)).unwrap();
    assert_eq!((load(&memory, USED + 2), entry, ring.in_flight()), (2, [2, 7], 1));
    let state = QueueState {
        next_avail: 3,
        next_used: 2,
    };
    assert_eq!(ring.state(), state);
}

#[test]
fn more_requests_than_entries_break_the_queue() {
    let memory = memory();
    let mut first = ring(&memory, 0, None).unwrap();
    offer(&memory, SIZE + 1);
    assert!(matches!(first.pop(&memory), Err(RingError::TooMany { size: SIZE })));
    let mut second = ring(&memory, 0, None).unwrap();
    offer(&memory, SIZE);
    while second.pop(&memory).unwrap().is_some() {}
    offer(&memory, SIZE + 1);
    assert!(matches!(second.pop(&memory), Err(RingError::TooMany { size: SIZE })));
    offer(&memory, SIZE - 1);
    assert!(matches!(second.pop(&memory), Err(RingError::TooMany { size: SIZE })));
}

#[test]
fn a_queue_goes_on_where_it_stood_even_across_the_wrap() {
    let memory = memory();
    let state = QueueState {
        next_avail: 0xffff,
        next_used: 0xfffe,
    };
    let mut resumed = ring(&memory, 0, Some(state)).unwrap();
    offer(&memory, 1);
    let mut pop = || resumed.pop(&memory).unwrap().map(|chain| chain.head());
    assert_eq!((pop(), pop(), pop()), (Some(3), Some(0), None));
    for head in [1, 3, 0] {
        resumed.push(&memory, head, 0).unwrap();
    }
    assert_eq!((load(&memory, USED + 2), resumed.in_flight()), (1, 0));
    let impossible = QueueState {
        next_avail: 9,
        next_used: 4,
    };
    assert!(matches!(
        ring(&memory, 0, Some(impossible)),
        Err(RingError::TooMany { .. })
    ));
}

#[test]
fn interrupts_and_doorbells_are_asked_for_by_flags() {
    let memory = memory();
    let mut ring = ring(&memory, 0, None).unwrap();
    assert!(ring.needs_interrupt(&memory).unwrap());
    memory.write_obj(1u16, GuestAddress(AVAILABLE)).unwrap();
    assert!(!ring.needs_interrupt(&memory).unwrap());
    ring.disable_doorbell(&memory).unwrap();
    assert_eq!(load(&memory, USED), 1);
    assert!(!ring.enable_doorbell(&memory).unwrap());
    assert_eq!(load(&memory, USED), 0);
    offer(&memory, 1);
    assert!(ring.enable_doorbell(&memory).unwrap());
}

#[test]
fn interrupts_and_doorbells_are_asked_for_by_event_indices() {
    let memory = memory();
    let mut ring = ring(&memory, 1 << VIRTIO_RING_F_EVENT_IDX, None).unwrap();
    let used_event = GuestAddress(AVAILABLE + 4 + 2 * u64::from(SIZE));
    offer(&memory, 4);
    memory.write_obj(1u16, used_event).unwrap();
    for head in 0..3 {
        ring.pop(&memory).unwrap().unwrap();
        ring.push(&memory, head, 0).unwrap();
        assert_eq!(
            ring.needs_interrupt(&memory).unwrap(),
            head == 1,
            "after request {head}"
        );
    }
    assert!(ring.enable_doorbell(&memory).unwrap());
    assert_eq!(load(&memory, USED + 4 + 8 * u64::from(SIZE)), 3);
    ring.pop(&memory).unwrap().unwrap();
    assert!(!ring.enable_doorbell(&memory).unwrap());
}

#[test]
fn requests_that_are_given_back_together_are_one_step_of_the_index_even_across_the_wrap() {
    let memory = memory();
    let state = QueueState {
        next_avail: 0xfffe,
        next_used: 0xfffe,
    };
    let mut ring = ring(&memory, 1 << VIRTIO_RING_F_EVENT_IDX, Some(state)).unwrap();
    offer(&memory, 1);
    while ring.pop(&memory).unwrap().is_some() {}
    assert_eq!(ring.in_flight(), 3);
    // The driver wants to hear of the second of them, which is not the last.
    memory
        .write_obj(0xffffu16, GuestAddress(AVAILABLE + 4 + 2 * u64::from(SIZE)))
        .unwrap();
    ring.push_together(&memory, &[]).unwrap();
    assert!(!ring.needs_interrupt(&memory).unwrap());
    ring.push_together(&memory, &[(2, 10), (3, 20), (0, 30)]).unwrap();
    let entry = |place: u64| memory.read_obj::<[u32; 2]>(GuestAddress(USED + 4 + 8 * place)).unwrap();
    assert_eq!((entry(2), entry(3), entry(0)), ([2, 10], [3, 20], [0, 30]));
    assert_eq!((load(&memory, USED + 2), ring.in_flight()), (1, 0));
    assert!(ring.needs_interrupt(&memory).unwrap());
    assert!(!ring.needs_interrupt(&memory).unwrap());
}

#[test]
fn requests_that_were_put_back_are_taken_again() {
    let memory = memory();
    let mut ring = ring(&memory, 0, None).unwrap();
    offer(&memory, 3);
    let take = |ring: &mut Ring| ring.pop(&memory).unwrap().map(|chain| chain.head());
    assert_eq!(
        (take(&mut ring), take(&mut ring), take(&mut ring)),
        (Some(0), Some(1), Some(2))
    );
    ring.push(&memory, 0, 0).unwrap();
    ring.unpop(2);
    assert_eq!(
        (take(&mut ring), take(&mut ring), take(&mut ring)),
        (Some(1), Some(2), None)
    );
    ring.unpop(9);
    assert_eq!((ring.in_flight(), take(&mut ring)), (0, Some(1)));
}

#[test]
fn pieces_of_memory_are_the_buffers_in_order_and_end_where_memory_does() {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000), (GuestAddress(0x1000), 0x1000)]).unwrap();
    let buffer = |address, length| Buffer {
        address: GuestAddress(address),
        length,
    };
    let lengths = |buffers: &[Buffer]| -> Vec<Option<usize>> {
        let slices = cursor::slices(&memory, buffers);
        slices.map(|slice| slice.ok().map(|slice| slice.len())).collect()
    };
    let buffers = [buffer(0xff0, 0x20), buffer(0x10, 8)];
    assert_eq!(lengths(&buffers), [Some(0x10), Some(0x10), Some(8)]);
    assert_eq!(lengths(&[buffer(0x1ff0, 0x20)]), [Some(0x10), None]);
}

#[test]
fn bytes_are_copied_across_buffers() {
    let memory = memory();
    let buffer = |address, length| Buffer {
        address: GuestAddress(address),
        length,
    };
    let buffers = [buffer(0x100, 3), buffer(0x200, 5)];
    assert_eq!(cursor::length(&buffers), 8);
    assert_eq!(cursor::write(&memory, &buffers, b"abcdefghij").unwrap(), 8);
    assert_eq!(cursor::read::<8>(&memory, &buffers).unwrap(), Some(*b"abcdefgh"));
    assert_eq!(cursor::read::<9>(&memory, &buffers).unwrap(), None);
    assert_eq!(cursor::part(&buffers, 2, 3), [buffer(0x102, 1), buffer(0x200, 2)]);
    assert_eq!(cursor::part(&buffers, 8, 1), []);
    assert_eq!(cursor::part(&buffers, 0, u64::MAX), buffers);
}
