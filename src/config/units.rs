//! Sizes and spans of time as people write them: `512 MiB`, `90s`, `1h30m`. Configuration and command line use them.

use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, written `65536`, `64 KiB`, `512MiB` or `8 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

/// A span of time, written `500ms`, `90s`, `2m`, `1h` or several of them in a row (`1h30m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

/// Why a text is not a size or a span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseUnitError {
    /// Not a size.
    #[error("Size {0:?} is not a number of bytes; write 64 KiB, 512 MiB or 8 GiB")]
    Size(String),
    /// Not a span.
    #[error("Time {0:?} is not a span; write 500ms, 90s, 2m or 1h30m")]
    Span(String),
}

impl Size {
    /// A size of so many KiB.
    pub const fn from_kib(kib: u32) -> Size {
        Size((kib as u64) << 10)
    }

    /// A size of so many MiB.
    pub const fn from_mib(mib: u32) -> Size {
        Size((mib as u64) << 20)
    }

    /// A size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Size {
        Size(bytes)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl Span {
    /// A span of so many seconds.
    pub const fn from_secs(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }

    /// As the standard library has it.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Size {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Size, ParseUnitError> {
        let wrong = || ParseUnitError::Size(text.into());
        let (number, unit) = split_number(text.trim()).ok_or_else(wrong)?;
        let shift = match unit.trim() {
            "" | "B" => 0,
            "KiB" | "K" | "k" => 10,
            "MiB" | "M" => 20,
            "GiB" | "G" => 30,
            "TiB" | "T" => 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(1 << shift).map(Size).ok_or_else(wrong)
    }
}

impl FromStr for Span {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Span, ParseUnitError> {
        let wrong = || ParseUnitError::Span(text.into());
        let mut rest = text.trim();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let (number, tail) = split_number(rest).ok_or_else(wrong)?;
            let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            let part = match unit.trim() {
                "ms" => Some(Duration::from_millis(number)),
                "s" => Some(Duration::from_secs(number)),
                "m" | "min" => number.checked_mul(60).map(Duration::from_secs),
                "h" => number.checked_mul(3600).map(Duration::from_secs),
                "d" => number.checked_mul(86400).map(Duration::from_secs),
                _ => None,
            };
            total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
            rest = tail;
        }
        Ok(Span(total))
    }
}

/// The digits that a text begins with, and the rest.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

impl TryFrom<String> for Size {
    type Error = ParseUnitError;

    fn try_from(text: String) -> Result<Size, ParseUnitError> {
        text.parse()
    }
}

impl TryFrom<String> for Span {
    type Error = ParseUnitError;

    fn try_from(text: String) -> Result<Span, ParseUnitError> {
        text.parse()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        for (shift, unit) in UNITS {
            let whole = self.0 >> shift;
            if whole == 0 {
                continue;
            }
            let tenths = ((self.0 >> (shift - 10)) & 1023) * 10 / 1024;
            return match tenths {
                0 => write!(f, "{whole} {unit}"),
                _ => write!(f, "{whole}.{tenths} {unit}"),
            };
        }
        write!(f, "{} B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("65536", 65536),
            ("64 KiB", 65536),
            ("512MiB", 512 << 20),
            (" 8 GiB ", 8 << 30),
        ] {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "MiB", "-1", "1.5 GiB", "5 GB", "99999999999 TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("2m", 120),
            ("1h30m", 5400),
            ("1d", 86400),
            ("1h 5s", 3605),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().as_duration().as_secs(), seconds, "{text}");
        }
        for text in ["", "90", "s", "1y", "99999999999999999999s", "18446744073709551615h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (8 << 30, "8 GiB")] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC*") {
            let _ = text.parse::<Size>();
            let _ = text.parse::<Span>();
        }

        #[test]
        fn what_is_shown_is_never_empty(bytes in any::<u64>()) {
            prop_assert!(Size(bytes).to_string().contains(' '));
        }
    }
}
