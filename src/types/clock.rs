//! Time: the boot clock plus an offset fixed once per boot, and stamps that never repeat.
//!
//! ```text
//!   CLOCK_BOOTTIME  --+ offset -->  microseconds since 2020   fine: 25 ns
//!   CLOCK_MONOTONIC_COARSE + its distance to the boot clock   coarse: 3 ns, up to 10 ms late
//!   stamp = max(last stamp + 1, coarse time)                  one CAS; never above the ceiling in the file
//! ```
//!
//! The wall clock is read once, when a boot's first cache opens; it may be stepped afterwards, nothing follows it.
//! The ceiling is raised [`STAMP_CEILING_US`] ahead by the write that needs it, and stamps start above it after a
//! restart, so they are monotonic over crashes. No process starts again within that time, so lives do not run ahead.
//! Source: Kulkarni et al., "Logical Physical Clocks" (2014).

#![forbid(unsafe_code)]

use crate::sync::{Arc, AtomicU64, Ordering, bite};
use crate::types::limits::STAMP_CEILING_US;
use crate::types::version::Stamp;
use std::time::Duration;

/// Seconds from 1970 to 2020, where the cache's time begins.
#[cfg(not(loom))]
const EPOCH_2020_S: i64 = 1_577_836_800;

/// A clock that a test moves by hand; see `Builder::clock`.
///
/// ```
/// use also_cache::{Cache, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let cache = Cache::builder().capacity(1 << 20).clock(clock.clone()).time_to_live(Duration::from_secs(1)).open()?;
/// cache.insert("k", "v")?;
/// clock.advance(Duration::from_secs(2));
/// assert!(cache.get("k").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at one day after its epoch.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(86_400_000_000)))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX / 4);
        // Relaxed: tests order their steps themselves.
        self.0.fetch_add(micros, Ordering::Relaxed);
    }

    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the time of a cache comes from.
#[derive(Clone, Debug)]
pub(crate) enum TimeSource {
    /// The boot clock plus this many microseconds.
    #[cfg(not(loom))]
    Boot { offset_us: i64 },
    /// A test's clock.
    Manual(ManualClock),
}

impl TimeSource {
    /// The boot clock with an offset that makes it the wall clock of this moment.
    #[cfg(not(loom))]
    pub(crate) fn boot_now() -> Self {
        let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let wall_us = (wall.tv_sec - EPOCH_2020_S) * 1_000_000 + wall.tv_nsec / 1_000;
        Self::Boot { offset_us: wall_us.max(0) - boot_us() }
    }

    /// The exact time in microseconds.
    pub(crate) fn fine_us(&self) -> u64 {
        match self {
            #[cfg(not(loom))]
            Self::Boot { offset_us } => u64::try_from(boot_us().saturating_add(*offset_us)).unwrap_or(0),
            Self::Manual(clock) => clock.now_us(),
        }
    }
}

