//! Stock Debian guests through the daemon: their kernel, initramfs and init are Debian's own. They need a KVM that runs stock
//! kernels, so `make test` starts them through `tests/lab/lab auto`. A boot takes half a minute in the lab, so each test
//! shows several things of one guest.

use kiln_harness::{Api, Console, Daemon, Setup, debian_disk};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;

const BOOT: Duration = Duration::from_secs(900);
const SOON: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(900);

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
fn two_debians_run_at_once_and_outlive_the_daemon() {
    let (_types, mut daemon) = daemon();
    let api = daemon.api();
    let image = import(&daemon);

    // On XFS an 8 GiB root volume takes no copying.
    let before = used(&daemon.state());
    let one = run(&api, &image, "t3.small");
    let written = used(&daemon.state()).saturating_sub(before);
    println!("bytes that the launch of an 8 GiB root volume wrote: {written}");
    assert!(
        written < 32 << 20,
        "The launch wrote {written} bytes: the volume was copied"
    );

    let four = run(&api, &image, "t3.large");
    let (mut idle, mut loaded) = (booted(&api, &one, 1), booted(&api, &four, 1));
    assert_eq!(idle.shell("nproc", SOON), "1");
    assert_eq!(loaded.shell("nproc", SOON), "4");
    machine_is_as_ec2_has_it(&mut idle);
    no_vcpu_waits_for_a_disk(&daemon, &mut loaded);
    metadata_is_its_own(&mut idle, &one, &mut loaded);

    let monitors = daemon.monitors();
    daemon.kill();
    daemon.start();
    assert_eq!(daemon.monitors(), monitors);
    assert_eq!(
        (api.state(&one), api.state(&four)),
        ("running".into(), "running".into())
    );

    finish(daemon, &image, &[one, four]);
}

/// In a guest: asks for metadata with a token, which is the shell's `$token`.
const METADATA: &str = "http://169.254.169.254/latest";
const GET_TOKEN: &str = "token=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' \
                         http://169.254.169.254/latest/api/token)";

/// Metadata is of the instance that asks; without a token it is refused, and a token is of no use elsewhere.
fn metadata_is_its_own(one: &mut Console, id: &str, other: &mut Console) {
    let ask = format!("{GET_TOKEN}; curl -sS -H \"X-aws-ec2-metadata-token: $token\" {METADATA}/meta-data/instance-id");
    assert_eq!(one.shell(&ask, SOON), id);
    let status = format!("curl -sS -o /dev/null -w '%{{http_code}}' {METADATA}/meta-data/instance-id");
    assert_eq!(one.shell(&status, SOON), "401");
    let token = one.shell(&format!("{GET_TOKEN}; echo $token"), SOON);
    let stolen = format!("{status} -H 'X-aws-ec2-metadata-token: {token}'");
    assert_eq!(one.shell(&stolen, SOON), "200");
    assert_eq!(other.shell(&stolen, SOON), "401");
}

/// What a guest sees of its machine: the size of its root volume, its identity, and how interrupts arrive.
fn machine_is_as_ec2_has_it(console: &mut Console) {
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
fn no_vcpu_waits_for_a_disk(daemon: &Daemon, loaded: &mut Console) {
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

/// Stops by the power button, and starts from the same root volume.
fn stop_and_start(api: &Api, id: &str, mut console: Console) {
    console.shell("echo kept > /root/kept; sync", SOON);
    let stopping = std::time::Instant::now();
    api.call("StopInstances", &json!({"InstanceIds": [id]}));
    let stopped = api.wait_for_state(id, "stopped", Duration::from_secs(180));
    println!("a stop by the power button took {:?}", stopping.elapsed());
    assert_eq!(stopped["StateReason"]["Code"], "Client.UserInitiatedShutdown");
    let said = console.wait_for_end(SOON);
    assert!(
        said.contains("Power down") || said.contains("Powering off"),
        "The guest did not power itself off"
    );

    api.call("StartInstances", &json!({"InstanceIds": [id]}));
    let mut console = booted(api, id, 3);
    assert_eq!(console.shell("cat /root/kept", SOON), "kept");
}

#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test sees to it"]
fn debian_boots_the_kernel_it_installed_and_keeps_its_volume_over_a_stop() {
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
    let monitors = daemon.monitors();
    api.call("RebootInstances", &json!({"InstanceIds": [id]}));
    let mut console = booted(&api, &id, 2);
    let after = console.shell("uname -r", SOON);
    assert!(
        before.starts_with("6.1.") && after.starts_with("6.12."),
        "{before} was booted, then {after}"
    );
    assert_eq!(daemon.monitors(), monitors, "A reboot took another process");
    stop_and_start(&api, &id, console);
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
