//! The life of instances through the daemon, with small guests of our own on this host's `/dev/kvm`: the ways down, the
//! ways to fail, and a daemon that is killed at any moment. Where there is no `/dev/kvm` these tests say so.

use kiln_harness::{Api, Daemon, Setup, has_kvm, small_guest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::File;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(90);

/// A daemon, and an image of it whose instances boot one of our guests.
struct Lab {
    daemon: Daemon,
    image: String,
}

impl Lab {
    fn new(guest: &str) -> Self {
        // Our guests know no power button: they are forced soon.
        let daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd"))
            .config("[capacity]\nvcpu_overcommit = 32\n")
            .stop_time_limit("1s")
            .start();
        let folder = tempfile::tempdir().unwrap();
        let kernel = small_guest(guest, folder.path());
        let disk = folder.path().join("disk");
        File::create(&disk).unwrap().set_len(1 << 20).unwrap();
        let (disk, kernel) = (disk.to_str().unwrap(), kernel.to_str().unwrap());
        let import = [
            "import",
            disk,
            "--format",
            "raw",
            "--name",
            guest,
            "--kernel",
            kernel,
            "--command-line",
            "x=1",
        ];
        let image = daemon.run_kiln(&import).trim().to_owned();
        Self { daemon, image }
    }

    fn api(&self) -> Api {
        self.daemon.api()
    }

    fn run(&self, more: &Value) -> String {
        let mut request = json!({"ImageId": self.image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
        for (key, value) in more.as_object().unwrap() {
            request[key] = value.clone();
        }
        self.api().run(&request).remove(0)
    }

    fn ask(&self, operation: &str, id: &str, more: &Value) -> Value {
        let mut request = json!({"InstanceIds": [id]});
        for (key, value) in more.as_object().unwrap() {
            request[key] = value.clone();
        }
        self.api().call(operation, &request)
    }

    /// Waits for a state; gives the code of its reason.
    fn reaches(&self, id: &str, state: &str) -> String {
        let instance = self.api().wait_for_state(id, state, SOON);
        instance["StateReason"]["Code"].as_str().unwrap_or_default().to_owned()
    }

    fn finish(self, ids: &[String]) {
        if !ids.is_empty() {
            self.api().terminate(ids);
        }
        self.daemon.run_kiln(&["images", "rm", "--yes", &self.image]);
        self.daemon.finish();
    }
}

#[test]
fn an_instance_whose_monitor_is_killed_is_stopped_with_a_reason_and_starts_again() {
    if !has_kvm() {
        return;
    }
    let lab = Lab::new("wait");
    let id = lab.run(&json!({"InstanceInitiatedShutdownBehavior": "terminate"}));
    lab.reaches(&id, "running");
    let pid = i32::try_from(lab.daemon.monitors()[0]).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert_eq!(lab.reaches(&id, "stopped"), "Server.InternalError");
    lab.ask("StartInstances", &id, &json!({}));
    lab.reaches(&id, "running");
    lab.finish(&[id]);
}

#[test]
fn a_guest_that_crashes_is_stopped_and_its_last_words_are_the_reason() {
    if !has_kvm() {
        return;
    }
    let lab = Lab::new("crash");
    let id = lab.run(&json!({}));
    assert_eq!(lab.reaches(&id, "stopped"), "Server.InternalError");
    let instance = lab.api().instance(&id);
    let message = instance["StateReason"]["Message"].as_str().unwrap();
    assert!(message.contains("crashed") && message.contains("rax"), "{message}");
    lab.finish(&[id]);
}

#[test]
fn a_guest_that_powers_itself_off_is_terminated_if_that_was_asked_for() {
    if !has_kvm() {
        return;
    }
    let lab = Lab::new("hello");
    let id = lab.run(&json!({"InstanceInitiatedShutdownBehavior": "terminate"}));
    assert_eq!(lab.reaches(&id, "terminated"), "Client.InstanceInitiatedShutdown");
    assert_eq!(lab.api().call("DescribeVolumes", &json!({})), json!({"Volumes": []}));
    lab.finish(&[]);
}

#[test]
fn a_deaf_guest_is_stopped_by_force_after_the_time_limit_or_at_once_if_asked() {
    if !has_kvm() {
        return;
    }
    let lab = Lab::new("wait");
    let id = lab.run(&json!({}));
    lab.reaches(&id, "running");
    let answer = lab.ask("StopInstances", &id, &json!({}));
    assert_eq!(answer["StoppingInstances"][0]["CurrentState"]["Name"], "stopping");
    assert_eq!(lab.reaches(&id, "stopped"), "Client.UserInitiatedShutdown");
    lab.ask("StartInstances", &id, &json!({}));
    lab.reaches(&id, "running");
    lab.ask("StopInstances", &id, &json!({"Force": true}));
    assert_eq!(lab.reaches(&id, "stopped"), "Client.UserInitiatedShutdown");
    lab.finish(&[id]);
}

#[test]
fn a_deaf_guest_is_reset_by_a_reboot_and_stays_running() {
    if !has_kvm() {
        return;
    }
    let lab = Lab::new("wait");
    let id = lab.run(&json!({}));
    lab.reaches(&id, "running");
    let mut console = lab.api().console(&id);
    console.wait_for("ready", SOON);
    lab.ask("RebootInstances", &id, &json!({}));
    console.wait_for("ready", SOON);
    assert_eq!(lab.api().state(&id), "running");
    lab.finish(&[id]);
}

#[test]
fn an_instance_is_terminated_while_it_is_pending_and_nothing_is_left() {
    if !has_kvm() {
        return;
    }
    let lab = Lab::new("wait");
    let ids: Vec<String> = (0..3).map(|_| lab.run(&json!({}))).collect();
    lab.finish(&ids);
}

#[test]
fn whatever_the_moment_the_daemon_is_killed_what_it_had_answered_comes_true_and_nothing_is_left() {
    if !has_kvm() {
        return;
    }
    let mut lab = Lab::new("wait");
    let mut ids = Vec::new();
    for round in 0..8 {
        ids.push(lab.run(&json!({"ClientToken": format!("round-{round}")})));
        if round % 3 == 2 {
            lab.ask("TerminateInstances", &ids[round - 1], &json!({}));
        }
        // Somewhere between the answer and the running guest.
        std::thread::sleep(Duration::from_millis(u64::try_from(round).unwrap() * 15));
        lab.daemon.kill();
        lab.daemon.start();
        // The token outlives the daemon: asking again launches nothing.
        assert_eq!(lab.run(&json!({"ClientToken": format!("round-{round}")})), ids[round]);
    }
    let (gone, alive): (Vec<_>, Vec<_>) = ids
        .into_iter()
        .enumerate()
        .partition(|(round, _)| round % 3 == 1 && *round < 7);
    let alive: Vec<String> = alive.into_iter().map(|(_, id)| id).collect();
    for id in &alive {
        lab.reaches(id, "running");
    }
    // Terminated ones are forgotten after a while, some maybe by now.
    lab.api().events().until(SOON, "the terminated ones to be so", || {
        let all = lab.api().call(
            "DescribeInstances",
            &json!({"Filters": [{"Name": "instance-state-name", "Values": ["p*", "r*", "s*"]}]}),
        );
        let ids = all.to_string();
        gone.iter().all(|(_, id)| !ids.contains(id.as_str())).then_some(())
    });
    lab.finish(&alive);
}
