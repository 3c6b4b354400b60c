//! Key pairs: the public half that a guest is given, and by which its owner gets in.

use super::KeyPairId;
use std::fmt;
use std::str::FromStr;
use time::OffsetDateTime;

/// The longest name of a key pair, in characters.
const MAX_NAME: usize = 255;

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `rsa`.
    Rsa,
    /// `ed25519`.
    Ed25519,
}

impl KeyType {
    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Rsa, Self::Ed25519].into_iter().find(|kind| kind.name() == name)
    }
}

/// The name of a key pair, one of its kind: 1 to 255 printable ASCII characters with no space at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// A text that can't name a key pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("A key pair's name has 1 to {MAX_NAME} printable ASCII characters, the first and last of them no space")]
pub struct ParseKeyNameError;

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = ParseKeyNameError;
    fn from_str(text: &str) -> Result<Self, ParseKeyNameError> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if text.is_empty() || text.len() > MAX_NAME || !printable || text.trim() != text {
            return Err(ParseKeyNameError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key pair. Its private half is nowhere but with its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Its identifier.
    pub id: KeyPairId,
    /// Its name; no other key pair has it.
    pub name: KeyName,
    /// Its kind.
    pub kind: KeyType,
    /// As EC2 gives it: which digest of which half depends on the kind and on where the pair was made.
    pub fingerprint: String,
    /// One line in the form of `authorized_keys`.
    pub public_key: String,
    /// When it was made or imported.
    pub created: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_and_bounded() {
        for good in ["k", "my key (2026)", &"x".repeat(255)] {
            assert_eq!(good.parse::<KeyName>().unwrap().as_str(), good);
        }
        for bad in ["", " k", "k ", "k\n", "schlüssel", &"x".repeat(256)] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad:?}");
        }
    }
}
