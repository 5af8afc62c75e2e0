//! Pace: whether writers wake the thread for a change, or the thread looks for changes by itself.
//!
//! ```text
//!   few      sleep until the bell rings     a change goes out at once, and its writer pays for the waking
//!   many     nap for a millisecond          changes go out together, and no writer pays more than a fence
//!
//!   few -- a window with 4 cells a millisecond --> many -- 16 windows with less than 2 each --> few
//! ```
//!
//! A window is a millisecond or as long as the thread has slept, whichever is longer. Waking costs a writer several times an
//! insert; a nap costs the thread one look, and a change half a millisecond. Whoever waits for a change to arrive sounds the
//! alarm, which ends a nap.

#![forbid(unsafe_code)]

use crate::replication::session::time::Micros;
use crate::types::stream::Position;
use std::time::Duration;

/// The longest nap; a poller counts in whole milliseconds.
pub(super) const NAP: Duration = Duration::from_millis(1);

const WINDOW_US: u64 = 1_000;
/// Cells of the ring in a window from which on the thread naps, and below which, window after window, it waits for the bell
/// again: a writer that was held up for a moment goes on as before.
const MANY: u64 = 4;
const FEW: u64 = 2;
const WINDOWS: u32 = 16;

/// How fast own changes come.
#[derive(Debug)]
pub(super) struct Pace {
    began: Micros,
    from: Position,
    /// Windows with few changes before the thread waits for the bell again; none: it does.
    left: u32,
}

impl Pace {
    pub(super) fn new(now: Micros, from: Position) -> Self {
        Self { began: now, from, left: 0 }
    }

    /// The own changes reach to a position now.
    pub(super) fn note(&mut self, now: Micros, position: Position) {
        let took = now.since(self.began);
        if took >= WINDOW_US {
            let cells = position.0.saturating_sub(self.from.0);
            let is_at_least = |bound: u64| cells.saturating_mul(WINDOW_US) >= bound.saturating_mul(took);
            self.left = match self.left {
                _ if is_at_least(MANY) => WINDOWS,
                left if is_at_least(FEW) => left,
                left => left.saturating_sub(1),
            };
            (self.began, self.from) = (now, position);
        }
    }

    /// Whether so many changes come that nobody needs to ring.
    pub(super) fn naps(&self) -> bool {
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many cells a millisecond, for so many milliseconds.
    fn go_on(pace: &mut Pace, now: &mut u64, at: &mut u64, cells: u64, milliseconds: u64) {
        for _ in 0..milliseconds {
            (*now, *at) = (*now + WINDOW_US, *at + cells);
            pace.note(Micros(*now), Position(*at));
        }
    }

    #[test]
    fn many_changes_let_the_thread_nap_until_there_are_few() {
        let (mut now, mut at) = (5, 7);
        let mut pace = Pace::new(Micros(now), Position(at));
        for (cells, naps) in
            [(0, false), (3, false), (4, true), (2, true), (1, false), (3, false), (20, true), (0, false)]
        {
            go_on(&mut pace, &mut now, &mut at, cells, u64::from(WINDOWS));
            assert_eq!(pace.naps(), naps, "{cells} cells");
        }
    }

    #[test]
    fn a_writer_that_is_held_up_for_a_moment_does_not_ring() {
        let (mut now, mut at) = (0, 0);
        let mut pace = Pace::new(Micros(now), Position(at));
        for _ in 0..10 {
            go_on(&mut pace, &mut now, &mut at, 20, 1);
            go_on(&mut pace, &mut now, &mut at, 0, u64::from(WINDOWS) - 1);
            assert!(pace.naps());
        }
        go_on(&mut pace, &mut now, &mut at, 0, 1);
        assert!(!pace.naps());
    }

    #[test]
    fn a_burst_after_a_long_rest_is_not_many() {
        let mut pace = Pace::new(Micros(0), Position(0));
        pace.note(Micros(1_000_000), Position(100));
        assert!(!pace.naps());
        // Looks within a window decide nothing.
        for look in 1..10 {
            pace.note(Micros(1_000_000 + look), Position(100 + 50 * look));
            assert!(!pace.naps());
        }
        pace.note(Micros(1_001_000), Position(600));
        assert!(pace.naps());
    }
}
