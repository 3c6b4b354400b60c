//! A daemon with a Debian test image, for tests and benchmarks that boot stock guests.

use crate::api::Api;
use crate::console::Console;
use crate::daemon::{Daemon, Setup};
use crate::guest::debian_disk;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long a guest may take to boot: under emulation, beside others, minutes.
const BOOT: Duration = Duration::from_secs(900);
/// How long it may take to shut down.
const STOP: &str = "10m";

/// Instance types with the numbers of CPUs that are wanted; EC2's own begin with two.
const TYPES: &str = "[t3]\nthreads_per_core = 1\n\
    sizes.nano = { vcpus = 1, memory_mib = 512, network_mbps = 20 }\n\
    sizes.micro = { vcpus = 1, memory_mib = 512 }\n\
    sizes.small = { vcpus = 1, memory_mib = 1024 }\n\
    sizes.large = { vcpus = 4, memory_mib = 1024 }\n";

/// A daemon whose one AMI is a Debian test image. Its types are `t3.micro` and `t3.small` with one vCPU, `t3.large` with
/// four, and `t3.nano`, whose network carries 20 Mbit a second.
#[derive(Debug)]
pub struct Debian {
    /// The daemon.
    pub daemon: Daemon,
    image: String,
    _types: TempDir,
}

impl Debian {
    /// Starts the daemon with more lines in `kiln.toml`, and imports the image of that release of Debian. `kilnd` is what
    /// `env!("CARGO_BIN_EXE_kilnd")` says.
    #[must_use]
    #[track_caller]
    pub fn start(kilnd: &str, release: u8, config: &str) -> Self {
        Self::of(Setup::new(kilnd).config(config), &debian_disk(release))
    }

    /// Starts that daemon, and imports another disk of Debian.
    #[must_use]
    #[track_caller]
    pub fn of(setup: Setup, disk: &Path) -> Self {
        let folder = tempfile::tempdir().expect("There is room for a file");
        let types = folder.path().join("instance-types.toml");
        fs::write(&types, TYPES).expect("There is room for a file");
        let capacity = format!(
            "[capacity]\ninstance_types = \"{}\"\nvcpu_overcommit = 8\n",
            types.display()
        );
        let daemon = setup.stop_time_limit(STOP).config(&capacity).start();
        let disk = disk.to_str().expect("Its path is text");
        let image = daemon.run_kiln(&["import", disk, "--name", "debian"]).trim().to_owned();
        Self {
            daemon,
            image,
            _types: folder,
        }
    }

    /// The AMI.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// A client of the daemon's socket.
    #[must_use]
    pub fn api(&self) -> Api {
        self.daemon.api()
    }

    /// Launches one instance with an 8 GiB root volume.
    #[track_caller]
    pub fn run(&self, kind: &str) -> String {
        self.run_with(kind, &json!({}))
    }

    /// The same with more members of RunInstances.
    #[track_caller]
    pub fn run_with(&self, kind: &str, more: &Value) -> String {
        let described = self.api().call("DescribeImages", &json!({"ImageIds": [self.image]}));
        let device = &described["Images"][0]["RootDeviceName"];
        let root = json!({"DeviceName": device, "Ebs": {"VolumeSize": 8}});
        let mut request = json!({
            "ImageId": self.image, "InstanceType": kind, "MinCount": 1, "MaxCount": 1, "BlockDeviceMappings": [root],
        });
        for (member, value) in more.as_object().into_iter().flatten() {
            request[member] = value.clone();
        }
        self.api().run(&request).remove(0)
    }

    /// Waits for the boot of this number, by the unit that counts them on the root volume, and for a shell.
    #[must_use]
    #[track_caller]
    pub fn booted(&self, id: &str, count: u32) -> Console {
        self.api().wait_for_state(id, "running", BOOT);
        let mut console = self.api().console(id);
        console.wait_for(&format!("KILN-BOOT-COUNT {count}\r"), BOOT);
        console.wait_for_shell(BOOT);
        console
    }

    /// Takes everything away again, and looks for what is left.
    #[track_caller]
    pub fn finish(self, instances: &[String]) {
        self.api().terminate(instances);
        self.daemon.run_kiln(&["images", "rm", "--yes", &self.image]);
        self.daemon.finish();
    }
}
