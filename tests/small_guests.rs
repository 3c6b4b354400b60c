//! The daemon with guests of our own on this host's `/dev/kvm`, software or not: each is a few hundred bytes and runs at
//! once. Where there is no `/dev/kvm` these tests say so and run no guest.

use kiln_harness::{Api, Daemon, Namespace, Setup, has_kvm, small_guest};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

#[test]
fn keys_that_are_sent_outlast_the_daemon() {
    if !has_kvm() {
        return;
    }
    const MINUTE: Duration = Duration::from_secs(60);
    let mut daemon = setup().start();
    let image = import(&daemon, "wait", "wait");
    let instances = run(&daemon, &image, 1);
    let (api, id) = (daemon.api(), &instances[0]);
    api.wait_for_state(id, "running", SOON);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAuXAxR6RLEQRvLLDNGFcDU9SzRxCAmDVVUlQwK2YLV";
    let send = |user: &str, number: char| {
        let target = "POST / HTTP/1.1\r\nX-Amz-Target: AWSEC2InstanceConnectService.SendSSHPublicKey";
        let key = json!({"InstanceId": id, "InstanceOSUser": user, "SSHPublicKey": format!("{key}{number}")});
        let (status, said) = api.ask(target, &key.to_string()).unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(status == 200, said["Success"] == true, "{said}");
        said["__type"].as_str().map(str::to_owned)
    };
    let begun = Instant::now();
    for number in 'A'..='D' {
        assert_eq!(send("admin", number), None);
    }
    daemon.kill();
    daemon.start();
    api.call(
        "ModifyInstanceMetadataOptions",
        &json!({"InstanceId": id, "HttpPutResponseHopLimit": 3}),
    );
    // They are still there: four more are as many as there may be.
    for number in 'E'..='H' {
        assert_eq!(send("admin", number), None);
    }
    let refused = send("admin", 'I');
    assert!(
        refused.as_deref() == Some("ThrottlingException") || begun.elapsed() > MINUTE,
        "{refused:?}"
    );
    assert_eq!(send("root", 'I'), None);

    api.call("StopInstances", &json!({"InstanceIds": [id]}));
    api.wait_for_state(id, "stopped", SOON);
    assert_eq!(send("root", 'I').as_deref(), Some("EC2InstanceStateInvalidException"));
    daemon.api().terminate(&instances);
    deregister(&daemon, &image);
    daemon.finish();
}

#[test]
fn a_public_address_that_came_with_a_start_goes_with_the_stop_and_comes_with_the_next() {
    if !has_kvm() {
        return;
    }
    let pool = "[network]\npublic_pool = [\"192.0.2.8/30\"]\n";
    let daemon = setup().config(pool).start();
    let image = import(&daemon, "wait", "wait");
    let instances = run(&daemon, &image, 1);
    let (api, id) = (daemon.api(), &instances[0]);
    let is = |state: &str| api.wait_for_state(id, state, SOON)["PublicIpAddress"].clone();
    assert_eq!(is("running"), "192.0.2.9");
    api.call("StopInstances", &json!({"InstanceIds": [id]}));
    assert!(is("stopped").is_null());
    let taken = api.call("AllocateAddress", &json!({}));
    assert_eq!(taken["PublicIp"], "192.0.2.9");
    api.call("StartInstances", &json!({"InstanceIds": [id]}));
    assert_eq!(is("running"), "192.0.2.10");
    // One that its owner gives it replaces it.
    let associate = json!({"AllocationId": taken["AllocationId"], "InstanceId": id});
    api.call("AssociateAddress", &associate);
    assert_eq!(is("running"), "192.0.2.9");
    let other = api.call("AllocateAddress", &json!({}));
    assert_eq!(other["PublicIp"], "192.0.2.10");

    daemon.api().terminate(&instances);
    for address in [taken, other] {
        let release = json!({"AllocationId": address["AllocationId"]});
        daemon.api().call("ReleaseAddress", &release);
    }
    deregister(&daemon, &image);
    daemon.finish();
}

