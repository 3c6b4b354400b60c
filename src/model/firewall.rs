//! What security group rules and network ACL entries match: protocols, ports, directions.
//!
//! `api` parses EC2's loose members (`IpProtocol`, `FromPort`, `ToPort`) into these once; `network` turns them into
//! nftables statements.

use std::fmt;
use std::ops::RangeInclusive;

/// ICMP's number (IANA).
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Which way a rule looks, from the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the interface.
    Ingress,
    /// From the interface.
    Egress,
}

impl Direction {
    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The direction of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ingress, Self::Egress].into_iter().find(|d| d.name() == name)
    }
}

/// Which ICMP messages: of one type or all, and of that type one code or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpMessages {
    /// All.
    All,
    /// All of one type.
    Type(u8),
    /// Those of one type and code.
    Code(u8, u8),
}

/// The traffic that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// Everything.
    All,
    /// TCP to these ports.
    Tcp(RangeInclusive<u16>),
    /// UDP to these ports.
    Udp(RangeInclusive<u16>),
    /// ICMP.
    Icmp(IcmpMessages),
    /// ICMPv6.
    Icmpv6(IcmpMessages),
    /// Another protocol of IANA's list.
    Protocol(u8),
}

/// A protocol with numbers that don't go with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// No such protocol.
    #[error("Invalid protocol number {0}: -1 for all, or 0 to 255")]
    Protocol(i64),
    /// TCP and UDP need ports.
    #[error("Protocol {0} needs ports: 0 to 65535, the first no higher than the last")]
    Ports(u8),
    /// An ICMP type or code that can't be.
    #[error("ICMP type and code are 0 to 255, or -1 for all; a code needs its type")]
    Icmp,
}

impl Traffic {
    /// From the numbers as EC2 and the database have them: a protocol, -1 for all; for TCP and UDP the first and last
    /// port, for ICMP the type and the code, each -1 for all. Protocols without ports ignore the ports.
    ///
    /// # Errors
    /// The numbers don't go together.
    pub fn from_numbers(protocol: i64, from: Option<i64>, to: Option<i64>) -> Result<Self, TrafficError> {
        if protocol == -1 {
            return Ok(Self::All);
        }
        let number = u8::try_from(protocol).map_err(|_| TrafficError::Protocol(protocol))?;
        match number {
            TCP => ports(number, from, to).map(Self::Tcp),
            UDP => ports(number, from, to).map(Self::Udp),
            ICMP => messages(from, to).map(Self::Icmp),
            ICMPV6 => messages(from, to).map(Self::Icmpv6),
            other => Ok(Self::Protocol(other)),
        }
    }

    /// The protocol's number; -1 for all.
    pub const fn protocol(&self) -> i64 {
        match self {
            Self::All => -1,
            Self::Tcp(_) => TCP as i64,
            Self::Udp(_) => UDP as i64,
            Self::Icmp(_) => ICMP as i64,
            Self::Icmpv6(_) => ICMPV6 as i64,
            Self::Protocol(number) => *number as i64,
        }
    }

    /// The two numbers beside the protocol, where it has any: [`Self::from_numbers`] makes the same of them.
    pub fn numbers(&self) -> Option<(i64, i64)> {
        match self {
            Self::Tcp(ports) | Self::Udp(ports) => Some(((*ports.start()).into(), (*ports.end()).into())),
            Self::Icmp(messages) | Self::Icmpv6(messages) => Some(match *messages {
                IcmpMessages::All => (-1, -1),
                IcmpMessages::Type(kind) => (kind.into(), -1),
                IcmpMessages::Code(kind, code) => (kind.into(), code.into()),
            }),
            Self::All | Self::Protocol(_) => None,
        }
    }

    /// EC2's name of the protocol: `tcp`, `udp`, `icmp`, `icmpv6`, else its number.
    pub fn protocol_name(&self) -> String {
        match self {
            Self::Tcp(_) => "tcp".into(),
            Self::Udp(_) => "udp".into(),
            Self::Icmp(_) => "icmp".into(),
            Self::Icmpv6(_) => "icmpv6".into(),
            Self::All | Self::Protocol(_) => self.protocol().to_string(),
        }
    }
}

