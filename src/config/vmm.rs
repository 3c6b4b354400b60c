//! How monitors are started: their program, and the uids that they run under.

use serde::Deserialize;
use std::io;
use std::path::PathBuf;

/// The processes that run guests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vmm {
    /// The program. A name without a slash is looked for beside the program that asks; see [`Vmm::program_path`].
    pub program: PathBuf,
    /// Each monitor runs under a uid and gid of its own out of this range.
    pub uids: UidRange,
}

/// A range of uids that nobody else on the host uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawUidRange")]
pub struct UidRange {
    first: u32,
    count: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUidRange {
    first: u32,
    count: u32,
}

/// Why a range of uids can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "Uids {first} and the {count} from it are not usable; they must lie in 65536 to 4294967293, and be one at least"
)]
pub struct InvalidUidRangeError {
    first: u32,
    count: u32,
}

impl UidRange {
    /// A range of `count` uids beginning with `first`.
    ///
    /// # Errors
    /// It is empty, reaches into the uids of people and services (below 65536), or beyond those that exist.
    pub fn new(first: u32, count: u32) -> Result<UidRange, InvalidUidRangeError> {
        let last = first.checked_add(count);
        match last {
            // The last two values mean "nobody asked" to the kernel.
            Some(end) if first >= 65536 && count > 0 && end < u32::MAX => Ok(UidRange { first, count }),
            _ => Err(InvalidUidRangeError { first, count }),
        }
    }

    /// The uids, in order.
    pub fn iter(self) -> std::ops::Range<u32> {
        self.first..self.first + self.count
    }

    /// Whether `uid` is one of them.
    pub fn contains(self, uid: u32) -> bool {
        self.iter().contains(&uid)
    }
}

impl Default for UidRange {
    fn default() -> UidRange {
        UidRange {
            first: 0x7000_0000,
            count: 65536,
        }
    }
}

impl TryFrom<RawUidRange> for UidRange {
    type Error = InvalidUidRangeError;

    fn try_from(raw: RawUidRange) -> Result<UidRange, InvalidUidRangeError> {
        UidRange::new(raw.first, raw.count)
    }
}

impl Default for Vmm {
    fn default() -> Vmm {
        Vmm {
            program: "kiln-vmm".into(),
            uids: UidRange::default(),
        }
    }
}

impl Vmm {
    /// Where the program lies: a bare name means the directory of the running program, then that of packaged helpers
    /// beside it (`../lib/kiln`, as `make install` lays them out).
    ///
    /// # Errors
    /// The running program's own path can't be found out.
    pub fn program_path(&self) -> io::Result<PathBuf> {
        if self.program.components().count() > 1 {
            return Ok(self.program.clone());
        }
        let own = std::env::current_exe()?;
        let beside = own.with_file_name(&self.program);
        if beside.exists() {
            return Ok(beside);
        }
        let prefix = own.parent().and_then(|bin| bin.parent());
        let packaged = prefix.map(|prefix| prefix.join("lib/kiln").join(&self.program));
        Ok(packaged.filter(|path| path.exists()).unwrap_or(beside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_of_people_and_those_that_do_not_exist_are_refused() {
        assert!(UidRange::new(65536, 1).is_ok());
        assert!(UidRange::new(0x7000_0000, 65536).unwrap().contains(0x7000_ffff));
        for (first, count) in [(0, 10), (1000, 65536), (70000, 0), (u32::MAX - 1, 1), (u32::MAX, 2)] {
            assert!(UidRange::new(first, count).is_err(), "{first} {count}");
        }
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let vmm = Vmm {
            program: "/opt/kiln-vmm".into(),
            ..Vmm::default()
        };
        assert_eq!(vmm.program_path().unwrap(), PathBuf::from("/opt/kiln-vmm"));
    }
}
