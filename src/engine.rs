//! The engine: the journeys of an entry through arena, index and eviction; one file a journey.
//!
//! ```text
//!   get       hash -> bucket -> slot -> checks, `shown` by its stamp -> bytes in place
//!   insert    slot -> bytes -> LIVE -> one CAS in the index -> the old slot is retired, or a stripe for a new key
//!   remove    one CAS in the index -> retired; a tombstone in a cluster
//!   fill      what was read for a miss: cached, unless its key was written meanwhile      flights   who reads it, who waits
//!   apply     what another node has changed               outgoing  what goes to the others
//!   replicated  records and floors                        enlist    how an arena becomes a node's
//!   allocate  free bit | unprepared slots | free page | reclaim, evict, next class | refusal
//!   evict     ring or hand -> victims                    unlink    victims -> out of the index together
//!   retire    RETIRED, counted out, in limbo              reclaim   grace period -> FREE
//!   prepare   slots of an old run: adopted, or freed     rebalance pages between classes
//!   sweep     expiry and preparation by page             open      from a file to a running engine
//!   memory    mapped and huge pages, in the background      writing, close   who is inside; the seal
//! ```
//!
//! # Invariants
//!
//! - Whoever wins the CAS that takes a word out of the index retires its slot and does the accounting; nobody else.
//! - A write that is refused leaves its key absent.

#[cfg(not(loom))]
pub(crate) mod ahead;
pub(crate) mod allocate;
pub(crate) mod apply;
pub(crate) mod buckets;
pub(crate) mod changes;
pub(crate) mod clear;
#[cfg(not(loom))]
pub(crate) mod close;
pub(crate) mod counters;
pub(crate) mod drain;
#[cfg(not(loom))]
pub(crate) mod enlist;
pub(crate) mod evict;
pub(crate) mod explain;
pub(crate) mod fill;
#[cfg(not(loom))]
pub(crate) mod filling;
pub(crate) mod flights;
pub(crate) mod get;
#[cfg(feature = "values-on-heap")]
pub(crate) mod heap_values;
pub(crate) mod insert;
pub(crate) mod large;
#[cfg(not(loom))]
pub(crate) mod memory;
#[cfg(loom)]
pub mod model;
#[cfg(not(loom))]
pub(crate) mod open;
pub(crate) mod outgoing;
#[cfg(not(loom))]
pub(crate) mod own_changes;
pub(crate) mod prepare;
pub(crate) mod rebalance;
pub(crate) mod reclaim;
#[cfg(not(loom))]
pub(crate) mod recovery;
pub(crate) mod remove;
pub(crate) mod replace;
pub(crate) mod replicated;
#[cfg(not(loom))]
pub(crate) mod resize;
pub(crate) mod retire;
pub(crate) mod runs;
pub(crate) mod scan;
pub(crate) mod shown;
pub(crate) mod statistics;
pub(crate) mod sweep;
pub(crate) mod unlink;
pub(crate) mod writing;

use crate::arena::classes::{ClassId, Classes};
use crate::arena::header::{Superblock, live};
use crate::arena::layout::Layout;
use crate::arena::page::Pages;
use crate::arena::pin::PinBudget;
use crate::arena::reclaim::Limbo;
use crate::arena::slot::{Run, Slot};
use crate::eviction::ClassPolicy;
use crate::eviction::expiry::TimeToLive;
use crate::eviction::ghost::Ghost;
use crate::index::{Geometry, Index, Slots};
use crate::region::Region;
use crate::sync::epoch::{Domain, Guard};
use crate::sync::writers::Writers;
use crate::sync::{AtomicBool, AtomicU64, GaugeU64, Mutex, OnceLock, Ordering, Turn};
use crate::types::clock::HybridClock;
use crate::types::handle::Handle;
use crate::types::key::{Key, KeyHash, KeyHasher};
use crate::types::limits::PINNED_SHARE_DIVISOR;
use crate::types::version::Stamp;
use counters::Counters;
use std::fmt;
use zerocopy::FromZeros;

