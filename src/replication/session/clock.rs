//! How far apart two clocks can be: each heartbeat comes back with how long it was held.
//!
//! ```text
//!   here    sent |----------------------------------| now        round trip = now - sent - held
//!   there             | received   held     sent |               offset = their sent + half a round trip - now
//!
//!   their clock is within half a round trip of where it seems:   |theirs - ours| <= |offset| + round trip / 2
//! ```
//!
//! The best of the last samples counts: the one whose bound is smallest.

#![forbid(unsafe_code)]

/// Heartbeats that a measurement may be old.
const SAMPLES: usize = 16;

/// The distance to one peer's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClockEstimate {
    samples: [Sample; SAMPLES],
    count: usize,
}

/// One measurement, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) rtt_us: u64,
    /// Their clock less ours.
    pub(crate) offset_us: i64,
}

impl Sample {
    /// No larger distance of the clocks is possible.
    pub(crate) fn bound_us(&self) -> u64 {
        self.offset_us.unsigned_abs() + self.rtt_us.div_ceil(2)
    }
}

impl ClockEstimate {
    /// A heartbeat of theirs, sent at `their_us`, echoes ours of `sent_us`, which they had held for a while. Nonsense is
    /// passed over.
    pub(crate) fn add(&mut self, now_us: u64, sent_us: u64, held_us: u64, their_us: u64) {
        let Some(rtt_us) = now_us.checked_sub(sent_us).and_then(|away| away.checked_sub(held_us)) else { return };
        let theirs = i128::from(their_us) + i128::from(rtt_us / 2);
        let Ok(offset_us) = i64::try_from(theirs - i128::from(now_us)) else { return };
        self.samples[self.count % SAMPLES] = Sample { rtt_us, offset_us };
        self.count += 1;
    }

    /// The best of the last measurements.
    pub(crate) fn best(&self) -> Option<Sample> {
        self.samples[..self.count.min(SAMPLES)].iter().min_by_key(|sample| sample.bound_us()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_found_and_its_bound_holds() {
        let mut clock = ClockEstimate::default();
        assert_eq!(clock.best(), None);
        // Theirs is 500 ahead; 30 there, 10 held, 70 back.
        clock.add(1_110, 1_000, 10, 1_000 + 30 + 10 + 500);
        let sample = clock.best().expect("a sample");
        assert_eq!((sample.rtt_us, sample.offset_us), (100, 480));
        assert!(sample.bound_us() >= 500);
    }

    #[test]
    fn the_best_of_the_last_samples_counts() {
        let mut clock = ClockEstimate::default();
        clock.add(2_010, 2_000, 0, 2_005);
        for _ in 0..SAMPLES - 1 {
            clock.add(9_000, 1_000, 0, 5_000);
        }
        assert_eq!(clock.best().map(|sample| sample.rtt_us), Some(10));
        clock.add(9_000, 1_000, 0, 5_000);
        assert_eq!(clock.best().map(|sample| sample.rtt_us), Some(8_000));
    }

    #[test]
    fn nonsense_is_passed_over() {
        let mut clock = ClockEstimate::default();
        clock.add(1_000, 2_000, 0, 1_000);
        clock.add(2_000, 1_000, 5_000, 1_000);
        clock.add(2_000, 1_000, 0, u64::MAX);
        assert_eq!(clock.best(), None);
    }
}
