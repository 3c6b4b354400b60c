//! Small guests of our own on this host's `/dev/kvm`, software or not.

mod harness;

use harness::tap::Namespace;
use harness::{Client, Device, Interface, Machine, Monitor, guest, kvm, rng, told};
use kiln_vmm::protocol::{
    ActiveKey, Answer, DeviceSpec, EndReason, Event, FailureKind, FileIndex, MachineState, Request, Response, Stage,
};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

fn status(response: Response) -> kiln_vmm::protocol::Status {
    match response {
        Response::Ok(Answer::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}

/// A block device on the file `disk`.
fn blk(disk: &Path) -> Device {
    let spec = DeviceSpec {
        kind: "blk".into(),
        id: "vol-0123456789abcdef0".into(),
        config: serde_json::json!({ "read_only": false, "queues": 1 }),
        files: Vec::new(),
        slot: 1,
        service: None,
    };
    let file = OpenOptions::new().read(true).write(true).open(disk).unwrap();
    Device {
        spec,
        files: vec![file],
    }
}

/// A socket device.
fn vsock() -> Device {
    let spec = DeviceSpec {
        kind: "vsock".into(),
        id: "vsock0".into(),
        config: serde_json::json!({ "guest_cid": 3, "notify_port": 9999 }),
        files: Vec::new(),
        slot: 1,
        service: None,
    };
    Device {
        spec,
        files: Vec::new(),
    }
}

#[test]
fn a_guest_prints_to_its_console_and_powers_off() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("hello", monitor.directory());
    let launched = monitor.launch(
        kvm,
        Machine {
            command_line: "console=ttyS0 mark=7",
            ..Machine::small(&kernel)
        },
    );
    let stages: Vec<Stage> = status(launched).timeline.iter().map(|moment| moment.stage).collect();
    assert_eq!(stages, [Stage::Launched, Stage::Kernel]);
    let report = monitor.wait();
    assert_eq!(report.reason, EndReason::PowerOff, "{report:?}");
    assert_eq!(monitor.console(), "Hello from a guest, told: console=ttyS0 mark=7\r\n");
}

#[test]
fn a_guest_resets_itself_into_new_memory_until_it_is_stopped() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("reset", monitor.directory());
    status(monitor.launch(kvm, Machine::small(&kernel)));
    let mut resets = 0;
    monitor.connect().await_event(|event| {
        resets += u32::from(*event == Event::Reset);
        resets == 3
    });
    let mut client = monitor.connect();
    assert!(status(client.request(&Request::Status)).resets >= 3);
    assert!(matches!(client.request(&Request::Stop), Response::Ok(Answer::Done)));
    assert_eq!(monitor.wait().reason, EndReason::Stopped);
    let console = monitor.console();
    assert!(
        console.lines().count() >= 3 && console.lines().all(|line| line == "born"),
        "{console}"
    );
}

#[test]
fn resets_leave_nothing_behind() {
    let Some(kvm) = kvm() else { return };
    let monitor = Monitor::start();
    let kernel = guest("reset", monitor.directory());
    let disk = monitor.path("disk");
    std::fs::write(&disk, [0; 4096]).unwrap();
    let devices = vec![blk(&disk), vsock()];
    status(monitor.launch(
        kvm,
        Machine {
            devices,
            ..Machine::small(&kernel)
        },
    ));
    let after = |resets| {
        let mut seen = 0;
        monitor.connect().await_event(|event| {
            seen += u32::from(*event == Event::Reset);
            seen == resets
        });
        // What one life holds is a matter of the moment; what all of them left is not.
        let count = |name| {
            std::fs::read_dir(format!("/proc/{}/{name}", monitor.pid()))
                .unwrap()
                .count()
        };
        (count("fd"), count("task"))
    };
    let (files, threads) = after(2);
    let (files_later, threads_later) = after(28);
    assert!(files_later < files + 20, "{files} open files became {files_later}");
    assert!(threads_later < threads + 10, "{threads} threads became {threads_later}");
}

/// Asks for `device` to be attached.
fn attach(client: &mut Client, device: Device) -> Response {
    let Device { mut spec, files } = device;
    spec.files = (0..).map(FileIndex).take(files.len()).collect();
    let device = Box::new(spec);
    client.request_with(&Request::Attach { device }, &files)
}

