//! How traffic is written on the command line and shown: `tcp 22`, `udp 5000-5010`, `icmp 8`, `all`.

use super::super::super::error::CommandError;
use std::str::FromStr;

/// All of TCP's or UDP's ports.
const ALL_PORTS: (i64, i64) = (0, 65535);

/// A protocol, as EC2 names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Protocol(String);

impl Protocol {
    /// EC2's name of it.
    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" | "udp" | "icmp" | "icmpv6" => Ok(Self(text.into())),
            "all" => Ok(Self("-1".into())),
            number => {
                let number: u8 = number
                    .parse()
                    .map_err(|_| "expecting tcp, udp, icmp, icmpv6, all or a number from 0 to 255".to_string())?;
                Ok(Self(number.to_string()))
            }
        }
    }
}

/// What follows a protocol: ports, or an ICMP type and perhaps a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// `22`
    One(u16),
    /// `80-443`
    Range(u16, u16),
    /// `3/4`
    Code(u16, u16),
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse()
                .map_err(|_| "expecting a port (22), ports (80-443), or an ICMP type and code (3/4)".to_string())
        };
        match (text.split_once('-'), text.split_once('/')) {
            (Some((first, last)), _) => Ok(Self::Range(number(first)?, number(last)?)),
            (None, Some((kind, code))) => Ok(Self::Code(number(kind)?, number(code)?)),
            (None, None) => number(text).map(Self::One),
        }
    }
}

/// The numbers that EC2 wants beside a protocol.
///
/// # Errors
/// The protocol has none of that kind.
pub(super) fn numbers(protocol: &Protocol, ports: Option<Ports>) -> Result<Option<(i64, i64)>, CommandError> {
    let is_icmp = matches!(protocol.name(), "icmp" | "icmpv6");
    let has_ports = matches!(protocol.name(), "tcp" | "udp" | "6" | "17");
    let wrong = |what: &str| Err(CommandError::Usage(format!("{} has {what}", words(protocol.name()))));
    match ports {
        None if has_ports => Ok(Some(ALL_PORTS)),
        None if is_icmp => Ok(Some((-1, -1))),
        None => Ok(None),
        Some(Ports::One(port)) if has_ports => Ok(Some((port.into(), port.into()))),
        Some(Ports::Range(first, last)) if has_ports => Ok(Some((first.into(), last.into()))),
        Some(Ports::One(kind)) if is_icmp => Ok(Some((kind.into(), -1))),
        Some(Ports::Code(kind, code)) if is_icmp => Ok(Some((kind.into(), code.into()))),
        Some(_) if has_ports => wrong("ports and no types"),
        Some(_) if is_icmp => wrong("types and no ports"),
        Some(_) => wrong("no ports"),
    }
}

/// Traffic in the words in which it can be typed.
pub(super) fn traffic(protocol: &str, from: Option<i64>, to: Option<i64>) -> String {
    let protocol = words(protocol);
    let (from, to) = (from.unwrap_or(-1), to.unwrap_or(-1));
    match protocol {
        "tcp" | "udp" if (from, to) != ALL_PORTS && from == to => format!("{protocol} {from}"),
        "tcp" | "udp" if (from, to) != ALL_PORTS => format!("{protocol} {from}-{to}"),
        "icmp" | "icmpv6" if to != -1 => format!("{protocol} {from}/{to}"),
        "icmp" | "icmpv6" if from != -1 => format!("{protocol} {from}"),
        _ => protocol.into(),
    }
}

/// A protocol in the word for it.
fn words(name: &str) -> &str {
    match name {
        "-1" => "all",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_shown_in_the_words_in_which_it_was_typed() {
        for typed in [
            "tcp 22",
            "tcp",
            "udp 5000-5010",
            "icmp",
            "icmp 8",
            "icmp 3/4",
            "icmpv6 128",
            "all",
            "47",
        ] {
            let (protocol, ports) = typed.split_once(' ').map_or((typed, None), |(a, b)| (a, Some(b)));
            let protocol: Protocol = protocol.parse().unwrap();
            let ports = ports.map(|ports| ports.parse().unwrap());
            let (from, to) = numbers(&protocol, ports).unwrap().unzip();
            assert_eq!(traffic(protocol.name(), from, to), typed);
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (protocol, ports) in [("tcp", "3/4"), ("icmp", "1-2"), ("all", "22"), ("47", "1")] {
            let ports = ports.parse().unwrap();
            assert!(numbers(&protocol.parse().unwrap(), Some(ports)).is_err(), "{protocol}");
        }
        for protocol in ["", "256", "-1", "ssh", "TCP"] {
            assert!(protocol.parse::<Protocol>().is_err(), "{protocol:?}");
        }
        for ports in ["", "-", "22-", "x", "1-2-3", "65536", "3/4/5"] {
            assert!(ports.parse::<Ports>().is_err(), "{ports:?}");
        }
    }
}