#[test]
fn an_interface_is_attached_to_a_running_guest_and_taken_from_one_that_does_not_answer_by_force() {
    if !has_kvm() {
        return;
    }
    let mut daemon = setup().start();
    let image = import(&daemon, "wait", "wait");
    let instances = run(&daemon, &image, 1);
    let (api, id) = (daemon.api(), &instances[0]);
    let instance = api.wait_for_state(id, "running", SOON);
    let made = api.call("CreateNetworkInterface", &json!({"SubnetId": instance["SubnetId"]}));
    let interface = made["NetworkInterface"]["NetworkInterfaceId"].clone();
    let attach = json!({"NetworkInterfaceId": interface, "InstanceId": id, "DeviceIndex": 1});
    let attachment = api.call("AttachNetworkInterface", &attach)["AttachmentId"].clone();
    let shown = |member: &str| {
        let answer = api.call(
            "DescribeNetworkInterfaces",
            &json!({"NetworkInterfaceIds": [interface]}),
        );
        answer["NetworkInterfaces"][0][member].clone()
    };
    assert_eq!((shown("Status"), taps(&daemon)), ("in-use".into(), 2));

    let detach = |force: bool| {
        api.call(
            "DetachNetworkInterface",
            &json!({"AttachmentId": attachment, "Force": force}),
        )
    };
    detach(false);
    daemon.kill();
    daemon.start();
    assert_eq!(shown("Status"), "detaching");
    detach(true);
    let deadline = Instant::now() + SOON;
    while shown("Status") != "available" {
        assert!(Instant::now() < deadline, "{}", shown("Status"));
        std::thread::yield_now();
    }
    assert_eq!(taps(&daemon), 1);

    // One that the guest was asked for is not given to its next machine.
    let attachment = api.call("AttachNetworkInterface", &attach)["AttachmentId"].clone();
    api.call("DetachNetworkInterface", &json!({"AttachmentId": attachment}));
    api.call("StopInstances", &json!({"InstanceIds": [id]}));
    api.wait_for_state(id, "stopped", SOON);
    assert_eq!(shown("Status"), "available");
    api.call("AttachNetworkInterface", &attach);
    api.call("StartInstances", &json!({"InstanceIds": [id]}));
    api.wait_for_state(id, "running", SOON);
    assert_eq!((shown("Status"), taps(&daemon)), ("in-use".into(), 2));

    daemon.api().terminate(&instances);
    assert_eq!(shown("Status"), "available");
    api.call("DeleteNetworkInterface", &json!({"NetworkInterfaceId": interface}));
    deregister(&daemon, &image);
    daemon.finish();
}

#[test]
fn the_limits_of_a_volume_change_while_its_guest_runs() {
    if !has_kvm() {
        return;
    }
    let daemon = setup().start();
    let (image, api) = (import(&daemon, "wait", "limited"), daemon.api());
    let mapping = json!([{"DeviceName": "/dev/xvda", "Ebs": {"Iops": 3000, "Throughput": 125}}]);
    let instance = api
        .run(&json!({
            "ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, "BlockDeviceMappings": mapping,
        }))
        .remove(0);
    api.wait_for_state(&instance, "running", SOON);
    let volume = api.instance(&instance)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"].clone();
    let volume = volume.as_str().unwrap();
    let limits = || {
        let answer = api.call("DescribeVolumes", &json!({"VolumeIds": [volume]}));
        let one = &answer["Volumes"][0];
        (one.get("Iops").cloned(), one.get("Throughput").cloned())
    };
    assert_eq!(limits(), (Some(json!(3000)), Some(json!(125))));
    daemon.run_kiln(&["volumes", "limit", volume, "--iops", "none", "--throughput", "200"]);
    assert_eq!(limits(), (None, Some(json!(200))));
    // The machine is built anew, of what it was told since.
    api.call("RebootInstances", &json!({"InstanceIds": [instance]}));
    daemon.run_kiln(&["volumes", "limit", volume, "--throughput", "none"]);
    assert_eq!(limits(), (None, None));
    api.terminate(&[instance]);
    deregister(&daemon, &image);
    daemon.finish();
}

