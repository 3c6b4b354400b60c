//! Ranges of ports and of ICMP codes.

use std::ops::RangeInclusive;

/// The same numbers in as few ranges as can be, in order: none meets or follows another.
pub(super) fn merged(mut ranges: Vec<RangeInclusive<u16>>) -> Vec<RangeInclusive<u16>> {
    ranges.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merged_ranges_have_the_same_numbers_and_gaps_between_them(
            pairs in proptest::collection::vec((0..40_u16, 0..8_u16), 0..12),
            high: bool,
        ) {
            // At the upper end the number after a range's last one can't be had.
            let base = if high { u16::MAX - 46 } else { 0 };
            let ranges: Vec<_> = pairs.iter().map(|(first, length)| base + first..=base + first + length).collect();
            let merged = merged(ranges.clone());
            for number in base..=base + 46 {
                prop_assert_eq!(
                    ranges.iter().any(|range| range.contains(&number)),
                    merged.iter().any(|range| range.contains(&number)),
                );
            }
            prop_assert!(merged.windows(2).all(|pair| u32::from(*pair[0].end()) + 1 < u32::from(*pair[1].start())));
        }
    }
}
