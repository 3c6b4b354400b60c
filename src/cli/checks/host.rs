//! What the kernel and the rest of the host bring.

use super::Finding;
use crate::config::Size;
use rustix::io::Errno;
use std::path::Path;

pub fn cgroups() -> Finding {
    let check = "cgroup v2";
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Finding::pass(check, "mounted on /sys/fs/cgroup");
    }
    Finding::warn(
        check,
        "/sys/fs/cgroup is not version 2",
        "guests run without limits of their own; boot with systemd.unified_cgroup_hierarchy=1",
    )
}

pub fn systemd() -> Finding {
    let check = "systemd";
    // sd_booted(3): this is how a running systemd is told.
    if Path::new("/run/systemd/system").exists() {
        return Finding::pass(check, "it runs; each guest gets a scope of its own");
    }
    Finding::warn(
        check,
        "systemd is not the init here",
        "start kilnd by hand; guests get cgroups instead of scopes",
    )
}

/// Makes a ring and drops it: asking is the only sure answer, for sysctls and seccomp lists both forbid it at times.
pub fn io_uring() -> Finding {
    let check = "io_uring";
    let mut parameters = rustix::io_uring::io_uring_params::default();
    // SAFETY: the parameters are a plain value of ours, of the type that the kernel fills in; the ring that comes back
    // is an owned descriptor and is closed without having been mapped.
    match unsafe { rustix::io_uring::io_uring_setup(4, &mut parameters) } {
        Ok(_ring) => Finding::pass(check, "a ring can be made"),
        Err(Errno::PERM) => Finding::fail(
            check,
            "it is forbidden",
            "sysctl kernel.io_uring_disabled=0, or another seccomp profile",
        ),
        Err(Errno::NOSYS) => Finding::fail(check, "this kernel has none", "boot a kernel of 6.1 or newer"),
        Err(error) => Finding::fail(check, format!("a ring can't be made: {error}"), "look at dmesg"),
    }
}

pub fn memory() -> Finding {
    let check = "memory";
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let Some(available) = available(&text) else {
        return Finding::warn(check, "/proc/meminfo does not say how much is free", "mount /proc");
    };
    let found = format!("{available} free");
    if available < Size::from_mib(1024) {
        return Finding::warn(
            check,
            found,
            "an instance of type t3.micro needs 1 GiB; end something, or add memory",
        );
    }
    Finding::pass(check, found)
}

/// `MemAvailable` of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<Size> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Size::from_kib(kib))
}

pub fn recipe_tools() -> Finding {
    let check = "image recipes";
    let missing: Vec<&str> = ["mmdebstrap", "mkfs.ext4", "mkfs.vfat", "mcopy", "sgdisk"]
        .into_iter()
        .filter(|tool| !is_installed(tool))
        .collect();
    if missing.is_empty() {
        return Finding::pass(check, "all tools for kiln images make are there");
    }
    let remedy = "apt-get install mmdebstrap e2fsprogs dosfstools mtools gdisk, for kiln images make";
    Finding::warn(check, format!("{} not found", missing.join(", ")), remedy)
}

pub(super) fn is_installed(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| Path::new(folder).join(tool).is_file())
}

pub fn group(name: &str) -> Finding {
    let check = "group";
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let Some(gid) = group_id(&groups, name) else {
        let remedy = format!("systemd-sysusers, or groupadd --system {name}; until then root alone may use kilnd");
        return Finding::warn(check, format!("there is no group {name}"), remedy);
    };
    if rustix::process::getuid().is_root() {
        return Finding::pass(check, format!("group {name} is there; root needs none"));
    }
    let own = rustix::process::getgroups().unwrap_or_default();
    if rustix::process::getgid().as_raw() == gid || own.iter().any(|one| one.as_raw() == gid) {
        return Finding::pass(check, format!("this user is in group {name}"));
    }
    let remedy = format!("sudo usermod -aG {name} $USER, then log in anew");
    Finding::fail(check, format!("this user is not in group {name}"), remedy)
}

/// The number of a group in the text of `/etc/group` (group(5)).
fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        fields.nth(1).filter(|_| found)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_what_the_kernel_calls_available() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:    2097152 kB\n";
        assert_eq!(available(text), Some(Size::from_mib(2048)));
        assert_eq!(available("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nkilnx:x:8:\nkiln:x:9:me\nbroken\n";
        assert_eq!(group_id(groups, "kiln"), Some(9));
        assert_eq!(group_id(groups, "kil"), None);
    }
}
