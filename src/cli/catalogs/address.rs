//! Where an index or a disk lies: an HTTPS address, and names that are relative to an index.
//!
//! What may be connected to is decided here once, for what users type, what indices say and what servers redirect to.

use hyper::Uri;
use std::fmt;
use std::net::IpAddr;

/// The longest address or name.
const MAX_LENGTH: usize = 2048;

/// An address that may be fetched: `https`, or `http` on this host's own loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    uri: Uri,
    host: String,
    is_tls: bool,
}

/// Why an address is not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none.
    #[error("{0:?} is no https address")]
    Malformed(String),
    /// Anybody on the way could change what it answers.
    #[error("{0} is plain http, which is fetched from this host alone; use https")]
    Plain(String),
    /// It would be shown and stored.
    #[error("an address with a user or a password in it is not taken")]
    Credentials,
    /// A server would have it go on without encryption.
    #[error("it redirects from https to {0}, which is not followed")]
    Downgrade(String),
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let malformed = || AddressError::Malformed(text.chars().take(200).collect());
        if text.len() > MAX_LENGTH || text.bytes().any(|byte| !(0x21..0x7f).contains(&byte)) || text.contains('#') {
            return Err(malformed());
        }
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(malformed());
        };
        if authority.as_str().contains('@') {
            return Err(AddressError::Credentials);
        }
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() {
            return Err(malformed());
        }
        let is_tls = match scheme {
            "https" => true,
            "http" if is_loopback(&host) => false,
            "http" => return Err(AddressError::Plain(text.into())),
            _ => return Err(malformed()),
        };
        Ok(Address { host, is_tls, uri })
    }

    /// The address of what lies beside or below it.
    pub fn beside(&self, name: &RelativeName) -> Result<Address, AddressError> {
        let folder = self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        Address::parse(&format!("{}{folder}/{name}", self.origin()))
    }

    /// The address of this one's signature.
    pub fn signature(&self) -> Result<Address, AddressError> {
        Address::parse(&format!("{}{}.minisig", self.origin(), self.uri.path()))
    }

    /// Where a redirect leads to. From HTTPS it leads to HTTPS only.
    pub fn redirected(&self, location: &str) -> Result<Address, AddressError> {
        let folder = self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let scheme = if self.is_tls { "https" } else { "http" };
        let whole = match location {
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{}{location}", self.origin()),
            _ if location.contains("://") => location.to_owned(),
            _ => format!("{}{folder}/{location}", self.origin()),
        };
        // What stands behind a # is for browsers.
        let whole = whole.split_once('#').map_or(whole.as_str(), |(whole, _)| whole);
        let lowers = self.is_tls
            && whole
                .get(..7)
                .is_some_and(|start| start.eq_ignore_ascii_case("http://"));
        if lowers {
            return Err(AddressError::Downgrade(whole.into()));
        }
        Address::parse(whole)
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    /// The host and the port as the request's head has them.
    pub fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// The path and the query.
    pub fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    fn origin(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }
}

/// As it was given.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A name relative to an index's folder that can't lead out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelativeName(String);

impl RelativeName {
    /// Reads a name: words of letters, digits and `-._~+=@,` with `/` between them, none of them `.` or `..`.
    pub fn parse(text: &str) -> Option<RelativeName> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word != "."
                && word != ".."
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+=@,".contains(&byte))
        };
        (text.len() <= MAX_LENGTH && text.split('/').all(is_word)).then(|| RelativeName(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn only_https_and_this_hosts_own_http_are_taken() {
        for text in [
            "https://images.example/index.json",
            "https://images.example:8443/a?b=c",
            "http://127.0.0.1:80/",
            "http://[::1]/x",
            "http://localhost:8000/index.json",
        ] {
            assert_eq!(address(text).to_string(), text);
        }
        assert!(matches!(
            Address::parse("http://images.example/"),
            Err(AddressError::Plain(_))
        ));
        // The host is the part behind the @, whatever stands before it.
        assert_eq!(
            Address::parse("http://127.0.0.1@images.example/"),
            Err(AddressError::Credentials)
        );
        assert_eq!(
            Address::parse("https://me:secret@images.example/"),
            Err(AddressError::Credentials)
        );
        for text in [
            "",
            "images.example",
            "/index.json",
            "ftp://images.example/",
            "https:///x",
            "https://a b/",
            "https://a/#b",
        ] {
            assert!(
                matches!(Address::parse(text), Err(AddressError::Malformed(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn redirects_never_leave_https() {
        let from = address("https://images.example/a/index.json");
        for (location, to) in [
            ("b.json", "https://images.example/a/b.json"),
            ("/b.json#part", "https://images.example/b.json"),
            ("//other.example/b", "https://other.example/b"),
            ("https://other.example/b", "https://other.example/b"),
        ] {
            assert_eq!(from.redirected(location).unwrap().to_string(), to);
        }
        for location in [
            "http://images.example/b",
            "HTTP://images.example/b",
            "http://127.0.0.1/b",
        ] {
            assert!(
                matches!(from.redirected(location), Err(AddressError::Downgrade(_))),
                "{location}"
            );
        }
        let local = address("http://127.0.0.1:8000/index.json");
        assert!(matches!(
            local.redirected("http://images.example/b"),
            Err(AddressError::Plain(_))
        ));
        assert!(local.redirected("https://images.example/b").unwrap().is_tls());
    }

    #[test]
    fn what_lies_beside_an_index_has_its_folder_and_not_its_query() {
        let index = address("https://images.example/v1/index.json?token=1");
        let name = RelativeName::parse("disks/a.qcow2").unwrap();
        assert_eq!(
            index.beside(&name).unwrap().to_string(),
            "https://images.example/v1/disks/a.qcow2"
        );
        assert_eq!(
            index.signature().unwrap().to_string(),
            "https://images.example/v1/index.json.minisig"
        );
    }

    proptest! {
        #[test]
        fn no_relative_name_leads_out(text in "[a.%/:\\\\]{0,12}") {
            if let Some(name) = RelativeName::parse(&text) {
                let path = std::path::Path::new(name.as_str());
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
                prop_assert!(!text.contains(['%', ':', '\\']));
            }
        }

        #[test]
        fn no_redirect_panics_and_none_lowers(location in "\\PC{0,40}") {
            let from = Address::parse("https://images.example/a/b").unwrap();
            if let Ok(to) = from.redirected(&location) {
                prop_assert!(to.is_tls());
            }
        }
    }
}
