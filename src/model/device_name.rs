//! The names under which an instance's volumes are known to EC2: what guests call them is their own business.

use std::fmt;
use std::str::FromStr;

/// A device name: `/dev/sdf`, `/dev/xvdba`, `/dev/sda1`, or without its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName(String);

/// A text that is no device name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("A device name is /dev/sd or /dev/xvd with one or two letters, and perhaps a number from 1 to 15")]
pub struct ParseDeviceNameError;

impl DeviceName {
    /// Whether it is the place of the one of that name: `/dev/xvdf` is `/dev/sdf`'s.
    #[must_use]
    pub fn is_that_of(&self, other: &str) -> bool {
        place(&self.0) == place(other)
    }
}

/// The part of a name that tells places apart.
fn place(name: &str) -> &str {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let name = name
        .strip_prefix("xvd")
        .or_else(|| name.strip_prefix("sd"))
        .unwrap_or(name);
    // The whole disk, and what is called its first partition, are one volume: the root's name is /dev/sda1 mostly.
    match name.strip_suffix('1') {
        Some(disk) if !disk.is_empty() && disk.bytes().all(|byte| byte.is_ascii_lowercase()) => disk,
        _ => name,
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DeviceName {
    type Err = ParseDeviceNameError;

    fn from_str(text: &str) -> Result<Self, ParseDeviceNameError> {
        let name = text.strip_prefix("/dev/").unwrap_or(text);
        let place = name.strip_prefix("xvd").or_else(|| name.strip_prefix("sd"));
        let place = place.ok_or(ParseDeviceNameError)?;
        let letters = place.bytes().take_while(u8::is_ascii_lowercase).count();
        let (_, number) = place.split_at(letters);
        let partition = number.is_empty()
            || !number.starts_with('0') && number.parse().is_ok_and(|number: u8| (1..=15).contains(&number));
        match (1..=2).contains(&letters) && partition && !number.starts_with('+') {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseDeviceNameError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_scsi_and_xen_disks() {
        for name in ["/dev/sdf", "/dev/xvdba", "/dev/sda1", "sdz15", "xvdf"] {
            assert_eq!(name.parse::<DeviceName>().map(|name| name.to_string()), Ok(name.into()));
        }
        for name in [
            "",
            "/dev/",
            "/dev/sd",
            "/dev/sd1",
            "/dev/sda0",
            "/dev/sda01",
            "/dev/sda16",
            "/dev/sdabc",
            "/dev/sdF",
            "/dev/nvme0n1",
            "/dev/sda+1",
            "/dev/sda/../x",
        ] {
            assert_eq!(name.parse::<DeviceName>(), Err(ParseDeviceNameError), "{name}");
        }
    }

    #[test]
    fn one_place_has_several_names() {
        let name = |name: &str| name.parse::<DeviceName>().unwrap();
        for (one, other, same) in [
            ("/dev/sdf", "/dev/xvdf", true),
            ("sdf", "/dev/sdf", true),
            ("/dev/sda", "/dev/sda1", true),
            ("/dev/sdf", "/dev/sdg", false),
            ("/dev/sdf2", "/dev/sdf", false),
        ] {
            assert_eq!(name(one).is_that_of(other), same, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,16}") {
            if let Ok(name) = text.parse::<DeviceName>() {
                prop_assert!(name.is_that_of(&text));
            }
        }
    }
}