fn detach(client: &mut Client, id: &str, force: bool) -> Response {
    let id = id.into();
    client.request(&Request::Detach { id, force })
}

fn failure(response: Response) -> FailureKind {
    match response {
        Response::Error(failure) => failure.kind,
        Response::Ok(answer) => panic!("{answer:?}"),
    }
}

fn is_done(response: Response) {
    assert!(matches!(response, Response::Ok(Answer::Done)), "{response:?}");
}

/// Whether somebody has the disk's lock, as a block device that may write to it does.
fn is_locked(disk: &Path) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(disk).unwrap();
    kiln_vmm::block::lock(&file, false).is_err()
}

/// A monitor that runs the guest `name`, without a device; with a disk that could be one, and a view of its console.
fn without_devices(name: &str, kvm: File, says: &str) -> (Monitor, PathBuf, Client) {
    let monitor = Monitor::start();
    let kernel = guest(name, monitor.directory());
    let disk = monitor.path("disk");
    std::fs::write(&disk, [0; 4096]).unwrap();
    status(monitor.launch(kvm, Machine::small(&kernel)));
    let mut console = monitor.connect();
    is_done(console.request(&Request::Console));
    console.read_until(says);
    (monitor, disk, console)
}

const VOLUME: &str = "vol-0123456789abcdef0";

fn is_gone(event: &Event) -> bool {
    matches!(event, Event::Detached { device } if device == VOLUME)
}

#[test]
fn a_device_comes_and_goes_while_the_guest_runs() {
    let Some(kvm) = kvm() else { return };
    let (mut monitor, disk, mut console) = without_devices("hotplug", kvm, "up\r\n");
    let (mut client, mut events) = (monitor.connect(), monitor.connect());
    is_done(events.request(&Request::Subscribe));
    let mut open = Vec::new();
    for _ in 0..8 {
        is_done(attach(&mut client, blk(&disk)));
        console.read_until("inserted: 1 \r\n");
        assert!(is_locked(&disk));
        assert_eq!(failure(attach(&mut client, blk(&disk))), FailureKind::BadRequest);
        is_done(detach(&mut client, VOLUME, false));
        while !is_gone(&events.read()) {}
        console.read_until("ejected\r\n");
        assert!(!is_locked(&disk));
        assert_eq!(failure(detach(&mut client, VOLUME, false)), FailureKind::NoSuchDevice);
        let files = std::fs::read_dir(format!("/proc/{}/fd", monitor.pid())).unwrap();
        open.push(files.count());
    }
    assert_eq!(open.first(), open.last(), "{open:?}");
    is_done(client.request(&Request::Stop));
    assert_eq!(monitor.wait().reason, EndReason::Stopped);
}

#[test]
fn a_device_that_was_attached_outlives_a_reset_in_its_slot() {
    let Some(kvm) = kvm() else { return };
    let (monitor, disk, mut console) = without_devices("hotplug", kvm, "up\r\n");
    let mut client = monitor.connect();
    is_done(attach(&mut client, rng("rng0")));
    console.read_until("inserted: 1 \r\n");
    is_done(attach(&mut client, blk(&disk)));
    console.read_until("inserted: 1 2 \r\n");
    is_done(detach(&mut client, "rng0", false));
    console.read_until("ejected\r\n");
    is_done(client.request(&Request::Reset));
    console.read_until("2 up\r\n");
    assert!(is_locked(&disk));
    is_done(attach(&mut client, rng("rng1")));
    console.read_until("inserted: 1 2 \r\n");
}

#[test]
fn a_detachment_that_the_guest_does_not_answer_is_done_by_the_next_reset() {
    let Some(kvm) = kvm() else { return };
    let (monitor, disk, _console) = without_devices("wait", kvm, "ready\r\n");
    let (mut client, mut events) = (monitor.connect(), monitor.connect());
    is_done(events.request(&Request::Subscribe));
    is_done(attach(&mut client, blk(&disk)));
    is_done(detach(&mut client, VOLUME, false));
    is_done(detach(&mut client, VOLUME, false));
    assert!(is_locked(&disk));
    is_done(client.request(&Request::Reset));
    while !is_gone(&events.read()) {}
    assert!(!is_locked(&disk));
    assert_eq!(failure(detach(&mut client, VOLUME, false)), FailureKind::NoSuchDevice);
}

