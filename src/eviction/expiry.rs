//! Time to live: the field in the frame, and the deadline that it leads to.
//!
//! ```text
//!  bit 31  30                          0
//!      +-----+--------------------------+
//!      | unit|          count           |   TimeToLive, one u32 in the frame header; 0 is never
//!      +-----+--------------------------+   unit 0: milliseconds, up to 24.8 days    unit 1: seconds, up to 68 years
//!
//!   deadline = microseconds of the stamp + time to live: the same on every node
//! ```
//!
//! An entry without a time to live costs no clock read; whether a deadline is past, the cache's clock tells.

#![forbid(unsafe_code)]

use crate::types::limits::TTL_SECONDS_MAX;
use std::time::Duration;

/// A time to live as the frame header carries it. Never 0 units long: 0 is [`TimeToLive::NEVER`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TimeToLive(u32);

impl TimeToLive {
    /// Does not expire.
    pub(crate) const NEVER: Self = Self(0);
    const SECONDS: u32 = 1 << 31;
    const COUNT_MAX: u64 = (1 << 31) - 1;

    /// At least as long as asked: rounded up to milliseconds, above 24.8 days to seconds; 1 ms to [`TTL_SECONDS_MAX`].
    pub(crate) fn from_duration(duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000).max(1);
        if millis <= u128::from(Self::COUNT_MAX) {
            return Self(millis as u32);
        }
        Self(Self::SECONDS | millis.div_ceil(1000).min(u128::from(TTL_SECONDS_MAX)) as u32)
    }

    /// From the bits of a frame; every value has a meaning (seconds with a count of 0 are never).
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(if bits == Self::SECONDS { 0 } else { bits })
    }

    /// The bits as they stand in a frame.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// Whether there is no deadline.
    #[inline]
    pub(crate) fn is_never(self) -> bool {
        self.0 == 0
    }

    /// When an entry of this stamp expires, in microseconds since 2020; `None` for never.
    #[inline]
    pub(crate) fn deadline(self, stamp_micros: u64) -> Option<u64> {
        self.micros().map(|micros| stamp_micros.saturating_add(micros))
    }

    /// The same, shorter by up to `percent` of itself, as the key's hash says, so that entries written together do not
    /// expire together, and none later than asked. Decided once, by the writer: the field carries the result.
    pub(crate) fn with_jitter(self, percent: u32, hash_bits: u64) -> Self {
        let Some(micros) = self.micros() else { return self };
        // In units of 2^-32 of the span; the multiplication spreads bits that index and ghosts use otherwise.
        let share = hash_bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let span = u128::from(micros) * u128::from(percent.min(100)) / 100;
        let shorter = ((span * u128::from(share)) >> 32) as u64;
        Self::from_duration(Duration::from_micros((micros - shorter).max(1)))
    }

    #[inline]
    fn micros(self) -> Option<u64> {
        let count = u64::from(self.0 & !Self::SECONDS);
        match self.0 {
            0 => None,
            bits if bits & Self::SECONDS == 0 => Some(count * 1_000),
            _ => Some(count * 1_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_holds_milliseconds_then_seconds_and_rounds_up() {
        let micros = |duration: Duration| TimeToLive::from_duration(duration).deadline(0).expect("finite");
        assert_eq!(micros(Duration::ZERO), 1_000);
        assert_eq!(micros(Duration::from_nanos(1_000_001)), 2_000);
        assert_eq!(micros(Duration::from_millis((1 << 31) - 1)), ((1 << 31) - 1) * 1_000);
        assert_eq!(micros(Duration::from_millis(1 << 31)), 2_147_484 * 1_000_000);
        assert_eq!(micros(Duration::MAX), TTL_SECONDS_MAX * 1_000_000);
    }

    #[test]
    fn any_bits_mean_something() {
        assert!(TimeToLive::from_bits(0).is_never() && TimeToLive::from_bits(1 << 31).is_never());
        assert_eq!(TimeToLive::NEVER.deadline(5), None);
        for bits in [1, 77, (1 << 31) - 1, (1 << 31) + 1, u32::MAX] {
            assert_eq!(TimeToLive::from_bits(bits).bits(), bits);
            assert!(TimeToLive::from_bits(bits).deadline(u64::MAX) == Some(u64::MAX));
        }
        assert_eq!(TimeToLive::from_bits(90).deadline(5), Some(90_005));
    }

    #[test]
    fn jitter_stays_within_its_share_and_spreads() {
        let second = TimeToLive::from_duration(Duration::from_secs(100));
        let all: Vec<u64> = (0..1000u64)
            .map(|key| second.with_jitter(10, key << 20 | key).deadline(0).expect("finite") / 1_000)
            .collect();
        let (low, high) = (all.iter().min().expect("some"), all.iter().max().expect("some"));
        assert!((90_000..90_500).contains(low) && (99_500..=100_000).contains(high), "{low} to {high}");
        assert_eq!(second.with_jitter(10, 9), second.with_jitter(10, 9));
        assert_eq!(second.with_jitter(0, 9), second);
        assert!(TimeToLive::NEVER.with_jitter(10, 9).is_never());
    }
}
