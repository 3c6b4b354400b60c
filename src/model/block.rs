//! The IPv4 blocks of VPCs and subnets.

use ipnet::Ipv4Net;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How long a block's prefix may be, in bits.
const PREFIXES: RangeInclusive<u8> = 16..=28;
/// How many addresses of a subnet no interface gets: the first four and the last.
const RESERVED: u32 = 5;
/// How long the prefix of a default subnet is, where its VPC is that large.
const DEFAULT_SUBNET_PREFIX: u8 = 20;

/// The block of a VPC or a subnet: `/16` to `/28`, unicast, and without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block(Ipv4Net);

/// Why a text is no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// It is no IPv4 address with a prefix length.
    #[error("This is not a valid CIDR block")]
    Form,
    /// It is too large or too small.
    #[error("A block is between /16 and /28 in size")]
    Size,
    /// No interface can have such an address (RFC 6890).
    #[error("A block has unicast addresses that are not of the host itself or its link")]
    Reserved,
}

impl Block {
    /// Blocks that a default VPC may have: that of every account at EC2 first, others for hosts whose own networks overlap.
    pub const DEFAULT_VPC: [Self; 4] = [
        Self(Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 16)),
        Self(Ipv4Net::new_assert(Ipv4Addr::new(10, 31, 0, 0), 16)),
        Self(Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, 0), 16)),
        Self(Ipv4Net::new_assert(Ipv4Addr::new(10, 231, 0, 0), 16)),
    ];

    /// The block that `net` is in; host bits are cleared, as EC2 does.
    ///
    /// # Errors
    /// The size is out of bounds, or the addresses are no interface's.
    pub fn new(net: Ipv4Net) -> Result<Self, BlockError> {
        if !PREFIXES.contains(&net.prefix_len()) {
            return Err(BlockError::Size);
        }
        let address = net.network();
        if matches!(address.octets().first(), Some(0 | 127 | 224..)) || address.is_link_local() {
            return Err(BlockError::Reserved);
        }
        Ok(Self(net.trunc()))
    }

    /// The network, without host bits.
    #[must_use]
    pub const fn net(self) -> Ipv4Net {
        self.0
    }

    /// Whether all addresses of `other` are in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether an address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// How many interfaces a subnet of this block has addresses for.
    #[must_use]
    pub fn usable(self) -> u32 {
        u32::from(self.0.hostmask()) + 1 - RESERVED
    }

    /// The addresses of a subnet of this block that interfaces may have, in their order.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let (first, last) = (u32::from(self.0.network()), u32::from(self.0.broadcast()));
        (first + RESERVED - 1..last).map(Ipv4Addr::from)
    }

    /// The blocks in this one that a default subnet may have, from the lowest.
    pub fn default_subnets(self) -> impl Iterator<Item = Self> {
        let prefix = DEFAULT_SUBNET_PREFIX.max(self.0.prefix_len());
        self.0.subnets(prefix).into_iter().flatten().map(Self)
    }
}

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        Self::new(text.parse().map_err(|_| BlockError::Form)?)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(text: &str) -> Result<String, BlockError> {
        text.parse::<Block>().map(|block| block.to_string())
    }

    #[test]
    fn a_block_has_a_size_and_loses_its_host_bits() {
        assert_eq!(block("10.1.2.3/16"), Ok("10.1.0.0/16".into()));
        assert_eq!(block("100.68.0.18/18"), Ok("100.68.0.0/18".into()));
        assert_eq!(block("192.168.0.31/28"), Ok("192.168.0.16/28".into()));
        for text in ["10.0.0.0/15", "10.0.0.0/29", "0.0.0.0/0"] {
            assert_eq!(block(text), Err(BlockError::Size), "{text}");
        }
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/16", "fd00::/16", "10.0.0.0/16 "] {
            assert_eq!(block(text), Err(BlockError::Form), "{text}");
        }
    }

    #[test]
    fn no_block_has_addresses_that_no_interface_can_have() {
        for text in [
            "0.1.0.0/16",
            "127.0.0.0/16",
            "169.254.169.0/24",
            "224.0.0.0/16",
            "255.255.255.0/24",
        ] {
            assert_eq!(block(text), Err(BlockError::Reserved), "{text}");
        }
    }

    #[test]
    fn default_subnets_follow_one_another_and_a_small_block_is_one_itself() {
        let of = |text: &str| -> Vec<String> {
            let block: Block = text.parse().unwrap();
            block.default_subnets().map(|subnet| subnet.to_string()).collect()
        };
        let large = of("172.31.0.0/16");
        assert_eq!(large.len(), 16);
        assert_eq!(large[..2], ["172.31.0.0/20", "172.31.16.0/20"]);
        assert_eq!(of("10.0.0.0/24"), ["10.0.0.0/24"]);
    }

    proptest! {
        #[test]
        fn blocks_overlap_just_when_they_have_an_address_in_common(
            a: u32, b: u32, a_prefix in 16..=28_u8, b_prefix in 16..=28_u8, near: bool,
        ) {
            // Two random blocks hardly ever meet; near ones often do.
            let b = if near { (a & 0xffff_0000) | (b & 0xffff) } else { b };
            let block = |address: u32, prefix| Block::new(Ipv4Net::new(address.into(), prefix).unwrap());
            if let (Ok(a), Ok(b)) = (block(a, a_prefix), block(b, b_prefix)) {
                let range = |block: Block| u32::from(block.net().network())..=u32::from(block.net().broadcast());
                let (x, y) = (range(a), range(b));
                prop_assert_eq!(a.overlaps(b), x.start() <= y.end() && y.start() <= x.end());
                prop_assert_eq!(a.to_string().parse(), Ok(a));
                prop_assert_eq!(a.usable(), x.end() - x.start() + 1 - 5);
            }
        }
    }
}
