//! Who is inside a write, apart from who reads: what a close waits for.
//!
//! ```text
//!   stripe = thread number % STRIPES:   | inside: the owner | others: even phase | odd phase |   128 B aligned
//!
//!   write   mark up -> full fence -> closed?  yes: refused   no: inside -> mark down
//!   close   closed  -> full fence -> is every mark down?     yes: at rest, for good
//! ```
//!
//! Either the write sees `closed` or the close sees its mark. The thread whose number is the stripe's marks by a load and a
//! store, since nobody else has that number while it runs; others that share the stripe add and subtract.
//!
//! ```text
//!  bit 31                              8 7            0
//!      +--------------------------------+--------------+
//!      | generation: 24                 | depth: 8     |   an owner's mark: who waits sees that it was outside meanwhile
//!      +--------------------------------+--------------+
//! ```
//!
//! Of a count of many it can not be told who has been outside meanwhile. So there are two: those who come put their mark up in
//! the one of the phase, and who waits lets the other one run dry, changes the phase, and lets the first one run dry, which
//! nobody enters any more but who had read the phase before.
//!
//! ```text
//!   phase   even            odd
//!   even    |########_______|____                 ####  marks that are up
//!   odd     |__             |    ####
//!             ^ dry          ^ changed ... dry: everybody who was inside has been outside
//! ```

#![forbid(unsafe_code)]

use crate::sync::{AtomicBool, AtomicU32, EXCLUSIVE_THREADS, GaugeUsize, Ordering, Padded, bite, fence, thread_number};
use std::marker::PhantomData;

#[cfg(not(loom))]
const STRIPES: usize = 32;
#[cfg(loom)]
const STRIPES: usize = 1;
/// Numbers below this own their stripe; under loom all threads have one number, which is nobody's.
const OWNED: usize = if cfg!(loom) { 0 } else { STRIPES };

const _: () = assert!(OWNED <= EXCLUSIVE_THREADS);

/// How often an owner is inside itself.
const DEPTH: u32 = 0xff;
const GENERATION: u32 = DEPTH + 1;

/// The marks of all threads that write, and whether they still may.
#[derive(Debug)]
pub(crate) struct Writers {
    closed: AtomicBool,
    /// Which count those who share a stripe enter.
    phase: GaugeUsize,
    /// Whoever waits changes the phase alone.
    #[cfg(not(loom))]
    waiting: crate::sync::Mutex<()>,
    stripes: Box<[Padded<Stripe>]>,
}

#[derive(Debug)]
struct Stripe {
    own: AtomicU32,
    others: [AtomicU32; 2],
}

/// A mark that is up; dropping it lowers it. Not `Send`: its thread lowers it.
#[derive(Debug)]
pub(crate) struct Writing<'w> {
    mark: &'w AtomicU32,
    owned: bool,
    not_send: PhantomData<*const ()>,
}

impl Writers {
    pub(crate) fn new() -> Self {
        let stripe = |_| Padded(Stripe { own: AtomicU32::new(0), others: [0, 0].map(AtomicU32::new) });
        Self {
            closed: AtomicBool::new(false),
            phase: GaugeUsize::new(0),
            #[cfg(not(loom))]
            waiting: crate::sync::Mutex::new(()),
            stripes: (0..STRIPES).map(stripe).collect(),
        }
    }

    /// Puts the calling thread's mark up. The caller issues a full fence and then asks [`Writers::are_closed`].
    #[inline]
    pub(crate) fn mark(&self) -> Writing<'_> {
        self.mark_as(thread_number())
    }

    #[inline]
    fn mark_as(&self, number: usize) -> Writing<'_> {
        let stripe = &self.stripes[number % STRIPES];
        let owned = number < OWNED;
        // Relaxed: who reads a phase that is over is waited for, or marks behind the fence of who waits.
        let mark = if owned { &stripe.own } else { &stripe.others[self.phase.load(Ordering::Relaxed)] };
        // Relaxed: the caller's fence orders it before the look at `closed`.
        if owned {
            mark.store(mark.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            mark.fetch_add(1, Ordering::Relaxed);
        }
        Writing { mark, owned, not_send: PhantomData }
    }

    /// Whether writes are refused.
    #[inline]
    pub(crate) fn are_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.closed.load(Ordering::Acquire)
    }

    /// Refuses writes from now on, but for those that are inside.
    pub(crate) fn close(&self) {
        // Release: pairs with the Acquire in `are_closed`.
        self.closed.store(true, Ordering::Release);
        if !bite("close.no-fence") {
            // Pairs with the fence of a writer between its mark and its look at `closed`.
            fence(Ordering::SeqCst);
        }
    }

    /// Marks that are up; once closed, 0 says that nobody is inside and nobody will be. What was written before is seen.
    pub(crate) fn inside(&self) -> u32 {
        if bite("close.waits-for-nobody") {
            return 0;
        }
        // Acquire: pairs with the Release of a mark that is lowered.
        let others = |stripe: &Stripe| stripe.others.iter().map(|mark| mark.load(Ordering::Acquire)).sum::<u32>();
        self.stripes.iter().map(|stripe| (stripe.own.load(Ordering::Acquire) & DEPTH) + others(stripe)).sum()
    }

    /// Waits until every thread that is inside now has been outside once, at most so long; the rest is returned.
    #[cfg(not(loom))]
    pub(crate) fn await_those_inside(&self, at_most_ms: u64) -> u32 {
        let _alone = crate::sync::lock(&self.waiting);
        // Pairs with the fence of a writer behind its mark: who marks later sees what the caller has published.
        fence(Ordering::SeqCst);
        let until = std::time::Instant::now() + std::time::Duration::from_millis(at_most_ms);
        let phase = self.phase.load(Ordering::Relaxed);
        let owners = self.marks_up(|stripe| &stripe.own, true);
        let late = await_down(self.marks_up(|stripe| &stripe.others[1 - phase], false), until);
        if late == 0 {
            // Relaxed: as in `mark_as`.
            self.phase.store(1 - phase, Ordering::Relaxed);
        }
        let shared = await_down(self.marks_up(|stripe| &stripe.others[phase], false), until);
        late + shared + await_down(owners, until)
    }

    #[cfg(not(loom))]
    fn marks_up<'w>(&'w self, mark: impl Fn(&'w Stripe) -> &'w AtomicU32, owned: bool) -> Vec<Seen<'w>> {
        // Acquire: pairs with the Release of a mark that is lowered.
        let seen = self.stripes.iter().map(|stripe| mark(stripe));
        let seen = seen.map(|mark| Seen { mark, owned, bits: mark.load(Ordering::Acquire) });
        seen.filter(|seen| seen.depth(seen.bits) > 0).collect()
    }

    pub(crate) fn heap_bytes(&self) -> u64 {
        size_of_val(&*self.stripes) as u64
    }
}

