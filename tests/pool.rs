//! `kiln pool` on a real loop device: made of a state that is in use, grown, looked at; and what launches, snapshots and images
//! write there and on an ext4, counted at the block device. With small guests of our own on this host's `/dev/kvm`; where there
//! is none the counting says so.

use kiln_harness::{Daemon, Setup, has_kvm, small_guest};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(90);
const MIB: u64 = 1 << 20;
/// The data of the disk that is launched; the disk itself looks like 8 GiB.
const DATA: u64 = 192 * MIB;

/// What is mounted below a folder; with the last of it the folder goes, too.
struct Mounted {
    place: PathBuf,
    folder: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("{program} can't be started: {error}"));
    assert!(status.success(), "{program} {arguments:?} ended with {status}");
}

/// What has been written to the block device below `place`, in bytes, once all is written that shall be.
fn written(place: &Path) -> u64 {
    run("sync", &["--file-system", place.to_str().unwrap()]);
    let device = place.metadata().unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap();
    let sectors: u64 = stat.split_whitespace().nth(6).unwrap().parse().unwrap();
    sectors * 512
}

/// A disk with data here and there, none of them zeros.
fn disk(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(8 << 30).unwrap();
    let mut word = 1_u64;
    let mut piece = vec![0; usize::try_from(MIB).unwrap()];
    for number in 0..DATA / MIB {
        for bytes in piece.chunks_exact_mut(8) {
            word = word
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        file.write_all_at(&piece, number * 40 * MIB).unwrap();
    }
}

/// Imports the disk, with a kernel that waits for its power button.
fn import(daemon: &Daemon, folder: &Path) -> String {
    let kernel = small_guest("wait", folder);
    let path = folder.join("disk");
    disk(&path);
    let (path, kernel) = (path.to_str().unwrap(), kernel.to_str().unwrap());
    let arguments = [
        "import",
        path,
        "--format",
        "raw",
        "--name",
        "base",
        "--kernel",
        kernel,
        "--command-line",
        "x=1",
    ];
    daemon.run_kiln(&arguments).trim().to_owned()
}

#[track_caller]
fn wait(daemon: &Daemon, operation: &str, request: &Value, state: &str, wanted: &str) {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = daemon.api().call(operation, request);
        match answer.pointer(state) {
            Some(now) if now == wanted => return,
            _ => assert!(Instant::now() < deadline, "{operation} {request}: {answer}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What an operation and its consequences write, in bytes, and how long they take.
struct Cost {
    what: &'static str,
    bytes: u64,
    time: Duration,
}

fn cost(place: &Path, what: &'static str, act: impl FnOnce()) -> Cost {
    let (before, began) = (written(place), Instant::now());
    act();
    let bytes = written(place) - before;
    Cost {
        what,
        bytes,
        time: began.elapsed(),
    }
}

/// A launch, a snapshot and an image of the instance while it runs, each counted.
fn costs(daemon: &Daemon, base: &str, place: &Path) -> Vec<Cost> {
    let api = daemon.api();
    let mut instance = String::new();
    let request = json!({"ImageId": base, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
    let launch = cost(place, "launch", || {
        instance = api.run(&request).remove(0);
        api.wait_for_state(&instance, "running", SOON);
    });
    let filter = json!({"Filters": [{"Name": "attachment.instance-id", "Values": [instance]}]});
    let volume = api.call("DescribeVolumes", &filter)["Volumes"][0]["VolumeId"].clone();
    let snapshot = cost(place, "CreateSnapshot", || {
        let made = api.call("CreateSnapshot", &json!({"VolumeId": volume}));
        let named = json!({"SnapshotIds": [made["SnapshotId"]]});
        wait(daemon, "DescribeSnapshots", &named, "/Snapshots/0/State", "completed");
    });
    let image = cost(place, "CreateImage", || {
        let request = json!({"InstanceId": instance, "Name": "golden", "NoReboot": true});
        let made = api.call("CreateImage", &request);
        let named = json!({"ImageIds": [made["ImageId"]]});
        wait(daemon, "DescribeImages", &named, "/Images/0/State", "available");
    });
    api.terminate(std::slice::from_ref(&instance));
    vec![launch, snapshot, image]
}

fn show(place: &str, costs: &[Cost], copy: &Cost) {
    println!("{place}: 8 GiB of which {} MiB are data", DATA / MIB);
    for one in costs.iter().chain([copy]) {
        let of = |a: f64, b: f64| a / b.max(1e-9);
        println!(
            "  {:<24} {:>9} KiB written, {:>6.3} of cp's; {:>6.2} of its time",
            one.what,
            one.bytes >> 10,
            of(one.bytes as f64, copy.bytes as f64),
            of(one.time.as_secs_f64(), copy.time.as_secs_f64())
        );
    }
}

/// `cp --sparse=always` of the image's snapshot, beside which the others are held.
fn copy(daemon: &Daemon, place: &Path) -> Cost {
    let snapshots = fs::read_dir(daemon.state().join("snapshots")).unwrap();
    let snapshot = snapshots.map(|entry| entry.unwrap().path()).next().unwrap();
    let to = place.join("copy");
    let copied = cost(place, "cp --sparse=always", || {
        let (from, to) = (snapshot.to_str().unwrap(), to.to_str().unwrap());
        run("cp", &["--sparse=always", "--reflink=never", from, to]);
    });
    fs::remove_file(&to).unwrap();
    copied
}

fn clear(daemon: &Daemon) {
    let api = daemon.api();
    let images = api.call("DescribeImages", &json!({}));
    let machines = images["Images"].as_array().unwrap().iter();
    for image in machines.filter(|image| image["ImageType"] == "machine") {
        let request = json!({"ImageId": image["ImageId"], "DeleteAssociatedSnapshots": true});
        api.call("DeregisterImage", &request);
    }
    for one in api.call("DescribeSnapshots", &json!({}))["Snapshots"]
        .as_array()
        .unwrap()
    {
        api.call("DeleteSnapshot", &json!({"SnapshotId": one["SnapshotId"]}));
    }
}

/// The file system has less room than the image's data need: whoever wants a copy is told where there is none, and how much, and
/// nothing is left of it.
fn fills_up(daemon: &Daemon, base: &str, place: &Path) {
    let api = daemon.api();
    let disk = rustix::fs::statvfs(place).unwrap();
    let filler = File::create(place.join("filler")).unwrap();
    let rest = disk.f_bavail * disk.f_frsize - 100 * MIB;
    rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, rest).unwrap();

    let launch = json!({"ImageId": base, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
    let refused = api.refused("RunInstances", &launch);
    assert_eq!(refused.code, "InsufficientInstanceCapacity");
    let says = |text: &str| text.contains(daemon.state().to_str().unwrap());
    assert!(says(&refused.message), "{refused}");

    let image = api.call("DescribeImages", &json!({"ImageIds": [base]}));
    let snapshot = &image["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"];
    let copy = json!({"SourceRegion": "local-1", "SourceSnapshotId": snapshot});
    let copied = api.call("CopySnapshot", &copy)["SnapshotId"].clone();
    let named = json!({"SnapshotIds": [copied]});
    wait(daemon, "DescribeSnapshots", &named, "/Snapshots/0/State", "error");
    let failed = api.call("DescribeSnapshots", &named)["Snapshots"][0]["StateMessage"].clone();
    assert!(
        says(failed.as_str().unwrap()) && failed.to_string().contains("no room"),
        "{failed}"
    );
    let left = daemon
        .state()
        .join(format!("snapshots/{}.raw", copied.as_str().unwrap()));
    assert!(!left.exists());
    fs::remove_file(place.join("filler")).unwrap();
}

/// What rots on the disk is found, said, and used for nothing any more.
fn scrubs(daemon: &Daemon, base: &str) {
    let api = daemon.api();
    let outcomes = || -> Vec<String> {
        let said = daemon.kiln(&["pool", "scrub", "--json"]).output().unwrap();
        let found: Value = serde_json::from_slice(&said.stdout).unwrap();
        let outcome = |one: &Value| one["Outcome"].as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(outcome).collect()
    };
    // That of the import has a digest from the beginning.
    let first = outcomes();
    assert!(first.contains(&"intact".to_owned()), "{first:?}");
    assert!(outcomes().iter().all(|one| one == "intact"));

    let image = api.call("DescribeImages", &json!({"ImageIds": [base]}));
    let snapshot = image["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].clone();
    let id = snapshot.as_str().unwrap();
    let file = File::options()
        .write(true)
        .open(daemon.state().join(format!("snapshots/{id}.raw")));
    file.unwrap().write_all_at(&[0], 40 * MIB + 5).unwrap();
    let said = daemon.kiln(&["pool", "scrub", id]).output().unwrap();
    let table = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.code() == Some(1) && table.contains("damaged"), "{table}");
    let now = api.call("DescribeSnapshots", &json!({"SnapshotIds": [id]}));
    assert_eq!(now["Snapshots"][0]["State"], "error");
    let launch = json!({"ImageId": base, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
    let refused = api.refused("RunInstances", &launch);
    assert!(refused.message.contains("not what was written"), "{refused}");
}

#[test]
fn a_state_moves_into_a_pool_where_launches_snapshots_and_images_write_no_data() {
    let mut daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd")).stop_time_limit("1s").start();
    let (state, folder) = (daemon.state(), daemon.state().parent().unwrap().to_owned());
    let guests = tempfile::tempdir().unwrap();
    let base = import(&daemon, guests.path());
    let volume = daemon
        .run_kiln(&["volumes", "create", "1", "--name", "mine"])
        .trim()
        .to_owned();
    let config = guests.path().join("kiln.toml");
    fs::write(&config, format!("state_dir = {state:?}\n")).unwrap();
    let init = [
        "pool",
        "init",
        "1GiB",
        "--no-unit",
        "--config",
        config.to_str().unwrap(),
    ];

    let refused = daemon.kiln(&init).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && said.contains("kilnd runs"),
        "{said}"
    );
    daemon.stop();
    let _mounted = Mounted {
        place: state.clone(),
        folder: folder.clone(),
    };
    assert_eq!(daemon.run_kiln(&init).trim(), state.to_str().unwrap());
    assert!(folder.join("state-before-pool/kiln.db").exists());
    assert_eq!(
        daemon.run_kiln(&init).trim(),
        state.to_str().unwrap(),
        "nothing is done twice"
    );

    daemon.start();
    let pool: Value = serde_json::from_str(&daemon.run_kiln(&["pool", "--json"])).unwrap();
    assert_eq!(
        (&pool["FileSystem"], &pool["ClonesShareBlocks"]),
        (&json!("xfs"), &json!(true))
    );
    assert_eq!(pool["BackingFile"], folder.join("state-pool.xfs").to_str().unwrap());
    let snapshots = &pool["Uses"][0];
    assert_eq!(
        (&snapshots["Count"], &snapshots["SizeBytes"]),
        (&json!(1), &json!(8_u64 << 30))
    );
    let own = snapshots["OwnBytes"].as_u64().unwrap();
    assert!((DATA..DATA + 16 * MIB).contains(&own), "{snapshots}");
    assert_eq!(pool["Freeable"], json!([{"ResourceId": volume, "Bytes": 0}]));

    daemon.run_kiln(&["pool", "grow", "2GiB"]);
    let pool: Value = serde_json::from_str(&daemon.run_kiln(&["pool", "--json"])).unwrap();
    assert!(pool["SizeBytes"].as_u64().unwrap() > 1900 * MIB, "{pool}");
    println!("{}", daemon.run_kiln(&["pool"]));

    if has_kvm() {
        let copied = copy(&daemon, &state);
        let costs = costs(&daemon, &base, &state);
        show("a pool", &costs, &copied);
        for one in &costs {
            assert!(one.bytes < 4 * MIB, "{} wrote {} bytes", one.what, one.bytes);
        }
        println!("{}", daemon.run_kiln(&["pool"]));
    }
    daemon.run_kiln(&["volumes", "rm", "--yes", "mine"]);
    scrubs(&daemon, &base);
    clear(&daemon);
    daemon.finish();
}

#[test]
fn on_an_ext4_launches_snapshots_and_images_write_the_data_alone() {
    if !has_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap().keep();
    let (file, place) = (folder.join("ext4"), folder.join("mounted"));
    fs::create_dir(&place).unwrap();
    File::create(&file).unwrap().set_len(2 << 30).unwrap();
    // Its tables are there from the beginning: none are written later, by the kernel, into the count. Nothing is kept for root.
    let options = [
        "-q",
        "-F",
        "-m",
        "0",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
        file.to_str().unwrap(),
    ];
    run("mkfs.ext4", &options);
    let _mounted = Mounted {
        place: place.clone(),
        folder: folder.clone(),
    };
    run(
        "mount",
        &["-o", "loop", file.to_str().unwrap(), place.to_str().unwrap()],
    );
    let setup = Setup::new(env!("CARGO_BIN_EXE_kilnd")).stop_time_limit("1s");
    let daemon = setup.place(&place).start();
    let guests = tempfile::tempdir().unwrap();
    let base = import(&daemon, guests.path());
    let copied = copy(&daemon, &place);
    let costs = costs(&daemon, &base, &place);
    show("an ext4", &costs, &copied);
    fills_up(&daemon, &base, &place);
    for one in &costs {
        assert!(
            (DATA..DATA + 16 * MIB).contains(&one.bytes),
            "{} wrote {} bytes",
            one.what,
            one.bytes
        );
    }
    clear(&daemon);
    daemon.finish();
}
