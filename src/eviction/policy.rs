//! What the policy decides: where a fresh entry goes, which part gives the victim, who is spared.
//!
//! ```text
//!   frequency of a slot: 0 1 2 3, written by a hit only while below 3
//!
//!   leaving the ring    frequency < PROMOTED_FROM  -> evicted, ghost in table R
//!                       else                       -> main, frequency 0, the bytes stay where they are
//!   under the hand      frequency > 0              -> one less, the hand passes
//!                       0, or patience is out      -> evicted, ghost in table M
//!
//!   ring's share of a class, in 2^-32:   1 % ....... 5 % at first ....... 50 %
//!                                        <- hit in M: two slots    hit in R: one slot ->
//!
//!   a ghost is valid for   R: as many evictions from the ring as the class has entries    M: half as many, from main
//! ```
//!
//! A hit in M weighs twice one in R because M remembers half as long. That does what ARC's ratio of the lengths of the
//! two lists does, without counting them. A promoted entry starts at frequency 0 wherever the hand stands: giving those
//! that the hand meets soon a second chance lost 0.1 to 0.3 points of hit ratio over the traces.
//!
//! All of it is arithmetic on numbers given; the engine counts slots, moves bits and unlinks.

#![forbid(unsafe_code)]

use crate::eviction::ghost::Table;
use crate::sync::{AtomicU32, Ordering};
use crate::types::limits::HAND_PASSES_MAX;

/// The two parts of a class. One bit of a slot's control word says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// New, and in the probation ring.
    Ring,
    /// Proven; found by the hand.
    Main,
}

impl Part {
    /// The ghost table of what is evicted from here.
    pub(crate) fn ghosts(self) -> Table {
        match self {
            Self::Ring => Table::Ring,
            Self::Main => Table::Main,
        }
    }
}

/// The adaptive share of the ring in one class.
#[derive(Debug)]
pub(crate) struct Share {
    fraction: AtomicU32,
}

impl Default for Share {
    fn default() -> Self {
        Self { fraction: AtomicU32::new(percent(RING_PERCENT_START)) }
    }
}

impl Share {
    /// Slots that the ring should hold, of so many live ones.
    #[inline]
    pub(crate) fn ring_target(&self, live: u32) -> u32 {
        // Relaxed: a hint that publishes nothing.
        let fraction = u64::from(self.fraction.load(Ordering::Relaxed));
        ((u64::from(live) * fraction + (1 << 31)) >> 32).max(1) as u32
    }

    /// Where a fresh entry goes. `used` and `capacity` are bytes of the arena until it was full for the first time, and
    /// `None` from then on.
    ///
    /// Filling main first is what keeps a loop larger than the cache from a hit ratio of 0.
    pub(crate) fn admit(&self, ghost: Option<Table>, filling: Option<Filling>) -> Part {
        let fraction = u128::from(self.fraction.load(Ordering::Relaxed));
        match (ghost, filling) {
            (Some(_), _) => Part::Main,
            (None, Some(Filling { used, capacity })) => {
                let room = u128::from(capacity) * ((1 << 32) - fraction);
                if (u128::from(used) << 32) < room { Part::Main } else { Part::Ring }
            }
            (None, None) => Part::Ring,
        }
    }

    /// How many victims the ring gives before it is main's turn.
    #[inline]
    pub(crate) fn ring_surplus(&self, ring: u32, main: u32) -> u32 {
        if main == 0 { ring } else { ring.saturating_sub(self.ring_target(ring.saturating_add(main))) }
    }

    /// Learns from a ghost hit in a class of so many live slots.
    pub(crate) fn learn(&self, table: Table, live: u32) {
        let slot = u32::try_from((1u64 << 32) / u64::from(live.max(1))).unwrap_or(u32::MAX);
        // Relaxed, and not a loop: of two threads that learn at once one may be ignored.
        let old = self.fraction.load(Ordering::Relaxed);
        let new = match table {
            Table::Ring => old.saturating_add(slot).min(percent(RING_PERCENT_MAX)),
            Table::Main => old.saturating_sub(slot.saturating_mul(MAIN_HIT_SLOTS)).max(percent(RING_PERCENT_MIN)),
        };
        let _ = self.fraction.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Cells for the ring of a class with so many slots: the target and an eighth, for numbers in motion. To be given to
    /// `Probation::reserve` when a page is assigned and after [`Share::learn`].
    pub(crate) fn ring_cells(&self, slots: u32) -> u32 {
        let target = self.ring_target(slots);
        target + target / 8
    }

    /// The ring's share in percent, for statistics.
    pub(crate) fn percent(&self) -> f32 {
        self.fraction.load(Ordering::Relaxed) as f32 * 100.0 / 4_294_967_296.0
    }
}

/// How far the arena is filled, while it never was full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Filling {
    pub(crate) used: u64,
    pub(crate) capacity: u64,
}

/// Evictions from a table after which a ghost of a class with so many live slots is forgotten.
pub(crate) fn ghost_window(table: Table, live: u32) -> u32 {
    match table {
        Table::Ring => live,
        Table::Main => live / MAIN_HIT_SLOTS,
    }
    .max(1)
}