#[cfg(not(loom))]
fn boot_us() -> i64 {
    to_us(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

#[cfg(not(loom))]
fn coarse_monotonic_us() -> i64 {
    to_us(rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse))
}

#[cfg(not(loom))]
fn to_us(time: rustix::time::Timespec) -> i64 {
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

/// The clock of one cache.
#[derive(Debug)]
pub(crate) struct HybridClock {
    source: TimeSource,
    last: AtomicU64,
    /// What to add to the coarse monotonic clock; refreshed by maintenance, as a suspend widens it.
    coarse_offset_us: AtomicU64,
}

impl HybridClock {
    /// Starts above `floor`, the ceiling of the last life.
    pub(crate) fn new(source: TimeSource, floor: Stamp) -> Self {
        let clock = Self { source, last: AtomicU64::new(floor.0), coarse_offset_us: AtomicU64::new(0) };
        clock.refresh();
        clock
    }

    /// Measures the distance of the coarse clock anew.
    pub(crate) fn refresh(&self) {
        #[cfg(not(loom))]
        if matches!(self.source, TimeSource::Boot { .. }) {
            let offset = self.source.fine_us().wrapping_sub(coarse_monotonic_us() as u64);
            // Relaxed: any recent value will do.
            self.coarse_offset_us.store(offset, Ordering::Relaxed);
        }
    }

    /// The time in microseconds, up to 10 ms late. 3 ns.
    #[inline]
    pub(crate) fn coarse_us(&self) -> u64 {
        match &self.source {
            #[cfg(not(loom))]
            TimeSource::Boot { .. } => {
                (coarse_monotonic_us() as u64).wrapping_add(self.coarse_offset_us.load(Ordering::Relaxed))
            }
            TimeSource::Manual(clock) => clock.now_us(),
        }
    }

    /// The exact time in microseconds. 25 ns.
    pub(crate) fn fine_us(&self) -> u64 {
        self.source.fine_us()
    }

    /// Whether a moment is past: by the coarse clock unless it is within its error, then by the fine one.
    #[inline]
    pub(crate) fn is_past(&self, at_us: u64) -> bool {
        const ERROR_US: u64 = 12_000;
        let coarse = self.coarse_us();
        if coarse >= at_us {
            return true;
        }
        coarse + ERROR_US >= at_us && self.fine_us() >= at_us
    }

    /// A stamp above every one before, and above `ceiling`'s last life. Raises the ceiling when it gets there.
    #[inline]
    pub(crate) fn stamp(&self, ceiling: &AtomicU64) -> Stamp {
        let now = Stamp::from_micros(self.coarse_us());
        // Relaxed: uniqueness needs only the order of this one word; what a stamp is written to is published later.
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let next = if bite("clock.stamps-by-wall") { now } else { Stamp(last).next().max(now) };
            match self.last.compare_exchange_weak(last, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.raise(ceiling, next);
                    return next;
                }
                Err(seen) => last = seen,
            }
        }
    }

    /// The last stamp that was made here, or followed: every later one is above it.
    pub(crate) fn latest(&self) -> Stamp {
        // Relaxed: as in `stamp`.
        Stamp(self.last.load(Ordering::Relaxed))
    }

    /// Whether the next stamp made here is above this one.
    #[inline]
    pub(crate) fn has_reached(&self, stamp: Stamp) -> bool {
        // Relaxed: as in `stamp`.
        self.last.load(Ordering::Relaxed) >= stamp.0
    }

    /// Follows a stamp that was made elsewhere: the next one made here is above it.
    pub(crate) fn observe(&self, stamp: Stamp, ceiling: &AtomicU64) {
        // Relaxed: as in `stamp`.
        if self.last.fetch_max(stamp.0, Ordering::Relaxed) < stamp.0 {
            self.raise(ceiling, stamp);
        }
    }

    #[inline]
    fn raise(&self, ceiling: &AtomicU64, stamp: Stamp) {
        // Relaxed: read by the next life only, which the end of this one orders.
        if ceiling.load(Ordering::Relaxed) < stamp.0 {
            ceiling.fetch_max(Stamp::from_micros(stamp.micros() + STAMP_CEILING_US).0, Ordering::Relaxed);
        }
    }

    /// The boot clock's offset, for the superblock.
    pub(crate) fn offset_us(&self) -> i64 {
        match &self.source {
            #[cfg(not(loom))]
            TimeSource::Boot { offset_us } => *offset_us,
            TimeSource::Manual(_) => 0,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn stamps_rise_and_stay_below_the_ceiling() {
        let clock = HybridClock::new(TimeSource::boot_now(), Stamp::ZERO);
        let ceiling = AtomicU64::new(0);
        let mut last = Stamp::ZERO;
        for _ in 0..100_000 {
            let stamp = clock.stamp(&ceiling);
            assert!(stamp > last);
            assert!(stamp.0 <= ceiling.load(Ordering::Relaxed));
            last = stamp;
        }
    }

    #[test]
    fn a_new_life_starts_above_the_ceiling_of_the_last() {
        let hand = ManualClock::new();
        let ceiling = AtomicU64::new(0);
        let first = HybridClock::new(TimeSource::Manual(hand.clone()), Stamp::ZERO).stamp(&ceiling);
        let floor = Stamp(ceiling.load(Ordering::Relaxed));
        let second = HybridClock::new(TimeSource::Manual(hand), floor).stamp(&ceiling);
        assert!(second > floor && floor >= first);
    }

    #[test]
    fn lives_that_follow_each_other_quickly_do_not_run_ahead() {
        let hand = ManualClock::new();
        let ceiling = AtomicU64::new(0);
        let mut last = Stamp::ZERO;
        for life in 0..1_000 {
            let clock = HybridClock::new(TimeSource::Manual(hand.clone()), Stamp(ceiling.load(Ordering::Relaxed)));
            for _ in 0..3 {
                let stamp = clock.stamp(&ceiling);
                assert!(stamp > last, "life {life}");
                last = stamp;
            }
            let ahead_us = last.micros().saturating_sub(clock.fine_us());
            assert!(ahead_us <= 2 * STAMP_CEILING_US, "life {life} is {ahead_us} us ahead");
            hand.advance(Duration::from_micros(1_500));
        }
    }

    #[test]
    fn the_coarse_clock_is_close_to_the_fine_one() {
        let clock = HybridClock::new(TimeSource::boot_now(), Stamp::ZERO);
        let (coarse, fine) = (clock.coarse_us(), clock.fine_us());
        assert!(fine + 1 >= coarse && fine - coarse.min(fine) < 1_000_000, "{coarse} {fine}");
        assert!(clock.is_past(fine) && !clock.is_past(fine + 60_000_000));
    }
}
