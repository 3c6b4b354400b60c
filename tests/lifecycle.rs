//! The life of instances through the daemon, with small guests of our own on this host's `/dev/kvm`: the ways down, the
//! ways to fail, and a daemon that is killed at any moment. Where there is no `/dev/kvm` these tests say so.

use kiln_harness::{Api, Daemon, Setup, has_kvm, import_small_guest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(90);

/// A daemon, and an image of it whose instances boot one of our guests.
struct Lab {
    daemon: Daemon,
    image: String,
    _folder: tempfile::TempDir,
}

/// The type of all instances here: it has disks of its own, which must go like all else.
const TYPES: &str = "[t3]\nthreads_per_core = 2\nsizes.nano = { vcpus = 2, memory_mib = 512, instance_store = { disks = 2, disk_gb = 1 } }\n";

impl Lab {
    fn new(guest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let types = folder.path().join("types.toml");
        std::fs::write(&types, TYPES).unwrap();
        let capacity = format!("[capacity]\nvcpu_overcommit = 32\ninstance_types = {types:?}\n");
        // Our guests know no power button: they are forced soon.
        let daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd"))
            .config(&format!("{capacity}[network]\npublic_pool = [\"203.0.113.8/30\"]\n"))
            .stop_time_limit("1s")
            .start();
        let image = import_small_guest(&daemon, guest, guest);
        Self {
            daemon,
            image,
            _folder: folder,
        }
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
fn the_status_checks_tell_a_machine_that_hangs_and_a_guest_that_has_no_address_yet() {
    if !has_kvm() {
        return;
    }
    let lab = Lab::new("wait");
    let id = lab.run(&json!({}));
    lab.reaches(&id, "running");
    let checks = || {
        let answer = lab.ask("DescribeInstanceStatus", &id, &json!({}));
        let status = answer["InstanceStatuses"][0].clone();
        let text = |check: &str| status[check]["Status"].as_str().unwrap().to_owned();
        let since = status["SystemStatus"]["Details"][0]["ImpairedSince"].clone();
        (text("SystemStatus"), text("InstanceStatus"), since)
    };
    let well = ("ok".into(), "initializing".into(), Value::Null);
    assert_eq!(checks(), well);
    let pid = Pid::from_raw(i32::try_from(lab.daemon.monitors()[0]).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let (system, instance, since) = checks();
    assert_eq!((system.as_str(), instance.as_str()), ("impaired", "insufficient-data"));
    assert!(since.is_string());
    assert_eq!(checks().2, since, "It is the same failure");
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(checks(), well);
    lab.finish(&[id]);
}

#[test]
fn a_public_address_is_routed_to_the_instance_that_has_it() {
    if !has_kvm() {
        return;
    }
    let lab = Lab::new("wait");
    let id = lab.run(&json!({}));
    lab.reaches(&id, "running");
    let Some(host) = lab.daemon.network() else { return };
    let routed = || host.ask(&["ip", "route", "show", "203.0.113.10"]).contains("dev kiln");
    let api = lab.api();
    let allocation = api.call("AllocateAddress", &json!({"Address": "203.0.113.10"}))["AllocationId"].clone();
    let associate = || {
        api.call(
            "AssociateAddress",
            &json!({"AllocationId": allocation, "InstanceId": id}),
        )
    };
    let association = associate();
    assert!(routed());
    assert_eq!(api.instance(&id)["PublicIpAddress"], "203.0.113.10");
    api.call("DisassociateAddress", &association);
    assert!(!routed());
    assert_eq!(api.instance(&id)["PublicIpAddress"], Value::Null);
    associate();
    lab.ask("StopInstances", &id, &json!({"Force": true}));
    lab.reaches(&id, "stopped");
    assert!(!routed());
    lab.ask("StartInstances", &id, &json!({}));
    lab.reaches(&id, "running");
    assert!(routed());
    api.terminate(std::slice::from_ref(&id));
    assert!(!routed());
    api.call("ReleaseAddress", &json!({"AllocationId": allocation}));
    lab.finish(&[]);
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

/// Numbers that a seed determines (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// A VPC with the block that the other one has, too, and its subnet.
fn vpc(api: &Api) -> (Value, Value) {
    let vpc = api.call("CreateVpc", &json!({"CidrBlock": "10.0.0.0/16"}))["Vpc"]["VpcId"].clone();
    let subnet = api.call("CreateSubnet", &json!({"VpcId": vpc, "CidrBlock": "10.0.1.0/24"}));
    (vpc, subnet["Subnet"]["SubnetId"].clone())
}

/// Does one thing at random; what does not fit the state of an instance is refused, and that is fine.
fn disturb(lab: &mut Lab, random: &mut Random, subnets: &[Value], live: &mut Vec<String>) {
    let api = lab.api();
    let chosen = (!live.is_empty()).then(|| live[random.below(live.len())].clone());
    let ids = json!({"InstanceIds": [chosen]});
    match (random.below(12), chosen) {
        (0..=4, _) | (_, None) if live.len() < 4 => {
            live.push(lab.run(&json!({"SubnetId": subnets[random.below(subnets.len())]})));
        }
        (5..=6, Some(id)) => {
            api.call("TerminateInstances", &ids);
            live.retain(|other| *other != id);
        }
        (7, _) => drop(api.try_call("StopInstances", &ids, &[])),
        (8, _) => drop(api.try_call("StartInstances", &ids, &[])),
        (9, _) => {
            let group = &api.call("DescribeSecurityGroups", &json!({}))["SecurityGroups"][0]["GroupId"];
            let port = random.below(1000) + 1;
            let rule =
                json!({"GroupId": group, "IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": "0.0.0.0/0"});
            drop(api.try_call("AuthorizeSecurityGroupIngress", &rule, &[]));
        }
        (10, _) => {
            if let Some(&pid) = lab.daemon.monitors().first() {
                // It may have ended by itself just now.
                let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
            }
        }
        _ => {
            lab.daemon.kill();
            lab.daemon.start();
        }
    }
}

#[test]
fn the_host_is_as_it_was_after_a_hundred_random_launches_changes_and_kills() {
    if !has_kvm() {
        return;
    }
    let mut lab = Lab::new("wait");
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    println!("the seed is {seed}");
    let mut random = Random(u64::try_from(seed).unwrap());
    let (vpcs, subnets): (Vec<_>, Vec<_>) = [vpc(&lab.api()), vpc(&lab.api())].into_iter().unzip();
    let mut live = Vec::new();
    for _ in 0..100 {
        disturb(&mut lab, &mut random, &subnets, &mut live);
    }
    let api = lab.api();
    if !live.is_empty() {
        api.call("TerminateInstances", &json!({"InstanceIds": live}));
    }
    api.events().until(SOON, "all instances to be terminated", || {
        let described = api.call("DescribeInstances", &json!({}));
        let reservations = described["Reservations"].as_array().unwrap();
        let mut instances = reservations.iter().flat_map(|one| one["Instances"].as_array().unwrap());
        instances.all(|one| one["State"]["Name"] == "terminated").then_some(())
    });
    for (subnet, vpc) in subnets.iter().zip(&vpcs) {
        api.call("DeleteSubnet", &json!({"SubnetId": subnet}));
        api.call("DeleteVpc", &json!({"VpcId": vpc}));
    }
    lab.finish(&[]);
}
