//! The daemon with guests of our own on this host's `/dev/kvm`, software or not: each is a few hundred bytes and runs at
//! once. Where there is no `/dev/kvm` these tests say so and run no guest.

use kiln_harness::{Daemon, Setup, has_kvm, small_guest};
use serde_json::json;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const SECTOR: u64 = 512;

fn setup() -> Setup {
    // Our guests know no power button: they are forced soon.
    Setup::new(env!("CARGO_BIN_EXE_kilnd")).stop_time_limit("1s")
}

/// Imports a disk of 1 MiB with a text in sector 5, and a kernel of ours, as an AMI of this name.
fn import(daemon: &Daemon, kernel: &str, name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let kernel = small_guest(kernel, folder.path());
    let disk = folder.path().join("disk");
    let file = File::create(&disk).unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_all_at(b"a sector of the root volume", 5 * SECTOR).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (disk, kernel) = (text(&disk), text(&kernel));
    let import = [
        "import",
        &disk,
        "--format",
        "raw",
        "--name",
        name,
        "--kernel",
        &kernel,
        "--command-line",
        "x=1",
    ];
    daemon.run_kiln(&import).trim().to_owned()
}

/// Does away with an image and its snapshots, and its kernel with it.
fn deregister(daemon: &Daemon, image: &str) {
    daemon.run_kiln(&["images", "rm", "--yes", image]);
}

fn run(daemon: &Daemon, image: &str, count: u32) -> Vec<String> {
    let request = json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": count, "MaxCount": count});
    daemon.api().run(&request)
}

fn root_volume_file(daemon: &Daemon, instance: &str) -> PathBuf {
    let instance = daemon.api().instance(instance);
    let volume = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        .as_str()
        .unwrap()
        .to_owned();
    daemon.state().join(format!("volumes/{volume}.raw"))
}

#[test]
fn a_guest_launched_through_the_daemon_prints_reads_and_writes_its_root_volume_and_powers_off() {
    if !has_kvm() {
        return;
    }
    let daemon = setup().start();
    let image = import(&daemon, "blk", "blk");
    let instances = run(&daemon, &image, 1);
    let id = &instances[0];
    daemon.api().wait_for_state(id, "stopped", SOON);

    let console = daemon.run_kiln(&["logs", id]);
    assert!(console.contains("a sector of the root volume"), "{console:?}");
    assert!(console.contains("A SECTOR OF THE ROOT VOLUME"), "{console:?}");
    let mut volume = File::open(root_volume_file(&daemon, id)).unwrap();
    let mut sector = [0; 512];
    volume.seek(SeekFrom::Start(6 * SECTOR)).unwrap();
    volume.read_exact(&mut sector).unwrap();
    assert!(
        sector.starts_with(b"A SECTOR OF THE ROOT VOLUME"),
        "{:?}",
        String::from_utf8_lossy(&sector)
    );

    daemon.api().terminate(&instances);
    deregister(&daemon, &image);
    daemon.finish();
}

#[test]
fn two_instances_of_one_image_run_at_once_and_the_console_carries_both_ways() {
    if !has_kvm() {
        return;
    }
    let daemon = setup().start();
    let image = import(&daemon, "wait", "wait");
    let instances = run(&daemon, &image, 2);
    assert_eq!(instances.len(), 2);
    for id in &instances {
        daemon.api().wait_for_state(id, "running", SOON);
        let mut console = daemon.api().console(id);
        console.wait_for("ready", SOON);
        console.type_line(&format!("I am {id}"));
        console.wait_for(&format!("I am {id}"), SOON);
    }
    assert_eq!(daemon.monitors().len(), 2);
    daemon.api().terminate(&instances);
    deregister(&daemon, &image);
    daemon.finish();
}

#[test]
fn a_daemon_killed_outright_finds_its_guests_and_their_states_are_true() {
    if !has_kvm() {
        return;
    }
    let mut daemon = setup().start();
    let image = import(&daemon, "wait", "wait");
    let instances = run(&daemon, &image, 2);
    for id in &instances {
        daemon.api().wait_for_state(id, "running", SOON);
        daemon.api().console(id).wait_for("ready", SOON);
    }
    let before = daemon.monitors();

    daemon.kill();
    assert_eq!(daemon.monitors(), before, "A guest went with the daemon");
    // One of them dies while nobody looks.
    let (dead, alive) = (before[0], before[1]);
    kill(dead);
    daemon.start();

    assert_eq!(daemon.monitors(), [alive]);
    let (running, other): (Vec<_>, Vec<_>) = instances.iter().partition(|id| daemon.api().state(id) == "running");
    let ([running], [other]) = (running.as_slice(), other.as_slice()) else {
        panic!("{running:?} run, and {other:?} do not");
    };
    daemon.api().wait_for_state(other, "stopped", SOON);
    let mut console = daemon.api().console(running);
    console.wait_for("ready", SOON);
    console.type_line("still here");
    console.wait_for("still here", SOON);

    daemon.api().terminate(&instances);
    deregister(&daemon, &image);
    daemon.finish();
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    // The process belongs to nobody who waits for it but init.
    while rustix::process::test_kill_process(pid).is_ok() && !is_a_zombie(pid) {
        std::thread::yield_now();
    }
}

fn is_a_zombie(pid: rustix::process::Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
