//! Counters and gauges. A hit costs one store to a line that other threads do not write.
//!
//! ```text
//!   stripe = thread number % STRIPES:   | hits | misses | inserts | replaced | ... |   128 B aligned
//! ```
//!
//! Hits and misses are written without a read-modify-write. Threads are numbered as they come, so two of them share a
//! stripe only if a multiple of [`STRIPES`] lies between them; what they count at the same moment may then count once.

use crate::arena::classes::ClassId;
use crate::engine::Engine;
use crate::index::IndexCounts;
use crate::sync::{GaugeU64, Ordering, Padded, thread_number};

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
}

const COUNTERS: usize = Counter::PinsRefused as usize + 1;
#[cfg(not(loom))]
const STRIPES: usize = 32;
#[cfg(loom)]
const STRIPES: usize = 1;

/// The counters of one cache.
#[derive(Debug)]
pub(crate) struct Counters {
    stripes: Box<[Padded<[GaugeU64; COUNTERS]>; STRIPES]>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let stripe = |_| Padded(std::array::from_fn(|_| GaugeU64::new(0)));
        Self { stripes: Box::new(std::array::from_fn(stripe)) }
    }

    #[inline]
    fn own(&self, counter: Counter) -> &GaugeU64 {
        &self.stripes[thread_number() % STRIPES][counter as usize]
    }

    /// One more. Relaxed, as all here: statistics publish nothing.
    #[inline]
    pub(crate) fn add(&self, counter: Counter) {
        self.own(counter).fetch_add(1, Ordering::Relaxed);
    }

    /// Some more of what is counted on every read: a load and a store.
    #[inline]
    pub(crate) fn add_read(&self, counter: Counter, count: u64) {
        let own = self.own(counter);
        own.store(own.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// The sum over all threads.
    pub(crate) fn sum(&self, counter: Counter) -> u64 {
        self.stripes.iter().map(|stripe| stripe[counter as usize].load(Ordering::Relaxed)).sum()
    }
}

/// Gauges of one class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassFigures {
    pub(crate) class: ClassId,
    pub(crate) slot_bytes: u32,
    pub(crate) pages: u32,
    pub(crate) slots: u64,
    pub(crate) live: u64,
    pub(crate) free: u64,
    pub(crate) unprepared: u64,
    pub(crate) retired: u64,
    pub(crate) ring: u32,
    pub(crate) ring_share_percent: f32,
}

/// Gauges of the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArenaFigures {
    pub(crate) pages: u32,
    pub(crate) pages_free: u32,
    pub(crate) page_bytes: u64,
    pub(crate) retired_bytes: u64,
    pub(crate) pinned_bytes: u64,
    pub(crate) heap_bytes: u64,
    pub(crate) index_buckets: u32,
    pub(crate) index_pages: u32,
    pub(crate) overflow_pages: u32,
    pub(crate) index: IndexCounts,
    pub(crate) graces: u64,
}

impl Engine {
    /// The classes that have pages.
    pub(crate) fn class_figures(&self) -> Vec<ClassFigures> {
        let all = (0..self.pages.classes().len() as u8).map(ClassId).chain([ClassId::LARGE]);
        all.filter_map(|class| {
            let state = self.pages.class(class);
            let policy = self.policy(class);
            // Relaxed: gauges, read one by one.
            let pages = state.pages.load(Ordering::Relaxed);
            let figures = ClassFigures {
                class,
                slot_bytes: self.pages.classes().slot_bytes(class),
                pages,
                slots: u64::from(pages) * u64::from(self.pages.classes().slots_per_page(class)),
                live: state.live.load(Ordering::Relaxed),
                free: state.free.load(Ordering::Relaxed),
                unprepared: state.unprepared.load(Ordering::Relaxed),
                retired: state.limbo.load(Ordering::Relaxed),
                ring: policy.probation.len(),
                ring_share_percent: policy.share.percent(),
            };
            // Values in runs of pages are counted in the class of large values, which then may have no page.
            (figures.pages > 0 || figures.live > 0 || figures.retired > 0).then_some(figures)
        })
        .collect()
    }

    /// The arena's own figures.
    pub(crate) fn arena_figures(&self) -> ArenaFigures {
        let layout = self.pages.layout();
        let retired_bytes = self.class_figures().iter().map(|class| class.retired * u64::from(class.slot_bytes)).sum();
        ArenaFigures {
            pages: layout.pages,
            pages_free: self.pages.free_pages(),
            page_bytes: layout.page_bytes,
            retired_bytes,
            pinned_bytes: self.pins.held(),
            heap_bytes: self.heap_bytes(),
            index_buckets: self.index.buckets(self.region.view()),
            index_pages: self.index.pages(),
            overflow_pages: self.pages.class(ClassId::OVERFLOW).pages.load(Ordering::Relaxed),
            index: self.index.counts(),
            graces: self.limbo.completed(),
        }
    }

    /// Heap that the engine's tables take.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let rings: usize = self.policies.iter().map(|policy| policy.probation.heap_bytes()).sum();
        let counters = self.counters.stripes.len() * size_of::<Padded<[GaugeU64; COUNTERS]>>();
        self.pages.heap_bytes()
            + self.writers.heap_bytes()
            + (rings + self.ghost.heap_bytes() + counters + size_of_val(&*self.policies)) as u64
            + 8 * u64::from(self.pages.layout().pages)
    }
}
