//! Configuration space of a bus with two devices, through ECAM.
#![no_main]

use kiln_vmm::testing::{ECAM, Machine};
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;

thread_local! {
    static MACHINE: OnceCell<Machine> = const { OnceCell::new() };
}

fn machine() -> Machine {
    let machine = Machine::default();
    for id in ["rng0", "rng1"] {
        machine.add("rng", id, serde_json::json!({}), vec![]).expect("a device");
    }
    machine
}

fuzz_target!(|input: &[u8]| {
    MACHINE.with(|cell| {
        let machine = cell.get_or_init(machine);
        for step in input.chunks_exact(8) {
            let [slot, width, o0, o1, data @ ..] = step else {
                continue;
            };
            let offset = u64::from(u16::from_le_bytes([*o0, *o1])) % 4096;
            let address = ECAM + (u64::from(slot % 4) << 15) + offset;
            let width = 1 << (width % 3);
            machine.mmio.write(address, &data[..width]);
            machine.mmio.read(address, &mut vec![0; width]);
        }
        for slot in 1..3 {
            let id = u32::from_le_bytes(machine.read(ECAM + (slot << 15)));
            assert_eq!(id, 0x1044_1af4);
        }
    });
});