#[test]
fn a_forced_detachment_needs_no_guest() {
    let Some(kvm) = kvm() else { return };
    let (mut monitor, disk, _console) = without_devices("wait", kvm, "ready\r\n");
    let (mut client, mut events) = (monitor.connect(), monitor.connect());
    is_done(events.request(&Request::Subscribe));
    is_done(attach(&mut client, blk(&disk)));
    is_done(detach(&mut client, VOLUME, true));
    while !is_gone(&events.read()) {}
    assert!(!is_locked(&disk));
    assert_eq!(failure(detach(&mut client, VOLUME, true)), FailureKind::NoSuchDevice);
    is_done(attach(&mut client, blk(&disk)));
    is_done(client.request(&Request::Stop));
    assert_eq!(monitor.wait().reason, EndReason::Stopped);
}

#[test]
fn no_more_devices_are_attached_than_there_are_slots() {
    let Some(kvm) = kvm() else { return };
    let (monitor, disk, _console) = without_devices("wait", kvm, "ready\r\n");
    let mut client = monitor.connect();
    let disk_named = |id: usize| {
        let mut device = blk(&disk);
        device.spec.id = format!("vol-{id}");
        device.spec.config = serde_json::json!({ "read_only": true, "queues": 1 });
        device.files = vec![File::open(&disk).unwrap()];
        device
    };
    for id in 1..=31 {
        is_done(attach(&mut client, disk_named(id)));
    }
    assert_eq!(failure(attach(&mut client, disk_named(32))), FailureKind::Device);
    is_done(detach(&mut client, "vol-7", false));
}

#[test]
fn who_connects_to_a_guest_without_a_driver_or_a_machine_without_the_device_is_told_so() {
    for (devices, why) in [(vec![vsock()], "no vsock driver"), (Vec::new(), "no vsock device")] {
        let Some(kvm) = kvm() else { return };
        let monitor = Monitor::start();
        let kernel = guest("wait", monitor.directory());
        status(monitor.launch(
            kvm,
            Machine {
                devices,
                ..Machine::small(&kernel)
            },
        ));
        let mut client = monitor.connect();
        match client.request(&Request::Vsock { port: 22 }) {
            Response::Error(failure) if failure.kind == FailureKind::NotConnected => {
                assert!(failure.message.contains(why), "{failure}");
            }
            other => panic!("{other:?}"),
        }
        let mut other = monitor.connect();
        assert_eq!(status(other.request(&Request::Status)).state, MachineState::Running);
    }
}

/// Who the metadata service at `address` says that its guest is.
fn instance_id(address: SocketAddr) -> String {
    read_metadata(address, "instance-id")
}

