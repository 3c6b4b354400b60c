//! What the daemon says of a network interface, read out of [`DeviceSpec::config`](crate::protocol::DeviceSpec::config)
//! into types that can't be wrong.

use crate::virtio::limit::Rate;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most pairs of queues.
pub const MAX_PAIRS: u16 = 8;
/// The smallest MTU (virtio 1.2, 5.1.4.1).
const MIN_MTU: u16 = 68;

/// A network interface.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its hardware address, as `02:00:5e:10:00:01`.
    pub mac: Mac,
    /// The largest IP packet that it carries, in bytes: at least 68.
    pub mtu: Mtu,
    /// How many pairs of queues it has, 1 to 8: one open queue of the tap for each.
    pub queue_pairs: QueuePairs,
    /// Whether the guest is offered to leave checksums and segmentation to the host, and to do them for it.
    pub offloads: bool,
    /// What moves its frames.
    pub backend: Backend,
    /// How much it may carry; without limits, as much as it can.
    #[serde(default)]
    pub limits: Limits,
}

/// What moves frames between the guest and the tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// The monitor.
    UserSpace,
    /// The host's kernel. It knows no limits. It has one open `/dev/vhost-net` for each pair of queues, after those of the
    /// tap.
    VhostNet,
}

/// How much an interface may carry each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// To the guest.
    pub receive: Limit,
    /// From the guest.
    pub transmit: Limit,
}

/// How much may go one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// Bytes of frames, their Ethernet headers among them.
    pub bytes: Option<Rate>,
    /// Packets as a wire would carry them: what is segmented later counts as its segments.
    pub packets: Option<Rate>,
}

/// Why a setting of an interface is impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Not six pairs of hexadecimal digits, or no address that one interface can have.
    #[error("{0:?} is not the hardware address of an interface, as 02:00:5e:10:00:01 would be")]
    Mac(String),
    /// Smaller than any IP packet may be made.
    #[error("An interface can't have an MTU of {0} bytes: {MIN_MTU} or more are possible")]
    Mtu(u16),
    /// None, or too many.
    #[error("An interface can't have {0} queue pairs: 1 to {MAX_PAIRS} are possible")]
    QueuePairs(u16),
}

/// A hardware address of one interface: not that of a group, and not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// Its bytes, in the order of transmission.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let wrong = || SettingError::Mac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            let digits = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            let value = u8::from_str_radix(part, 16).ok().filter(|_| digits);
            *byte = value.ok_or_else(wrong)?;
        }
        let [first, ..] = bytes;
        let group = first & 1 != 0;
        if parts.next().is_some() || group || bytes == [0; 6] {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = SettingError;

    fn try_from(text: String) -> Result<Self, SettingError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The largest IP packet that an interface carries, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct Mtu(u16);

impl Mtu {
    /// In bytes.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Mtu {
    type Error = SettingError;

    fn try_from(mtu: u16) -> Result<Self, SettingError> {
        match mtu {
            MIN_MTU.. => Ok(Self(mtu)),
            _ => Err(SettingError::Mtu(mtu)),
        }
    }
}

/// How many pairs of queues an interface has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct QueuePairs(u16);

impl QueuePairs {
    /// The number, 1 to [`MAX_PAIRS`].
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for QueuePairs {
    type Error = SettingError;

    fn try_from(pairs: u16) -> Result<Self, SettingError> {
        match pairs {
            1..=MAX_PAIRS => Ok(Self(pairs)),
            _ => Err(SettingError::QueuePairs(pairs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn an_address_reads_back_as_it_was_written(mut bytes in any::<[u8; 6]>()) {
            bytes[0] = bytes[0] & !1 | 2;
            let mac: Mac = Mac(bytes).to_string().parse().unwrap();
            prop_assert_eq!(mac.bytes(), bytes);
        }

        #[test]
        fn no_text_is_taken_for_an_address_that_it_is_not(text in "[0-9a-fA-F:+ gx]{0,20}") {
            if let Ok(mac) = text.parse::<Mac>() {
                prop_assert_eq!(mac.to_string(), text.to_lowercase());
            }
        }
    }

    #[test]
    fn addresses_of_groups_and_of_nobody_are_refused() {
        for text in [
            "",
            "00:00:00:00:00:00",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "02:00:5e:00:00",
            "02:00:5e:00:00:01:02",
            "02:00:5e:00:00:1",
            "02:00:5e:00:00:+1",
            "02-00-5e-00-00-01",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(SettingError::Mac(text.to_owned())));
        }
    }

    #[test]
    fn settings_are_read_and_impossible_ones_refused_with_the_reason() {
        let good = json!({
            "mac": "02:00:5e:10:00:01", "mtu": 9001, "queue_pairs": 8, "offloads": true, "backend": "user_space",
            "limits": {"transmit": {"bytes": {"per_second": 1, "burst": 2}}},
        });
        let config: Config = serde_json::from_value(good.clone()).unwrap();
        assert_eq!((config.mtu.get(), config.queue_pairs.get()), (9001, 8));
        assert_eq!(config.limits.transmit.bytes.unwrap().burst.get(), 2);
        assert!(config.limits.receive.bytes.is_none());
        for (name, value, reason) in [
            ("mac", json!("01:00:5e:00:00:01"), "hardware address"),
            ("mtu", json!(67), "68 or more"),
            ("queue_pairs", json!(0), "1 to 8 are possible"),
            ("queue_pairs", json!(9), "1 to 8 are possible"),
            ("backend", json!("vhost_user"), "unknown variant"),
            ("surplus", json!(1), "unknown field"),
            (
                "limits",
                json!({"transmit": {"bytes": {"per_second": 0, "burst": 1}}}),
                "nonzero",
            ),
            ("limits", json!({"both": {}}), "unknown field"),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            let error = serde_json::from_value::<Config>(bad).unwrap_err().to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
    }
}
