//! Access keys: with what clients of the query endpoint sign, in the name of a user of the host.

use std::fmt;
use std::str::FromStr;
use time::OffsetDateTime;

/// The first letters of a key that does not expire, as EC2's clients know them.
const PREFIX: &str = "AKIA";
/// The letters after them.
const LETTERS: usize = 16;
/// Base32 (RFC 4648, section 6): each takes five random bits.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// How many random bytes an id and a secret are made of.
const RANDOM: usize = LETTERS + 30;

/// The id of an access key: `AKIA` and 16 capital letters or digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessKeyId(String);

/// A text that is no id of an access key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The id of an access key is {PREFIX} and {LETTERS} capital letters or digits")]
pub struct ParseAccessKeyIdError;

impl AccessKeyId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccessKeyId {
    type Err = ParseAccessKeyIdError;
    fn from_str(text: &str) -> Result<Self, ParseAccessKeyIdError> {
        let rest = text.strip_prefix(PREFIX).ok_or(ParseAccessKeyIdError)?;
        if rest.len() != LETTERS || !rest.bytes().all(|byte| ALPHABET.contains(&byte)) {
            return Err(ParseAccessKeyIdError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret of an access key: 40 characters that no log ever shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret that is kept in a record.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id.
    pub id: AccessKeyId,
    /// Its secret.
    pub secret: Secret,
    /// The user of the host who made it, and in whose name it acts.
    pub uid: u32,
    /// That user's group.
    pub gid: u32,
    /// Since when it is there.
    pub created: OffsetDateTime,
}

impl AccessKey {
    /// A new key of a user.
    ///
    /// # Errors
    /// The kernel has no random bytes.
    pub fn generate((uid, gid): (u32, u32), created: OffsetDateTime) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; RANDOM];
        getrandom::fill(&mut bytes)?;
        let (id, secret) = bytes.split_at(LETTERS);
        let id: String = id
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
            .collect();
        Ok(Self {
            id: AccessKeyId(format!("{PREFIX}{id}")),
            secret: Secret(crate::base64::encode(secret)),
            uid,
            gid,
            created,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_are_read_back_and_hide_their_secrets() {
        let make = || AccessKey::generate((1, 2), OffsetDateTime::UNIX_EPOCH).unwrap();
        let (one, other) = (make(), make());
        assert_ne!(one.id, other.id);
        assert_ne!(one.secret, other.secret);
        assert_eq!(one.id.as_str().parse(), Ok(one.id.clone()));
        assert_eq!(one.secret.reveal().len(), 40);
        assert!(!format!("{one:?}").contains(one.secret.reveal()));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for bad in [
            "",
            "AKIA",
            "AKIA00000000000000000",
            "ASIAABCDEFGHIJKLMNOP",
            "AKIAabcdefghijklmnop",
        ] {
            assert_eq!(bad.parse::<AccessKeyId>(), Err(ParseAccessKeyIdError), "{bad}");
        }
    }
}
