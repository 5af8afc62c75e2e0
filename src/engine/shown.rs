//! Shown: which of the entries that are there reads may see, by their stamps alone.
//!
//! ```text
//!   cleared                  at or before the clear                      for good
//!   held back                at or before the moment of the hold         until `serve`; also every one, with `hold_all`
//!   doubted                  at or before the moment of the doubt        each for its own part of a span, then for good
//!
//!   doubt --- fewer and fewer, spread by their stamps --- end of the span: a clear of this node
//!
//!   shown_after   the highest of the three: an entry above it is shown without a look at which
//! ```
//!
//! A doubt is for entries of which some may be old and nobody can tell which: each goes on its own time, so that not all of
//! them are loaded again at once. It lies in the file, so that a restart does not end it.

use crate::arena::header::live;
use crate::engine::Engine;
use crate::sync::{Ordering, bite};
use crate::types::key::KeyspaceId;
use crate::types::limits::DOUBT_SPAN_MS;
use crate::types::version::Stamp;

const SPAN_US: u64 = DOUBT_SPAN_MS * 1_000;

impl Engine {
    /// Whether reads may see an entry of this stamp: it is after the clears, not held back, and not doubted away.
    #[inline(always)]
    pub(super) fn is_shown(&self, keyspace: KeyspaceId, stamp: Stamp) -> bool {
        // Acquire: pairs with the Release of whatever raises or lowers it.
        (stamp.0 > self.shown_after.load(Ordering::Acquire) || self.is_shown_all_the_same(stamp))
            && (keyspace == KeyspaceId::RAW || stamp > self.cleared_at(keyspace))
    }

    #[cold]
    #[inline(never)]
    fn is_shown_all_the_same(&self, stamp: Stamp) -> bool {
        // The doubt first: one that is not there any more has become a clear, which is seen then.
        if self.is_doubted_away(stamp) {
            return false;
        }
        // Acquire: each pairs with the Release of what raises it.
        let cleared = self.region.view().word(live::CLEAR_ALL).load(Ordering::Acquire);
        stamp.0 > cleared.max(self.held_until.load(Ordering::Acquire))
    }

    /// Holds back everything that was there: reads miss what has no later stamp than now.
    pub(crate) fn hold_back(&self) {
        self.hold_until(self.stamp().0);
    }

    /// Holds back everything, also what is still to come.
    pub(crate) fn hold_all(&self) {
        self.hold_until(u64::MAX);
    }

    fn hold_until(&self, stamp: u64) {
        // Release: pairs with the Acquire of `is_shown_all_the_same`, and of `is_shown`.
        self.held_until.fetch_max(stamp, Ordering::Release);
        self.shown_after.fetch_max(stamp, Ordering::Release);
    }

    /// Shows what was held back, but for what was cleared and what is doubted.
    pub(crate) fn serve(&self) {
        let highest = || {
            let word = |at| self.region.view().word(at).load(Ordering::Acquire);
            word(live::CLEAR_ALL).max(word(live::DOUBTED))
        };
        // Release: as in `hold_until`.
        self.held_until.store(0, Ordering::Release);
        // A clear or a doubt in between has raised its word before it raised this. An exchange, and Acquire: what is taken
        // back here was raised by one whose word is seen below.
        self.shown_after.swap(highest(), Ordering::AcqRel);
        self.shown_after.fetch_max(highest(), Ordering::Release);
    }

    /// Whether entries are held back.
    pub(crate) fn is_held(&self) -> bool {
        self.held_until.load(Ordering::Acquire) > 0
    }

    /// Lets everything that is here now go, spread over a span of time; behind a doubt that is under way, over the next one.
    /// One thread at a time.
    pub(crate) fn doubt(&self) {
        let word = |at| self.region.view().word(at);
        // Release: pairs with the Acquire in `load_doubt`, as all that is read of an earlier life.
        word(live::DOUBTED_NEXT).store(self.stamp().0, Ordering::Release);
        self.end_doubt();
    }

    /// Makes a doubt whose span is over a clear, so that what is doubted goes first in eviction; and begins the next one.
    /// One thread at a time.
    pub(crate) fn end_doubt(&self) {
        let word = |at| self.region.view().word(at);
        // Relaxed, the loads: the thread's own.
        let doubted = word(live::DOUBTED).load(Ordering::Relaxed);
        if doubted != 0 {
            let since = word(live::DOUBTED_SINCE).load(Ordering::Relaxed);
            if !self.clock.is_past(since.saturating_add(SPAN_US)) {
                return;
            }
            self.clear_all_until(Stamp(doubted));
        }
        let next = word(live::DOUBTED_NEXT).load(Ordering::Relaxed);
        if (doubted, next) == (0, 0) {
            return;
        }
        // Release: pairs with the Acquire in `is_doubted_away`. Who sees the moment of the next doubt beside the stamp of the
        // last one sees the clear.
        word(live::DOUBTED_SINCE).store(self.stamp().micros(), Ordering::Release);
        // Release: who sees it sees since when, and the clear.
        word(live::DOUBTED).store(next, Ordering::Release);
        word(live::DOUBTED_NEXT).store(0, Ordering::Release);
        self.shown_after.fetch_max(next, Ordering::Release);
    }

    /// Whether an entry of this stamp has gone by a doubt.
    #[inline(never)]
    pub(super) fn is_doubted_away(&self, stamp: Stamp) -> bool {
        let word = |at| self.region.view().word(at);
        // Acquire, here and below: pairs with the Release in `end_doubt`.
        if stamp.0 > word(live::DOUBTED).load(Ordering::Acquire) || bite("doubt.ignored") {
            return false;
        }
        let since = word(live::DOUBTED_SINCE).load(Ordering::Acquire);
        self.clock.is_past(since.saturating_add(share_us(stamp)))
    }

    /// Takes over what the last life doubted, beside what it cleared; the latest stamp of all that. Single-threaded, at open.
    pub(super) fn load_doubt(&self, cleared: u64) -> u64 {
        let word = |at| self.region.view().word(at).load(Ordering::Acquire);
        let doubted = cleared.max(word(live::DOUBTED));
        // Relaxed: nobody else is here yet.
        self.shown_after.store(doubted, Ordering::Relaxed);
        doubted.max(word(live::DOUBTED_NEXT)).max(Stamp::from_micros(word(live::DOUBTED_SINCE)).0)
    }
}

/// Which part of the span an entry has, spread evenly over all stamps.
fn share_us(stamp: Stamp) -> u64 {
    let mixed = stamp.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((u128::from(mixed) * u128::from(SPAN_US)) >> 64) as u64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn shares_are_spread_evenly() {
        let mut shares: Vec<u64> = (0..1_000).map(|at| share_us(Stamp::from_micros(7_000_000 + 13 * at))).collect();
        shares.sort_unstable();
        for (at, share) in (0_u64..).zip(shares) {
            assert!(share.abs_diff(at * SPAN_US / 1_000) < SPAN_US / 20, "{at} of 1,000: {share} us");
        }
    }
}
