//! How much a volume may be used, as EC2's gp3 volumes have it: operations and bytes a second.

use super::GIB;

/// What gp3 allows: operations a second.
const IOPS: std::ops::RangeInclusive<u32> = 3000..=80_000;
/// What gp3 allows: MiB a second.
const THROUGHPUT: std::ops::RangeInclusive<u32> = 125..=2000;
/// The most operations a second for each GiB, above the least.
const IOPS_PER_GIB: u64 = 500;
/// The fewest operations a second for each MiB a second.
const IOPS_PER_MIB: u32 = 4;

/// The limits of a volume. Without one it does as much as the host can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VolumeLimits {
    /// Operations a second.
    pub iops: Option<u32>,
    /// MiB a second.
    pub throughput: Option<u32>,
}

/// Why limits are impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimitsError {
    /// Too few or too many operations.
    #[error(
        "Volume iops of {0} is not valid: expecting {least} to {most}, or 0 for no limit",
        least = IOPS.start(), most = IOPS.end()
    )]
    Iops(i64),
    /// Too few or too many bytes.
    #[error(
        "Throughput of {0} MiB/s is not valid: expecting {least} to {most}, or 0 for no limit",
        least = THROUGHPUT.start(), most = THROUGHPUT.end()
    )]
    Throughput(i64),
    /// Too many operations for its size.
    #[error("Iops to volume size ratio of {iops} to {gib} GiB is too high; maximum is {IOPS_PER_GIB}")]
    Size {
        /// Operations a second.
        iops: u32,
        /// Its size in GiB.
        gib: u64,
    },
    /// Too many bytes for its operations.
    #[error("Throughput (MiB/s) to iops ratio of {throughput} to {iops} is too high; maximum is 0.25 MiB/s per iops")]
    Ratio {
        /// MiB a second.
        throughput: u32,
        /// Operations a second.
        iops: u32,
    },
}

impl VolumeLimits {
    /// These limits with what is asked for changed, for a volume of `size` bytes: 0 lifts a limit.
    ///
    /// # Errors
    /// See [`InvalidLimitsError`].
    pub fn change(self, iops: Option<i64>, throughput: Option<i64>, size: u64) -> Result<Self, InvalidLimitsError> {
        let one = |asked: Option<i64>, now, allowed: std::ops::RangeInclusive<u32>| match asked {
            None => Ok(now),
            Some(0) => Ok(None),
            Some(asked) => match u32::try_from(asked) {
                Ok(value) if allowed.contains(&value) => Ok(Some(value)),
                _ => Err(asked),
            },
        };
        let changed = Self {
            iops: one(iops, self.iops, IOPS).map_err(InvalidLimitsError::Iops)?,
            throughput: one(throughput, self.throughput, THROUGHPUT).map_err(InvalidLimitsError::Throughput)?,
        };
        if let Some(iops) = changed.iops {
            let gib = size / GIB;
            if iops > *IOPS.start() && u64::from(iops) > gib.saturating_mul(IOPS_PER_GIB) {
                return Err(InvalidLimitsError::Size { iops, gib });
            }
            if let Some(throughput) = changed.throughput.filter(|mib| mib * IOPS_PER_MIB > iops) {
                return Err(InvalidLimitsError::Ratio { throughput, iops });
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_gp3s_and_zero_lifts_them() {
        let none = VolumeLimits::default();
        let both = none.change(Some(4000), Some(1000), 8 * GIB).unwrap();
        assert_eq!((both.iops, both.throughput), (Some(4000), Some(1000)));
        assert_eq!(both.change(None, None, GIB * 8).unwrap(), both);
        assert_eq!(both.change(Some(0), Some(0), GIB).unwrap(), none);
        assert_eq!(none.change(Some(3000), None, GIB).unwrap().iops, Some(3000));
        for (iops, throughput) in [
            (Some(2999), None),
            (Some(80_001), None),
            (Some(-1), None),
            (None, Some(124)),
            (None, Some(i64::MAX)),
            (Some(4001), None),
            (Some(3000), Some(751)),
        ] {
            assert!(
                none.change(iops, throughput, 8 * GIB).is_err(),
                "{iops:?} {throughput:?}"
            );
        }
    }
}
