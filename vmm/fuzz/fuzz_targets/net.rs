//! What a network device reads: the header of a frame, and a command.
#![no_main]

use kiln_vmm::virtio::net::testing::{Command, HEADER, Header, LONGEST, Offloads};
use kiln_vmm::virtio::queue::{Chain, cursor};
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const PAIRS: u16 = 4;

fuzz_target!(|input: &[u8]| {
    let Some((features, bytes)) = input.split_first_chunk() else {
        return;
    };
    let features = u64::from_le_bytes(*features);
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x1_0000)]).expect("memory");
    let length = bytes.len().min(0xf000);
    memory
        .write_slice(&bytes[..length], GuestAddress(0x1000))
        .expect("it fits");
    let Ok(chain) = Chain::read(&memory, GuestAddress(0x1000), 64, 0, true) else {
        return;
    };
    if let Some(Command::UsePairs(pairs)) = Command::read(&memory, &chain, features, PAIRS) {
        assert!((1..=PAIRS).contains(&pairs) && features & 1 << 22 != 0);
    }
    let Ok(Some(header)) = cursor::read::<HEADER>(&memory, chain.readable()) else {
        return;
    };
    let (header, agreed) = (Header::new(header), Offloads::of_guest(features));
    assert!(header.packets(LONGEST) >= 1);
    if header.keeps_to(agreed) {
        let [flags, kind, ..] = *header.to_guest(agreed, 1).bytes();
        assert!(agreed.checksum || flags == 0);
        assert!(matches!(
            (kind & 0x7f, agreed.tcp4, agreed.tcp6),
            (0, _, _) | (1, true, _) | (4, _, true)
        ));
    }
});
