//! The daemon asked by EC2's own clients, each the real program, over the query endpoint. Instances are small guests of our
//! own on this host's `/dev/kvm`; where there is none these tests say so.
//!
//! `tests/clients/programs` makes the programs, `tests/clients/*` are what they are told to do.

use kiln_harness::{Daemon, Setup, has_kvm, import_small_guest};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Where Python's programs are.
fn programs() -> PathBuf {
    let output = Command::new(scripts().join("programs")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}{errors}");
    PathBuf::from(said.trim())
}

/// A daemon with a query endpoint, and an image whose instances boot one of our guests.
struct Asked {
    daemon: Daemon,
    image: String,
    environment: Vec<(String, String)>,
    _home: TempDir,
}

impl Asked {
    fn new() -> Self {
        // Clients look every quarter of a minute.
        Self::with("", "1m")
    }

    /// With more lines of configuration; terminated instances are described for so long.
    fn with(config: &str, terminated_retention: &'static str) -> Self {
        let daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd"))
            .config("[ec2]\nlisten = \"127.0.0.1:8773\"\n[capacity]\nvcpu_overcommit = 32\n")
            .config(config)
            // Our guests know no power button: they are forced soon.
            .stop_time_limit("1s")
            .terminated_retention(terminated_retention)
            .loopback()
            .start();
        let home = tempfile::tempdir().unwrap();
        let image = import_small_guest(&daemon, "wait", "wait");
        let env = daemon
            .kiln(&["env", "--json"])
            .env("XDG_CONFIG_HOME", home.path())
            .output()
            .unwrap();
        assert!(env.status.success(), "{}", String::from_utf8_lossy(&env.stderr));
        let env: Value = serde_json::from_slice(&env.stdout).unwrap();
        let variables = env.as_object().unwrap().iter();
        let environment = variables
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .chain([("HOME".to_owned(), home.path().to_str().unwrap().to_owned())])
            .collect();
        Self {
            daemon,
            image,
            environment,
            _home: home,
        }
    }

    /// Runs a program where the endpoint is; it must succeed. The operations that it asked for are on the client's page.
    #[track_caller]
    fn tell(&self, client: &str, program: &Path, arguments: &[&str]) {
        let before = self.daemon.log().len();
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment.iter().cloned());
        if let Some(network) = self.daemon.network() {
            network.put(&mut command);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command:?}: {said}");
        print!("{said}");
        is_written_down(client, &operations(&self.daemon.log()[before..]));
    }

    /// Runs a script of Python's.
    #[track_caller]
    fn tell_python(&self, client: &str, script: &str) {
        let script = scripts().join(script);
        self.tell(
            client,
            &programs().join("python"),
            &[script.to_str().unwrap(), &self.image],
        );
    }

    fn finish(self) {
        self.daemon.run_kiln(&["images", "rm", "--yes", &self.image]);
        self.daemon.finish();
    }
}

/// The operations of EC2's that the daemon carried out, by its log.
fn operations(log: &str) -> BTreeSet<&str> {
    let done = log.lines().filter(|line| line.contains("kiln::wire::dispatch: Done"));
    done.filter_map(|line| line.split("operation=\"").nth(1)?.split('"').next())
        .collect()
}

/// Holds a client's page against what it asked for: docs/operations.md is made of these pages.
#[track_caller]
fn is_written_down(client: &str, operations: &BTreeSet<&str>) {
    let path = scripts().join("operations").join(client);
    let text: String = operations.iter().map(|operation| format!("{operation}\n")).collect();
    if fs::read_to_string(&path).unwrap_or_default() != text {
        fs::write(&path, text).unwrap();
        panic!(
            "{} was stale; it is written anew and wants to be committed",
            path.display()
        );
    }
}

#[test]
fn the_aws_cli_leads_an_instance_through_its_life() {
    if !has_kvm() {
        return;
    }
    let programs = programs();
    let asked = Asked::new();
    // Version 1, and Debian's version 2.
    for aws in [programs.join("aws"), PathBuf::from("/usr/bin/aws")] {
        asked.tell(
            "aws-cli",
            &scripts().join("aws-cli"),
            &[aws.to_str().unwrap(), &asked.image],
        );
    }
    asked.finish();
}

