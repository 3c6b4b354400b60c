//! Is there a `/dev/kvm`, and is it one that stock kernels run on?

use super::Finding;
use crate::config::Config;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::time::Duration;

const PATH: &str = "/dev/kvm";
/// A guest of a few instructions is done in milliseconds; an emulated host may take seconds.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

pub fn device() -> Finding {
    let check = "kvm device";
    match OpenOptions::new().read(true).write(true).open(PATH) {
        Ok(_) => Finding::pass(check, "/dev/kvm can be used"),
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::fail(
            check,
            "there is no /dev/kvm",
            "modprobe kvm_intel or kvm_amd; switch virtualization on in the firmware, or nesting on for this machine",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Finding::warn(
            check,
            "/dev/kvm is there, and this user may not use it",
            "nothing, if kilnd runs as root: it hands the device on; sudo kiln doctor checks further",
        ),
        Err(error) => Finding::fail(check, format!("/dev/kvm can't be opened: {error}"), "dmesg | grep kvm"),
    }
}

/// Runs the probe of `kiln-vmm`: a guest of a few instructions that stock kernels need.
pub async fn kind(config: &Config) -> Finding {
    let check = "kvm kind";
    let program = match config.vmm.program_path() {
        Ok(program) => program,
        Err(error) => return Finding::fail(check, error.to_string(), "set vmm.program in kiln.toml"),
    };
    let mut command = tokio::process::Command::new(&program);
    command
        .arg("probe")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(PROBE_LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            let found = format!("{} can't be run: {error}", program.display());
            return Finding::fail(
                check,
                found,
                "make install puts it in place; vmm.program in kiln.toml names another",
            );
        }
        Err(_) => {
            let found = format!("the probe guest was not done after {} s", PROBE_LIMIT.as_secs());
            return Finding::fail(check, found, "run kiln-vmm probe by hand, and look at dmesg");
        }
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if output.status.success() {
        return Finding::pass(check, said);
    }
    Finding::warn(
        check,
        said,
        "small guests with their own kernel run; for stock distributions take a host whose KVM is made of hardware",
    )
}
