//! What the integration tests share.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory with a bound on its size; making one needs root.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let options = format!("size={size},mode=0700");
        run("mount", &["-t", "tmpfs", "-o", &options, "kiln-test", &text(dir.path())]);
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy", &text(self.0.path())]);
    }
}

/// Runs a program that the test needs and demands that it succeeds.
pub fn run(program: &str, arguments: &[&str]) {
    run_with_input(program, arguments, "");
}

/// The same with something to read on its standard input; gives what it printed.
pub fn run_with_input(program: &str, arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    use std::process::Stdio;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed for this test and can't be run: {error}"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the input is read");
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("a path of plain characters").to_owned()
}

pub fn join(dir: &Path, name: &str) -> (PathBuf, String) {
    let path = dir.join(name);
    let name = text(&path);
    (path, name)
}
