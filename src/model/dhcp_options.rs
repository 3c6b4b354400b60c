//! DHCP options: what the guests of a VPC are told beside their address.

use super::DhcpOptionsId;
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// The value of `domain-name-servers` that means the VPC's own.
const PROVIDED_DNS: &str = "AmazonProvidedDNS";
/// The most servers of a kind.
const MAX_SERVERS: usize = 4;
/// The longest domain name, in characters (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
/// The longest label of a domain name, in characters.
const MAX_LABEL: usize = 63;

/// A set of DHCP options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpOptions {
    /// Its identifier.
    pub id: DhcpOptionsId,
    /// Whether it is the one that new VPCs get. One at most is so.
    pub is_default: bool,
    /// The options by name, each once.
    pub options: Vec<DhcpOption>,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// One option with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DhcpOption {
    /// `domain-name` (RFC 2132, 3.17): one, or several with a space between them, for guests that understand that.
    DomainName(String),
    /// `domain-name-servers` (RFC 2132, 3.8).
    DomainNameServers(DomainNameServers),
    /// `ntp-servers` (RFC 2132, 8.3): one to four.
    NtpServers(Vec<Ipv4Addr>),
    /// `netbios-name-servers` (RFC 2132, 8.5): one to four.
    NetbiosNameServers(Vec<Ipv4Addr>),
    /// `netbios-node-type` (RFC 2132, 8.7): 1, 2, 4 or 8.
    NetbiosNodeType(u8),
}

/// Who resolves names for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainNameServers {
    /// The VPC does, at the second address above its block's first (EC2's `AmazonProvidedDNS`).
    Provided,
    /// These do: one to four.
    Servers(Vec<Ipv4Addr>),
}

/// Values that an option can't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DhcpOptionError {
    /// There is no such option.
    #[error(
        "'{}' is no DHCP option: expecting domain-name, domain-name-servers, ntp-servers, netbios-name-servers or \
         netbios-node-type",
        .0.escape_debug()
    )]
    Key(String),
    /// Not the values that the option has.
    #[error("The DHCP option {key} is {expected}")]
    Values {
        /// The option.
        key: &'static str,
        /// What it can be.
        expected: &'static str,
    },
}

impl DhcpOption {
    /// The option of that name with those values, as EC2 and the database have them.
    ///
    /// # Errors
    /// There is no such option, or it can't have those values.
    pub fn from_values(key: &str, values: &[String]) -> Result<Self, DhcpOptionError> {
        match key {
            "domain-name" => domain_name(values).map(Self::DomainName),
            "domain-name-servers" => domain_name_servers(values).map(Self::DomainNameServers),
            "ntp-servers" => servers("ntp-servers", values).map(Self::NtpServers),
            "netbios-name-servers" => servers("netbios-name-servers", values).map(Self::NetbiosNameServers),
            "netbios-node-type" => node_type(values).map(Self::NetbiosNodeType),
            other => Err(DhcpOptionError::Key(other.chars().take(64).collect())),
        }
    }

    /// EC2's name of it.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::DomainName(_) => "domain-name",
            Self::DomainNameServers(_) => "domain-name-servers",
            Self::NtpServers(_) => "ntp-servers",
            Self::NetbiosNameServers(_) => "netbios-name-servers",
            Self::NetbiosNodeType(_) => "netbios-node-type",
        }
    }

    /// Its values: [`Self::from_values`] makes the same of them.
    #[must_use]
    pub fn values(&self) -> Vec<String> {
        match self {
            Self::DomainName(name) => vec![name.clone()],
            Self::DomainNameServers(DomainNameServers::Provided) => vec![PROVIDED_DNS.into()],
            Self::DomainNameServers(DomainNameServers::Servers(servers))
            | Self::NtpServers(servers)
            | Self::NetbiosNameServers(servers) => servers.iter().map(ToString::to_string).collect(),
            Self::NetbiosNodeType(kind) => vec![kind.to_string()],
        }
    }
}

fn domain_name(values: &[String]) -> Result<String, DhcpOptionError> {
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(allowed)
    };
    match values {
        [text] if text.len() <= MAX_NAME && text.split(' ').all(|name| name.split('.').all(label)) => Ok(text.clone()),
        _ => Err(DhcpOptionError::Values {
            key: "domain-name",
            expected: "one domain name, of letters, digits, hyphens and dots",
        }),
    }
}

fn domain_name_servers(values: &[String]) -> Result<DomainNameServers, DhcpOptionError> {
    match values {
        [provided] if provided == PROVIDED_DNS => Ok(DomainNameServers::Provided),
        _ => servers("domain-name-servers", values).map(DomainNameServers::Servers),
    }
}

fn servers(key: &'static str, values: &[String]) -> Result<Vec<Ipv4Addr>, DhcpOptionError> {
    let parsed: Result<Vec<Ipv4Addr>, _> = values.iter().map(|value| value.parse()).collect();
    match parsed {
        Ok(servers) if (1..=MAX_SERVERS).contains(&servers.len()) => Ok(servers),
        _ => Err(DhcpOptionError::Values {
            key,
            expected: match key {
                "domain-name-servers" => "AmazonProvidedDNS, or one to four IPv4 addresses",
                _ => "one to four IPv4 addresses",
            },
        }),
    }
}

fn node_type(values: &[String]) -> Result<u8, DhcpOptionError> {
    let kind = match values {
        [kind] => kind.parse().ok().filter(|kind| [1, 2, 4, 8].contains(kind)),
        _ => None,
    };
    kind.ok_or(DhcpOptionError::Values {
        key: "netbios-node-type",
        expected: "1, 2, 4 or 8",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn option(key: &str, values: &[&str]) -> Result<DhcpOption, DhcpOptionError> {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        DhcpOption::from_values(key, &values)
    }

    #[test]
    fn values_that_an_option_can_have_are_taken_and_others_are_not() {
        for (key, values) in [
            ("domain-name", vec!["local-1.compute.internal"]),
            ("domain-name", vec!["one.example two.example"]),
            ("domain-name-servers", vec!["AmazonProvidedDNS"]),
            ("domain-name-servers", vec!["10.0.0.2", "192.0.2.1"]),
            ("ntp-servers", vec!["169.254.169.123"]),
            ("netbios-name-servers", vec!["10.0.0.3"]),
            ("netbios-node-type", vec!["2"]),
        ] {
            let taken = option(key, &values).unwrap();
            assert_eq!(
                (taken.key(), taken.values()),
                (key, values.iter().map(ToString::to_string).collect())
            );
        }
        let five = ["10.0.0.1"; 5];
        for (key, values) in [
            ("router", &["10.0.0.1"][..]),
            ("domain-name", &[]),
            ("domain-name", &[""]),
            ("domain-name", &["one.example", "two.example"]),
            ("domain-name", &["a..b"]),
            ("domain-name", &["a\nb"]),
            ("domain-name-servers", &["AmazonProvidedDNS", "10.0.0.2"]),
            ("domain-name-servers", &["fd00::1"]),
            ("ntp-servers", &[]),
            ("ntp-servers", &five),
            ("netbios-node-type", &["3"]),
            ("netbios-node-type", &["1", "2"]),
        ] {
            assert!(option(key, values).is_err(), "{key} {values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_values_panic(key in "(domain-name|netbios-node-type|.{0,12})", values in prop::collection::vec(".{0,12}", 0..6)) {
            let _ = DhcpOption::from_values(&key, &values);
        }
    }
}
