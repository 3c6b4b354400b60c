//! Limits on what queues move: a bucket of bytes and one of pieces, shared by all queues that the limit is for. A network
//! interface has one each way, and its pieces are packets; a volume has one, and its pieces are operations.
//!
//! A piece may go while both have something in them, and is then paid in full, so a bucket may be overdrawn by what
//! is moved at that moment; that way a piece larger than the burst passes too, and no queue waits for ever while
//! others take small ones. A queue that may not go on sleeps until there is a millisecond's worth.

use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use vmm_sys_util::timerfd::TimerFd;

/// Buckets count in billionths, so that each nanosecond adds a whole number.
const ONE: i128 = 1_000_000_000;
/// The nanoseconds whose worth a queue waits for.
const NAP: i128 = 1_000_000;

/// A rate, and how much may go at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The rate.
    pub per_second: NonZeroU64,
    /// As much at once.
    pub burst: NonZeroU64,
}

/// The time since a moment that stays the same.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The host's clock.
pub fn monotonic() -> Clock {
    let start = Instant::now();
    Arc::new(move || start.elapsed())
}

#[derive(Debug)]
struct Bucket {
    per_second: i128,
    full: i128,
    level: i128,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        let full = i128::from(rate.burst.get()) * ONE;
        Self {
            per_second: rate.per_second.get().into(),
            full,
            level: full,
        }
    }

    fn fill(&mut self, nanoseconds: i128) {
        let new = self.per_second.saturating_mul(nanoseconds);
        self.level = self.level.saturating_add(new).min(self.full);
    }

    fn take(&mut self, amount: u64) {
        self.level = self.level.saturating_sub(i128::from(amount) * ONE);
    }

    /// The nanoseconds until it is worth to go on; none if something is in it.
    fn wait(&self) -> Option<i128> {
        let worth = self.per_second.saturating_mul(NAP).min(self.full);
        let missing = worth.saturating_sub(self.level);
        (self.level <= 0).then(|| missing / self.per_second + 1)
    }
}

struct Buckets {
    bytes: Option<Bucket>,
    pieces: Option<Bucket>,
    filled_at: Duration,
}

/// A limit.
pub struct Limiter {
    buckets: Mutex<Buckets>,
    clock: Clock,
}

impl Limiter {
    /// Full buckets for so many bytes and pieces; none if there is nothing to limit.
    pub fn new(bytes: Option<Rate>, pieces: Option<Rate>, clock: &Clock) -> Option<Arc<Self>> {
        let limited = bytes.is_some() || pieces.is_some();
        limited.then(|| Self::adjustable(bytes, pieces, clock))
    }

    /// Full buckets, or for the time being none: [`Self::adjust`] may change that.
    pub fn adjustable(bytes: Option<Rate>, pieces: Option<Rate>, clock: &Clock) -> Arc<Self> {
        let buckets = Buckets {
            bytes: bytes.map(Bucket::new),
            pieces: pieces.map(Bucket::new),
            filled_at: clock(),
        };
        Arc::new(Self {
            buckets: Mutex::new(buckets),
            clock: Arc::clone(clock),
        })
    }

    /// Other buckets, full. A queue that sleeps wakes when it would have.
    pub fn adjust(&self, bytes: Option<Rate>, pieces: Option<Rate>) {
        let mut buckets = self.lock();
        buckets.bytes = bytes.map(Bucket::new);
        buckets.pieces = pieces.map(Bucket::new);
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether a piece may go now; if not, how long to wait.
    fn check(&self) -> Result<(), Duration> {
        let mut buckets = self.lock();
        let now = (self.clock)();
        let passed = now.saturating_sub(std::mem::replace(&mut buckets.filled_at, now));
        let passed = i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX);
        let Buckets { bytes, pieces, .. } = &mut *buckets;
        let mut longest = None;
        for bucket in [bytes, pieces].into_iter().flatten() {
            bucket.fill(passed);
            longest = longest.max(bucket.wait());
        }
        match longest {
            None => Ok(()),
            Some(wait) => Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))),
        }
    }

    fn charge(&self, bytes: u64, pieces: u64) {
        let mut buckets = self.lock();
        if let Some(bucket) = &mut buckets.bytes {
            bucket.take(bytes);
        }
        if let Some(bucket) = &mut buckets.pieces {
            bucket.take(pieces);
        }
    }
}

/// The pace of one queue: its limit, and the timer that wakes it when it may go on.
#[derive(Default)]
pub struct Pace(Option<Limited>);

struct Limited {
    limiter: Arc<Limiter>,
    timer: TimerFd,
    /// When the timer wakes the queue, if it sleeps.
    wakes_at: Option<Duration>,
}

