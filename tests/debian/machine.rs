//! What a guest sees of its machine, and what is seen of its machine on the host.

use super::SOON;
use kiln_harness::{Console, Daemon};
use std::fs;
use std::time::Duration;

/// What a guest sees of its machine: the size of its root volume, its identity, and how interrupts arrive.
pub fn is_as_ec2_has_it(console: &mut Console) {
    let grown = console.shell("df --output=size -B1 / | tail -1", SOON);
    let grown: u64 = grown.trim().parse().unwrap();
    assert!(grown > 7 << 30, "The root did not grow with its volume: {grown} bytes");
    let uuid = console.shell("cat /sys/class/dmi/id/product_uuid", SOON);
    assert!(uuid.to_lowercase().starts_with("ec2"), "{uuid}");
    let interrupts = console.shell("grep virtio /proc/interrupts", SOON);
    assert!(!interrupts.is_empty());
    assert!(interrupts.lines().all(|line| line.contains("PCI-MSI")), "{interrupts}");
}

/// Loads this guest's disk, and looks at what the vCPU threads of all guests do meanwhile.
pub fn no_vcpu_waits_for_a_disk(daemon: &Daemon, loaded: &mut Console) {
    loaded.type_line(
        "fio --name=load --filename=/root/load --size=64M --rw=randrw --bs=4k --iodepth=16 --ioengine=libaio --direct=1 \
         --runtime=20 --time_based --fsync=16 > /root/fio.log; echo KILN-'LOADED' $?",
    );
    let calls = system_calls_of_vcpus(&daemon.monitors(), Duration::from_secs(15));
    println!("system calls seen on vCPU threads under load, by number: {calls:?}");
    for (name, number) in [
        ("read", 0),
        ("write", 1),
        ("pread64", 17),
        ("pwrite64", 18),
        ("fsync", 74),
        ("fdatasync", 75),
    ] {
        assert!(!calls.contains(&number), "A vCPU thread was in {name}");
    }
    loaded.wait_for("KILN-LOADED 0", SOON);
}

/// Looks at the vCPU threads of these processes for a while; returns the numbers of the system calls that they were seen in.
fn system_calls_of_vcpus(monitors: &[u32], span: Duration) -> Vec<i64> {
    let end = std::time::Instant::now() + span;
    let (mut calls, mut looks) = (Vec::new(), 0u32);
    while std::time::Instant::now() < end {
        for thread in monitors.iter().flat_map(|pid| vcpu_threads(*pid)) {
            looks += 1;
            let call = fs::read_to_string(thread.join("syscall")).unwrap_or_default();
            calls.extend(call.split(' ').next().and_then(|number| number.parse::<i64>().ok()));
        }
        calls.sort_unstable();
        calls.dedup();
    }
    assert!(looks > 100, "There were only {looks} looks at vCPU threads");
    calls
}

fn vcpu_threads(pid: u32) -> Vec<std::path::PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .map(|task| task.path())
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("vcpu")))
        .collect()
}
