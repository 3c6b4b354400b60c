//! The session with curl that the README shows, copied from there and run.

use kiln_harness::{Setup, has_kvm, small_guest};
use std::fs::File;
use std::process::Command;

/// The shell block below the README's mark.
fn session() -> &'static str {
    let readme = include_str!("../README.md");
    let (_, rest) = readme
        .split_once("<!-- A test copies this block and runs it. -->\n```sh\n")
        .expect("The README marks its session");
    rest.split_once("\n```").expect("The block has an end").0
}

#[test]
fn the_readmes_session_runs_as_it_stands() {
    if !has_kvm() {
        return;
    }
    let daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd")).stop_time_limit("1s").start();
    let folder = tempfile::tempdir().unwrap();
    let (kernel, disk) = (small_guest("wait", folder.path()), folder.path().join("disk.raw"));
    File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    let (kernel, disk) = (kernel.to_str().unwrap(), disk.to_str().unwrap());
    // The session names the Quick Start image; here a small guest goes by its name.
    daemon.run_kiln(&["import", disk, "--name", "debian-12", "--kernel", kernel]);
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", session()])
        .env("KILN_SOCKET", daemon.socket())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}{err}");
    for said in [
        "\"InstanceType\": \"t3.micro\"",
        "\"CurrentState\"",
        "\"shutting-down\"",
    ] {
        assert!(out.contains(said), "{said} is not in\n{out}{err}");
    }
    let id = daemon.run_kiln(&["ps", "-aq"]);
    daemon.run_kiln(&["wait", id.trim(), "--for", "terminated"]);
    daemon.run_kiln(&["images", "rm", "--yes", "debian-12"]);
    daemon.finish();
}
