//! Counters, and how many entries there are: each thread counts on a line of its own.
//!
//! ```text
//!   thread 0        thread 1              threads beyond
//!   +----------+    +----------+          +----------+
//!   | counters |    | counters |   ...    | counters |     own stripe: a load and a store, no other thread writes it
//!   | entries  |    | entries  |          | entries  |     shared stripe: a read-modify-write
//!   | by class |    | by class |          | by class |     what was counted in here may be counted out there: sums count
//!   +----------+    +----------+          +----------+
//! ```
//!
//! Stripes are made when their thread first counts. A thread that ends leaves its number, and with it its stripes, to the next.

#![forbid(unsafe_code)]

use crate::arena::classes::{CLASS_SLOTS, ClassId};
use crate::sync::{EXCLUSIVE_THREADS, GaugeU64, GaugeUsize, Ordering, Padded, thread_number};
use std::sync::OnceLock;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Counter {
    Hits,
    Misses,
    Inserts,
    Replaced,
    Removed,
    RefusedBusy,
    RefusedTooLarge,
    RefusedSuperseded,
    RefusedBelowFloor,
    RefusedUnordered,
    EvictedProbation,
    EvictedMain,
    EvictedBucket,
    EvictedPage,
    Expired,
    Damaged,
    PagesMoved,
    Relocated,
    PinsRefused,
    Loads,
    LoadsFailed,
    LoadsShared,
    LoadsAlone,
    LoadsVoided,
    LoadsRefused,
    Invalidated,
}

const COUNTERS: usize = Counter::Invalidated as usize + 1;

/// What one thread counts, or all that have no stripe of their own. Sums are modulo 2^64.
#[derive(Debug)]
struct Stripe {
    counters: [GaugeU64; COUNTERS],
    /// Entries in the index, all and by class.
    entries: GaugeU64,
    by_class: [GaugeU64; CLASS_SLOTS],
}

type Own = OnceLock<Box<Padded<Stripe>>>;

/// The counters of one cache.
#[derive(Debug)]
pub(crate) struct Counters {
    own: Box<[Own]>,
    /// Own stripes from this one on were never made.
    end: GaugeUsize,
    shared: Box<Padded<Stripe>>,
}

/// A stripe, and whether the calling thread is the only one who writes it.
#[derive(Clone, Copy)]
struct Writable<'c> {
    stripe: &'c Stripe,
    is_own: bool,
}

impl Stripe {
    fn new() -> Box<Padded<Self>> {
        let zero = |_| GaugeU64::new(0);
        let (counters, by_class) = (std::array::from_fn(zero), std::array::from_fn(zero));
        Box::new(Padded(Self { counters, entries: GaugeU64::new(0), by_class }))
    }
}

