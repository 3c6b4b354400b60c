//! The name of a user in a guest, as EC2 Instance Connect has it: no path and no command can be made of one.

use std::fmt;
use std::str::FromStr;

/// The longest name, in characters.
const MAX: usize = 32;

/// The name of a user in a guest: letters, digits, `@`, `.`, `_` and `-`, the first a letter, a digit or `_`, not all of
/// them digits; at its end there may be a `$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsUser(String);

/// A text that can't be a user's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a user's name has 1 to {MAX} letters, digits and characters of '@._-', begins with a letter, a digit or '_', and is no number"
)]
pub struct ParseOsUserError;

impl FromStr for OsUser {
    type Err = ParseOsUserError;
    fn from_str(text: &str) -> Result<Self, ParseOsUserError> {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"@._-".contains(&byte);
        let bytes = text.as_bytes();
        let (Some((&first, _)), Some((&last, before))) = (bytes.split_first(), bytes.split_last()) else {
            return Err(ParseOsUserError);
        };
        let begins = match first {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => bytes.len() < MAX || !b"@.".contains(&last),
            b'0'..=b'9' => bytes.iter().any(|&byte| inside(byte) && !byte.is_ascii_digit()),
            _ => false,
        };
        let possible = begins && before.iter().all(|&byte| inside(byte)) && (inside(last) || last == b'$');
        match possible && bytes.len() <= MAX {
            true => Ok(Self(text.into())),
            false => Err(ParseOsUserError),
        }
    }
}

impl fmt::Display for OsUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ec2_instance_connect() {
        let long = "a".repeat(MAX);
        let good = [
            "a",
            "_",
            "ec2-user",
            "first.last@corp",
            "machine$",
            "1st",
            "007.",
            "a.",
            &long,
        ];
        for name in good {
            assert_eq!(name.parse().map(|user: OsUser| user.to_string()), Ok(name.to_owned()));
        }
        let (longer, at_the_end) = (format!("{long}a"), format!("{}@", &long[1..]));
        let bad = [
            "",
            "-a",
            ".",
            "..",
            "@a",
            "$",
            "1",
            "1$",
            "a$b",
            "a/b",
            "a b",
            "a\n",
            "ü",
            "0=a",
            &longer,
            &at_the_end,
        ];
        for name in bad {
            assert_eq!(name.parse::<OsUser>(), Err(ParseOsUserError), "{name:?}");
        }
    }
}
