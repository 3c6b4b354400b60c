//! What the daemon may use of the host's network.

use ipnet::Ipv4Net;
use serde::Deserialize;
use std::net::Ipv4Addr;

/// The longest prefix that holds the two addresses of one uplink.
const LONGEST: u8 = 31;

/// The table `[network]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The addresses of the links between VPCs and the host: two a VPC.
    pub transit: TransitBlock,
    /// The blocks of public addresses that elastic addresses are taken from.
    pub public_pool: Vec<Ipv4Net>,
    /// Whether the host's kernel moves guests' frames, where it has vhost-net.
    pub vhost_net: bool,
}

/// A block of addresses for uplinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Ipv4Net")]
pub struct TransitBlock(Ipv4Net);

/// A block that no uplinks can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the first address and the length of a block, of /{LONGEST} at the longest")]
pub struct InvalidTransitError(Ipv4Net);

impl TransitBlock {
    /// The block.
    #[must_use]
    pub const fn block(self) -> Ipv4Net {
        self.0
    }
}

impl TryFrom<Ipv4Net> for TransitBlock {
    type Error = InvalidTransitError;

    fn try_from(block: Ipv4Net) -> Result<Self, InvalidTransitError> {
        match block.prefix_len() <= LONGEST && block == block.trunc() {
            true => Ok(Self(block)),
            false => Err(InvalidTransitError(block)),
        }
    }
}

impl Default for Network {
    /// Link-local addresses (RFC 3927) are nobody's network, so nothing of the host's is shadowed.
    fn default() -> Self {
        let block = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 128, 0), 20);
        Self {
            transit: TransitBlock(block),
            public_pool: Vec::new(),
            vhost_net: true,
        }
    }
}