impl Writable<'_> {
    /// Relaxed, as all here: figures publish nothing.
    #[inline(always)]
    fn add(self, pick: impl FnOnce(&Stripe) -> &GaugeU64, count: u64) {
        let gauge = pick(self.stripe);
        if self.is_own {
            gauge.store(gauge.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
        } else {
            gauge.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Counters {
    /// For a cache of so many bytes: a small one has few stripes.
    pub(crate) fn new(capacity: u64) -> Self {
        let own =
            (capacity / BYTES_PER_STRIPE).clamp(STRIPES_MIN.min(EXCLUSIVE_THREADS as u64), EXCLUSIVE_THREADS as u64);
        Self { own: (0..own).map(|_| OnceLock::new()).collect(), end: GaugeUsize::new(0), shared: Stripe::new() }
    }

    #[inline(always)]
    fn writable(&self) -> Writable<'_> {
        let number = thread_number();
        match self.own.get(number) {
            Some(own) => {
                let stripe = match own.get() {
                    Some(stripe) => stripe,
                    None => self.make(number, own),
                };
                Writable { stripe, is_own: true }
            }
            None => Writable { stripe: &self.shared, is_own: false },
        }
    }

    #[cold]
    fn make<'c>(&self, number: usize, own: &'c Own) -> &'c Padded<Stripe> {
        // Relaxed: at worst somebody does not see yet what the thread is about to count.
        self.end.fetch_max(number + 1, Ordering::Relaxed);
        own.get_or_init(Stripe::new)
    }

    fn stripes(&self) -> impl Iterator<Item = &Stripe> {
        self.own[..self.end.load(Ordering::Relaxed)]
            .iter()
            .filter_map(OnceLock::get)
            .chain([&self.shared])
            .map(|stripe| &stripe.0)
    }

    fn sum_of(&self, pick: impl Fn(&Stripe) -> &GaugeU64) -> u64 {
        self.stripes().fold(0, |sum, stripe| sum.wrapping_add(pick(stripe).load(Ordering::Relaxed)))
    }

    /// One more.
    #[inline(always)]
    pub(crate) fn add(&self, counter: Counter) {
        self.add_some(counter, 1);
    }

    /// Some more, if any.
    #[inline(always)]
    pub(crate) fn add_some(&self, counter: Counter, count: u64) {
        if count > 0 {
            self.writable().add(|stripe| &stripe.counters[counter as usize], count);
        }
    }

    /// The sum over all threads.
    pub(crate) fn sum(&self, counter: Counter) -> u64 {
        self.sum_of(|stripe| &stripe.counters[counter as usize])
    }

    /// Counts an entry in that is about to be linked: whoever unlinks it counts it out, which may be at once.
    #[inline(always)]
    pub(crate) fn count_in(&self, class: ClassId) {
        let writable = self.writable();
        writable.add(|stripe| &stripe.entries, 1);
        writable.add(|stripe| &stripe.by_class[class.index()], 1);
    }

    /// Counts entries out that were unlinked, or not linked after all.
    #[inline(always)]
    pub(crate) fn count_out(&self, class: ClassId, count: u64) {
        let writable = self.writable();
        writable.add(|stripe| &stripe.entries, count.wrapping_neg());
        writable.add(|stripe| &stripe.by_class[class.index()], count.wrapping_neg());
    }

    /// Entries that this life wrote or adopted: an estimate while others count, exact at rest.
    #[inline]
    pub(crate) fn entries(&self) -> u64 {
        (self.sum_of(|stripe| &stripe.entries) as i64).max(0) as u64
    }

    /// Those of a class.
    #[inline]
    pub(crate) fn entries_of(&self, class: ClassId) -> u64 {
        (self.sum_of(|stripe| &stripe.by_class[class.index()]) as i64).max(0) as u64
    }

    /// The same, as counted: below 0 it would be a very large number.
    #[cfg(loom)]
    pub(crate) fn entries_counted(&self) -> u64 {
        self.sum_of(|stripe| &stripe.entries)
    }

    /// Says how many there are.
    #[cfg(loom)]
    pub(crate) fn expect_entries(&self, entries: u64) {
        self.shared.entries.store(entries, Ordering::Relaxed);
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.own) + self.stripes().count() * size_of::<Padded<Stripe>>()
    }
}

/// A stripe for each so many bytes of capacity.
const BYTES_PER_STRIPE: u64 = 1 << 20;
const STRIPES_MIN: u64 = 4;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn threads_that_come_and_go_and_share_lose_no_count() {
        const CLASS: ClassId = ClassId(3);
        let counters = Counters::new(CAPACITY);
        for _ in 0..4 {
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        for _ in 0..EACH {
                            counters.add(Counter::Inserts);
                            counters.count_in(CLASS);
                        }
                        counters.count_out(CLASS, EACH - 1);
                    });
                }
            });
        }
        assert_eq!(counters.sum(Counter::Inserts), 4 * THREADS * EACH);
        assert_eq!((counters.entries(), counters.entries_of(CLASS)), (4 * THREADS, 4 * THREADS));
        assert_eq!(counters.entries_of(ClassId(4)), 0);
    }

    /// Fewer stripes than threads, so that some share.
    const CAPACITY: u64 = 4 << 20;
    const THREADS: u64 = 12;
    const EACH: u64 = 10_000;
}
