//! The eviction structures: each number leaves the ring once, no slot is claimed twice in a lap, a ghost is taken once.
//!
//! The defects that must turn these red stand in `tools/xtask/bites.txt`.

#![cfg(loom)]

mod common;

use also_cache::loom_internals::eviction::{Ghosts, Hand, Ring};
use common::{Reached, explore};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

/// A ring with a payload for each number: who holds a number writes its payload, so loom sees an overlap or a missing
/// happens-before between two holders.
struct Slots {
    ring: Ring,
    payload: [UnsafeCell<u32>; 4],
}

// SAFETY: a payload is touched only by the holder of its number; that is the property under test, and loom checks it.
unsafe impl Sync for Slots {}

impl Slots {
    fn with_cells(cells: u32) -> Arc<Self> {
        let slots = Self { ring: Ring::default(), payload: std::array::from_fn(|_| UnsafeCell::new(0)) };
        if cells > 0 {
            assert_eq!(slots.ring.reserve(cells), cells);
        }
        Arc::new(slots)
    }

    /// What a holder does to its slot.
    fn hold(&self, number: u32) {
        // SAFETY: the ring gives each number to one holder at a time, as above.
        self.payload[number as usize].with_mut(|payload| unsafe { *payload += 1 });
    }

    fn push(&self, number: u32) -> Option<u32> {
        self.hold(number);
        let displaced = self.ring.push(number);
        if let Some(displaced) = displaced {
            self.hold(displaced);
        }
        displaced
    }

    fn pop(&self) -> Option<u32> {
        let popped = self.ring.pop();
        if let Some(popped) = popped {
            self.hold(popped);
        }
        popped
    }

    /// Everything that came out, with what is still in the ring.
    fn settle(&self, mut out: Vec<u32>) -> Vec<u32> {
        self.ring.drain(|number| {
            self.hold(number);
            out.push(number);
        });
        out.sort_unstable();
        out
    }
}

#[test]
fn each_number_leaves_the_ring_exactly_once() {
    static POPPED: Reached = Reached::new();
    static DISPLACED: Reached = Reached::new();
    static MISSED: Reached = Reached::new();
    explore("push x push x pop, pop", 3, || {
        let slots = Slots::with_cells(1);
        let pushers: Vec<_> = (0..2)
            .map(|worker| {
                let slots = Arc::clone(&slots);
                thread::spawn(move || slots.push(worker))
            })
            .collect();
        let mut out: Vec<u32> = slots.pop().into_iter().chain(slots.pop()).collect();
        MISSED.note(out.is_empty());
        POPPED.note(!out.is_empty());
        for pusher in pushers {
            let displaced = pusher.join().expect("a pusher does not panic");
            DISPLACED.note(displaced.is_some());
            out.extend(displaced);
        }
        assert_eq!(slots.settle(out), [0, 1]);
    });
    POPPED.assert("popped");
    DISPLACED.assert("displaced");
    MISSED.assert("missed");
}

#[test]
fn two_poppers_never_take_the_same_number() {
    static BOTH: Reached = Reached::new();
    explore("pop x pop x push", 3, || {
        let slots = Slots::with_cells(2);
        assert_eq!((slots.push(0), slots.push(1)), (None, None));
        let other = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.pop())
        };
        let third = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.push(2))
        };
        let mut out: Vec<u32> = slots.pop().into_iter().collect();
        out.extend(other.join().expect("a popper does not panic"));
        BOTH.note(out.len() == 2);
        out.extend(third.join().expect("a pusher does not panic"));
        assert_eq!(slots.settle(out), [0, 1, 2]);
    });
    BOTH.assert("both popped");
}

#[test]
fn growth_under_way_loses_no_number() {
    static GREW_FIRST: Reached = Reached::new();
    static DISPLACED: Reached = Reached::new();
    explore("push, push x grow x pop", 3, || {
        let slots = Slots::with_cells(1);
        assert_eq!(slots.push(0), None);
        let pusher = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || [slots.push(1), slots.push(2)])
        };
        let grower = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || assert_eq!(slots.ring.reserve(2), 2))
        };
        let mut out: Vec<u32> = slots.pop().into_iter().collect();
        let displaced = pusher.join().expect("a pusher does not panic");
        grower.join().expect("a grower does not panic");
        GREW_FIRST.note(displaced == [None, None]);
        DISPLACED.note(displaced != [None, None]);
        out.extend(displaced.into_iter().flatten());
        assert_eq!(slots.settle(out), [0, 1, 2]);
    });
    GREW_FIRST.assert("grew before the pushes");
    DISPLACED.assert("displaced");
}

