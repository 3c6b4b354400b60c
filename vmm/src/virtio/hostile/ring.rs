//! Rings full of nonsense.

use crate::virtio::device::QueueState;
use crate::virtio::queue::{Chain, MAX_CHAIN, Ring, RingAddresses, RingLayout, cursor};
use proptest::prelude::*;
use std::sync::OnceLock;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const MEMORY: u64 = 0x1_0000;
const ADDRESSES: RingAddresses = RingAddresses {
    descriptors: 0x1000,
    available: 0x2000,
    used: 0x3000,
};
const INDIRECT: u64 = 0x4000;
const DESCRIPTORS: usize = 24;

/// A descriptor, possible or not.
#[derive(Debug, Clone, Copy)]
pub struct Raw {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

impl Raw {
    fn write(self, memory: &GuestMemoryMmap, at: u64) {
        let rest = u64::from(self.length) | u64::from(self.flags) << 32 | u64::from(self.next) << 48;
        memory.write_obj([self.address, rest], GuestAddress(at)).unwrap();
    }
}

fn descriptor() -> impl Strategy<Value = Raw> {
    let address = prop_oneof![
        30 => 0x5000..0xf000u64,
        4 => Just(INDIRECT),
        1 => 0..MEMORY + 0x100,
        1 => (MEMORY - 64)..MEMORY,
        1 => any::<u64>(),
        1 => (u64::MAX - 0x1000)..=u64::MAX,
    ];
    let length = prop_oneof![
        20 => 1..512u32,
        10 => (1..8u32).prop_map(|count| count * 16),
        1 => Just(0),
        1 => any::<u32>(),
    ];
    let flags = prop_oneof![
        8 => Just(0u16),
        6 => Just(2),
        4 => Just(1),
        2 => Just(3),
        2 => Just(4),
        1 => 4..8u16,
        1 => any::<u16>()
    ];
    let next = prop_oneof![20 => 0..4u16, 5 => 0..DESCRIPTORS as u16, 1 => any::<u16>()];
    (address, length, flags, next).prop_map(|(address, length, flags, next)| Raw {
        address,
        length,
        flags,
        next,
    })
}

/// What a driver left in memory.
#[derive(Debug, Clone)]
struct Rings {
    size: u16,
    features: u64,
    state: QueueState,
    descriptors: Vec<Raw>,
    indirect: Vec<Raw>,
    available: Vec<u16>,
    index: u16,
}

fn rings() -> impl Strategy<Value = Rings> {
    // Most drivers stay within the size of their queue, which is not known here yet.
    let within = prop_oneof![30 => Just(true), 1 => Just(false)];
    let state = prop_oneof![
        12 => Just(QueueState::default()),
        4 => (any::<u16>(), 0..3u16).prop_map(|(next_used, taken)| QueueState {
            next_avail: next_used.wrapping_add(taken),
            next_used,
        }),
        1 => any::<(u16, u16)>().prop_map(|(next_avail, next_used)| QueueState { next_avail, next_used }),
    ];
    let parts = (
        0..5u32,
        0..4u64,
        state,
        prop::collection::vec(descriptor(), 4..DESCRIPTORS),
        prop::collection::vec(descriptor(), 0..8),
        prop::collection::vec((within.clone(), any::<u16>()), 16),
        (within, any::<u16>()),
    );
    parts.prop_map(|(order, features, state, descriptors, indirect, available, index)| {
        let size = 1 << order;
        let bound = |(within, value): (bool, u16), end: u16| if within { value % end } else { value };
        Rings {
            size,
            features: features << 28,
            state,
            descriptors,
            indirect,
            available: available.into_iter().map(|head| bound(head, size)).collect(),
            index: state.next_avail.wrapping_add(bound(index, size + 1)),
        }
    })
}

fn memory() -> &'static GuestMemoryMmap {
    static MEMORIES: OnceLock<GuestMemoryMmap> = OnceLock::new();
    MEMORIES.get_or_init(|| {
        let size = usize::try_from(MEMORY).unwrap();
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size)]).unwrap()
    })
}

fn fill(rings: &Rings, memory: &GuestMemoryMmap) {
    for (place, descriptor) in (0..).zip(&rings.descriptors) {
        descriptor.write(memory, ADDRESSES.descriptors + 16 * place);
    }
    for (place, descriptor) in (0..).zip(&rings.indirect) {
        descriptor.write(memory, INDIRECT + 16 * place);
    }
    for (place, head) in (0..).zip(rings.available.iter().take(rings.size.into())) {
        memory
            .write_obj(*head, GuestAddress(ADDRESSES.available + 4 + 2 * place))
            .unwrap();
    }
    memory
        .write_obj([0, rings.index], GuestAddress(ADDRESSES.available))
        .unwrap();
}

/// What must be true of every chain that is handed to a device.
fn check(chain: &Chain, rings: &Rings, memory: &GuestMemoryMmap) -> Result<(), TestCaseError> {
    prop_assert!(chain.head() < rings.size);
    let buffers: Vec<_> = chain.readable().iter().chain(chain.writable()).collect();
    prop_assert!(!buffers.is_empty() && buffers.len() <= MAX_CHAIN);
    for buffer in &buffers {
        let length = usize::try_from(buffer.length).unwrap();
        prop_assert!(length > 0 && memory.check_range(buffer.address, length));
    }
    let total = cursor::length(chain.readable()) + cursor::length(chain.writable());
    prop_assert!(u32::try_from(total).is_ok());
    prop_assert!(rings.features & 1 << 28 != 0 || buffers.len() <= usize::from(rings.size));
    Ok(())
}

#[test]
fn no_ring_makes_a_queue_panic_hang_or_leave_memory() {
    let (taken_in_all, broken) = (std::cell::Cell::new(0u32), std::cell::Cell::new(0u32));
    super::run("ring", super::RING, &rings(), |rings| {
        let memory = memory();
        fill(&rings, memory);
        let layout = RingLayout::check(ADDRESSES, rings.size, 256, memory).unwrap();
        let Ok(mut ring) = Ring::new(&layout, rings.features, Some(rings.state)) else {
            let taken = rings.state.next_avail.wrapping_sub(rings.state.next_used);
            prop_assert!(taken > rings.size, "a possible state was refused");
            return Ok(());
        };
        let mut taken = ring.in_flight();
        let mut heads = Vec::new();
        let end = loop {
            let chain = match ring.pop(memory) {
                Ok(Some(chain)) => chain,
                end => break end,
            };
            taken += 1;
            taken_in_all.set(taken_in_all.get() + 1);
            prop_assert!(taken <= rings.size, "more requests were taken than there are entries");
            check(&chain, &rings, memory)?;
            let _ = cursor::read::<16>(memory, chain.readable());
            heads.push(chain.head());
        };
        broken.set(broken.get() + u32::from(end.is_err()));
        for head in heads {
            prop_assert!(ring.push(memory, head, 1).is_ok());
        }
        prop_assert!(ring.needs_interrupt(memory).is_ok());
        prop_assert!(ring.enable_doorbell(memory).is_ok());
        prop_assert!(ring.disable_doorbell(memory).is_ok());
        Ok(())
    });
    // Neither side may be rare, or the test shows little.
    let (taken, broken) = (taken_in_all.get(), broken.get());
    assert!(
        taken > super::RING / 5 && broken > super::RING / 5,
        "{taken} requests taken, {broken} queues broken"
    );
}
