//! The hand of one class: walks the physical slots of the class's pages, shared by any number of evictors.
//!
//! ```text
//!  bit 63     48 47                  24 23                  0
//!      +--------+----------------------+---------------------+
//!      | lap 16 |       page 24        |  slot in page 24    |   Hand, one u64: the next slot to look at
//!      +--------+----------------------+---------------------+
//!
//!   pages of the arena    [ ours ][ other ][ ours ][ large ][ ours ]
//!   the hand goes          ----------------> ... ---------------->  then to the first again, lap + 1
//! ```
//!
//! Invariant: one compare-exchange moves the hand over a batch, so within a lap no slot is in two spans. An evictor that
//! has its victim gives the rest of its span back, as long as nobody has moved the hand on: slots that nobody looked at
//! are the next evictor's, or they would be spared for a lap. The lap keeps an evictor that slept through exactly a round
//! from moving the hand by a stale view, until 65,536 rounds have passed.

#![forbid(unsafe_code)]

use crate::sync::{AtomicU64, Ordering, bite};

/// Which pages the class has now; the engine knows.
pub(crate) trait ClassPages {
    /// The first page of the class at or after this number, or the first of all if there is none; with its slots, at
    /// least one. `None` if the class has no page.
    fn at_or_after(&self, page: u32) -> Option<ClassPage>;
}

/// A page of a class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClassPage {
    pub(crate) page: u32,
    pub(crate) slots: u32,
}

/// Slots that one evictor alone looks at in this lap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) page: u32,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) lap: u16,
    /// Where the claim left the hand.
    behind: u64,
}

/// See the module. Starts at the first page.
#[derive(Debug)]
pub(crate) struct Clock {
    hand: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { hand: AtomicU64::new(0) }
    }
}

impl Clock {
    /// Moves the hand over up to `batch` slots of one page, which are the caller's to examine. `None` if the class has
    /// no page. Waits for nobody: another evictor's success is the only reason to try again.
    ///
    /// A page may leave the class at any time; what the span names is to be checked slot by slot.
    pub(crate) fn claim(&self, batch: u32, pages: &impl ClassPages) -> Option<Span> {
        debug_assert!(batch > 0, "an empty batch would not move the hand");
        // Relaxed here and below: the hand publishes nothing, each slot is protected by its own control word.
        let mut word = self.hand.load(Ordering::Relaxed);
        loop {
            let hand = Hand::unpack(word);
            let found = pages.at_or_after(hand.page)?;
            debug_assert!(found.slots > 0, "page {} of a class has no slots", found.page);
            // A shorter page than the hand expects has been formatted anew: it starts over.
            let first = if found.page == hand.page && hand.slot < found.slots { hand.slot } else { 0 };
            let lap = if found.page < hand.page { hand.lap.wrapping_add(1) } else { hand.lap };
            let count = batch.min(found.slots - first);
            let next = if first + count == found.slots {
                Hand { lap, page: found.page + 1, slot: 0 }
            } else {
                Hand { lap, page: found.page, slot: first + count }
            };
            let behind = next.pack();
            let span = Span { page: found.page, first, count, lap, behind };
            if bite("eviction.claim-without-cas") {
                self.hand.store(behind, Ordering::Relaxed);
                return Some(span);
            }
            match self.hand.compare_exchange_weak(word, behind, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(span),
                Err(_) if bite("eviction.claim-ignores-lost-cas") => return Some(span),
                Err(now) => word = now,
            }
        }
    }

