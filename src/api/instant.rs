//! Times as EC2 writes them.

use time::OffsetDateTime;
use time::macros::format_description;

/// `2026-01-02T03:04:05.000Z`: to the second, with the thousandths that EC2 always has as zeros.
#[must_use]
pub fn instant(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].000Z");
    at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

/// `2026-01-02T03:04:05.678901Z`: to the microsecond, for what EC2 has no word about.
#[must_use]
pub fn precise(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_time_is_written_in_utc() {
        assert_eq!(
            instant(datetime!(2026-01-02 04:04:05.678 +1)),
            "2026-01-02T03:04:05.000Z"
        );
    }
}
