//! A block device under any writes, to its registers and to the memory of its rings.
#![no_main]

use kiln_vmm::testing::{Driver, Machine};
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;
use vm_memory::{Bytes, GuestAddress};

thread_local! {
    static MACHINE: OnceCell<(Machine, u64)> = const { OnceCell::new() };
}

fn machine() -> (Machine, u64) {
    let machine = Machine::default();
    let file = tempfile::tempfile().expect("a file");
    file.set_len(1 << 20).expect("a volume");
    let config = serde_json::json!({"read_only": false, "queues": 2});
    let slot = machine.add("blk", "vol-1", config, vec![file]).expect("a device");
    let bar = Driver::find(&machine, slot).bar();
    (machine, bar)
}

fuzz_target!(|input: &[u8]| {
    MACHINE.with(|cell| {
        let (machine, bar) = cell.get_or_init(machine);
        let (mut driver, _) = Driver::probe(machine, 1, u64::MAX);
        for step in input.chunks_exact(12) {
            let [kind, width, place @ .., _, _, _, _, _, _, _, _] = step else {
                continue;
            };
            let place = u64::from(u16::from_le_bytes([place[0], place[1]]));
            let data = &step[4..4 + (1 << (width % 4))];
            match kind % 3 {
                0 => machine.write(bar + place % 0x8000, data),
                1 => drop(machine.memory.write_slice(data, GuestAddress(0x10_0000 + place))),
                _ => drop(machine.memory.write_slice(data, GuestAddress(0x18_0000 + place % 0x1000))),
            }
        }
        driver.ring(0);
        driver.reset();
    });
});
