//! What a machine is made of.

use super::InstanceStore;
use std::num::NonZeroU32;

/// An instance type: a name and the sizes behind it. Instances keep a copy, so a changed configuration changes no
/// instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceType {
    /// EC2's name, `t3.micro` say.
    pub name: String,
    /// Virtual CPUs, 1 to 32.
    pub vcpus: u8,
    /// vCPUs of one core: 1 or 2.
    pub threads_per_core: u8,
    /// Memory in bytes, a multiple of 2 MiB.
    pub memory: u64,
    /// How much an interface carries each way, in Mbit a second; as much as it can, if none.
    pub network_mbps: Option<NonZeroU32>,
    /// Disks of its own, if it has any.
    pub instance_store: Option<InstanceStore>,
}

impl InstanceType {
    /// The type with so many vCPUs instead.
    #[must_use]
    pub fn with_cpus(&self, cores: u8, threads_per_core: u8) -> Self {
        Self {
            vcpus: cores.saturating_mul(threads_per_core),
            threads_per_core,
            ..self.clone()
        }
    }

    /// Whole cores.
    #[must_use]
    pub fn cores(&self) -> u8 {
        self.vcpus / self.threads_per_core.max(1)
    }
}
