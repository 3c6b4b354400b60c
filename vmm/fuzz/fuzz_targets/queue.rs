//! Rings and chains out of raw bytes.
#![no_main]

use kiln_vmm::virtio::blk::testing::{BlkConfig, Request};
use kiln_vmm::virtio::queue::{Ring, RingAddresses, RingLayout};
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const ADDRESSES: RingAddresses = RingAddresses {
    descriptors: 0x1000,
    available: 0x1400,
    used: 0x1600,
};

fuzz_target!(|input: &[u8]| {
    let Some(([order, features], bytes)) = input.split_first_chunk() else {
        return;
    };
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x1_0000)]).expect("memory");
    let length = bytes.len().min(0xf000);
    memory.write_slice(&bytes[..length], GuestAddress(0x1000)).expect("it fits");
    let size = 1u16 << (order % 7);
    let layout = RingLayout::check(ADDRESSES, size, 64, &memory).expect("rings are in memory");
    let mut ring = Ring::new(&layout, u64::from(*features) << 28, None).expect("a fresh ring");
    let config = BlkConfig::new(64, false, 1, 64);
    let mut taken = 0;
    while let Ok(Some(chain)) = ring.pop(&memory) {
        taken += 1;
        assert!(taken <= size);
        for buffer in chain.readable().iter().chain(chain.writable()) {
            assert!(memory.check_range(buffer.address, buffer.length as usize));
        }
        let _ = Request::read(&memory, &chain, &config);
    }
});
