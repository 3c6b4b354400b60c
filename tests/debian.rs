//! Stock Debian guests through the daemon: their kernel, initramfs and init are Debian's own. They need a KVM that runs stock
//! kernels, so `make test` starts them through `tests/lab/lab auto`. A boot takes half a minute in the lab, so each test
//! shows several things of one guest.

use kiln_harness::{Api, Console, Daemon, Setup, debian_disk};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;

const BOOT: Duration = Duration::from_secs(400);
const SOON: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(600);

/// Instance types with the numbers of CPUs that are wanted here; EC2's own begin with two.
const TYPES: &str = "[t3]\nthreads_per_core = 1\n\
    sizes.small = { vcpus = 1, memory_mib = 1024 }\nsizes.large = { vcpus = 4, memory_mib = 1024 }\n";

fn daemon() -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().unwrap();
    let types = folder.path().join("instance-types.toml");
    fs::write(&types, TYPES).unwrap();
    let config = format!(
        "[capacity]\ninstance_types = \"{}\"\nvcpu_overcommit = 8\n",
        types.display()
    );
    let daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd")).config(&config).start();
    (folder, daemon)
}

/// Imports the test image; returns its identifier.
fn import(daemon: &Daemon) -> String {
    let disk = debian_disk();
    let arguments = ["import", disk.to_str().unwrap(), "--name", "debian"];
    daemon.run_kiln(&arguments).trim().to_owned()
}

/// Takes everything away again, and looks for what is left.
fn finish(daemon: Daemon, image: &str, instances: &[String]) {
    daemon.api().terminate(instances);
    daemon.run_kiln(&["images", "rm", "--yes", image]);
    daemon.finish();
}

fn run(api: &Api, image: &str, kind: &str) -> String {
    let described = api.call("DescribeImages", &json!({"ImageIds": [image]}));
    let device = &described["Images"][0]["RootDeviceName"];
    let root = json!({"DeviceName": device, "Ebs": {"VolumeSize": 8}});
    let request = json!({
        "ImageId": image, "InstanceType": kind, "MinCount": 1, "MaxCount": 1, "BlockDeviceMappings": [root],
    });
    api.run(&request).remove(0)
}

/// Waits for the boot of this number, by the unit that counts them on the root volume, and for a shell.
fn booted(api: &Api, id: &str, count: u32) -> Console {
    api.wait_for_state(id, "running", BOOT);
    let mut console = api.console(id);
    console.wait_for(&format!("KILN-BOOT-COUNT {count}\r"), BOOT);
    console.wait_for_shell(BOOT);
    console
}

/// Bytes in use on the file system of a folder.
fn used(folder: &Path) -> u64 {
    let status = rustix::fs::statvfs(folder).unwrap();
    (status.f_blocks - status.f_bfree) * status.f_frsize
}

#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test sees to it"]
fn debian_lives_through_a_killed_daemon_a_stop_a_start_and_a_reboot() {
    let (_types, mut daemon) = daemon();
    let api = daemon.api();
    let image = import(&daemon);

    // On XFS an 8 GiB root volume takes no copying.
    let before = used(&daemon.state());
    let id = run(&api, &image, "t3.small");
    let written = used(&daemon.state()).saturating_sub(before);
    println!("bytes that the launch of an 8 GiB root volume wrote: {written}");
    assert!(
        written < 32 << 20,
        "The launch wrote {written} bytes: the volume was copied"
    );

    let mut console = booted(&api, &id, 1);
    assert_eq!(console.shell("nproc", SOON), "1");
    let grown: u64 = console
        .shell("df --output=size -B1 / | tail -1", SOON)
        .trim()
        .parse()
        .unwrap();
    assert!(grown > 7 << 30, "The root did not grow with its volume: {grown} bytes");
    let uuid = console.shell("cat /sys/class/dmi/id/product_uuid", SOON);
    assert!(uuid.to_lowercase().starts_with("ec2"), "{uuid}");
    let interrupts = console.shell("grep virtio /proc/interrupts", SOON);
    assert!(!interrupts.is_empty());
    assert!(interrupts.lines().all(|line| line.contains("PCI-MSI")), "{interrupts}");

    let monitors = daemon.monitors();
    daemon.kill();
    daemon.start();
    assert_eq!(daemon.monitors(), monitors);
    assert_eq!(api.state(&id), "running");

    api.call("RebootInstances", &json!({"InstanceIds": [id]}));
    let mut console = booted(&api, &id, 2);
    console.shell("echo kept > /root/kept; sync", SOON);
    assert_eq!(daemon.monitors(), monitors, "A reboot took another process");

    let stopping = std::time::Instant::now();
    api.call("StopInstances", &json!({"InstanceIds": [id]}));
    let stopped = api.wait_for_state(&id, "stopped", Duration::from_secs(180));
    println!("a stop by the power button took {:?}", stopping.elapsed());
    assert_eq!(stopped["StateReason"]["Code"], "Client.UserInitiatedShutdown");
    let said = console.wait_for_end(SOON);
    assert!(
        said.contains("Power down") || said.contains("Powering off"),
        "The guest did not power itself off"
    );
    assert!(daemon.monitors().is_empty());

    api.call("StartInstances", &json!({"InstanceIds": [id]}));
    let mut console = booted(&api, &id, 3);
    assert_eq!(console.shell("cat /root/kept", SOON), "kept");

    finish(daemon, &image, &[id]);
}

#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test sees to it"]
fn two_debians_of_one_image_run_at_once_and_no_vcpu_waits_for_a_disk() {
    let (_types, daemon) = daemon();
    let api = daemon.api();
    let image = import(&daemon);
    let (one, four) = (run(&api, &image, "t3.small"), run(&api, &image, "t3.large"));
    let (mut idle, mut loaded) = (booted(&api, &one, 1), booted(&api, &four, 1));
    assert_eq!(idle.shell("nproc", SOON), "1");
    assert_eq!(loaded.shell("nproc", SOON), "4");

    loaded.type_line("fio --name=load --filename=/root/load --size=64M --rw=randrw --bs=4k --iodepth=16 --ioengine=libaio --direct=1 --runtime=20 --time_based --fsync=16 > /root/fio.log; echo KILN-'LOADED' $?");
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
    finish(daemon, &image, &[one, four]);
}

#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test sees to it"]
fn a_kernel_that_was_installed_in_the_guest_is_the_one_that_boots_next() {
    let (_types, daemon) = daemon();
    let api = daemon.api();
    let image = import(&daemon);
    let id = run(&api, &image, "t3.small");
    let mut console = booted(&api, &id, 1);
    let before = console.shell("uname -r", SOON);
    // A smaller initramfs is made sooner, and says as much.
    console.shell(
        "printf 'MODULES=dep\\nCOMPRESSLEVEL=1\\n' > /etc/initramfs-tools/conf.d/kiln",
        SOON,
    );
    console.type_line("dpkg --force-unsafe-io -i /root/*.deb > /root/dpkg.log 2>&1; echo KILN-'UPGRADED' $?");
    console.wait_for("KILN-UPGRADED 0", LONG);
    console.type_line("reboot");
    let after = booted(&api, &id, 2).shell("uname -r", SOON);
    assert!(
        before.starts_with("6.1.") && after.starts_with("6.12."),
        "{before} was booted, then {after}"
    );
    finish(daemon, &image, &[id]);
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
