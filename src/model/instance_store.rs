//! Instance store: disks of an instance's type, which live from a start to the next stop, and the names that images and
//! launches give them.

use super::InstanceType;
use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

/// A billion bytes: EC2 counts instance store in these, volumes in GiB.
pub const GB: u64 = 1_000_000_000;

/// How many disks EC2 has names for.
const NAMES: u8 = 24;

/// The disks of an instance type, which are all alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceStore {
    /// How many there are.
    pub disks: NonZeroU8,
    /// The size of each, in bytes.
    pub disk_size: u64,
}

/// Which of an instance's disks: `ephemeral0` to `ephemeral23`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VirtualName(u8);

/// A text that is no disk's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("A virtual name is ephemeral0 to ephemeral23")]
pub struct ParseVirtualNameError;

/// A device name that an image or a launch gives to a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceStoreMapping {
    /// The disk.
    pub virtual_name: VirtualName,
    /// `/dev/sdb`, say.
    pub device_name: String,
}

impl VirtualName {
    /// Whether an instance of this type has the disk; EC2 ignores the mappings of those that it has not.
    #[must_use]
    pub fn is_of(self, instance_type: &InstanceType) -> bool {
        let store = instance_type.instance_store;
        store.is_some_and(|store| self.0 < store.disks.get())
    }
}

impl InstanceType {
    /// Its disks, the first one first.
    pub fn instance_store_disks(&self) -> impl Iterator<Item = VirtualName> + use<> {
        let disks = self.instance_store.map_or(0, |store| store.disks.get());
        (0..disks).map(VirtualName)
    }
}

impl fmt::Display for VirtualName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ephemeral{}", self.0)
    }
}

impl FromStr for VirtualName {
    type Err = ParseVirtualNameError;

    fn from_str(text: &str) -> Result<Self, ParseVirtualNameError> {
        let named = (0..NAMES).map(Self).find(|name| name.to_string() == text);
        named.ok_or(ParseVirtualNameError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_called_by_ec2s_name_and_no_other() {
        for name in ["ephemeral0", "ephemeral9", "ephemeral23"] {
            assert_eq!(name.parse::<VirtualName>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "ephemeral",
            "ephemeral24",
            "ephemeral00",
            "ephemeral-1",
            "Ephemeral0",
            "swap",
        ] {
            assert_eq!(name.parse::<VirtualName>(), Err(ParseVirtualNameError), "{name}");
        }
    }
}