/// Waits until none of them is up, at most until then; how many are.
#[cfg(not(loom))]
fn await_down(mut marks: Vec<Seen<'_>>, until: std::time::Instant) -> u32 {
    loop {
        marks.retain(Seen::is_still_up);
        if marks.is_empty() || std::time::Instant::now() >= until {
            return marks.iter().map(|seen| seen.depth(seen.bits)).sum();
        }
        std::thread::yield_now();
    }
}

/// A mark that was up.
#[cfg(not(loom))]
struct Seen<'w> {
    mark: &'w AtomicU32,
    owned: bool,
    bits: u32,
}

#[cfg(not(loom))]
impl Seen<'_> {
    fn depth(&self, bits: u32) -> u32 {
        if self.owned { bits & DEPTH } else { bits }
    }

    /// Whether its owner may have been inside all the time; a count of many has to be 0 once.
    fn is_still_up(&self) -> bool {
        // Acquire: pairs with the Release of a mark that is lowered.
        let now = self.mark.load(Ordering::Acquire);
        self.depth(now) > 0 && (!self.owned || now & !DEPTH == self.bits & !DEPTH)
    }
}

impl Drop for Writing<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `inside`.
        if self.owned {
            let left = self.mark.load(Ordering::Relaxed) - 1;
            let is_outside = left & DEPTH == 0;
            self.mark.store(if is_outside { left.wrapping_add(GENERATION) } else { left }, Ordering::Release);
        } else {
            self.mark.fetch_sub(1, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn marks_of_one_stripe_are_counted_apart_and_nest() {
        let writers = Writers::new();
        // The second does not own the stripe that it shares with the first, and the last is any of many threads.
        let (first, second, shared) = (3, 3 + STRIPES, EXCLUSIVE_THREADS);
        let marks = [first, second, first, shared].map(|number| writers.mark_as(number));
        assert_eq!(marks.each_ref().map(|mark| mark.owned), [true, false, true, false]);
        assert_eq!(writers.inside(), 4);
        for (down, mark) in marks.into_iter().enumerate() {
            drop(mark);
            assert_eq!(writers.inside(), 3 - down as u32);
        }
        writers.close();
        assert!(writers.are_closed());
    }

    #[test]
    fn who_was_outside_meanwhile_is_not_waited_for() {
        let writers = Writers::new();
        let (owner, shared) = (3, EXCLUSIVE_THREADS);
        let (first, of_many) = (writers.mark_as(owner), writers.mark_as(shared));
        let seen = writers.marks_up(|stripe| &stripe.own, true);
        let nested = writers.mark_as(owner);
        drop(nested);
        assert_eq!((seen.len(), seen.iter().filter(|seen| seen.is_still_up()).count()), (1, 1));
        drop(first);
        let again = writers.mark_as(owner);
        assert_eq!(seen.iter().filter(|seen| seen.is_still_up()).count(), 0, "it came back");
        assert_eq!((writers.inside(), writers.await_those_inside(0)), (2, 2));
        drop((again, of_many));
        assert_eq!((writers.inside(), writers.await_those_inside(0)), (0, 0));
    }

    #[test]
    fn a_crowd_that_comes_and_goes_is_not_waited_for() {
        let writers = Writers::new();
        let (stop, handed_over) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // At every moment one of them is inside: the next one comes before the last one goes.
                let mut inside = writers.mark_as(EXCLUSIVE_THREADS);
                while !stop.load(Ordering::Relaxed) {
                    inside = writers.mark_as(EXCLUSIVE_THREADS);
                    handed_over.fetch_add(1, Ordering::Relaxed);
                }
                drop(inside);
            });
            while handed_over.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            let rest = (0..20).map(|_| writers.await_those_inside(10_000)).find(|rest| *rest > 0);
            stop.store(true, Ordering::Relaxed);
            assert_eq!(rest, None);
        });
    }

    #[test]
    fn one_of_a_crowd_that_stays_is_waited_for_in_both_phases() {
        let writers = Writers::new();
        let stays = writers.mark_as(EXCLUSIVE_THREADS);
        for _ in 0..3 {
            assert_eq!(writers.await_those_inside(0), 1, "however often the phase changes");
            let comes = writers.mark_as(EXCLUSIVE_THREADS + 1);
            assert!(writers.await_those_inside(0) >= 1);
            drop(comes);
        }
        drop(stays);
        assert_eq!(writers.await_those_inside(0), 0);
    }
}
