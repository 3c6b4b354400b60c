//! Volumes, snapshots and images while their daemon and the machines that use them are killed at any moment: what was
//! answered is there, what is there is in a state that EC2 knows, and files and records are of one mind. With small guests of
//! our own on this host's `/dev/kvm`; where there is none this test says so.

use kiln_harness::{Api, Daemon, Setup, has_kvm, import_small_guest};
use kiln_images::formats::{Format, detect};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(90);
/// How often something is killed.
const KILLS: usize = 200;
/// How long after an operation began its daemon is killed at most, in microseconds: about half of them are answered by then.
const MOMENTS: usize = 60_000;

/// Numbers that a seed determines (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn of<'a>(&mut self, all: &'a [String]) -> Option<&'a String> {
        (!all.is_empty()).then(|| &all[self.below(all.len())])
    }
}

/// What there is of a kind, by what was answered.
#[derive(Default)]
struct Known {
    volumes: Vec<String>,
    snapshots: Vec<String>,
    images: Vec<String>,
    exports: Vec<String>,
}

struct Lab {
    daemon: Daemon,
    base: String,
    instance: String,
    known: Known,
    /// The files that exports were to write, by their tasks.
    exported: Vec<(String, File)>,
    random: Random,
    /// Of images, whose names must differ.
    count: usize,
}