    /// Puts the hand back to the first slot of the span that its owner did not look at. Nothing happens if another
    /// evictor has moved the hand on: those slots wait for the next lap.
    pub(crate) fn give_back(&self, span: &Span, looked_at: u32) {
        debug_assert!(looked_at > 0, "a span of which nothing was seen would be claimed for ever");
        if looked_at >= span.count {
            return;
        }
        let back = Hand { lap: span.lap, page: span.page, slot: span.first + looked_at }.pack();
        if bite("eviction.give-back-without-cas") {
            return self.hand.store(back, Ordering::Relaxed);
        }
        let _ = self.hand.compare_exchange(span.behind, back, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
struct Hand {
    lap: u16,
    page: u32,
    slot: u32,
}

impl Hand {
    const BITS: u32 = 24;
    const MASK: u64 = (1 << Self::BITS) - 1;

    fn pack(self) -> u64 {
        let (page, slot) = (u64::from(self.page), u64::from(self.slot));
        debug_assert!(page <= Self::MASK && slot <= Self::MASK, "page {page}, slot {slot} exceed the hand's 24 bits");
        (u64::from(self.lap) << (2 * Self::BITS)) | (page << Self::BITS) | slot
    }

    fn unpack(word: u64) -> Self {
        Self {
            lap: (word >> (2 * Self::BITS)) as u16,
            page: ((word >> Self::BITS) & Self::MASK) as u32,
            slot: (word & Self::MASK) as u32,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Pages(Vec<(u32, u32)>);

    impl ClassPages for Pages {
        fn at_or_after(&self, page: u32) -> Option<ClassPage> {
            let found = self.0.iter().find(|(number, _)| *number >= page).or(self.0.first())?;
            Some(ClassPage { page: found.0, slots: found.1 })
        }
    }

    fn walk(clock: &Clock, pages: &Pages, batch: u32) -> (u32, u32, u32, u16) {
        let span = clock.claim(batch, pages).expect("the class has pages");
        (span.page, span.first, span.count, span.lap)
    }

    #[test]
    fn a_lap_visits_every_slot_of_the_class_once() {
        let pages = Pages(vec![(2, 5), (7, 3)]);
        let clock = Clock::default();
        let seen: Vec<_> = (0..4).map(|_| walk(&clock, &pages, 4)).collect();
        assert_eq!(seen, [(2, 0, 4, 0), (2, 4, 1, 0), (7, 0, 3, 0), (2, 0, 4, 1)]);
    }

    #[test]
    fn a_class_of_one_page_goes_round_and_round() {
        let pages = Pages(vec![(5, 2)]);
        let clock = Clock::default();
        let seen: Vec<_> = (0..3).map(|_| walk(&clock, &pages, 2)).collect();
        assert_eq!(seen, [(5, 0, 2, 0), (5, 0, 2, 1), (5, 0, 2, 2)]);
    }

    #[test]
    fn what_was_not_looked_at_is_claimed_next() {
        let pages = Pages(vec![(2, 5), (7, 3)]);
        let clock = Clock::default();
        let span = clock.claim(4, &pages).expect("the class has pages");
        clock.give_back(&span, 1);
        let rest = clock.claim(4, &pages).expect("the class has pages");
        assert_eq!((rest.page, rest.first, rest.count), (2, 1, 4), "and the page's last slot");
        clock.give_back(&rest, 3);
        assert_eq!(walk(&clock, &pages, 4), (2, 4, 1, 0));
        let overtaken = clock.claim(4, &pages).expect("the class has pages");
        assert_eq!(walk(&clock, &pages, 4), (2, 0, 4, 1));
        clock.give_back(&overtaken, 1);
        assert_eq!(walk(&clock, &pages, 4), (2, 4, 1, 1), "the hand had moved on");
    }

    #[test]
    fn pages_may_come_and_go_between_claims() {
        let clock = Clock::default();
        assert_eq!(clock.claim(4, &Pages(Vec::new())), None);
        assert_eq!(walk(&clock, &Pages(vec![(3, 8)]), 4), (3, 0, 4, 0));
        assert_eq!(walk(&clock, &Pages(vec![(3, 2)]), 4), (3, 0, 2, 0), "formatted anew with fewer slots");
        assert_eq!(walk(&clock, &Pages(vec![(1, 8)]), 4), (1, 0, 4, 1), "the page ahead has left");
    }
}
