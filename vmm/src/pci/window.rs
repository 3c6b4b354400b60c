//! The address windows that a host bridge forwards, and where in them base address registers are placed.

/// A range of guest physical addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first address.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl Window {
    /// Whether `length` bytes from `start` lie in it.
    pub fn contains(&self, start: u64, length: u64) -> bool {
        let end = start.checked_add(length);
        let own_end = self.start.saturating_add(self.length);
        start >= self.start && end.is_some_and(|end| end <= own_end)
    }
}

/// Why an address range was not given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Base address registers decode powers of two.
    #[error("A PCI memory range can't have {length:#x} bytes: a power of two from 16 is needed")]
    Length {
        /// How many bytes were asked for.
        length: u64,
    },
    /// No window has that much left.
    #[error("The PCI memory windows have no {length:#x} aligned bytes left")]
    Full {
        /// How many bytes were asked for.
        length: u64,
    },
}

/// The windows of a host bridge: one below 4 GiB, one above.
#[derive(Debug)]
pub struct Windows {
    low: Window,
    high: Window,
    taken: Vec<Window>,
}

impl Windows {
    /// Windows of which nothing is taken. `low` ends at 4 GiB at most; either may be empty.
    pub fn new(low: Window, high: Window) -> Self {
        Self {
            low,
            high,
            taken: Vec::new(),
        }
    }

    /// Takes `length` bytes, aligned to their length: above 4 GiB if `prefer_high` and there is room, else below, else
    /// where there is room.
    ///
    /// # Errors
    /// `length` is not a power of two, or nothing that long is left.
    pub fn allocate(&mut self, length: u64, prefer_high: bool) -> Result<u64, WindowError> {
        if length < 16 || !length.is_power_of_two() {
            return Err(WindowError::Length { length });
        }
        let order = match prefer_high {
            true => [self.high, self.low],
            false => [self.low, self.high],
        };
        let start = order.iter().find_map(|window| self.first_fit(*window, length));
        let start = start.ok_or(WindowError::Full { length })?;
        self.taken.push(Window { start, length });
        self.taken.sort_unstable_by_key(|taken| taken.start);
        Ok(start)
    }

    /// Gives back what [`Self::allocate`] gave at `start`.
    pub fn free(&mut self, start: u64) {
        self.taken.retain(|taken| taken.start != start);
    }

    /// Whether the bridge forwards all of these addresses.
    pub fn forwards(&self, start: u64, length: u64) -> bool {
        self.low.contains(start, length) || self.high.contains(start, length)
    }

    fn first_fit(&self, window: Window, length: u64) -> Option<u64> {
        let mut start = window.start.checked_next_multiple_of(length)?;
        for taken in &self.taken {
            let end = start.checked_add(length)?;
            let taken_end = taken.start.saturating_add(taken.length);
            if taken_end <= start {
                continue;
            }
            if end <= taken.start {
                break;
            }
            start = taken_end.checked_next_multiple_of(length)?;
        }
        window.contains(start, length).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOW: Window = Window {
        start: 0xc000_0000,
        length: 0x1000_0000,
    };
    const HIGH: Window = Window {
        start: 0x40_0000_0000,
        length: 0x10_0000_0000,
    };

    #[test]
    fn a_range_goes_high_only_where_it_may() {
        let mut windows = Windows::new(LOW, HIGH);
        assert_eq!(windows.allocate(0x8000, true), Ok(HIGH.start));
        assert_eq!(windows.allocate(0x8000, false), Ok(LOW.start));
    }

    #[test]
    fn what_was_given_back_is_given_out_again() {
        let mut windows = Windows::new(
            LOW,
            Window {
                start: HIGH.start,
                length: 0x2000,
            },
        );
        let first = windows.allocate(0x1000, true).unwrap();
        windows.allocate(0x1000, true).unwrap();
        assert_eq!(windows.allocate(0x1000, true), Ok(LOW.start));
        windows.free(first);
        assert_eq!(windows.allocate(0x1000, true), Ok(first));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let mut windows = Windows::new(LOW, HIGH);
        for length in [0, 8, 24, 0x1001] {
            assert_eq!(windows.allocate(length, true), Err(WindowError::Length { length }));
        }
        let length = 1 << 63;
        assert_eq!(windows.allocate(length, true), Err(WindowError::Full { length }));
    }

    proptest! {
        #[test]
        fn ranges_are_aligned_forwarded_and_apart(orders in prop::collection::vec((4u32..24, any::<bool>()), 1..40)) {
            let mut windows = Windows::new(LOW, HIGH);
            let mut given: Vec<(u64, u64)> = Vec::new();
            for (order, high) in orders {
                let length = 1u64 << order;
                let start = windows.allocate(length, high).unwrap();
                prop_assert_eq!(start % length, 0);
                prop_assert!(windows.forwards(start, length));
                prop_assert!(given.iter().all(|(s, l)| start + length <= *s || s + l <= start));
                given.push((start, length));
            }
        }
    }
}
