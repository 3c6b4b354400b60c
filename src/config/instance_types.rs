//! Instance types, out of `instance-types.toml`: a table a family, a line a size. The file in the tree is built in and
//! serves where no other is named.

use crate::model::{GB, InstanceStore};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU32};
use std::path::{Path, PathBuf};

const BUILT_IN: &str = include_str!("../../config/instance-types.toml");
/// As many vCPUs as a monitor gives a machine.
const MOST_VCPUS: u32 = 32;
const MOST_MEMORY_MIB: u64 = 1 << 20;
/// As many disks as leave a machine slots enough for volumes.
const MOST_DISKS: u8 = 8;
/// The largest disk, in GB.
const MOST_DISK_GB: u64 = 65_536;

/// One instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceTypeSpec {
    /// Family and size, `t3.micro`.
    pub name: String,
    /// vCPUs, 1 to 32.
    pub vcpus: u32,
    /// Memory in MiB; even, as machines are built of 2 MiB pages.
    pub memory_mib: u64,
    /// Threads a core, 1 or 2; divides `vcpus`.
    pub threads_per_core: u32,
    /// Whether EC2 counts CPU credits for it. Nothing is counted here; descriptions say it.
    pub burstable: bool,
    /// How much an interface carries each way, in Mbit a second; as much as it can, if none.
    pub network_mbps: Option<NonZeroU32>,
    /// Disks of its own, if it has any.
    pub instance_store: Option<InstanceStore>,
}

/// All instance types that there are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceTypes(BTreeMap<String, InstanceTypeSpec>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFamily {
    #[serde(default)]
    burstable: bool,
    threads_per_core: u32,
    network_mbps: Option<NonZeroU32>,
    sizes: BTreeMap<String, RawSize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSize {
    vcpus: u32,
    memory_mib: u64,
    network_mbps: Option<NonZeroU32>,
    instance_store: Option<RawInstanceStore>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInstanceStore {
    disks: NonZeroU8,
    disk_gb: u64,
}

/// Why a table of instance types can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadInstanceTypesError {
    /// The file can't be read.
    #[error("Instance types {path} can't be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has a key that there is not.
    #[error("Instance types {path} are not valid")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A type that no machine can be.
    #[error("Instance type {name} of {path} is not usable, {reason}")]
    Type {
        /// The file.
        path: PathBuf,
        /// The type.
        name: String,
        /// What it must be.
        reason: &'static str,
    },
}

impl InstanceTypes {
    /// The table of `file`, or the built-in one when none is named.
    ///
    /// # Errors
    /// The file can't be read, is not valid, or has a type that no machine can be.
    pub fn load(file: Option<&Path>) -> Result<InstanceTypes, LoadInstanceTypesError> {
        let Some(path) = file else {
            return InstanceTypes::parse(BUILT_IN, Path::new("built in"));
        };
        let text = std::fs::read_to_string(path).map_err(|source| LoadInstanceTypesError::Read {
            path: path.into(),
            source,
        })?;
        InstanceTypes::parse(&text, path)
    }

    /// Parses a table; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`InstanceTypes::load`].
    pub fn parse(text: &str, path: &Path) -> Result<InstanceTypes, LoadInstanceTypesError> {
        let families: BTreeMap<String, RawFamily> =
            toml::from_str(text).map_err(|source| LoadInstanceTypesError::Parse {
                path: path.into(),
                source: Box::new(source),
            })?;
        let mut types = BTreeMap::new();
        for (family, raw) in families {
            for (size, figures) in raw.sizes {
                let spec = InstanceTypeSpec {
                    name: format!("{family}.{size}"),
                    vcpus: figures.vcpus,
                    memory_mib: figures.memory_mib,
                    threads_per_core: raw.threads_per_core,
                    burstable: raw.burstable,
                    network_mbps: figures.network_mbps.or(raw.network_mbps),
                    instance_store: figures.instance_store.map(|store| InstanceStore {
                        disks: store.disks,
                        disk_size: store.disk_gb.saturating_mul(GB),
                    }),
                };
                spec.check().map_err(|reason| LoadInstanceTypesError::Type {
                    path: path.into(),
                    name: spec.name.clone(),
                    reason,
                })?;
                types.insert(spec.name.clone(), spec);
            }
        }
        Ok(InstanceTypes(types))
    }

