//! Launch templates: what RunInstances may be asked, kept under a name, in numbered versions.

use super::LaunchTemplateId;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use time::OffsetDateTime;

/// How many characters a name has.
const NAME: RangeInclusive<usize> = 3..=128;

/// The name of a launch template; no other one has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaunchTemplateName(String);

/// A text that can't name a launch template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "A launch template's name has {} to {} characters, and only letters, digits and ( ) . - / _",
    NAME.start(), NAME.end()
)]
pub struct ParseTemplateNameError;

impl FromStr for LaunchTemplateName {
    type Err = ParseTemplateNameError;

    fn from_str(text: &str) -> Result<Self, ParseTemplateNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"().-/_".contains(&byte);
        if NAME.contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(ParseTemplateNameError)
    }
}

impl fmt::Display for LaunchTemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A launch template. What it says is in its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchTemplate {
    /// Its identifier.
    pub id: LaunchTemplateId,
    /// Its name.
    pub name: LaunchTemplateName,
    /// The version that is meant where none is named; it is there as long as the template.
    pub default_version: u32,
    /// The version with the greatest number.
    pub latest_version: u32,
    /// The greatest number that a version ever had: none is given twice.
    pub last_number: u32,
    /// When it was made.
    pub created: OffsetDateTime,
}

impl LaunchTemplate {
    /// The number of a version of this template, which need not be there.
    #[must_use]
    pub const fn number(&self, version: VersionChoice) -> u32 {
        match version {
            VersionChoice::Number(number) => number,
            VersionChoice::Latest => self.latest_version,
            VersionChoice::Default => self.default_version,
        }
    }
}

/// One version of a launch template; it never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateVersion {
    /// Whose version it is.
    pub template: LaunchTemplateId,
    /// Its number, from 1.
    pub number: u32,
    /// For people.
    pub description: Option<String>,
    /// EC2's `RequestLaunchTemplateData` as JSON.
    pub data: String,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// How a request names a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChoice {
    /// By its number.
    Number(u32),
    /// `$Latest`.
    Latest,
    /// `$Default`.
    Default,
}

/// A text that names no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("A version is a number from 1, $Latest or $Default")]
pub struct ParseVersionError;

impl FromStr for VersionChoice {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        match text {
            "$Latest" => Ok(Self::Latest),
            "$Default" => Ok(Self::Default),
            number if number.starts_with(|first: char| first.is_ascii_digit()) => {
                let number = number.parse().ok().filter(|number| *number > 0);
                number.map(Self::Number).ok_or(ParseVersionError)
            }
            _ => Err(ParseVersionError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bounded_and_of_certain_characters() {
        for good in ["web", "team(a)/web_1.2-x", &"x".repeat(128)] {
            assert_eq!(good.parse::<LaunchTemplateName>().unwrap().to_string(), good);
        }
        for bad in ["", "ab", "a b c", "schlüssel", "web\n", &"x".repeat(129)] {
            assert!(bad.parse::<LaunchTemplateName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_version_is_a_number_the_latest_or_the_default_one() {
        for (text, version) in [
            ("7", VersionChoice::Number(7)),
            ("$Latest", VersionChoice::Latest),
            ("$Default", VersionChoice::Default),
        ] {
            assert_eq!(text.parse(), Ok(version));
        }
        for bad in ["", "0", "-1", "+1", "1.0", "$latest", "latest", "99999999999"] {
            assert!(bad.parse::<VersionChoice>().is_err(), "{bad:?}");
        }
    }
}
