//! What a monitor itself takes of the host's memory, beside its guest's.

mod harness;

use harness::{Machine, Monitor, guest, kvm};
use kiln_vmm::protocol::{Answer, Request, Response};

const GUEST: u64 = 128 << 20;
/// What an optimized monitor may take, in KiB. One built for debugging has a larger program in memory.
const LIMIT: u64 = if cfg!(debug_assertions) { 12 << 10 } else { 5 << 10 };

/// The resident KiB of a process without the one mapping that is its guest's memory.
fn overhead(pid: u32) -> u64 {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut total, mut is_guest, mut guests) = (0, false, 0);
    for line in smaps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            is_guest = address(end) - address(start) == GUEST;
            guests += u32::from(is_guest);
        } else if first == "Rss:" && !is_guest {
            total += line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
        }
    }
    assert_eq!(guests, 1, "the guest's memory is not one mapping");
    total
}

#[test]
fn a_monitor_of_a_small_guest_takes_little_memory_beside_it() {
    let Some(kvm) = kvm() else { return };
    let monitor = Monitor::start();
    let kernel = guest("wait", monitor.directory());
    monitor.launch(
        kvm,
        Machine {
            memory: GUEST,
            ..Machine::small(&kernel)
        },
    );
    let mut console = monitor.connect();
    assert!(matches!(console.request(&Request::Console), Response::Ok(Answer::Done)));
    console.read_until("ready\r\n");
    let overhead = overhead(monitor.pid());
    eprintln!("kiln-vmm takes {overhead} KiB beside its guest's memory (128 MiB, 1 CPU)");
    assert!(overhead < LIMIT, "{overhead} KiB");
}