#[test]
fn instance_store_lives_from_a_start_to_the_stop_and_through_reboots_and_deaths_of_the_daemon() {
    if !has_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let types = folder.path().join("types.toml");
    let two = "[x1d]\nthreads_per_core = 1\nsizes.nano = { vcpus = 1, memory_mib = 128, instance_store = { disks = 2, disk_gb = 1 } }\n";
    fs::write(&types, two).unwrap();
    let config = format!("[capacity]\ninstance_types = {:?}\n", types.to_str().unwrap());
    let mut daemon = setup().config(&config).start();
    let (image, api) = (import(&daemon, "store", "store"), daemon.api());
    let request = json!({"ImageId": image, "InstanceType": "x1d.nano", "MinCount": 1, "MaxCount": 1});
    let instance = api.run(&request).remove(0);
    let disks = [0, 1].map(|disk| daemon.state().join(format!("instances/{instance}/ephemeral{disk}.raw")));
    let holds = |what: &str| {
        [0, 1]
            .map(|disk| format!("ephemeral{disk}: 1953125 sectors, holds {what}"))
            .join("\r\n")
    };
    let (empty, written) = (holds("nothing"), holds("what a guest has written"));

    api.wait_for_state(&instance, "running", SOON);
    let mut console = api.console(&instance);
    console.wait_for(&empty, SOON);
    console.wait_for("looked", SOON);
    daemon.kill();
    daemon.start();
    let mut console = api.console(&instance);
    console.wait_for("looked", SOON);
    api.call("RebootInstances", &json!({"InstanceIds": [instance]}));
    console.wait_for(&written, SOON);
    assert_eq!(
        replaced(&api, &json!({"InstanceId": instance, "DeleteReplacedRootVolume": true})),
        "succeeded"
    );
    api.console(&instance).wait_for(&written, SOON);
    assert_eq!(
        disks.each_ref().map(|disk| disk.metadata().unwrap().len()),
        [1_000_000_000; 2]
    );
    // They are in no list of volumes.
    let shown = api.instance(&instance);
    assert_eq!(shown["BlockDeviceMappings"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(
        api.call("DescribeVolumes", &json!({}))["Volumes"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    api.call("StopInstances", &json!({"InstanceIds": [instance], "Force": true}));
    api.wait_for_state(&instance, "stopped", SOON);
    assert!(disks.iter().all(|disk| !disk.exists()));
    api.call("StartInstances", &json!({"InstanceIds": [instance]}));
    api.wait_for_state(&instance, "running", SOON);
    api.console(&instance).wait_for(&empty, SOON);

    // A machine that dies is stopped, too, also while nobody looks.
    let dead = daemon.monitors()[0];
    daemon.kill();
    kill(dead);
    daemon.start();
    api.wait_for_state(&instance, "stopped", SOON);
    assert!(disks.iter().all(|disk| !disk.exists()));
    api.terminate(&[instance]);
    deregister(&daemon, &image);
    daemon.finish();
}

/// Waits for a task that replaces a root volume to end; gives its state.
fn replaced(api: &Api, request: &Value) -> String {
    task_ended(api, &api.call("CreateReplaceRootVolumeTask", request))
}

/// The same of a task that was created.
fn task_ended(api: &Api, created: &Value) -> String {
    let id = json!({"ReplaceRootVolumeTaskIds": [created["ReplaceRootVolumeTask"]["ReplaceRootVolumeTaskId"]]});
    api.events().until(SOON, "the end of the task", || {
        let task = api.call("DescribeReplaceRootVolumeTasks", &id)["ReplaceRootVolumeTasks"][0].take();
        task.get("CompleteTime")
            .map(|_| task["TaskState"].as_str().unwrap().to_owned())
    })
}

fn root_volume(api: &Api, instance: &str) -> String {
    let instance = api.instance(instance);
    let volume = &instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"];
    volume.as_str().unwrap().to_owned()
}

#[test]
fn a_running_instance_gets_another_root_volume_and_its_guest_sees_a_reboot() {
    const MARK: &[u8] = b"what the guest has made of it";
    if !has_kvm() {
        return;
    }
    let daemon = setup().start();
    let (image, api) = (import(&daemon, "wait", "wait"), daemon.api());
    let instance = run(&daemon, &image, 1).remove(0);
    api.wait_for_state(&instance, "running", SOON);
    api.console(&instance).wait_for("ready", SOON);
    let (first, address) = (
        root_volume(&api, &instance),
        api.instance(&instance)["PrivateIpAddress"].clone(),
    );
    let file = |volume: &str| daemon.state().join(format!("volumes/{volume}.raw"));
    let mark = |volume: &str| {
        let mut bytes = [0; MARK.len()];
        File::open(file(volume))
            .unwrap()
            .read_exact_at(&mut bytes, 9 * SECTOR)
            .unwrap();
        bytes
    };
    let written = File::options().write(true).open(file(&first)).unwrap();
    written.write_all_at(MARK, 9 * SECTOR).unwrap();
    let snapshot = api.call("CreateSnapshot", &json!({"VolumeId": first}))["SnapshotId"].clone();

    // Launch state: as the image is; what was replaced is kept.
    assert_eq!(replaced(&api, &json!({"InstanceId": instance})), "succeeded");
    let second = root_volume(&api, &instance);
    assert_ne!(first, second);
    assert_eq!((mark(&first).as_slice(), mark(&second)), (MARK, [0; MARK.len()]));
    let volumes = api.call("DescribeVolumes", &json!({"VolumeIds": [first, second]}));
    let states = volumes["Volumes"].as_array().unwrap().iter();
    let state = |volume: &str| states.clone().find(|one| one["VolumeId"] == volume).unwrap()["State"].clone();
    assert_eq!((state(&first), state(&second)), (json!("available"), json!("in-use")));
    api.console(&instance).wait_for("ready", SOON);
    let shown = api.instance(&instance);
    assert_eq!(
        (&shown["State"]["Name"], &shown["PrivateIpAddress"]),
        (&json!("running"), &address)
    );

    // A snapshot; what was replaced goes.
    let snapshot_id = snapshot.as_str().unwrap();
    let task = daemon.run_kiln(&[
        "replace-root",
        &instance,
        "--snapshot",
        snapshot_id,
        "--delete-replaced",
    ]);
    assert!(task.starts_with("replacevol-"), "{task}");
    let third = root_volume(&api, &instance);
    assert_eq!(mark(&third), MARK);
    assert!(!file(&second).exists());

    api.terminate(&[instance]);
    // The root volume goes with its instance, whichever it is.
    assert!(!file(&third).exists());
    api.call("DeleteVolume", &json!({"VolumeId": first}));
    api.call("DeleteSnapshot", &json!({"SnapshotId": snapshot}));
    deregister(&daemon, &image);
    daemon.finish();
}

#[test]
fn an_instance_whose_new_root_volume_is_no_good_runs_on_from_the_one_that_it_had() {
    if !has_kvm() {
        return;
    }
    let daemon = setup().start();
    let (image, api) = (import(&daemon, "wait", "wait"), daemon.api());
    let instance = run(&daemon, &image, 1).remove(0);
    api.wait_for_state(&instance, "running", SOON);
    let first = root_volume(&api, &instance);
    let zone = api.instance(&instance)["Placement"]["AvailabilityZone"].clone();
    let broken = api.call("CreateVolume", &json!({"Size": 1, "AvailabilityZone": zone}))["VolumeId"].clone();
    while api.call("DescribeVolumes", &json!({"VolumeIds": [broken]}))["Volumes"][0]["State"] != "available" {
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::remove_file(daemon.state().join(format!("volumes/{}.raw", broken.as_str().unwrap()))).unwrap();

    let said = daemon
        .kiln(&["replace-root", &instance, "--volume", broken.as_str().unwrap()])
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{why}");
    assert!(
        why.contains("No such file or directory") && said.stdout.is_empty(),
        "{why}"
    );
    let tasks = api.call("DescribeReplaceRootVolumeTasks", &json!({}))["ReplaceRootVolumeTasks"].take();
    assert_eq!(tasks[0]["TaskState"], "failed");
    api.wait_for_state(&instance, "running", SOON);
    assert_eq!(root_volume(&api, &instance), first);
    api.console(&instance).wait_for("ready", SOON);
    // It is a user's, who had it before: it is theirs to delete.
    api.call("DeleteVolume", &json!({"VolumeId": broken}));
    api.terminate(&[instance]);
    deregister(&daemon, &image);
    daemon.finish();
}

#[test]
fn a_root_volume_is_replaced_though_the_daemon_is_killed_meanwhile() {
    if !has_kvm() {
        return;
    }
    let mut daemon = setup().start();
    let (image, api) = (import(&daemon, "wait", "wait"), daemon.api());
    let instance = run(&daemon, &image, 1).remove(0);
    api.wait_for_state(&instance, "running", SOON);
    for wait in [0, 5, 50, 500, 1000, 1010, 1020, 1050, 1100] {
        let before = root_volume(&api, &instance);
        let request = json!({"InstanceId": instance, "DeleteReplacedRootVolume": true});
        let task = api.call("CreateReplaceRootVolumeTask", &request);
        std::thread::sleep(Duration::from_millis(wait));
        daemon.kill();
        daemon.start();
        assert_eq!(task_ended(&api, &task), "succeeded", "killed after {wait} ms");
        assert_ne!(root_volume(&api, &instance), before);
        api.wait_for_state(&instance, "running", SOON);
        api.console(&instance).wait_for("ready", SOON);
        let volumes = api.call("DescribeVolumes", &json!({}))["Volumes"].take();
        assert_eq!(
            volumes.as_array().unwrap().len(),
            1,
            "killed after {wait} ms: {volumes}"
        );
    }
    api.terminate(&[instance]);
    deregister(&daemon, &image);
    daemon.finish();
}

/// How many interfaces of guests are in the VPC of the first monitor.
fn taps(daemon: &Daemon) -> usize {
    let namespace = Namespace::of_process(daemon.monitors()[0]);
    let links = namespace.ask(&["ip", "-br", "link"]);
    links.lines().filter(|link| link.starts_with("eni")).count()
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
