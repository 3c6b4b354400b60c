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
    match serde_json::from_slice::<Probed>(&output.stdout) {
        Ok(probed) => judge(check, &probed, has_virtualization(&cpuinfo())),
        Err(_) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
            Finding::fail(
                check,
                format!("the probe said nothing: {} {said}", output.status),
                "run kiln-vmm probe by hand",
            )
        }
    }
}

/// What the probe prints.
#[derive(Debug, serde::Deserialize)]
struct Probed {
    stock_kernels: bool,
    reason: Option<String>,
}

fn judge(check: &'static str, probed: &Probed, hardware: bool) -> Finding {
    if probed.stock_kernels {
        return Finding::pass(check, "stock kernels run on it");
    }
    let reason = probed.reason.as_deref().unwrap_or("no reason is known");
    // What stands behind the colon is the machine's last state, for a bug report and not for here.
    let reason = reason.split_once(": ").map_or(reason, |(reason, _)| reason);
    let kind = if hardware {
        "it is made of hardware, but"
    } else {
        "it is made of software:"
    };
    Finding::warn(
        check,
        format!("{kind} {reason}"),
        "small guests with a kernel of their own run; for stock distributions take a host whose CPU virtualizes",
    )
}

fn cpuinfo() -> String {
    std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()
}

/// Whether the CPU says that it can virtualize.
fn has_virtualization(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| matches!(flag, "vmx" | "svm")))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_software_kvm_is_told_plainly() {
        let probed = br#"{"reason":"KVM can't run `popcnt`, which is needed: suberror 1","stock_kernels":false}"#;
        let finding = judge("kvm kind", &serde_json::from_slice(probed).unwrap(), false);
        assert_eq!(finding.verdict, Verdict::Warn);
        assert_eq!(
            finding.found,
            "it is made of software: KVM can't run `popcnt`, which is needed"
        );
        let probed = br#"{"reason":null,"stock_kernels":true}"#;
        let finding = judge("kvm kind", &serde_json::from_slice(probed).unwrap(), true);
        assert_eq!(finding.verdict, Verdict::Pass);
    }

    #[test]
    fn a_cpu_that_virtualizes_says_so_in_its_flags() {
        assert!(has_virtualization("model name : x\nflags\t\t: fpu svm sse\n"));
        assert!(!has_virtualization("model name : svm\nflags\t\t: fpu sse\n"));
    }
}
