//! Packer makes an AMI of a stock Debian with cloud-init: it launches one, does something in it by ssh over its public address,
//! and has it stopped and copied; what comes of that AMI has it, and is an instance of its own. It needs a KVM that runs stock
//! kernels, so `make test-clients` starts it through `tests/lab/lab auto`.

use kiln_harness::{Debian, Setup};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

/// How long a guest may take to boot, and to be made up by cloud-init: it is emulated.
const BOOT: &str = "30m";

/// The image that the demo boots: with cloud-init, and an sshd.
fn disk() -> PathBuf {
    let disk = std::env::var_os("KILN_TEST_DEBIAN_12_DEMO");
    PathBuf::from(disk.expect("KILN_TEST_DEBIAN_12_DEMO names an image; `make test-clients` sees to it"))
}

/// A user of the daemon's.
struct User(TempDir);

impl User {
    fn new(debian: &Debian) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        let key = home.path().join(".ssh/id_ed25519");
        debian
            .daemon
            .run_kiln(&["keys", "create", "own", key.to_str().unwrap()]);
        Self(home)
    }

    /// What `kiln` says to them.
    #[track_caller]
    fn kiln(&self, debian: &Debian, words: &[&str]) -> String {
        let output = debian.daemon.kiln(words).env("HOME", self.0.path()).output().unwrap();
        let [said, told] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "kiln {words:?}: {said}{told}");
        said
    }

    /// Builds the AMI `golden`. What Packer says is shown as it comes, for it takes long.
    #[track_caller]
    fn build(&self, debian: &Debian) {
        let environment: Value = serde_json::from_str(&self.kiln(debian, &["env", "--json"])).unwrap();
        let value = |name: &str| environment[name].as_str().unwrap();
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/image.pkr.hcl");
        let mut packer = Command::new("/usr/bin/packer");
        packer
            .args(["build", "-color=false", "-timestamp-ui", "-only=debian.*"])
            .arg(format!("-var=endpoint={}", value("AWS_ENDPOINT_URL")))
            .arg(format!("-var=region={}", value("AWS_REGION")))
            .arg(format!("-var=image={}", debian.image()))
            .args(["-var=name=golden", "-var=type=t3.small"])
            .arg(template)
            .env("HOME", self.0.path())
            .env("CHECKPOINT_DISABLE", "1");
        for (name, value) in environment.as_object().unwrap() {
            packer.env(name, value.as_str().unwrap());
        }
        let network = debian
            .daemon
            .network()
            .expect("Namespaces can be made where Debian boots");
        let status = network.put(&mut packer).status().unwrap();
        assert!(status.success(), "Packer ended with {status}");
    }
}

#[test]
#[ignore = "boots Debian, which needs a KVM that runs stock kernels; make test-clients sees to it"]
fn packer_makes_an_image_of_debian_and_what_it_did_is_in_instances_of_that() {
    let config = "[ec2]\nlisten = \"127.0.0.1:8773\"\n[network]\npublic_pool = [\"192.0.2.8/29\"]\n";
    let setup = Setup::new(env!("CARGO_BIN_EXE_kilnd")).config(config).loopback();
    // Packer looks every few seconds.
    let setup = setup.terminated_retention("30s");
    let debian = Debian::of(setup, &disk());
    let (api, user) = (debian.api(), User::new(&debian));
    let began = Instant::now();
    user.build(&debian);
    println!("Packer took {:?}", began.elapsed());

    let named = json!({"Filters": [{"Name": "name", "Values": ["golden"]}]});
    let golden = &api.call("DescribeImages", &named)["Images"][0];
    assert_eq!(golden["Description"], "made by Packer");
    let launch = json!({
        "ImageId": golden["ImageId"], "InstanceType": "t3.small", "KeyName": "own", "MinCount": 1, "MaxCount": 1,
    });
    let instances = api.run(&launch);
    let shell = |command: &str| {
        let words = [
            "ssh",
            &instances[0],
            "--user",
            "debian",
            "--timeout",
            BOOT,
            "--",
            command,
        ];
        user.kiln(&debian, &words).trim().to_owned()
    };
    // cloud-init has made another instance of it.
    let own = shell("cloud-init status --wait > /dev/null; basename $(readlink /var/lib/cloud/instance)");
    assert_eq!(own, instances[0]);
    let marker = shell("cat /marker");
    assert!(marker.starts_with("built in i-"), "{marker}");
    assert_ne!(marker, format!("built in {own}"));

    debian.daemon.run_kiln(&["images", "rm", "--yes", "golden"]);
    debian.daemon.run_kiln(&["keys", "rm", "--yes", "own"]);
    debian.finish(&instances);
}
