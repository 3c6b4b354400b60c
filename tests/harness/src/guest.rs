//! The guests that tests boot: Debian, and small ones of our own.

use crate::daemon::Daemon;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The raw disk of a Debian release's test image: `KILN_TEST_DEBIAN_12` names that of Debian 12, which
/// `tests/lab/image --test debian-12` makes.
#[track_caller]
#[must_use]
pub fn debian_disk(release: u8) -> PathBuf {
    let variable = format!("KILN_TEST_DEBIAN_{release}");
    let disk = std::env::var_os(&variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{variable} must name the test image; `make test` sees to it"));
    assert!(disk.exists(), "There is no image {}", disk.display());
    disk
}

/// Whether this host has a `/dev/kvm` that we may use; if not, says that no guest was run.
#[must_use]
pub fn has_kvm() -> bool {
    let opened = fs::File::options().read(true).write(true).open("/dev/kvm");
    if let Err(error) = &opened {
        eprintln!("NO GUEST WAS RUN: /dev/kvm can't be opened here ({error})");
    }
    opened.is_ok()
}

/// Imports a small guest as an image of that name: its kernel comes along, and its disk of 1 MiB is empty.
#[track_caller]
#[must_use]
pub fn import_small_guest(daemon: &Daemon, guest: &str, name: &str) -> String {
    let folder = tempfile::tempdir().expect("There is room for a disk");
    let (kernel, disk) = (small_guest(guest, folder.path()), folder.path().join("disk"));
    let file = fs::File::create(&disk).expect("There is room for a disk");
    file.set_len(1 << 20).expect("There is room for a disk");
    let [disk, kernel] = [&disk, &kernel].map(|path| path.to_str().expect("Its path is text"));
    let import = ["import", disk, "--format", "raw", "--name", name];
    let kernel = ["--kernel", kernel, "--command-line", "x=1"];
    daemon.run_kiln(&[&import[..], &kernel].concat()).trim().to_owned()
}

/// Builds `vmm/tests/guests/<name>.s`, with `<name>.c` if there is one, into an ELF file with a PVH note.
#[track_caller]
#[must_use]
pub fn small_guest(name: &str, directory: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vmm/tests/guests");
    let (c, output) = (sources.join(format!("{name}.c")), directory.join(name));
    let mut objects = vec![sources.join(format!("{name}.s"))];
    if c.exists() {
        objects.push(compile(&c, &directory.join(format!("{name}-c.s"))));
    }
    let mut link = Command::new("cc");
    link.args(["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-n"])
        .arg("-Wl,--no-warn-rwx-segments,-z,noexecstack")
        .arg(format!("-Wa,-I{}", sources.display()))
        .arg("-T")
        .arg(sources.join("guest.ld"))
        .args(objects)
        .arg("-o")
        .arg(&output);
    run(&mut link);
    output
}

/// Compiles 32-bit C into assembly that a 64-bit ELF file may hold.
#[track_caller]
fn compile(source: &Path, output: &Path) -> PathBuf {
    let mut compile = Command::new("cc");
    compile
        .args([
            "-m32",
            "-march=i686",
            "-ffreestanding",
            "-fno-pic",
            "-fno-stack-protector",
        ])
        .args([
            "-fno-asynchronous-unwind-tables",
            "-mno-sse",
            "-mno-mmx",
            "-fcf-protection=none",
        ])
        .args(["-O1", "-Wall", "-Werror", "-S"])
        .arg(source)
        .arg("-o")
        .arg(output);
    run(&mut compile);
    let assembly = fs::read_to_string(output).expect("The compiler wrote it");
    fs::write(output, format!(".code32\n{assembly}")).expect("The folder can be written to");
    output.to_owned()
}

#[track_caller]
fn run(command: &mut Command) {
    let status = command.status().expect("cc is installed");
    assert!(status.success(), "{command:?} ended with {status}");
}