impl fmt::Display for Traffic {
    /// For people: `tcp 22`, `udp 5000-5010`, `all traffic`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all traffic"),
            Self::Tcp(ports) | Self::Udp(ports) if ports.start() == ports.end() => {
                write!(f, "{} {}", self.protocol_name(), ports.start())
            }
            Self::Tcp(ports) | Self::Udp(ports) => {
                write!(f, "{} {}-{}", self.protocol_name(), ports.start(), ports.end())
            }
            Self::Icmp(messages) | Self::Icmpv6(messages) => {
                f.write_str(&self.protocol_name())?;
                match messages {
                    IcmpMessages::All => Ok(()),
                    IcmpMessages::Type(kind) => write!(f, " type {kind}"),
                    IcmpMessages::Code(kind, code) => write!(f, " type {kind} code {code}"),
                }
            }
            Self::Protocol(number) => write!(f, "protocol {number}"),
        }
    }
}

fn ports(protocol: u8, from: Option<i64>, to: Option<i64>) -> Result<RangeInclusive<u16>, TrafficError> {
    let wrong = || TrafficError::Ports(protocol);
    let port = |number: Option<i64>| number.and_then(|number| u16::try_from(number).ok()).ok_or_else(wrong);
    let (first, last) = match (from, to) {
        // All ports, as EC2 takes it.
        (Some(-1), Some(-1)) => (0, u16::MAX),
        _ => (port(from)?, port(to)?),
    };
    if first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

fn messages(kind: Option<i64>, code: Option<i64>) -> Result<IcmpMessages, TrafficError> {
    let byte = |number: i64| u8::try_from(number).map_err(|_| TrafficError::Icmp);
    match (kind.unwrap_or(-1), code.unwrap_or(-1)) {
        (-1, -1) => Ok(IcmpMessages::All),
        (-1, _) => Err(TrafficError::Icmp),
        (kind, -1) => Ok(IcmpMessages::Type(byte(kind)?)),
        (kind, code) => Ok(IcmpMessages::Code(byte(kind)?, byte(code)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_that_go_together_are_taken_and_others_are_not() {
        let traffic = |protocol, from, to| Traffic::from_numbers(protocol, from, to);
        assert_eq!(traffic(6, Some(22), Some(22)), Ok(Traffic::Tcp(22..=22)));
        assert_eq!(traffic(17, Some(-1), Some(-1)), Ok(Traffic::Udp(0..=65535)));
        assert_eq!(traffic(1, Some(8), Some(-1)), Ok(Traffic::Icmp(IcmpMessages::Type(8))));
        assert_eq!(traffic(58, None, None), Ok(Traffic::Icmpv6(IcmpMessages::All)));
        assert_eq!(traffic(-1, Some(0), Some(0)), Ok(Traffic::All));
        assert_eq!(traffic(47, Some(1), None), Ok(Traffic::Protocol(47)));
        for (protocol, from, to) in [
            (6, None, None),
            (6, Some(23), Some(22)),
            (6, Some(-1), Some(22)),
            (17, Some(0), Some(65536)),
            (1, Some(-1), Some(0)),
            (1, Some(256), Some(0)),
            (256, None, None),
            (-2, None, None),
        ] {
            assert!(traffic(protocol, from, to).is_err(), "{protocol} {from:?} {to:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_read_from_numbers_is_written_as_numbers_that_read_the_same(
            protocol in -1..300_i64,
            from in proptest::option::of(-2..70_000_i64),
            to in proptest::option::of(-2..70_000_i64),
        ) {
            if let Ok(traffic) = Traffic::from_numbers(protocol, from, to) {
                let (from, to) = traffic.numbers().unzip();
                prop_assert_eq!(Traffic::from_numbers(traffic.protocol(), from, to), Ok(traffic));
            }
        }
    }
}