    /// The type of this name.
    pub fn get(&self, name: &str) -> Option<&InstanceTypeSpec> {
        self.0.get(name)
    }

    /// All types, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &InstanceTypeSpec> {
        self.0.values()
    }
}

impl InstanceTypeSpec {
    fn check(&self) -> Result<(), &'static str> {
        if !(1..=MOST_VCPUS).contains(&self.vcpus) {
            return Err("a machine has 1 to 32 vCPUs");
        }
        if !(1..=2).contains(&self.threads_per_core) || !self.vcpus.is_multiple_of(self.threads_per_core) {
            return Err("a core has 1 or 2 threads, and vCPUs come in whole cores");
        }
        if !(2..=MOST_MEMORY_MIB).contains(&self.memory_mib) || !self.memory_mib.is_multiple_of(2) {
            return Err("memory must be an even number of MiB, 1 TiB at most");
        }
        if let Some(store) = self.instance_store
            && (store.disks.get() > MOST_DISKS || !(GB..=MOST_DISK_GB * GB).contains(&store.disk_size))
        {
            return Err("its instance store is of 1 to 8 disks of 1 to 65536 GB each");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_has_the_figures_of_ec2() {
        let types = InstanceTypes::load(None).unwrap();
        for (name, vcpus, gib) in [
            ("t3.micro", 2, 1),
            ("t3.2xlarge", 8, 32),
            ("m5.large", 2, 8),
            ("m5.8xlarge", 32, 128),
            ("c5.xlarge", 4, 8),
            ("r5.4xlarge", 16, 128),
            ("c5d.2xlarge", 8, 16),
            ("r5d.large", 2, 16),
        ] {
            let found = types.get(name).unwrap();
            assert_eq!((found.vcpus, found.memory_mib), (vcpus, gib * 1024), "{name}");
        }
        assert!(types.iter().all(|spec| spec.burstable == spec.name.starts_with("t3.")));
        assert!(types.get("t3.gigantic").is_none());
        for (name, disks, gb) in [("m5d.large", 1, 75), ("m5d.4xlarge", 2, 300), ("c5d.xlarge", 1, 100)] {
            let store = types.get(name).unwrap().instance_store.unwrap();
            assert_eq!(
                (store.disks.get(), store.disk_size),
                (disks, gb * 1_000_000_000),
                "{name}"
            );
        }
        assert_eq!(types.get("m5.large").unwrap().instance_store, None);
    }

    #[test]
    fn a_size_has_the_rate_of_its_family_or_its_own() {
        let text = "[x1]\nthreads_per_core = 1\nnetwork_mbps = 100\nsizes.small = { vcpus = 1, memory_mib = 512 }\n\
                    sizes.large = { vcpus = 1, memory_mib = 512, network_mbps = 200 }";
        let types = InstanceTypes::parse(text, Path::new("types.toml")).unwrap();
        let rate = |name| types.get(name).unwrap().network_mbps.map(NonZeroU32::get);
        assert_eq!((rate("x1.small"), rate("x1.large")), (Some(100), Some(200)));
        let none = text.replace("= 100", "= 0");
        assert!(InstanceTypes::parse(&none, Path::new("types.toml")).is_err());
    }

    #[test]
    fn impossible_types_are_refused() {
        for figures in [
            "vcpus = 0, memory_mib = 512",
            "vcpus = 64, memory_mib = 512",
            "vcpus = 2, memory_mib = 513",
            "vcpus = 1, memory_mib = 512, instance_store = { disks = 9, disk_gb = 1 }",
            "vcpus = 1, memory_mib = 512, instance_store = { disks = 1, disk_gb = 0 }",
            "vcpus = 1, memory_mib = 512, instance_store = { disks = 1, disk_gb = 65537 }",
        ] {
            let text = format!("[x1]\nthreads_per_core = 1\nsizes.small = {{ {figures} }}");
            let error = InstanceTypes::parse(&text, Path::new("types.toml")).unwrap_err();
            assert!(matches!(error, LoadInstanceTypesError::Type { .. }), "{text}");
        }
        let odd = "[x1]\nthreads_per_core = 2\nsizes.small = { vcpus = 3, memory_mib = 512 }";
        assert!(InstanceTypes::parse(odd, Path::new("types.toml")).is_err());
    }
}