impl Lab {
    fn new(seed: u64) -> Self {
        let daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd")).stop_time_limit("1s").start();
        let base = import_small_guest(&daemon, "wait", "base");
        let request = json!({"ImageId": base, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
        let instance = daemon.api().run(&request).remove(0);
        daemon.api().wait_for_state(&instance, "running", SOON);
        Self {
            daemon,
            base,
            instance,
            known: Known::default(),
            exported: Vec::new(),
            random: Random(seed),
            count: 0,
        }
    }

    fn api(&self) -> Api {
        self.daemon.api()
    }

    /// An operation at random.
    fn operation(&mut self) -> (&'static str, Value) {
        let volume = self.random.of(&self.known.volumes).cloned();
        let snapshot = self.random.of(&self.known.snapshots).cloned();
        let instance = self.instance.clone();
        match (self.random.below(12), volume, snapshot) {
            (0, _, Some(snapshot)) => (
                "CreateVolume",
                json!({"AvailabilityZone": "local-1a", "SnapshotId": snapshot}),
            ),
            (1, Some(volume), _) => ("DeleteVolume", json!({"VolumeId": volume})),
            (2, Some(volume), _) => {
                let device = format!(
                    "/dev/sd{}",
                    char::from(b'f' + u8::try_from(self.random.below(8)).unwrap())
                );
                (
                    "AttachVolume",
                    json!({"VolumeId": volume, "InstanceId": instance, "Device": device}),
                )
            }
            (3, Some(volume), _) => ("DetachVolume", json!({"VolumeId": volume, "Force": true})),
            (4, Some(volume), _) => (
                "ModifyVolume",
                json!({"VolumeId": volume, "Size": self.random.below(40) + 1}),
            ),
            (5 | 6, Some(volume), _) => ("CreateSnapshot", json!({"VolumeId": volume})),
            (7, _, Some(snapshot)) => ("DeleteSnapshot", json!({"SnapshotId": snapshot})),
            (8, _, _) => {
                self.count += 1;
                let (name, no_reboot) = (format!("image {}", self.count), self.random.below(2) == 0);
                (
                    "CreateImage",
                    json!({"InstanceId": instance, "Name": name, "NoReboot": no_reboot}),
                )
            }
            (9 | 10, _, _) => {
                let image = self.random.of(&self.known.images).unwrap_or(&self.base).clone();
                (
                    "ExportImage",
                    json!({"ImageId": image, "DiskImageFormat": "QCOW2", "Url": "fd:0"}),
                )
            }
            _ => ("CreateVolume", json!({"AvailabilityZone": "local-1a", "Size": 1})),
        }
    }

    /// Begins an operation, and kills the daemon or the machine somewhere in the middle of it, or just after.
    fn disturb(&mut self) {
        let (operation, request) = self.operation();
        let (api, named) = (self.api(), request.clone());
        let exported = (operation == "ExportImage").then(|| tempfile::tempfile().unwrap());
        let files: Vec<File> = exported.iter().map(|file| file.try_clone().unwrap()).collect();
        let asking = std::thread::spawn(move || api.attempt(operation, &named, &files));
        std::thread::sleep(Duration::from_micros(
            u64::try_from(self.random.below(MOMENTS)).unwrap(),
        ));
        let monitors = self.daemon.monitors();
        if self.random.below(8) == 0 && !monitors.is_empty() {
            for pid in monitors {
                // It may have ended by itself just now.
                let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
            }
            self.note(operation, &request, asking.join().unwrap(), exported);
            self.api().wait_for_state(&self.instance, "stopped", SOON);
            let start = json!({"InstanceIds": [self.instance]});
            self.api().call("StartInstances", &start);
        } else {
            self.daemon.kill();
            let answer = asking.join().unwrap();
            self.daemon.start();
            self.note(operation, &request, answer, exported);
        }
        self.is_as_it_was_answered();
    }

    /// Notes what an answer has promised.
    fn note(&mut self, operation: &str, request: &Value, answer: Option<Value>, exported: Option<File>) {
        let gone = |all: &mut Vec<String>, member: &str| all.retain(|id| request[member] != json!(id));
        // A deletion that got no answer may be done, or not.
        match operation {
            "DeleteVolume" => gone(&mut self.known.volumes, "VolumeId"),
            "DeleteSnapshot" => gone(&mut self.known.snapshots, "SnapshotId"),
            _ => {}
        }
        let Some(answer) = answer else { return };
        let id = |member: &str| answer[member].as_str().map(ToOwned::to_owned);
        match operation {
            "CreateVolume" => self.known.volumes.extend(id("VolumeId")),
            "CreateSnapshot" => self.known.snapshots.extend(id("SnapshotId")),
            "CreateImage" => self.known.images.extend(id("ImageId")),
            "ExportImage" => {
                self.known.exports.extend(id("ExportImageTaskId"));
                self.exported.extend(id("ExportImageTaskId").zip(exported));
            }
            _ => {}
        }
    }

    /// All that was answered is there, in a state that it may have.
    fn is_as_it_was_answered(&self) {
        for (operation, list, member, known, states) in [
            (
                "DescribeVolumes",
                "Volumes",
                "VolumeId",
                &self.known.volumes,
                &["creating", "available", "in-use"][..],
            ),
            (
                "DescribeSnapshots",
                "Snapshots",
                "SnapshotId",
                &self.known.snapshots,
                &["pending", "completed", "error"],
            ),
            (
                "DescribeImages",
                "Images",
                "ImageId",
                &self.known.images,
                &["pending", "available", "failed"],
            ),
            (
                "DescribeExportImageTasks",
                "ExportImageTasks",
                "ExportImageTaskId",
                &self.known.exports,
                &["active", "completed", "deleted"],
            ),
        ] {
            let all = self.api().call(operation, &json!({}));
            for id in known {
                let found = all[list]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|one| one[member] == json!(id));
                let found = found.unwrap_or_else(|| panic!("{id} was answered, and is not there"));
                let state = found.get("State").unwrap_or_else(|| &found["Status"]);
                assert!(states.iter().any(|one| state == *one), "{id} is {state}");
            }
        }
    }

    /// Waits until nothing is on its way any more.
    fn settle(&self) {
        let deadline = Instant::now() + SOON;
        let passing = ["creating", "deleting", "pending", "attaching", "detaching", "active"];
        loop {
            let all = [
                "DescribeVolumes",
                "DescribeSnapshots",
                "DescribeImages",
                "DescribeExportImageTasks",
            ];
            let all = all.map(|operation| self.api().call(operation, &json!({})).to_string());
            if !passing
                .iter()
                .any(|state| all.iter().any(|one| one.contains(&format!("\"{state}\""))))
            {
                return;
            }
            assert!(Instant::now() < deadline, "{all:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// There is a file for each volume and each completed snapshot, and no other.
    fn files_are_those_on_record(&self) {
        for (operation, list, member, folder) in [
            ("DescribeVolumes", "Volumes", "VolumeId", "volumes"),
            ("DescribeSnapshots", "Snapshots", "SnapshotId", "snapshots"),
        ] {
            let all = self.api().call(operation, &json!({}));
            let there = all[list]
                .as_array()
                .unwrap()
                .iter()
                .filter(|one| one["State"] != "error");
            let there: BTreeSet<String> = there
                .map(|one| format!("{}.raw", one[member].as_str().unwrap()))
                .collect();
            let files = std::fs::read_dir(self.daemon.state().join(folder)).unwrap();
            let files: BTreeSet<String> = files
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            assert_eq!(files, there, "{folder}");
        }
    }

    /// What an export that was completed has written is an image; gives how many there are of them.
    fn exports_are_whole(&self) -> usize {
        let all = self.api().call("DescribeExportImageTasks", &json!({}));
        let all = all["ExportImageTasks"].as_array().unwrap().iter();
        let completed: Vec<&Value> = all.filter(|task| task["Status"] == "completed").collect();
        let files = self.exported.iter();
        let files = files.filter(|(id, _)| completed.iter().any(|task| task["ExportImageTaskId"] == json!(id)));
        files
            .map(|(id, file)| assert_eq!(detect(file).unwrap(), Format::Qcow2.into(), "{id}"))
            .count()
    }

    fn finish(self) {
        let api = self.api();
        api.terminate(std::slice::from_ref(&self.instance));
        self.settle();
        let images = api.call("DescribeImages", &json!({}));
        let machines = images["Images"].as_array().unwrap().iter();
        // Their kernel goes with the last of them.
        for image in machines.filter(|image| image["ImageType"] == "machine") {
            let request = json!({"ImageId": image["ImageId"], "DeleteAssociatedSnapshots": true});
            api.call("DeregisterImage", &request);
        }
        for (describe, list, member, delete) in [
            ("DescribeVolumes", "Volumes", "VolumeId", "DeleteVolume"),
            ("DescribeSnapshots", "Snapshots", "SnapshotId", "DeleteSnapshot"),
        ] {
            for one in api.call(describe, &json!({}))[list].as_array().unwrap() {
                api.call(delete, &json!({member: one[member]}));
            }
        }
        self.daemon.finish();
    }
}

#[test]
fn nothing_of_what_was_answered_is_lost_whatever_is_killed_when() {
    if !has_kvm() {
        return;
    }
    let seed = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    println!("the seed is {seed}");
    let mut lab = Lab::new(seed);
    for _ in 0..KILLS {
        lab.disturb();
    }
    println!(
        "after {KILLS} kills there are {} volumes, {} snapshots and {} images of those that were answered, made of {}",
        lab.known.volumes.len(),
        lab.known.snapshots.len(),
        lab.known.images.len(),
        lab.base
    );
    lab.settle();
    lab.files_are_those_on_record();
    println!(
        "of {} exports {} were completed",
        lab.exported.len(),
        lab.exports_are_whole()
    );
    lab.finish();
}
