//! Control groups of our own making, on hosts without systemd: version 2, or version 1's memory, cpu and pids
//! hierarchies.

use super::{EnclosureError, Limits};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/cgroup";
/// The group that all of ours lie in.
const PARENT: &str = "kiln";
/// The period that CPU time is counted over, in microseconds.
const PERIOD: u64 = 100_000;

/// The hierarchies that groups are made in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupTree {
    /// Version 2: one hierarchy.
    Two {
        /// Where it is mounted.
        root: PathBuf,
    },
    /// Version 1: one hierarchy a controller.
    One {
        /// Where memory, cpu and pids are mounted, those that are.
        roots: Vec<(Controller, PathBuf)>,
    },
}

/// A controller of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Memory.
    Memory,
    /// CPU time.
    Cpu,
    /// Processes and threads.
    Pids,
}

impl CgroupTree {
    /// The hierarchies of this host in which this process may make groups.
    pub(super) fn find() -> Option<Self> {
        Self::find_at(Path::new(MOUNT))
    }

    fn find_at(mount: &Path) -> Option<Self> {
        if mount.join("cgroup.controllers").exists() {
            let two = Self::Two { root: mount.into() };
            return two.prepare().is_ok().then_some(two);
        }
        let controllers = [
            (Controller::Memory, "memory"),
            (Controller::Cpu, "cpu"),
            (Controller::Pids, "pids"),
        ];
        let writable = |root: &Path| make_dir(&root.join(PARENT)).is_ok();
        let roots: Vec<_> = controllers
            .into_iter()
            .map(|(controller, name)| (controller, mount.join(name)))
            .filter(|(_, root)| root.join("cgroup.procs").exists() && writable(root))
            .collect();
        (!roots.is_empty()).then_some(Self::One { roots })
    }

    /// The version of the interface.
    pub(super) fn version(&self) -> u8 {
        match self {
            Self::Two { .. } => 2,
            Self::One { .. } => 1,
        }
    }

    /// Makes the group that all of ours lie in, with the controllers that limits need.
    fn prepare(&self) -> Result<(), EnclosureError> {
        match self {
            Self::Two { root } => {
                let parent = root.join(PARENT);
                make_dir(&parent)?;
                for dir in [root, &parent] {
                    write(&dir.join("cgroup.subtree_control"), "+memory +cpu +pids")?;
                }
                Ok(())
            }
            Self::One { roots } => roots.iter().try_for_each(|(_, root)| make_dir(&root.join(PARENT))),
        }
    }

    pub(super) fn enclose(&self, name: &str, pid: i32, limits: Limits) -> Result<(), EnclosureError> {
        self.prepare()?;
        let quota = PERIOD.saturating_mul(limits.cpu_percent) / 100;
        for (group, files) in self.groups(name, quota, limits) {
            make_dir(&group)?;
            for (file, value) in files {
                write(&group.join(file), &value)?;
            }
            write(&group.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The group's directories, and in each the files that hold limits.
    fn groups(&self, name: &str, quota: u64, limits: Limits) -> Vec<(PathBuf, Vec<(&'static str, String)>)> {
        let (memory, tasks) = (limits.memory.to_string(), limits.tasks.to_string());
        match self {
            Self::Two { root } => {
                let files = vec![
                    ("memory.max", memory),
                    ("memory.swap.max", "0".into()),
                    ("cpu.max", format!("{quota} {PERIOD}")),
                    ("pids.max", tasks),
                ];
                // Without swap in the kernel there is no limit on it.
                let group = root.join(name);
                let swap = root.join(PARENT).join("memory.swap.max").exists();
                vec![(
                    group,
                    files
                        .into_iter()
                        .filter(|(file, _)| swap || *file != "memory.swap.max")
                        .collect(),
                )]
            }
            Self::One { roots } => roots
                .iter()
                .map(|(controller, root)| {
                    let files = match controller {
                        Controller::Memory => vec![("memory.limit_in_bytes", memory.clone())],
                        Controller::Cpu => {
                            vec![
                                ("cpu.cfs_period_us", PERIOD.to_string()),
                                ("cpu.cfs_quota_us", quota.to_string()),
                            ]
                        }
                        Controller::Pids => vec![("pids.max", tasks.clone())],
                    };
                    (root.join(name), files)
                })
                .collect(),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), EnclosureError> {
        let roots: Vec<&PathBuf> = match self {
            Self::Two { root } => vec![root],
            Self::One { roots } => roots.iter().map(|(_, root)| root).collect(),
        };
        for root in roots {
            let path = root.join(name);
            match fs::remove_dir(&path) {
                Err(source) if source.kind() != ErrorKind::NotFound => {
                    return Err(EnclosureError::Cgroup {
                        doing: "remove",
                        path,
                        source,
                    });
                }
                _ => {}
            }
            // The last one out removes the parent; while others are in it, that fails.
            let _ = fs::remove_dir(root.join(PARENT));
        }
        Ok(())
    }
}

fn make_dir(path: &Path) -> Result<(), EnclosureError> {
    match fs::create_dir(path) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => Err(EnclosureError::Cgroup {
            doing: "make",
            path: path.into(),
            source,
        }),
        _ => Ok(()),
    }
}

fn write(path: &Path, value: &str) -> Result<(), EnclosureError> {
    // Control files are there already; `fs::write` would make a missing one on an ordinary file system.
    let written = fs::File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    written.map_err(|source| EnclosureError::Cgroup {
        doing: "write to",
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const LIMITS: Limits = Limits {
        memory: 256 << 20,
        cpu_percent: 200,
        tasks: 64,
    };

    /// Runs where this process may make control groups and there is no systemd to own them; says so elsewhere.
    #[test]
    fn a_process_is_enclosed_with_its_limits_and_nothing_is_left_after_it() {
        if Path::new("/run/systemd/system").exists() {
            return println!("systemd owns the control groups of this host: nothing to test");
        }
        let Some(tree) = CgroupTree::find() else {
            return println!("no control group is writable here: nothing to test");
        };
        let name = format!("{PARENT}/test-{}", std::process::id());
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id();
        let enclosed = tree.enclose(&name, i32::try_from(pid).unwrap(), LIMITS);
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        enclosed.unwrap();
        assert!(groups.contains(&name), "{groups}");
        tree.remove(&name).unwrap();
        tree.remove(&name).unwrap();
        for (group, _) in tree.groups(&name, 1, LIMITS) {
            assert!(!group.exists());
        }
    }

    #[test]
    fn limits_are_written_in_each_versions_words() {
        let two = CgroupTree::Two { root: "/cg".into() };
        let (group, files) = two.groups("kiln/i-1", 200_000, LIMITS).remove(0);
        assert_eq!(group, Path::new("/cg/kiln/i-1"));
        assert!(files.contains(&("cpu.max", "200000 100000".into())), "{files:?}");
        assert!(
            files.contains(&("memory.max", (256_u64 << 20).to_string())),
            "{files:?}"
        );
        let one = CgroupTree::One {
            roots: vec![(Controller::Cpu, "/cg/cpu".into())],
        };
        let (group, files) = one.groups("kiln/i-1", 200_000, LIMITS).remove(0);
        assert_eq!(group, Path::new("/cg/cpu/kiln/i-1"));
        assert_eq!(files[1], ("cpu.cfs_quota_us", "200000".into()));
    }

    #[test]
    fn a_directory_without_hierarchies_is_none() {
        assert_eq!(CgroupTree::find_at(tempfile::tempdir().unwrap().path()), None);
    }
}
