//! Block requests of any content and shape.

use crate::virtio::blk::testing::{BlkConfig, Request, Task};
use crate::virtio::queue::{Chain, cursor};
use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const CAPACITY: u64 = 64;

#[derive(Debug, Clone)]
struct Case {
    kind: u32,
    sector: u64,
    segment: (u64, u32, u32),
    readable: Vec<u32>,
    writable: Vec<u32>,
    read_only: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![8 => prop::sample::select(vec![0, 1, 4, 8, 11, 13]), 1 => any::<u32>()];
    let sector = || prop_oneof![6 => 0..CAPACITY + 2, 1 => any::<u64>(), 1 => (u64::MAX - 4)..=u64::MAX];
    let segment = (
        sector(),
        prop_oneof![4 => 0..70u32, 1 => any::<u32>()],
        prop_oneof![4 => 0..2u32, 1 => any::<u32>()],
    );
    let length = || prop_oneof![2 => Just(16u32), 2 => Just(512), 1 => Just(1), 2 => 1..1500u32];
    // Mostly a header, whole sectors or a segment, and a status byte; or anything.
    let data =
        || prop_oneof![3 => (1..4u32).prop_map(|sectors| vec![sectors * 512]), 2 => Just(vec![16]), 1 => Just(vec![])];
    let any_lengths = || prop::collection::vec(length(), 0..5);
    let readable = prop_oneof![3 => data().prop_map(|data| [vec![16], data].concat()), 1 => any_lengths()];
    let writable = prop_oneof![3 => data().prop_map(|data| [data, vec![1]].concat()), 1 => any_lengths()];
    (kind, sector(), segment, readable, writable, prop::bool::weighted(0.2)).prop_map(
        |(kind, sector, segment, readable, writable, read_only)| Case {
            kind,
            sector,
            segment,
            readable,
            writable,
            read_only,
        },
    )
}

/// Lays the request out in memory as a driver would, in one direct chain.
fn chain(case: &Case, memory: &GuestMemoryMmap) -> Option<Chain> {
    let mut data = 0x2000u64;
    let readable = case.readable.iter().map(|length| (*length, 0));
    let pieces: Vec<(u32, u16)> = readable
        .chain(case.writable.iter().map(|length| (*length, 2)))
        .collect();
    memory
        .write_obj([u64::from(case.kind), case.sector], GuestAddress(data))
        .unwrap();
    let rest = u64::from(case.segment.1) | u64::from(case.segment.2) << 32;
    memory
        .write_obj([case.segment.0, rest], GuestAddress(data + 16))
        .unwrap();
    for (place, (length, flags)) in (0u64..).zip(&pieces) {
        let last = usize::try_from(place).unwrap() + 1 == pieces.len();
        let flags = u64::from(*flags) | u64::from(!last);
        let raw = [data, u64::from(*length) | flags << 32 | (place + 1) << 48];
        memory.write_obj(raw, GuestAddress(0x1000 + 16 * place)).unwrap();
        data += u64::from(*length);
    }
    (!pieces.is_empty()).then(|| Chain::read(memory, GuestAddress(0x1000), 16, 0, false).unwrap())
}

#[test]
fn no_request_reaches_beyond_its_volume() {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1_0000)]).unwrap();
    let accepted = std::cell::Cell::new(0u32);
    super::run("requests", super::REQUESTS, &case(), |case| {
        let Some(chain) = chain(&case, &memory) else {
            return Ok(());
        };
        let config = BlkConfig::new(CAPACITY, case.read_only, 1, 16);
        let Ok(request) = Request::read(&memory, &chain, &config) else {
            let header = cursor::length(chain.readable()) >= 16;
            prop_assert!(!header || chain.writable().is_empty());
            return Ok(());
        };
        let bytes = CAPACITY * 512;
        let (offset, length, writes) = match &request.task {
            Task::Read { offset, buffers } => (*offset, cursor::length(buffers), false),
            Task::Write { offset, buffers } => (*offset, cursor::length(buffers), true),
            Task::Discard { offset, length } | Task::WriteZeroes { offset, length, .. } => (*offset, *length, true),
            Task::Flush | Task::GetId { .. } | Task::Refuse(_) => return Ok(()),
        };
        prop_assert!(length > 0 && length.is_multiple_of(512) && offset.is_multiple_of(512));
        prop_assert!(offset.checked_add(length).is_some_and(|end| end <= bytes));
        prop_assert!(!(writes && case.read_only));
        accepted.set(accepted.get() + 1);
        Ok(())
    });
    assert!(
        accepted.get() > super::REQUESTS / 20,
        "only {} requests were accepted",
        accepted.get()
    );
}
