//! Who is inside a write, apart from who reads: what a close waits for.
//!
//! ```text
//!   stripe = thread number % STRIPES:   | inside: the owner | inside: others |   128 B aligned
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

#![forbid(unsafe_code)]

use crate::sync::{AtomicBool, AtomicU32, EXCLUSIVE_THREADS, Ordering, Padded, bite, fence, thread_number};
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
    stripes: Box<[Padded<Stripe>]>,
}

#[derive(Debug)]
struct Stripe {
    own: AtomicU32,
    others: AtomicU32,
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
        let stripe = |_| Padded(Stripe { own: AtomicU32::new(0), others: AtomicU32::new(0) });
        Self { closed: AtomicBool::new(false), stripes: (0..STRIPES).map(stripe).collect() }
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
        let mark = if owned { &stripe.own } else { &stripe.others };
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
        let of = |stripe: &Stripe| (stripe.own.load(Ordering::Acquire) & DEPTH) + stripe.others.load(Ordering::Acquire);
        self.stripes.iter().map(|stripe| of(stripe)).sum()
    }

    /// Waits until every thread that is inside now has been outside once, at most so long; the rest is returned.
    #[cfg(not(loom))]
    pub(crate) fn await_those_inside(&self, at_most_ms: u64) -> u32 {
        // Pairs with the fence of a writer behind its mark: who marks later sees what the caller has published.
        fence(Ordering::SeqCst);
        let began = std::time::Instant::now();
        let mut waited_for = self.marks_up();
        while !waited_for.is_empty() && began.elapsed().as_millis() < u128::from(at_most_ms) {
            std::thread::yield_now();
            waited_for.retain(Seen::is_still_up);
        }
        waited_for.iter().map(|seen| seen.depth(seen.bits)).sum()
    }

    #[cfg(not(loom))]
    fn marks_up(&self) -> Vec<Seen<'_>> {
        let marks = self.stripes.iter().flat_map(|stripe| [(&stripe.own, true), (&stripe.others, false)]);
        // Acquire: pairs with the Release of a mark that is lowered.
        let seen = marks.map(|(mark, owned)| Seen { mark, owned, bits: mark.load(Ordering::Acquire) });
        seen.filter(|seen| seen.depth(seen.bits) > 0).collect()
    }

    pub(crate) fn heap_bytes(&self) -> u64 {
        size_of_val(&*self.stripes) as u64
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

    /// Whether its owner may have been inside all the time. Of a mark of many it can not be told whose it is: that one has to
    /// be down.
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
        let seen = writers.marks_up();
        let nested = writers.mark_as(owner);
        drop(nested);
        assert_eq!((seen.len(), seen.iter().filter(|seen| seen.is_still_up()).count()), (2, 2));
        drop(first);
        let again = writers.mark_as(owner);
        assert_eq!(seen.iter().filter(|seen| seen.is_still_up()).count(), 1, "it came back");
        assert_eq!((writers.inside(), writers.await_those_inside(0)), (2, 2));
        drop((again, of_many));
        assert_eq!((writers.inside(), writers.await_those_inside(0)), (0, 0));
    }
}
