//! Catalogs by the command alone: subscribed to, looked at, pulled from, against a real daemon. The indices lie in folders of
//! this host; that they come over HTTPS, broken off and gone on with, the command's own tests see.

use kiln_harness::{Daemon, Setup};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const KEY: &str = "RWT4tlAjSMUz48e4oI3IMJtAMAo043XFVWoq8X9G8MJQFccC0ljOfsda";

/// The bytes that the index in tests/data/catalog knows the digest of.
fn disk() -> Vec<u8> {
    (0..=250_u8).cycle().take(1 << 20).collect()
}

/// A folder with the index, its signature and the disk that it names.
fn publish(folder: &Path) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/catalog");
    for name in ["index.json", "index.json.minisig"] {
        std::fs::copy(data.join(name), folder.join(name)).unwrap();
    }
    std::fs::create_dir(folder.join("disks")).unwrap();
    std::fs::write(folder.join("disks/small.raw"), disk()).unwrap();
}

struct Host {
    daemon: Daemon,
    home: tempfile::TempDir,
}

impl Host {
    fn kiln(&self, arguments: &[&str]) -> Command {
        let mut command = self.daemon.kiln(arguments);
        command.env("XDG_CONFIG_HOME", self.home.path().join("config"));
        command.env("XDG_CACHE_HOME", self.home.path().join("cache"));
        command
    }

    /// What it prints, and what it says beside it.
    fn run(&self, arguments: &[&str]) -> (String, String) {
        let output = self.kiln(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, said) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}");
        (out, said)
    }

    /// The exit status and what it says.
    fn fail(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.kiln(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

fn host() -> Host {
    Host {
        daemon: Setup::new(env!("CARGO_BIN_EXE_kilnd")).start(),
        home: tempfile::tempdir().unwrap(),
    }
}

#[test]
fn an_image_of_a_signed_catalog_is_pulled_once_and_found_by_its_category() {
    let (host, folder) = (host(), tempfile::tempdir().unwrap());
    publish(folder.path());
    let index = folder.path().join("index.json");
    let index = index.to_str().unwrap();
    let (added, said) = host.run(&["catalog", "add", "lab", index, "--key", KEY]);
    assert_eq!((added.as_str(), said.contains("unsigned")), ("lab\n", false));
    let (listed, _) = host.run(&["catalog", "list"]);
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["lab", "3", "yes"]);

    for (name, category, owner) in [
        ("small", "Community", "123456789012"),
        ("lab/sold", "Marketplace", "aws-marketplace"),
        ("quick", "Quick Start", "amazon"),
    ] {
        let (image, _) = host.run(&["pull", name]);
        let bare = name.rsplit('/').next().unwrap();
        let (offers, _) = host.run(&["catalog", "images", "lab"]);
        let offer = offers.lines().find(|line| line.starts_with(bare)).unwrap();
        assert!(offer.contains(category) && offer.contains(image.trim()), "{offers}");
        assert_eq!(host.run(&["images", "--owner", owner, "-q"]).0, image);
        let (again, said) = host.run(&["pull", name]);
        assert!(again == image && said.contains("here already"), "{again} {said}");
    }
    assert_eq!(host.run(&["images", "--owner", "self", "-q"]).0, "");
    let (images, _) = host.run(&["images", "--owner", "aws-marketplace", "--json"]);
    let images: Value = serde_json::from_str(&images).unwrap();
    assert_eq!(
        images.pointer("/Images/0/ProductCodes/0/ProductCodeId"),
        Some(&"4wrd9x".into())
    );
    assert_eq!(images.pointer("/Images/0/Public"), Some(&true.into()));

    // The snapshot is the disk, and the copy on the way to it is gone.
    let snapshots: Value = serde_json::from_str(&host.run(&["snapshots", "--json"]).0).unwrap();
    let snapshot = snapshots
        .pointer("/Snapshots/0/SnapshotId")
        .and_then(Value::as_str)
        .unwrap();
    let stored = host.daemon.state().join("snapshots").join(format!("{snapshot}.raw"));
    assert_eq!(std::fs::read(stored).unwrap(), disk());
    let disks = host.home.path().join("cache/kiln/catalog/disks");
    assert_eq!(std::fs::read_dir(disks).unwrap().count(), 0);

    host.run(&["catalog", "rm", "-y", "lab"]);
    assert_eq!(host.fail(&["pull", "small"]).0, 3);
    assert!(host.run(&["images"]).0.contains("small"));
}

#[test]
fn an_index_or_a_disk_that_was_changed_is_not_taken() {
    let (host, folder) = (host(), tempfile::tempdir().unwrap());
    publish(folder.path());
    let index = folder.path().join("index.json");
    let path = index.to_str().unwrap();
    host.run(&["catalog", "add", "lab", path, "--key", KEY]);

    let text = std::fs::read_to_string(&index).unwrap();
    std::fs::write(&index, text.replace("\"small\"", "\"other\"")).unwrap();
    let (_, said) = host.fail(&["catalog", "refresh"]);
    assert!(said.contains("lab is not trusted"), "{said}");
    // The index that was there before stays.
    assert!(host.run(&["catalog", "images", "-q"]).0.contains("small\n"));

    let mut changed = disk();
    changed[500_000] ^= 1;
    std::fs::write(folder.path().join("disks/small.raw"), changed).unwrap();
    let (_, said) = host.fail(&["pull", "small"]);
    assert!(said.contains("not the one of the index"), "{said}");
    assert_eq!(host.run(&["images", "-q"]).0, "");

    // Unsigned, it is said to be, and offers nothing that passes for kiln's own.
    let (_, said) = host.fail(&["catalog", "add", "mine", path]);
    assert!(said.contains("signed catalogs only"), "{said}");
    let plain = text.split("    {\n      \"name\": \"quick\"").next().unwrap();
    std::fs::write(&index, format!("{}\n  ]\n}}\n", plain.trim_end().trim_end_matches(','))).unwrap();
    let (_, said) = host.run(&["catalog", "add", "mine", path]);
    assert!(said.contains("mine is unsigned"), "{said}");
    assert_eq!(
        host.fail(&["catalog", "add", "far", "http://images.example/index.json"])
            .0,
        2
    );
}