/// Settings that the journeys look at.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) value_bytes_max: u64,
    pub(crate) entries_max: Option<u64>,
    pub(crate) ttl: TimeToLive,
    pub(crate) ttl_jitter_percent: u32,
    /// Whether a node's arena is opened as one that is in no cluster.
    pub(crate) standalone: bool,
    /// The most bytes of slots and values together, with values on the heap. `None`: they are in the arena.
    #[cfg(feature = "values-on-heap")]
    pub(crate) heap_bytes_max: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            value_bytes_max: crate::types::limits::VALUE_BYTES_DEFAULT,
            entries_max: None,
            ttl: TimeToLive::NEVER,
            ttl_jitter_percent: 0,
            standalone: false,
            #[cfg(feature = "values-on-heap")]
            heap_bytes_max: None,
        }
    }
}

/// One running arena.
pub(crate) struct Engine {
    // Dropped in this order: the domain runs what is deferred before the region goes.
    domain: Domain,
    limbo: Limbo,
    pages: Pages,
    index: Index,
    policies: Box<[ClassPolicy]>,
    ghost: Ghost,
    hasher: KeyHasher,
    clock: HybridClock,
    run: Run,
    settings: Settings,
    pins: PinBudget,
    counters: Counters,
    /// Entries in the index that a clear has made invisible.
    cleared: GaugeU64,
    /// Entries after the last clear that are no values: tombstones.
    markers: GaugeU64,
    /// Entries above this stamp are shown to reads: see `shown`.
    shown_after: AtomicU64,
    /// Entries at or before this stamp are held back; 0 for none.
    held_until: AtomicU64,
    /// What a node of a cluster keeps; empty without one.
    replicated: OnceLock<replicated::Replicated>,
    fills: fill::Fills,
    /// How far this clock can be from that of another node, in microseconds.
    clock_error_us: AtomicU64,
    /// Set once nothing is free any more: from then on new entries go through probation.
    filled: AtomicBool,
    writers: Writers,
    /// Whether a thread does the housekeeping; else inserts do what is pressing.
    housekept: bool,
    /// Overflow buckets of an earlier life of which it is not known yet whether they are linked.
    overflow_unknown: AtomicU64,
    counting: Turn,
    rebalance: rebalance::Rebalance,
    sweep: sweep::Sweep,
    superblock: Mutex<Superblock>,
    #[cfg(not(loom))]
    memory: memory::MemoryWork,
    #[cfg(feature = "values-on-heap")]
    heap: heap_values::HeapValues,
    region: Region,
}

/// What an engine is put together from.
pub(crate) struct Parts {
    pub(crate) region: Region,
    pub(crate) layout: Layout,
    pub(crate) hasher: KeyHasher,
    pub(crate) clock: HybridClock,
    pub(crate) run: Run,
    pub(crate) settings: Settings,
    /// Bytes of heap for ghosts.
    pub(crate) ghost_bytes: usize,
}

/// Free pages that are kept for classes that have none.
const PAGES_SPARE: u32 = if cfg!(loom) { 0 } else { 2 };

impl Engine {
    /// Puts an engine together; its pages are still unknown. Single-threaded, as are the next two.
    pub(crate) fn assemble(parts: Parts) -> Self {
        let Parts { region, layout, hasher, clock, run, settings, ghost_bytes } = parts;
        let classes = Classes::new(layout.page_bytes);
        let policies = (0..=classes.len()).map(|_| ClassPolicy::default()).collect();
        let pinned_max = u64::from(layout.pages) * layout.page_bytes / PINNED_SHARE_DIVISOR;
        Self {
            domain: Domain::new(),
            limbo: Limbo::new((layout.pages as usize * 16).min(1 << 16)),
            index: Index::new(Self::index_geometry(&layout, run)),
            policies,
            ghost: Ghost::new(ghost_bytes, classes.len() + 1),
            hasher,
            clock,
            run,
            settings,
            pins: PinBudget::new(pinned_max),
            counters: Counters::new(layout.len()),
            cleared: GaugeU64::new(0),
            markers: GaugeU64::new(0),
            shown_after: AtomicU64::new(0),
            held_until: AtomicU64::new(0),
            replicated: OnceLock::new(),
            fills: fill::Fills::new(layout.len()),
            clock_error_us: AtomicU64::new(0),
            filled: AtomicBool::new(false),
            writers: Writers::new(),
            housekept: false,
            overflow_unknown: AtomicU64::new(0),
            counting: Turn::new(),
            rebalance: rebalance::Rebalance::new(classes.len() + 1),
            sweep: sweep::Sweep::default(),
            superblock: Mutex::new(Superblock::new_zeroed()),
            #[cfg(not(loom))]
            memory: memory::MemoryWork::default(),
            #[cfg(feature = "values-on-heap")]
            heap: heap_values::HeapValues::default(),
            pages: Pages::new(layout, classes),
            region,
        }
    }