#[test]
fn a_ring_that_gets_its_first_cells_while_in_use_is_sound() {
    static REFUSED: Reached = Reached::new();
    static ENTERED: Reached = Reached::new();
    static POPPED: Reached = Reached::new();
    explore("first cells x push x pop", 3, || {
        let slots = Slots::with_cells(0);
        // Loom looks for other orders only at the last access of an atomic before a write to it, and the grower's own load
        // hides those of the others. These relaxed flags order nothing; racing on them, each thread also runs late.
        let late: Arc<[AtomicBool; 2]> = Arc::new(std::array::from_fn(|_| AtomicBool::new(false)));
        let grower = {
            let (slots, late) = (Arc::clone(&slots), Arc::clone(&late));
            thread::spawn(move || {
                assert_eq!(slots.ring.reserve(1), 1);
                late[0].store(true, Relaxed);
            })
        };
        let pusher = {
            let (slots, late) = (Arc::clone(&slots), Arc::clone(&late));
            thread::spawn(move || {
                late[0].load(Relaxed);
                let back = slots.push(0);
                late[1].store(true, Relaxed);
                back
            })
        };
        late[1].load(Relaxed);
        let mut out: Vec<u32> = slots.pop().into_iter().collect();
        POPPED.note(!out.is_empty());
        let back = pusher.join().expect("a pusher does not panic");
        grower.join().expect("a grower does not panic");
        REFUSED.note(back.is_some());
        ENTERED.note(back.is_none());
        out.extend(back);
        assert_eq!(slots.settle(out), [0]);
    });
    REFUSED.assert("refused");
    ENTERED.assert("entered");
    POPPED.assert("popped");
}

#[test]
fn spans_of_one_lap_are_disjoint() {
    static INTERLEAVED: Reached = Reached::new();
    static WRAPPED: Reached = Reached::new();
    const PAGES: [(u32, u32); 2] = [(1, 2), (4, 1)];
    explore("claim, claim x claim, claim", 3, || {
        let hand = Arc::new(Hand::default());
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let hand = Arc::clone(&hand);
                thread::spawn(move || [hand.claim(1, &PAGES), hand.claim(1, &PAGES)])
            })
            .collect();
        let claims: Vec<_> =
            workers.into_iter().map(|worker| worker.join().expect("an evictor does not panic")).collect();
        let mut spans: Vec<_> = claims.into_iter().flatten().map(|span| span.expect("the class has pages")).collect();
        INTERLEAVED.note(!spans.is_sorted() && spans[0] < spans[3]);
        spans.sort_unstable();
        // Four claims of one slot over three slots: every slot of the lap once, and the first of the next lap.
        assert_eq!(spans, [(0, 1, 0, 1), (0, 1, 1, 1), (0, 4, 0, 1), (1, 1, 0, 1)]);
        WRAPPED.note(spans[3].0 > 0);
    });
    INTERLEAVED.assert("interleaved");
    WRAPPED.assert("wrapped");
}

#[test]
fn a_span_given_back_is_seen_once_or_waits_for_the_next_lap() {
    static TAKEN_UP: Reached = Reached::new();
    static OVERTAKEN: Reached = Reached::new();
    const PAGES: [(u32, u32); 1] = [(3, 4)];
    explore("claim, give back x claim, claim", 3, || {
        let hand = Arc::new(Hand::default());
        let other = {
            let hand = Arc::clone(&hand);
            thread::spawn(move || hand.claim_one_of(2, &PAGES).expect("the class has pages"))
        };
        let spans = [hand.claim(1, &PAGES), hand.claim(1, &PAGES)];
        let (lap, page, first) = other.join().expect("an evictor does not panic");
        let mut seen: Vec<_> = spans.into_iter().map(|span| span.expect("the class has pages")).collect();
        let all_before = seen.clone();
        seen.push((lap, page, first, 1));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 3, "no slot of the lap is anybody else's too: {seen:?}");
        let next = hand.claim(1, &PAGES).expect("the class has pages");
        // Three slots were seen; the fourth is next, or was skipped because others were faster than the return.
        TAKEN_UP.note(next == (0, 3, 3, 1));
        OVERTAKEN.note(next != (0, 3, 3, 1));
        let skipped = all_before.contains(&(0, 3, first + 2, 1)) && !seen.contains(&(0, 3, first + 1, 1));
        assert!(next == (0, 3, 3, 1) || skipped, "next {next:?} after {seen:?}");
    });
    TAKEN_UP.assert("taken up");
    OVERTAKEN.assert("overtaken");
}

#[test]
fn a_ghost_is_taken_by_one_thread() {
    static FIRST: Reached = Reached::new();
    static SECOND: Reached = Reached::new();
    explore("take x take", 3, || {
        let ghosts = Arc::new(Ghosts::default());
        ghosts.insert(7 << 32);
        let other = {
            let ghosts = Arc::clone(&ghosts);
            thread::spawn(move || ghosts.take(7 << 32))
        };
        let here = ghosts.take(7 << 32);
        let there = other.join().expect("a taker does not panic");
        assert!(here != there, "one ghost, taken here: {here}, there: {there}");
        FIRST.note(here);
        SECOND.note(there);
    });
    FIRST.assert("taken here");
    SECOND.assert("taken there");
}
