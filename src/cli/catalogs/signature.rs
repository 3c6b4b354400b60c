//! Signatures of indices: minisign's, made over the whole index. The key is given once, with the subscription.

use minisign_verify::{PublicKey, Signature};
use std::fmt;
use std::str::FromStr;

/// A minisign public key, as its owner publishes it.
#[derive(Clone)]
pub struct Key {
    text: String,
    key: PublicKey,
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Key, String> {
        let text = text.trim();
        let key = PublicKey::from_base64(text).map_err(|_| {
            "it is not a minisign public key: that is the line of a .pub file that begins with RW".to_owned()
        })?;
        Ok(Key { text: text.into(), key })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.text)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

impl Key {
    /// Checks that an index is signed with this key; says in plain words why it is not.
    pub fn verify(&self, index: &[u8], signature: &[u8]) -> Result<(), String> {
        let signature = std::str::from_utf8(signature).ok();
        let signature = signature.and_then(|text| Signature::decode(text).ok());
        let signature = signature.ok_or("its signature is not one of minisign's")?;
        self.key.verify(index, &signature, false).map_err(|error| {
            match error {
                minisign_verify::Error::UnexpectedKeyId => "it is signed with another key",
                minisign_verify::Error::UnsupportedLegacyMode | minisign_verify::Error::UnsupportedAlgorithm => {
                    "its signature is of a kind that is no longer made; sign it with a current minisign"
                }
                _ => "its signature is of another text; the index was altered or cut short",
            }
            .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INDEX: &[u8] = include_bytes!("../../../tests/data/catalog/index.json");
    const SIGNATURE: &[u8] = include_bytes!("../../../tests/data/catalog/index.json.minisig");

    fn key(file: &str) -> Key {
        file.lines().last().unwrap().parse().unwrap()
    }

    fn ours() -> Key {
        key(include_str!("../../../tests/data/catalog/minisign.pub"))
    }

    #[test]
    fn a_signature_holds_for_its_text_and_its_key_alone() {
        assert_eq!(ours().verify(INDEX, SIGNATURE), Ok(()));
        let other = key(include_str!("../../../tests/data/catalog/other.pub"));
        assert!(other.verify(INDEX, SIGNATURE).unwrap_err().contains("another key"));
        let altered = [INDEX, b" "].concat();
        assert!(ours().verify(&altered, SIGNATURE).unwrap_err().contains("altered"));
        assert!(
            ours()
                .verify(INDEX, b"no")
                .unwrap_err()
                .contains("not one of minisign's")
        );
        assert!(
            "untrusted comment"
                .parse::<Key>()
                .unwrap_err()
                .contains("begins with RW")
        );
    }

    proptest! {
        #[test]
        fn no_change_of_a_signature_is_taken(at in 0..SIGNATURE.len(), to: u8) {
            let mut changed = SIGNATURE.to_vec();
            changed[at] = to;
            // What stands in the comment that says it is not trusted, and how base64 ends, is nobody's concern.
            let comment = changed.iter().position(|byte| *byte == b'\n').unwrap_or(0);
            prop_assume!(at > comment && changed != SIGNATURE);
            if let Ok(()) = ours().verify(INDEX, &changed) {
                prop_assert!(changed[at].is_ascii_whitespace() || SIGNATURE[at].is_ascii_whitespace());
            }
        }
    }
}
