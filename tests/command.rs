//! The command `kiln` against a real daemon and a small guest, as a user and a script see it.

use kiln_harness::{Daemon, Setup, has_kvm, small_guest};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// A daemon whose guests are forced off at once: small ones have no power button.
fn daemon() -> Daemon {
    Setup::new(env!("CARGO_BIN_EXE_kilnd"))
        .config("[network]\npublic_pool = [\"203.0.113.8/30\"]\n")
        .stop_time_limit("1s")
        .start()
}

/// Imports a small guest as an image; its kernel comes along, its disk is empty.
fn import(daemon: &Daemon, guest: &str, name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (kernel, disk) = (small_guest(guest, folder.path()), folder.path().join("disk.raw"));
    File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    let (kernel, disk) = (kernel.to_str().unwrap(), disk.to_str().unwrap());
    let image = daemon.run_kiln(&["import", disk, "--name", name, "--kernel", kernel]);
    image.trim().to_string()
}

/// Runs the command; its exit status and what it said on standard error.
fn failure(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = daemon.kiln(arguments).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn an_instance_lives_by_the_command_alone() {
    if !has_kvm() {
        return;
    }
    let daemon = daemon();
    let image = import(&daemon, "wait", "waiting");
    assert!(image.starts_with("ami-"), "{image}");
    assert!(daemon.run_kiln(&["images"]).contains("waiting"));

    let id = daemon.run_kiln(&["run", "waiting", "--name", "one", "--type", "t3.nano"]);
    let id = id.trim();
    assert_eq!(daemon.run_kiln(&["ps", "-q"]).trim(), id);
    let listed = daemon.run_kiln(&["ps"]);
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    // The pool has an address for it.
    assert_eq!(
        (&row[..3], &row[4..7]),
        (&[id, "one", "running"][..], &["203.0.113.9", "t3.nano", "waiting"][..])
    );
    assert!(row[3].starts_with("172.31."), "{listed}");

    talk(&daemon, "one");
    assert!(daemon.run_kiln(&["logs", "one"]).contains("ready"));
    let steps = daemon.run_kiln(&["timeline", &id[..8]]);
    for stage in ["request", "volume", "monitor", "kernel"] {
        assert!(steps.contains(stage), "{steps}");
    }

    assert_eq!(daemon.run_kiln(&["addresses", "allocate"]).trim(), "203.0.113.10");
    daemon.run_kiln(&["addresses", "associate", "203.0.113.10", "one"]);
    assert!(daemon.run_kiln(&["ps"]).contains("203.0.113.10"));
    assert!(daemon.run_kiln(&["addresses"]).contains(id));
    daemon.run_kiln(&["addresses", "disassociate", "203.0.113.10"]);
    daemon.run_kiln(&["addresses", "release", "203.0.113.10"]);
    assert_eq!(daemon.run_kiln(&["addresses", "-q"]), "");

    let why = daemon.kiln(&["why", "one"]).output().unwrap();
    let why = String::from_utf8(why.stdout).unwrap();
    for step in [
        "PASS  state",
        "FAIL  boot",
        "FAIL  lease",
        "PASS  groups",
        "PASS  network ACL",
    ] {
        assert!(why.contains(step), "{why}");
    }

    assert_eq!(daemon.run_kiln(&["stop", "--force", "one"]).trim(), id);
    let (status, said) = failure(&daemon, &["why", "one"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("one can't be reached"), "{said}");
    assert_eq!(daemon.api().state(id), "stopped");
    assert_eq!(daemon.run_kiln(&["start", "one"]).trim(), id);
    daemon.run_kiln(&["tag", "one", "Name=two", "stage=test"]);
    daemon.run_kiln(&["untag", "two", "stage"]);
    assert_eq!(
        daemon.api().instance(id)["Tags"],
        json!([{"Key": "Name", "Value": "two"}])
    );
    assert_eq!(daemon.run_kiln(&["reboot", "two"]).trim(), id);

    assert_eq!(daemon.run_kiln(&["rm", "--yes", "two"]).trim(), id);
    assert_eq!(daemon.run_kiln(&["ps", "-q"]), "");
    assert_eq!(daemon.run_kiln(&["ps", "-aq"]).trim(), id);
    daemon.run_kiln(&["images", "rm", "--yes", "waiting"]);
    daemon.finish();
}

/// Types at the console and waits for the guest to say it back.
fn talk(daemon: &Daemon, name: &str) {
    let mut console = daemon.kiln(&["console", name]);
    let mut console = console.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = String::new();
    let mut stdout = console.stdout.take().unwrap();
    let mut until = |wanted: &str| {
        let mut byte = [0];
        while !seen.contains(wanted) {
            stdout.read_exact(&mut byte).unwrap();
            seen.push(char::from(byte[0]));
        }
    };
    until("ready");
    console.stdin.as_mut().unwrap().write_all(b"kiln!").unwrap();
    until("kiln!");
    // The escape leaves; the guest runs on.
    console.stdin.as_mut().unwrap().write_all(b"\x1d").unwrap();
    assert!(console.wait().unwrap().success());
}

#[test]
fn failures_have_exit_statuses_that_scripts_can_tell_apart() {
    if !has_kvm() {
        return;
    }
    let daemon = daemon();
    let image = import(&daemon, "wait", "waiting");

    let (status, said) = failure(&daemon, &["run", "wating"]);
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("did you mean waiting?"), "{said}");
    let (status, said) = failure(&daemon, &["run", "waiting", "--type", "r5.8xlarge"]);
    assert_eq!(status, Some(5), "{said}");
    assert!(
        said.contains("InsufficientInstanceCapacity") && said.contains("request: "),
        "{said}"
    );
    let (status, said) = failure(&daemon, &["import", "/no/such/disk"]);
    assert_eq!(status, Some(3), "{said}");

    let ids = daemon.run_kiln(&["run", "waiting", "--count", "2", "--name", "twin", "--type", "t3.nano"]);
    let ids: Vec<&str> = ids.split_whitespace().collect();
    let (status, said) = failure(&daemon, &["stop", "twin"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(ids.iter().all(|id| said.contains(id)), "{said}");
    let (status, said) = failure(&daemon, &["wait", ids[0], "--for", "login", "--timeout", "300ms"]);
    assert_eq!(status, Some(4), "{said}");
    let (status, said) = failure(&daemon, &["rm", ids[0]]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("say --yes"), "{said}");
    assert_eq!(daemon.api().state(ids[0]), "running");

    daemon.run_kiln(&["stop", "--force", ids[0]]);
    let (status, said) = failure(&daemon, &["wait", ids[0], "--for", "login"]);
    assert_eq!(status, Some(1), "{said}");
    daemon.run_kiln(&["rm", "--yes", ids[0], ids[1]]);
    daemon.run_kiln(&["images", "rm", "--yes", &image]);
    daemon.finish();
}

#[test]
fn a_volume_lives_by_the_command_alone() {
    if !has_kvm() {
        return;
    }
    let daemon = daemon();
    import(&daemon, "wait", "waiting");
    let kiln = |arguments: &[&str]| daemon.run_kiln(arguments).trim().to_owned();
    let id = kiln(&["run", "waiting", "--name", "one", "--type", "t3.nano"]);
    let root = kiln(&["volumes", "-q"]);
    let data = kiln(&["volumes", "create", "2", "--name", "data"]);
    assert_eq!(kiln(&["volumes", "attach", "data", "one"]), "/dev/sdf");
    assert_eq!(kiln(&["volumes", "grow", "data", "3"]), data);
    let listed = kiln(&["volumes"]);
    let of = |volume: &str| listed.lines().find(|line| line.starts_with(volume)).unwrap().to_owned();
    for part in ["data", "3 GiB", "in-use", &id, "/dev/sdf"] {
        assert!(of(&data).contains(part), "{listed}");
    }
    assert!(of(&root).contains("/dev/sda1"), "{listed}");

    let snapshot = kiln(&["snapshots", "create", "data", "--description", "first"]);
    let shown = kiln(&["snapshots"]);
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with(&snapshot) && line.contains("first")),
        "{shown}"
    );
    let golden = kiln(&["images", "create", "one", "golden", "--no-reboot"]);
    assert!(
        kiln(&["images"])
            .lines()
            .any(|line| line.starts_with(&golden) && line.contains("available"))
    );

    // This guest lets go of nothing by itself.
    assert_eq!(kiln(&["volumes", "detach", "data", "--force"]), data);
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_free = || {
        kiln(&["volumes"])
            .lines()
            .any(|line| line.starts_with(&data) && line.contains("available"))
    };
    while !is_free() {
        assert!(Instant::now() < deadline, "{}", kiln(&["volumes"]));
    }
    let (status, said) = failure(&daemon, &["volumes", "rm", "nothing", "--yes"]);
    assert!(status == Some(3) && said.contains("kiln volumes lists"), "{said}");
    kiln(&["volumes", "rm", "data", "--yes"]);
    kiln(&["rm", "--yes", "one"]);
    kiln(&["images", "rm", "--yes", "golden", "waiting"]);
    kiln(&["snapshots", "rm", "--yes", &snapshot]);
    daemon.finish();
}

#[test]
fn json_is_the_apis_own_answer() {
    if !has_kvm() {
        return;
    }
    let daemon = daemon();
    import(&daemon, "hello", "hello");
    let printed = |arguments: &[&str]| -> Value { serde_json::from_str(&daemon.run_kiln(arguments)).unwrap() };
    let api = daemon.api();
    assert_eq!(printed(&["images", "--json"]), api.call("DescribeImages", &json!({})));
    assert_eq!(
        printed(&["types", "--json"]),
        api.call("DescribeInstanceTypes", &json!({}))
    );
    let launched = printed(&["run", "hello", "--json", "--no-wait"]);
    let id = launched["Instances"][0]["InstanceId"].as_str().unwrap().to_string();
    // The guest says hello and powers off, so the instance stops by itself.
    daemon.run_kiln(&["wait", &id, "--for", "stopped"]);
    assert_eq!(printed(&["ps", "--json"]), api.call("DescribeInstances", &json!({})));
    let output = printed(&["logs", "--json", &id]);
    assert_eq!(output["InstanceId"], id.as_str());
    assert!(daemon.run_kiln(&["logs", &id]).starts_with("Hello from a guest"));
    assert_eq!(
        printed(&["rm", "--yes", "--json", &id])["TerminatingInstances"][0]["InstanceId"],
        id.as_str()
    );
    daemon.run_kiln(&["images", "rm", "--yes", "hello"]);
    daemon.finish();
}

/// Bytes that don't compress well.
fn noise(len: u64) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

#[test]
fn an_image_comes_out_as_it_went_in_and_no_part_of_it_is_left() {
    let daemon = daemon();
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let disk = folder.path().join("small.raw");
    std::fs::write(&disk, [noise(300_000), vec![0; 4 << 20], noise(512 * 100)].concat()).unwrap();
    File::options()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(6 << 20)
        .unwrap();
    let original = std::fs::read(&disk).unwrap();
    daemon.run_kiln(&["import", disk.to_str().unwrap(), "--format", "raw"]);
    for format in ["raw", "qcow2", "vmdk", "vhd"] {
        let (file, again) = (path(&format!("a.{format}")), path("again.img"));
        assert_eq!(daemon.run_kiln(&["export", "small", &file]).trim(), file);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o600, 0o600);
        daemon.run_kiln(&["import", &file, "--name", format, "--format", format]);
        daemon.run_kiln(&["export", format, &again]);
        assert!(std::fs::read(&again).unwrap() == original, "{format} is another disk");
        for file in [&file, &again] {
            std::fs::remove_file(file).unwrap();
        }
        daemon.run_kiln(&["images", "rm", "--yes", format]);
    }

    let there = path("there.qcow2");
    std::fs::write(&there, "mine").unwrap();
    for (arguments, status, word) in [
        (&["export", "small", there.as_str()][..], 1, "--force"),
        (&["export", "smal1", &path("x.raw")], 3, "did you mean small?"),
        (&["export", "small", &path("x.iso")], 2, "--format"),
        (&["export", "small", &path("none/x.raw")], 3, "none/x.raw"),
    ] {
        let (ended, said) = failure(&daemon, arguments);
        assert_eq!(ended, Some(status), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
    let task = daemon.run_kiln(&["export", "small", &there, "--force", "--json"]);
    let task: Value = serde_json::from_str(&task).unwrap();
    assert_eq!(task["Status"], "completed");
    assert!(std::fs::read(&there).unwrap().starts_with(b"QFI"));
    std::fs::remove_file(&there).unwrap();

    is_interrupted(&daemon, folder.path(), &path("large.vmdk"));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "something is left");
    daemon.run_kiln(&["images", "rm", "--yes", "small", "large"]);
    daemon.finish();
}

/// Interrupts an export in the middle.
fn is_interrupted(daemon: &Daemon, folder: &std::path::Path, file: &str) {
    let large = folder.join("large.raw");
    std::fs::write(&large, noise(128 << 20)).unwrap();
    daemon.run_kiln(&["import", large.to_str().unwrap(), "--format", "raw"]);
    let mut export = daemon.kiln(&["export", "large", file]);
    let export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let tasks = |state: &str| {
        let filter = json!({"Filters": [{"Name": "task-state", "Values": [state]}]});
        let answer = daemon.api().call("DescribeExportImageTasks", &filter);
        answer["ExportImageTasks"].as_array().unwrap().len()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while tasks("active") == 0 {
        assert!(Instant::now() < deadline, "no export is under way");
    }
    let pid = rustix::process::Pid::from_child(&export);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = export.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("was interrupted") && output.stdout.is_empty(), "{said}");
    while tasks("deleted") != 1 {
        assert!(Instant::now() < deadline, "the task goes on");
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let daemon = daemon();
    let mut child = daemon
        .kiln(&["types"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    daemon.finish();
}

#[test]
fn a_daemon_that_is_not_there_has_an_exit_status_of_its_own() {
    let mut daemon = daemon();
    daemon.stop();
    let (status, said) = failure(&daemon, &["ps"]);
    assert_eq!(status, Some(6), "{said}");
    assert!(said.contains("systemctl start kilnd"), "{said}");
}

#[test]
fn a_private_key_is_in_its_owners_new_file_alone() {
    let daemon = daemon();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ci.pem");
    let path = file.to_str().unwrap();
    let id = daemon.run_kiln(&["keys", "create", "ci", path]);
    assert!(id.starts_with("key-"), "{id}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let private = std::fs::read_to_string(&file).unwrap();
    assert!(private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));

    // Neither a file that is there nor one that would stay empty is touched.
    let (status, _) = failure(&daemon, &["keys", "create", "other", path]);
    assert_eq!(status, Some(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), private);
    let second = folder.path().join("again.pem");
    let (status, said) = failure(&daemon, &["keys", "create", "ci", second.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(said.contains("InvalidKeyPair.Duplicate"), "{said}");
    assert!(!second.exists());

    let (status, said) = failure(&daemon, &["keys", "import", "mine", path]);
    assert_eq!(status, Some(2));
    assert!(said.contains("private key"), "{said}");
    assert!(daemon.run_kiln(&["keys"]).contains("ed25519"));
    assert_eq!(daemon.run_kiln(&["keys", "rm", "--yes", "ci"]).trim(), "ci");
    assert_eq!(failure(&daemon, &["keys", "rm", "--yes", "ci"]).0, Some(3));
    assert_eq!(daemon.run_kiln(&["keys", "-q"]), "");
}

#[test]
fn the_default_vpc_and_its_subnet_are_listed() {
    let daemon = daemon();
    let vpc = daemon.run_kiln(&["vpcs", "-q"]).trim().to_string();
    assert!(vpc.starts_with("vpc-") && !vpc.contains('\n'), "{vpc}");
    assert!(daemon.run_kiln(&["vpcs"]).contains("/16"));
    let subnets = daemon.run_kiln(&["subnets"]);
    assert!(subnets.contains(&vpc) && subnets.contains("4091"), "{subnets}");
    let answer: Value = serde_json::from_str(&daemon.run_kiln(&["subnets", "--json"])).unwrap();
    let id = answer["Subnets"][0]["SubnetId"].as_str().unwrap().to_string();
    assert_eq!(daemon.run_kiln(&["subnets", "-q"]).trim(), id);
}

#[test]
fn what_a_group_lets_through_is_said_shown_and_revoked() {
    let daemon = daemon();
    let web = daemon.run_kiln(&["groups", "create", "web", "--description", "Web servers"]);
    assert!(web.starts_with("sg-"), "{web}");
    daemon.run_kiln(&["groups", "create", "database"]);
    let listed = daemon.run_kiln(&["groups"]);
    assert!(listed.contains("Web servers") && listed.contains("default"), "{listed}");
    assert_eq!(daemon.run_kiln(&["groups", "-q"]).lines().count(), 3);

    let two = daemon.run_kiln(&[
        "groups",
        "allow",
        "web",
        "tcp",
        "80-443",
        "--from",
        "0.0.0.0/0",
        "--from",
        "::/0",
    ]);
    assert_eq!(two.lines().count(), 2);
    daemon.run_kiln(&[
        "groups",
        "allow",
        "web",
        "tcp",
        "22",
        "--from",
        "203.0.113.7",
        "--description",
        "us",
    ]);
    daemon.run_kiln(&["groups", "allow", "data", "tcp", "5432", "--from", "web"]);
    daemon.run_kiln(&["groups", "allow", "web", "icmp", "8", "--to", "10.0.0.0/8"]);
    let shown = daemon.run_kiln(&["groups", "show", web.trim()]);
    let rows: Vec<String> = shown
        .lines()
        .map(|line| {
            line.split_whitespace()
                .filter(|word| !word.starts_with("sgr-"))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(
        rows,
        [
            "TRAFFIC PEER DESCRIPTION RULE",
            "tcp 22 from 203.0.113.7/32 us",
            "tcp 80-443 from 0.0.0.0/0",
            "tcp 80-443 from ::/0",
            "all to 0.0.0.0/0",
            "icmp 8 to 10.0.0.0/8",
        ]
    );
    assert!(daemon.run_kiln(&["groups", "show", "database"]).contains("from web"));

    daemon.run_kiln(&["groups", "revoke", "web", "tcp", "22", "--from", "203.0.113.7/32"]);
    daemon.run_kiln(&["groups", "revoke", "web", "all", "--to", "0.0.0.0/0"]);
    let rule = two.lines().next().unwrap();
    assert_eq!(
        daemon.run_kiln(&["groups", "revoke", "web", "--rule", rule]).trim(),
        rule
    );
    assert_eq!(daemon.run_kiln(&["groups", "show", "web", "-q"]).lines().count(), 2);
    for (arguments, status, word) in [
        (&["groups", "allow", "web", "tcp", "22"][..], 2, "--from"),
        (
            &["groups", "allow", "web", "tcp", "3/4", "--from", "::/0"],
            2,
            "tcp has ports",
        ),
        (&["groups", "revoke", "web", "--rule", rule], 3, "kiln groups show web"),
        (
            &["groups", "revoke", "web", "tcp", "22", "--from", "::/0"],
            3,
            "InvalidPermission.NotFound",
        ),
        (&["groups", "show", "wed"], 3, "did you mean web?"),
        (&["groups", "rm", "--yes", "web"], 1, "DependencyViolation"),
        (&["groups", "rm", "database"], 2, "say --yes"),
    ] {
        let (ended, said) = failure(&daemon, arguments);
        assert_eq!(ended, Some(status), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    daemon.run_kiln(&["groups", "rm", "--yes", "database", "web"]);
    assert_eq!(daemon.run_kiln(&["groups", "-q"]).lines().count(), 1);
}