/// Whether an entry that leaves the ring goes to main, with frequency 0.
#[inline]
pub(crate) fn is_promoted(frequency: u8) -> bool {
    frequency >= PROMOTED_FROM
}

/// What the hand does with a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict<T> {
    /// Goes on, after lowering the slot's frequency to this.
    Pass(u8),
    /// Evicts this slot: the one shown, or an earlier one that was used less than all since. It may have changed hands
    /// meanwhile; its control word and the index decide, and an evictor that loses it starts a new search.
    Evict(T),
}

/// One evictor's search along the hand: ends with a victim after at most [`HAND_PASSES_MAX`] slots, so that no insert
/// pays for a lap over a main part in which everything was used.
#[derive(Debug)]
pub(crate) struct Search<T> {
    passes: u32,
    least: Option<(u8, T)>,
}

impl<T: Copy> Search<T> {
    pub(crate) fn new() -> Self {
        Self { passes: 0, least: None }
    }

    /// Shows the next slot of main with its frequency.
    pub(crate) fn offer(&mut self, slot: T, frequency: u8) -> Verdict<T> {
        if frequency == 0 {
            return Verdict::Evict(slot);
        }
        let (least, victim) = match self.least {
            Some(earlier) if earlier.0 <= frequency => earlier,
            _ => (frequency, slot),
        };
        self.passes += 1;
        if self.passes >= HAND_PASSES_MAX {
            return Verdict::Evict(victim);
        }
        self.least = Some((least, victim));
        Verdict::Pass(frequency - 1)
    }

    /// The least used slot passed so far, for an evictor that runs out of slots to look at.
    pub(crate) fn least(&self) -> Option<T> {
        self.least.map(|(_, slot)| slot)
    }
}

const fn percent(percent: u64) -> u32 {
    ((percent << 32) / 100) as u32
}

/// Hits in the ring that lead to main.
pub(crate) const PROMOTED_FROM: u8 = 2;
const RING_PERCENT_MIN: u64 = 1;
const RING_PERCENT_START: u64 = 5;
const RING_PERCENT_MAX: u64 = 50;
/// How much shorter table M remembers, and how much more a hit in it weighs.
const MAIN_HIT_SLOTS: u32 = 2;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_share_starts_at_a_twentieth_and_stays_within_bounds() {
        let share = Share::default();
        assert_eq!((share.ring_target(1000), share.ring_target(0)), (50, 1));
        share.learn(Table::Ring, 1000);
        assert_eq!(share.ring_target(1000), 51);
        for _ in 0..2000 {
            share.learn(Table::Ring, 1000);
        }
        assert_eq!(share.ring_target(1000), RING_PERCENT_MAX as u32 * 10);
        for _ in 0..2000 {
            share.learn(Table::Main, 1000);
        }
        assert_eq!(share.ring_target(1000), 10);
        share.learn(Table::Ring, 0);
        assert_eq!(share.ring_target(u32::MAX).div_ceil(1 << 25), RING_PERCENT_MAX as u32 * 128 / 100);
    }

    #[test]
    fn main_fills_first_then_the_ring_takes_what_is_new() {
        let share = Share::default();
        let filling = |used| Some(Filling { used, capacity: 1000 });
        assert_eq!(share.admit(None, filling(949)), Part::Main);
        assert_eq!(share.admit(None, filling(951)), Part::Ring);
        assert_eq!(share.admit(None, None), Part::Ring);
        assert_eq!(share.admit(Some(Table::Ring), None), Part::Main);
        assert_eq!(share.admit(Some(Table::Main), filling(999)), Part::Main);
        assert_eq!(share.admit(None, Some(Filling { used: u64::MAX, capacity: u64::MAX })), Part::Ring);
    }

    #[test]
    fn the_ring_gives_what_is_above_its_share() {
        let share = Share::default();
        assert_eq!((share.ring_surplus(51, 949), share.ring_surplus(57, 943)), (1, 7));
        assert_eq!((share.ring_surplus(50, 950), share.ring_surplus(0, 9)), (0, 0));
        assert_eq!((share.ring_surplus(1, 0), share.ring_surplus(7, 0)), (1, 7), "main has nothing to give");
        assert_eq!(share.ring_surplus(0, 0), 0, "nothing to take: the hand finds that out");
    }

    #[test]
    fn two_hits_in_the_ring_lead_to_main() {
        assert!(!is_promoted(PROMOTED_FROM - 1) && is_promoted(PROMOTED_FROM));
    }

    #[test]
    fn a_search_always_ends_with_the_least_used() {
        let mut search = Search::new();
        assert_eq!(search.offer(1, 2), Verdict::Pass(1));
        assert_eq!(search.offer(2, 0), Verdict::Evict(2));

        let mut search = Search::new();
        assert_eq!(search.least(), None);
        for slot in 0..HAND_PASSES_MAX - 1 {
            let frequency = if slot == 3 { 1 } else { 2 };
            assert_eq!(search.offer(slot, frequency), Verdict::Pass(frequency - 1));
        }
        assert_eq!(search.least(), Some(3));
        assert_eq!(search.offer(HAND_PASSES_MAX, 3), Verdict::Evict(3));
    }
}