impl Pace {
    /// That of a queue under `limiter`, if there is one.
    ///
    /// # Errors
    /// No descriptor is left for the timer.
    pub fn new(limiter: Option<Arc<Limiter>>) -> std::io::Result<Self> {
        let limited = limiter.map(|limiter| -> std::io::Result<Limited> {
            Ok(Limited {
                limiter,
                timer: TimerFd::new()?,
                wakes_at: None,
            })
        });
        Ok(Self(limited.transpose()?))
    }

    /// The timer, to be watched.
    pub fn timer(&self) -> Option<&TimerFd> {
        self.0.as_ref().map(|limited| &limited.timer)
    }

    /// Whether a piece may go now. If not, the timer is set.
    pub fn may_go(&mut self) -> bool {
        let Some(limited) = &mut self.0 else {
            return true;
        };
        match limited.limiter.check() {
            Ok(()) => {
                limited.wakes_at = None;
                true
            }
            Err(wait) => {
                limited.sleep(wait);
                false
            }
        }
    }

    /// So many bytes went, in so many pieces.
    pub fn charge(&self, bytes: u64, pieces: u64) {
        if let Some(limited) = &self.0 {
            limited.limiter.charge(bytes, pieces);
        }
    }
}

impl Limited {
    fn sleep(&mut self, wait: Duration) {
        let now = (self.limiter.clock)();
        if self.wakes_at.is_some_and(|at| now < at) {
            return;
        }
        self.wakes_at = Some(now.saturating_add(wait));
        // It fails for impossible times only, and this is one from the present to some centuries on.
        let _ = self.timer.reset(wait, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn rate(per_second: u64, burst: u64) -> Option<Rate> {
        Some(Rate {
            per_second: NonZeroU64::new(per_second)?,
            burst: NonZeroU64::new(burst)?,
        })
    }

    fn limiter(bytes: Option<Rate>, pieces: Option<Rate>) -> (Arc<Limiter>, Arc<AtomicU64>) {
        let time = Arc::new(AtomicU64::new(0));
        let own = Arc::clone(&time);
        let clock: Clock = Arc::new(move || Duration::from_nanos(own.load(Ordering::Relaxed)));
        (Limiter::new(bytes, pieces, &clock).unwrap(), time)
    }

    proptest! {
        #[test]
        fn no_frames_at_any_times_exceed_rate_and_burst_by_more_than_one(
            per_second in prop_oneof![1..100u64, 1_000..1_000_000u64, Just(u64::MAX)],
            burst in prop_oneof![1..100_000u64, Just(u64::MAX)],
            frames in prop::collection::vec((0..2_000_000_000u64, 14..66_000u64), 1..60),
        ) {
            let (limiter, time) = limiter(rate(per_second, burst), None);
            let mut passed = 0u128;
            let mut last = 0;
            for (pause, length) in frames {
                let now = time.fetch_add(pause, Ordering::Relaxed) + pause;
                if limiter.check().is_ok() {
                    limiter.charge(length, 1);
                    passed += u128::from(length);
                    last = length;
                }
                let allowed = u128::from(burst) + u128::from(now) * u128::from(per_second) / 1_000_000_000;
                prop_assert!(passed <= allowed + u128::from(last), "{passed} of {allowed}");
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_may_go_and_not_much_before(
            per_second in prop_oneof![1..100u64, 1_000..1_000_000u64, Just(12_500_000_000)],
            burst in 1..100_000u64,
            length in 14..66_000u64,
        ) {
            let (limiter, time) = limiter(rate(per_second, burst), rate(u64::MAX, u64::MAX));
            while limiter.check().is_ok() {
                limiter.charge(length, 1);
            }
            let wait = limiter.check().unwrap_err();
            let nanoseconds = u64::try_from(wait.as_nanos()).unwrap();
            prop_assert!(nanoseconds > 0);
            time.fetch_add(nanoseconds, Ordering::Relaxed);
            prop_assert!(limiter.check().is_ok());
            // No longer than the frame that overdrew takes, and a millisecond.
            let frame = u128::from(length) * 1_000_000_000 / u128::from(per_second);
            prop_assert!(wait.as_nanos() <= frame + 1_000_001);
        }
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        assert!(Limiter::new(None, None, &monotonic()).is_none());
        assert!(Pace::default().may_go());
    }

    #[test]
    fn a_limit_changes_while_it_is_used() {
        let (limiter, _) = limiter(rate(1, 1), None);
        limiter.charge(10, 1);
        assert!(limiter.check().is_err());
        limiter.adjust(None, None);
        assert!(limiter.check().is_ok());
        limiter.adjust(None, rate(1, 1));
        limiter.charge(1 << 40, 1);
        assert!(limiter.check().is_err());
    }
}
