//! Managed prefix lists: blocks under one name, for rules to refer to.

use super::PrefixListId;
use ipnet::IpNet;
use time::OffsetDateTime;

/// The most entries that a list may be made for.
pub const MAX_LIST_ENTRIES: u32 = 1000;

/// Of which kind the blocks of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl AddressFamily {
    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The family of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ipv4, Self::Ipv6]
            .into_iter()
            .find(|family| family.name() == name)
    }

    /// The family of a block.
    pub const fn of(block: IpNet) -> Self {
        match block {
            IpNet::V4(_) => Self::Ipv4,
            IpNet::V6(_) => Self::Ipv6,
        }
    }
}

/// A managed prefix list, with what it has in its current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixList {
    /// Its identifier.
    pub id: PrefixListId,
    /// For people; several lists may have one name.
    pub name: String,
    /// Of which kind its blocks are.
    pub family: AddressFamily,
    /// How many entries it may have, [`MAX_LIST_ENTRIES`] at most.
    pub max_entries: u32,
    /// Counts the changes of its entries, from 1.
    pub version: u32,
    /// Its entries, by block.
    pub entries: Vec<PrefixListEntry>,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// An entry of a prefix list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixListEntry {
    /// The block, without host bits; no other entry of its list has it.
    pub block: IpNet,
    /// For people.
    pub description: Option<String>,
}