/// What the metadata service at `address` has at `path`.
fn read_metadata(address: SocketAddr, path: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    let request = format!("GET /latest/meta-data/{path} HTTP/1.0\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

#[test]
fn a_guest_is_answered_over_resets_and_hears_what_is_told_anew() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("reset", monitor.directory());
    let any = (Ipv4Addr::LOCALHOST, 0);
    let (dhcp, metadata) = (UdpSocket::bind(any).unwrap(), TcpListener::bind(any).unwrap());
    let address = metadata.local_addr().unwrap();
    let interface = Interface {
        told: told(),
        dhcp: File::from(OwnedFd::from(dhcp)),
        metadata: File::from(OwnedFd::from(metadata)),
    };
    status(monitor.launch(
        kvm,
        Machine {
            interface: Some(interface),
            ..Machine::small(&kernel)
        },
    ));
    assert_eq!(instance_id(address), "i-1");
    monitor.connect().await_event(|event| *event == Event::Reset);
    assert_eq!(instance_id(address), "i-1");
    let mut other = told();
    other
        .metadata
        .leaves
        .insert("meta-data/instance-id".into(), "i-2".into());
    let mut client = monitor.connect();
    let told = client.request(&Request::Tell(Box::new(other.clone())));
    assert!(matches!(told, Response::Ok(Answer::Done)), "{told:?}");
    assert_eq!(instance_id(address), "i-2");
    // Keys that are sent are there beside what is told, and so many of them.
    let keys: Vec<String> = (0..ActiveKey::OF_USER_MAX)
        .map(|n| format!("ssh-ed25519 {n}"))
        .collect();
    let mut send = |key: &str| {
        let (user, key) = ("ec2-user".into(), key.to_owned());
        client.request(&Request::SendKey(ActiveKey { user, key }))
    };
    for key in &keys {
        assert!(matches!(send(key), Response::Ok(Answer::Done)));
    }
    assert!(matches!(send("one more"), Response::Error(failure) if failure.kind == FailureKind::Full));
    assert!(matches!(send("two\nlines"), Response::Error(failure) if failure.kind == FailureKind::BadRequest));
    client.request(&Request::Tell(Box::new(other.clone())));
    assert_eq!(
        read_metadata(address, "managed-ssh-keys/active-keys/ec2-user/"),
        keys.join("\n")
    );
    other.metadata.options.hop_limit = 0;
    let refused = client.request(&Request::Tell(Box::new(other)));
    assert!(matches!(refused, Response::Error(failure) if failure.kind == FailureKind::BadRequest));
    assert_eq!(instance_id(address), "i-2");
    client.request(&Request::Stop);
    assert_eq!(monitor.wait().reason, EndReason::Stopped);
}

#[test]
fn a_guest_that_powers_off_by_the_button_boots_again_only_if_the_last_press_was_for_a_reboot() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("button", monitor.directory());
    status(monitor.launch(kvm, Machine::small(&kernel)));
    let mut client = monitor.connect();
    assert!(matches!(client.request(&Request::Reboot), Response::Ok(Answer::Done)));
    monitor.connect().await_event(|event| *event == Event::Reset);
    assert!(matches!(
        client.request(&Request::PowerButton),
        Response::Ok(Answer::Done)
    ));
    assert_eq!(monitor.wait().reason, EndReason::PowerOff);
    assert_eq!(monitor.console(), "up\r\npressed\r\nup\r\npressed\r\n");
}

#[test]
fn a_host_that_goes_down_presses_the_button() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("button", monitor.directory());
    status(monitor.launch(kvm, Machine::small(&kernel)));
    let pid = rustix::process::Pid::from_raw(i32::try_from(monitor.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(monitor.wait().reason, EndReason::PowerOff);
}

#[test]
fn a_triple_fault_is_reported_with_registers_and_the_last_words() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("crash", monitor.directory());
    monitor.launch(kvm, Machine::small(&kernel));
    let report = monitor.wait();
    assert_eq!(report.reason, EndReason::Crashed);
    let detail = report.detail.unwrap();
    assert!(detail.contains("Triple fault"), "{detail}");
    // KVM on AMD processors keeps no registers of a triple fault, and the report says so.
    let amd = detail.contains("not the registers it died with");
    assert!(amd || detail.contains("rax 000000001badcafe"), "{detail}");
    assert!(detail.contains("about to fault"), "{detail}");
}

#[test]
fn the_console_goes_both_ways_and_a_guest_that_halts_for_ever_can_still_be_stopped() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("wait", monitor.directory());
    let launched = status(monitor.launch(kvm, Machine::small(&kernel)));
    assert_eq!(launched.state, MachineState::Running);
    let mut console = monitor.connect();
    assert!(matches!(console.request(&Request::Console), Response::Ok(Answer::Done)));
    console.read_until("ready\r\n");
    let typed = "a line that is longer than the port's own sixty-four bytes of memory, to see it all arrive.";
    console.send(typed.as_bytes());
    console.read_until(typed);
    let mut client = monitor.connect();
    let Response::Ok(Answer::ConsoleLog(log)) = client.request(&Request::ConsoleLog) else {
        panic!()
    };
    assert_eq!(log, format!("ready\r\n{typed}"));
    assert!(matches!(client.request(&Request::Stop), Response::Ok(Answer::Done)));
    assert_eq!(monitor.wait().reason, EndReason::Stopped);
}

#[test]
fn a_second_cpu_starts() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("smp", monitor.directory());
    status(monitor.launch(
        kvm,
        Machine {
            vcpus: 2,
            ..Machine::small(&kernel)
        },
    ));
    assert_eq!(monitor.wait().reason, EndReason::PowerOff);
    assert_eq!(monitor.console(), "first CPU\r\nsecond CPU has run\r\n");
}

