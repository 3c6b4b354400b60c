//! Network interfaces: an address in a subnet, and the groups whose rules hold for it.

use super::{
    AttachmentState, InstanceId, NetworkInterfaceAttachmentId, NetworkInterfaceId, PublicAddress, SecurityGroupId,
    SubnetId,
};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use time::OffsetDateTime;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// A text that is no Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("An Ethernet address is six pairs of hexadecimal digits with colons between them")]
pub struct ParseMacError;

impl MacAddress {
    /// One of random bits, administered locally (IEEE 802, 8.2), as EC2's are: the first byte is 0x02.
    #[must_use]
    pub const fn from_random(bits: [u8; 5]) -> Self {
        let [b, c, d, e, f] = bits;
        Self([0x02, b, c, d, e, f])
    }

    /// Its six bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let mut bytes = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && !pair.starts_with('+'));
            let pair = pair.ok_or(ParseMacError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ParseMacError)?;
        }
        pairs.next().map_or(Ok(Self(bytes)), |_| Err(ParseMacError))
    }
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInterface {
    /// Its identifier.
    pub id: NetworkInterfaceId,
    /// What its host objects are named by; no other interface of the host has it.
    pub number: u32,
    /// The subnet that its address is of.
    pub subnet: SubnetId,
    /// Its Ethernet address.
    pub mac: MacAddress,
    /// Its primary private address; no other interface of the subnet has it.
    pub address: Ipv4Addr,
    /// Its other private addresses, in the order in which they came.
    pub secondary: Vec<Ipv4Addr>,
    /// For people.
    pub description: String,
    /// Whether it may only send and be sent what bears its own addresses.
    pub source_dest_check: bool,
    /// The groups that it is in, by id; at least one.
    pub groups: Vec<SecurityGroupId>,
    /// Whether each start of its instance gives it a public address, if there are any.
    pub public_at_start: bool,
    /// Its public address.
    pub public: Option<PublicAddress>,
    /// Where it is attached.
    pub attachment: Option<InterfaceAttachment>,
    /// When it was made.
    pub created: OffsetDateTime,
}

impl NetworkInterface {
    /// All its private addresses, the primary first.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        [self.address].into_iter().chain(self.secondary.iter().copied())
    }
}

/// An interface's place in an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAttachment {
    /// Its identifier.
    pub id: NetworkInterfaceAttachmentId,
    /// The instance.
    pub instance: InstanceId,
    /// Its place: 0 is the primary interface's.
    pub device_index: u16,
    /// Whether it goes with the instance.
    pub delete_on_termination: bool,
    /// When it was attached.
    pub attached: OffsetDateTime,
    /// Whether the instance's machine has it.
    pub state: AttachmentState,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_reads_back_as_it_was_written(bits: [u8; 5]) {
            let mac = MacAddress::from_random(bits);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        }

        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = text.parse::<MacAddress>();
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "2:0:0:0:0:0",
            "02:00:00:00:00:+1",
            "02-00-00-00-00-00",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