    /// Where the index of such an arena lies.
    fn index_geometry(layout: &Layout, run: Run) -> Geometry {
        Geometry {
            page_bytes: layout.page_bytes,
            pages_max: layout.pages,
            // A model's index starts with one bucket, so that it can split.
            buckets_initial: if cfg!(loom) {
                1
            } else {
                (layout.page_bytes / crate::index::BUCKET_BYTES).next_power_of_two() as u32
            },
            count_at: live::BUCKETS,
            splits_at: live::SPLITS,
            run: run.0,
        }
    }

    /// Makes everything empty in a zeroed region.
    pub(crate) fn format(&self) {
        for page in self.pages.ids() {
            self.pages.load(self.region.view(), page);
        }
        let first = self.take_page(0).expect("a new arena has a page for its index");
        assert!(self.index.add_page(first), "a new directory has room");
        self.index.format(self.region.view());
    }

    /// Says that a thread will do the housekeeping.
    pub(crate) fn set_housekept(&mut self) {
        self.housekept = true;
    }

    /// Pins the calling thread.
    #[inline]
    pub(crate) fn pin(&self) -> Guard {
        self.domain.pin()
    }

    #[inline]
    pub(crate) fn hash(&self, key: Key<'_>) -> KeyHash {
        self.hasher.hash(key)
    }

    #[inline]
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn clock(&self) -> &HybridClock {
        &self.clock
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.pages.layout()
    }

    /// How long the grace period under way has been waiting for readers, in milliseconds.
    pub(crate) fn epoch_lag_ms(&self) -> u64 {
        self.limbo.waiting_since_us().map_or(0, |since| self.clock.fine_us().saturating_sub(since) / 1_000)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A stamp above all before it, also those of earlier lives.
    #[inline]
    pub(crate) fn stamp(&self) -> Stamp {
        self.clock.stamp(self.region.view().word(live::CEILING))
    }

    #[inline]
    fn policy(&self, class: ClassId) -> &ClassPolicy {
        &self.policies[class.index().min(self.policies.len() - 1)]
    }

    /// The number under which ghosts know a class.
    #[inline]
    fn ghost_class(&self, class: ClassId) -> usize {
        class.index().min(self.policies.len() - 1)
    }

    #[inline]
    fn slot(&self, handle: Handle) -> Option<Slot<'_>> {
        Slot::at(self.region.view(), handle)
    }

    /// Slots of a class that hold entries, retired ones apart; an estimate until all pages are prepared.
    #[inline]
    fn occupied(&self, class: ClassId) -> u32 {
        // Relaxed: a gauge.
        let inherited = self.pages.class(class).inherited.load(Ordering::Relaxed);
        (self.counters.entries_of(class) + inherited).min(u64::from(u32::MAX)) as u32
    }

    /// Entries that only keep older versions away.
    pub(crate) fn tombstones(&self) -> u64 {
        // Relaxed: a gauge.
        self.markers.load(Ordering::Relaxed)
    }

    /// Entries that a read can find.
    pub(crate) fn len(&self) -> u64 {
        // Relaxed: gauges.
        let unseen = self.cleared.load(Ordering::Relaxed) + self.markers.load(Ordering::Relaxed);
        self.entries().saturating_sub(unseen)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("run", &self.run.0)
            .field("entries", &self.len())
            .field("layout", self.pages.layout())
            .finish_non_exhaustive()
    }
}