#[test]
fn what_is_no_kernel_fails_the_launch_and_says_why() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = monitor.path("kernel");
    std::fs::write(&kernel, "#!/bin/sh\n".repeat(10)).unwrap();
    let Response::Error(failure) = monitor.launch(kvm, Machine::small(&kernel)) else {
        panic!()
    };
    assert_eq!(failure.kind, FailureKind::NotBootable);
    assert!(failure.message.contains("The file is no kernel"), "{}", failure.message);
    assert_eq!(monitor.wait().reason, EndReason::BootFailed);
}

#[test]
fn a_guest_reads_and_writes_sectors_of_a_volume_over_virtio() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("blk", monitor.directory());
    let disk = monitor.path("disk");
    let mut bytes = vec![0; 64 * 512];
    bytes[5 * 512..][..14].copy_from_slice(b"sector number5");
    std::fs::write(&disk, &bytes).unwrap();
    let devices = vec![blk(&disk)];
    status(monitor.launch(
        kvm,
        Machine {
            devices,
            ..Machine::small(&kernel)
        },
    ));
    assert_eq!(monitor.wait().reason, EndReason::PowerOff);
    assert_eq!(monitor.console(), "read: sector number5\r\nwritten: SECTOR NUMBER5\r\n");
    bytes[6 * 512..][..14].copy_from_slice(b"SECTOR NUMBER5");
    assert!(std::fs::read(&disk).unwrap() == bytes);
}

#[test]
fn a_guest_exchanges_frames_with_the_host_over_virtio_and_once_more_after_a_reset() {
    let Some(kvm) = kvm() else { return };
    let mut monitor = Monitor::start();
    let kernel = guest("net", monitor.directory());
    let namespace = Namespace::new(2);
    // Each frame is answered twice, so that the limit is met.
    let limit = serde_json::json!({"packets": {"per_second": 1000, "burst": 1}});
    let spec = DeviceSpec {
        kind: "net".into(),
        id: "eni-0123456789abcdef0".into(),
        config: serde_json::json!({
            "mac": "02:00:5e:10:00:01", "mtu": 1500, "queue_pairs": 2, "offloads": true, "backend": "user_space", "limits": {"transmit": limit},
        }),
        files: Vec::new(),
        slot: 1,
        service: None,
    };
    let files = namespace.files();
    let devices = vec![Device { spec, files }];
    status(monitor.launch(
        kvm,
        Machine {
            devices,
            ..Machine::small(&kernel)
        },
    ));
    let mut console = monitor.connect();
    assert!(matches!(console.request(&Request::Console), Response::Ok(Answer::Done)));
    let frame = |text: &str| [&[0xff; 12][..], &[0x88, 0xb5], text.as_bytes(), &[b'.'; 60]].concat();
    for round in ["first", "second"] {
        console.read_until("ready\r\n");
        namespace.send([0; 10], &frame(round));
        for _ in 0..2 {
            assert_eq!(namespace.receive().1, frame(&round.to_uppercase()));
        }
    }
    assert_eq!(monitor.wait().reason, EndReason::PowerOff);
    assert_eq!(monitor.console(), "ready\r\nready\r\ndone\r\n");
}

#[test]
fn a_monitor_is_locked_in_before_it_is_told_anything() {
    if !rustix::process::getuid().is_root() {
        return eprintln!("NOT TESTED: the whole sandbox needs root");
    }
    let monitor = Monitor::start();
    assert!(matches!(
        monitor.connect().request(&Request::Hello),
        Response::Ok(Answer::Hello { .. })
    ));
    let proc = |name: &str| format!("/proc/{}/{name}", monitor.pid());
    let mut threads = 0;
    for task in std::fs::read_dir(proc("task")).unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(field("Uid:"), "64999 64999 64999 64999");
        assert_eq!(field("Gid:"), "64999 64999 64999 64999");
        assert_eq!(field("Groups:"), "");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
        threads += 1;
    }
    assert_eq!(threads, 2);
    assert_eq!(std::fs::read_dir(proc("root")).unwrap().count(), 0);
    for namespace in ["mnt", "net", "ipc", "uts"] {
        let of = |path: String| std::fs::read_link(path).unwrap();
        assert_ne!(
            of(proc(&format!("ns/{namespace}"))),
            of(format!("/proc/self/ns/{namespace}")),
            "{namespace}"
        );
    }
}
