//! Where this host says it is: EC2's region, Availability Zone and account.

use crate::model::{HostnameType, Instance};
use serde::Deserialize;
use std::net::Ipv4Addr;

/// Region, zone and account, checked: EC2's clients build names out of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPlace")]
pub struct Place {
    region: String,
    zone: String,
    account: String,
}

/// The table `[place]`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPlace {
    region: String,
    zone: Option<String>,
    account: String,
}

/// Why a place can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlaceError {
    /// Clients put the region into host names.
    #[error("Region {0:?} is not a name of lower-case letters, digits and hyphens")]
    Region(String),
    /// A zone is its region's name and a letter.
    #[error("Zone {zone:?} is not the name of region {region:?} with one lower-case letter after it")]
    Zone {
        /// What was given.
        zone: String,
        /// The region.
        region: String,
    },
    /// An account is twelve digits.
    #[error("Account {0:?} is not twelve digits")]
    Account(String),
}

impl Place {
    /// Checks the three names.
    ///
    /// # Errors
    /// One of them is not a name that EC2's clients would take.
    pub fn new(region: &str, zone: &str, account: &str) -> Result<Place, InvalidPlaceError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if region.is_empty() || region.len() > 63 || !region.bytes().all(fits) {
            return Err(InvalidPlaceError::Region(region.into()));
        }
        let letter = zone.strip_prefix(region).map(str::as_bytes);
        if !matches!(letter, Some([letter]) if letter.is_ascii_lowercase()) {
            return Err(InvalidPlaceError::Zone {
                zone: zone.into(),
                region: region.into(),
            });
        }
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidPlaceError::Account(account.into()));
        }
        Ok(Place {
            region: region.into(),
            zone: zone.into(),
            account: account.into(),
        })
    }

    /// The region, `local-1`.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The Availability Zone, `local-1a`.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The account that owns everything here, twelve digits.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The domain of the private names of instances, `local-1.compute.internal`.
    pub fn private_domain(&self) -> String {
        format!("{}.compute.internal", self.region)
    }

    /// What the instance with that primary address calls itself.
    pub fn instance_name(&self, instance: &Instance, address: Ipv4Addr) -> String {
        match instance.attributes.private_name.hostname_type {
            HostnameType::IpName => self.private_name(address),
            HostnameType::ResourceName => format!("{}.{}", instance.id, self.private_domain()),
        }
    }

    /// The private name of the instance with that address, `ip-10-0-0-5.local-1.compute.internal`.
    pub fn private_name(&self, address: Ipv4Addr) -> String {
        let [a, b, c, d] = address.octets();
        format!("ip-{a}-{b}-{c}-{d}.{}", self.private_domain())
    }
}

impl Default for Place {
    fn default() -> Place {
        Place {
            region: "local-1".into(),
            zone: "local-1a".into(),
            account: "000000000000".into(),
        }
    }
}

impl Default for RawPlace {
    fn default() -> RawPlace {
        let Place { region, account, .. } = Place::default();
        RawPlace {
            region,
            zone: None,
            account,
        }
    }
}

impl TryFrom<RawPlace> for Place {
    type Error = InvalidPlaceError;

    fn try_from(raw: RawPlace) -> Result<Place, InvalidPlaceError> {
        let zone = raw.zone.unwrap_or_else(|| format!("{}a", raw.region));
        Place::new(&raw.region, &zone, &raw.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_its_region_and_a_letter() {
        assert!(Place::new("eu-home-1", "eu-home-1b", "123456789012").is_ok());
        for zone in ["eu-home-1", "eu-home-1ab", "eu-home-1B", "b"] {
            assert!(Place::new("eu-home-1", zone, "123456789012").is_err(), "{zone}");
        }
    }

    #[test]
    fn a_region_alone_brings_its_first_zone() {
        let place: Place = toml::from_str("region = \"home-2\"").unwrap();
        assert_eq!(place.zone(), "home-2a");
    }
}
