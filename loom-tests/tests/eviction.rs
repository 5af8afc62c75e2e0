//! The eviction structures: each number leaves the ring once, no slot is claimed twice in a lap, a ghost is taken once.
//!
//! Defects that must turn these red, each by `ALSO_CACHE_BITE=name`:
//! `eviction.pop-load-instead-of-swap`, `eviction.push-store-instead-of-swap`, `eviction.tail-relaxed`,
//! `eviction.shape-relaxed`, `eviction.claim-without-cas`, `eviction.claim-ignores-lost-cas`,
//! `eviction.ghost-take-without-cas`.

#![cfg(loom)]

use also_cache::loom_internals::eviction::{Ghosts, Hand, Ring};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicBool;
use loom::thread;
// Counts over all interleavings, so not one of loom's.
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

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

/// A model that never meets the states it is about shows nothing.
fn reached(states: &[(&str, &AtomicU32)]) {
    for (state, count) in states {
        println!("{state}: {}", count.load(Relaxed));
    }
    assert!(states.iter().all(|(_, count)| count.load(Relaxed) > 0), "a state was never reached");
}

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

#[test]
fn each_number_leaves_the_ring_exactly_once() {
    static POPPED: AtomicU32 = AtomicU32::new(0);
    static DISPLACED: AtomicU32 = AtomicU32::new(0);
    static MISSED: AtomicU32 = AtomicU32::new(0);
    model(3, || {
        let slots = Slots::with_cells(1);
        let pushers: Vec<_> = (0..2)
            .map(|worker| {
                let slots = Arc::clone(&slots);
                thread::spawn(move || slots.push(worker))
            })
            .collect();
        let mut out: Vec<u32> = slots.pop().into_iter().chain(slots.pop()).collect();
        if out.is_empty() { &MISSED } else { &POPPED }.fetch_add(1, Relaxed);
        for pusher in pushers {
            if let Some(displaced) = pusher.join().expect("a pusher does not panic") {
                DISPLACED.fetch_add(1, Relaxed);
                out.push(displaced);
            }
        }
        assert_eq!(slots.settle(out), [0, 1]);
    });
    reached(&[("popped", &POPPED), ("displaced", &DISPLACED), ("missed", &MISSED)]);
}

#[test]
fn two_poppers_never_take_the_same_number() {
    static BOTH: AtomicU32 = AtomicU32::new(0);
    model(3, || {
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
        if out.len() == 2 {
            BOTH.fetch_add(1, Relaxed);
        }
        out.extend(third.join().expect("a pusher does not panic"));
        assert_eq!(slots.settle(out), [0, 1, 2]);
    });
    reached(&[("both popped", &BOTH)]);
}

#[test]
fn growth_under_way_loses_no_number() {
    static GREW_FIRST: AtomicU32 = AtomicU32::new(0);
    static DISPLACED: AtomicU32 = AtomicU32::new(0);
    model(3, || {
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
        if displaced == [None, None] { &GREW_FIRST } else { &DISPLACED }.fetch_add(1, Relaxed);
        out.extend(displaced.into_iter().flatten());
        assert_eq!(slots.settle(out), [0, 1, 2]);
    });
    reached(&[("grew before the pushes", &GREW_FIRST), ("displaced", &DISPLACED)]);
}

#[test]
fn a_ring_that_gets_its_first_cells_while_in_use_is_sound() {
    static REFUSED: AtomicU32 = AtomicU32::new(0);
    static ENTERED: AtomicU32 = AtomicU32::new(0);
    static POPPED: AtomicU32 = AtomicU32::new(0);
    model(3, || {
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
        POPPED.fetch_add(u32::from(!out.is_empty()), Relaxed);
        let back = pusher.join().expect("a pusher does not panic");
        grower.join().expect("a grower does not panic");
        if back.is_some() { &REFUSED } else { &ENTERED }.fetch_add(1, Relaxed);
        out.extend(back);
        assert_eq!(slots.settle(out), [0]);
    });
    reached(&[("refused", &REFUSED), ("entered", &ENTERED), ("popped", &POPPED)]);
}

#[test]
fn spans_of_one_lap_are_disjoint() {
    static INTERLEAVED: AtomicU32 = AtomicU32::new(0);
    static WRAPPED: AtomicU32 = AtomicU32::new(0);
    const PAGES: [(u32, u32); 2] = [(1, 2), (4, 1)];
    model(3, || {
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
        INTERLEAVED.fetch_add(u32::from(!spans.is_sorted() && spans[0] < spans[3]), Relaxed);
        spans.sort_unstable();
        // Four claims of one slot over three slots: every slot of the lap once, and the first of the next lap.
        assert_eq!(spans, [(0, 1, 0, 1), (0, 1, 1, 1), (0, 4, 0, 1), (1, 1, 0, 1)]);
        WRAPPED.fetch_add(u32::from(spans[3].0), Relaxed);
    });
    reached(&[("interleaved", &INTERLEAVED), ("wrapped", &WRAPPED)]);
}

#[test]
fn a_ghost_is_taken_by_one_thread() {
    static FIRST: AtomicU32 = AtomicU32::new(0);
    static SECOND: AtomicU32 = AtomicU32::new(0);
    model(3, || {
        let ghosts = Arc::new(Ghosts::default());
        ghosts.insert(7 << 32);
        let other = {
            let ghosts = Arc::clone(&ghosts);
            thread::spawn(move || ghosts.take(7 << 32))
        };
        let here = ghosts.take(7 << 32);
        let there = other.join().expect("a taker does not panic");
        assert!(here != there, "one ghost, taken here: {here}, there: {there}");
        if here { &FIRST } else { &SECOND }.fetch_add(1, Relaxed);
    });
    reached(&[("taken here", &FIRST), ("taken there", &SECOND)]);
}
