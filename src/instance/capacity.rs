//! What the host can hold: checked in the transaction that reserves it, before anything is made.

use crate::model::InstanceType;
use std::io;

/// What the host has for guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Virtual CPUs, overcommitted as configured.
    pub vcpus: u64,
    /// Memory in bytes; never overcommitted.
    pub memory: u64,
}

/// The host is too full.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "The host has not enough left for {wanted} more of {name}: {vcpus} vCPUs and {memory_mib} MiB of memory are free, \
     each needs {need_vcpus} and {need_mib}"
)]
pub struct InsufficientCapacity {
    name: String,
    wanted: u64,
    vcpus: u64,
    memory_mib: u64,
    need_vcpus: u64,
    need_mib: u64,
}

impl Capacity {
    /// What this host has, when so many vCPUs may run for each CPU and so much memory is kept for the host.
    ///
    /// # Errors
    /// The host does not say what it has.
    pub fn of_host(overcommit: u16, reserve: u64) -> io::Result<Self> {
        let cpus = std::thread::available_parallelism()?.get();
        let info = std::fs::read_to_string("/proc/meminfo")?;
        let total = parse_total(&info).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            vcpus: u64::try_from(cpus)
                .unwrap_or(u64::MAX)
                .saturating_mul(overcommit.into()),
            memory: total.saturating_sub(reserve),
        })
    }

    /// How many instances of a type can run beside what is held: between `min` and `max`.
    ///
    /// # Errors
    /// Fewer than `min`.
    pub fn fit(&self, held: (u64, u64), of: &InstanceType, min: u64, max: u64) -> Result<u64, InsufficientCapacity> {
        let free = (self.vcpus.saturating_sub(held.0), self.memory.saturating_sub(held.1));
        let need = (u64::from(of.vcpus).max(1), of.memory.max(1));
        let fit = (free.0 / need.0).min(free.1 / need.1).min(max);
        if fit >= min {
            return Ok(fit);
        }
        Err(InsufficientCapacity {
            name: of.name.clone(),
            wanted: min,
            vcpus: free.0,
            memory_mib: free.1 >> 20,
            need_vcpus: need.0,
            need_mib: need.1 >> 20,
        })
    }
}

/// `MemTotal` of proc_meminfo(5), in bytes.
fn parse_total(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Capacity = Capacity {
        vcpus: 8,
        memory: 8 << 30,
    };

    fn kind(vcpus: u8, gib: u64) -> InstanceType {
        InstanceType {
            name: "t".into(),
            vcpus,
            threads_per_core: 1,
            memory: gib << 30,
            network_mbps: None,
            instance_store: None,
        }
    }

    #[test]
    fn as_many_as_fit_are_given_between_the_least_and_the_most() {
        assert_eq!(HOST.fit((0, 0), &kind(2, 1), 1, 10), Ok(4));
        assert_eq!(HOST.fit((0, 0), &kind(1, 4), 1, 10), Ok(2));
        assert_eq!(HOST.fit((4, 0), &kind(2, 1), 1, 1), Ok(1));
    }

    #[test]
    fn fewer_than_the_least_are_none() {
        assert!(HOST.fit((0, 0), &kind(2, 1), 5, 10).is_err());
        assert!(HOST.fit((8, 0), &kind(1, 1), 1, 1).is_err());
        let error = HOST.fit((0, 8 << 30), &kind(1, 1), 1, 1).unwrap_err();
        assert!(error.to_string().contains("8 vCPUs and 0 MiB"), "{error}");
    }

    #[test]
    fn more_held_than_there_is_means_nothing_is_free() {
        assert!(HOST.fit((100, 100 << 30), &kind(1, 1), 1, 1).is_err());
    }

    #[test]
    fn this_host_says_what_it_has() {
        let host = Capacity::of_host(4, 0).unwrap();
        assert!(host.vcpus >= 4 && host.memory > 64 << 20, "{host:?}");
        assert_eq!(parse_total("MemFree: 1 kB\nMemTotal:       24 kB\n"), Some(24 * 1024));
    }
}