#[test]
fn boto3_waits_for_all_that_it_can_wait_for() {
    if !has_kvm() {
        return;
    }
    let asked = Asked::new();
    asked.tell_python("boto3", "waiters.py");
    asked.finish();
}

#[test]
fn boto3_writes_compares_and_reads_snapshots_block_by_block() {
    if !has_kvm() {
        return;
    }
    let asked = Asked::new();
    asked.tell_python("boto3-ebs", "ebs.py");
    asked.finish();
}

#[test]
fn boto3_is_answered_and_refused_as_by_ec2_by_each_family_of_operations() {
    if !has_kvm() {
        return;
    }
    let asked = Asked::with("[network]\npublic_pool = [\"203.0.113.16/28\"]\n", "5s");
    asked.tell_python("boto3-tour", "tour");
    asked.finish();
}

#[test]
fn terraforms_resources_are_made_read_changed_and_deleted() {
    if !has_kvm() {
        return;
    }
    let asked = Asked::new();
    asked.tell_python("terraform", "terraform.py");
    asked.finish();
}

#[test]
fn ansible_brings_an_instance_into_each_state_and_finds_it_there() {
    if !has_kvm() {
        return;
    }
    let asked = Asked::new();
    let playbook = scripts().join("ansible.yml");
    let image = format!("image={}", asked.image);
    asked.tell(
        "ansible",
        &programs().join("ansible-playbook"),
        &[
            "--inventory",
            "localhost,",
            "--extra-vars",
            &image,
            playbook.to_str().unwrap(),
        ],
    );
    asked.finish();
}

#[test]
fn packer_makes_an_image_and_leaves_nothing_else() {
    if !has_kvm() {
        return;
    }
    programs();
    let asked = Asked::new();
    let template = scripts().join("image.pkr.hcl");
    let variables = packer_variables(&asked.environment, &asked.image, "golden");
    let mut words = vec!["build", "-color=false", "-only=small.*"];
    words.extend(variables.iter().map(String::as_str));
    words.push(template.to_str().unwrap());
    asked.tell("packer", Path::new("/usr/bin/packer"), &words);

    let api = asked.daemon.api();
    let named = json!({"Filters": [{"Name": "name", "Values": ["golden"]}]});
    let golden = &api.call("DescribeImages", &named)["Images"][0];
    let tags = json!([{"Key": "stage", "Value": "golden"}]);
    assert_eq!(
        (&golden["State"], &golden["Tags"], &golden["Description"]),
        (&json!("available"), &tags, &json!("made by Packer"))
    );
    let snapshot = json!({"SnapshotIds": [golden["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]]});
    let snapshot = api.call("DescribeSnapshots", &snapshot);
    assert_eq!(snapshot["Snapshots"][0]["Tags"], tags);
    for (operation, found) in [("DescribeKeyPairs", "KeyPairs"), ("DescribeVolumes", "Volumes")] {
        assert_eq!(api.call(operation, &json!({}))[found], json!([]));
    }
    let groups = api.call("DescribeSecurityGroups", &json!({}));
    assert_eq!(groups["SecurityGroups"].as_array().unwrap().len(), 1, "{groups}");
    asked.daemon.run_kiln(&["images", "rm", "--yes", "golden"]);
    asked.finish();
}

/// What the template of Packer's builds is to be told.
fn packer_variables(environment: &[(String, String)], image: &str, name: &str) -> Vec<String> {
    let value = |name: &str| environment.iter().find(|(key, _)| key == name).unwrap().1.as_str();
    let told = [
        ("endpoint", value("AWS_ENDPOINT_URL")),
        ("region", value("AWS_REGION")),
        ("image", image),
        ("name", name),
    ];
    told.map(|(name, value)| format!("-var={name}={value}")).into()
}
