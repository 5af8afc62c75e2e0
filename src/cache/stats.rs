//! Figures of a cache: what it did, what it holds, why it refused.

#![forbid(unsafe_code)]

use crate::arena::classes::ClassId;
use crate::cache::calls::Cache;
use crate::engine::counters::Counter;
use crate::engine::recovery::Recovery;
use std::fmt;

/// A snapshot of all figures. Counters run from the open; gauges are read one by one, not at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name says what it counts; those with a unit or a catch are documented")]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    /// New keys.
    pub inserts: u64,
    /// Keys that had an entry.
    pub replaced: u64,
    pub removed: u64,
    /// No slot without waiting.
    pub refused_busy: u64,
    pub refused_too_large: u64,
    /// A newer version was there.
    pub refused_superseded: u64,
    /// Inserts refused because a newer version of an absent key may have been there: in a cluster only.
    pub refused_below_floor: u64,
    /// The order of two versions could not be known.
    pub refused_unordered: u64,
    /// Evicted from the probation ring: never read enough.
    pub evicted_probation: u64,
    /// Evicted under the hand.
    pub evicted_main: u64,
    /// Evicted because the chain of their bucket was full.
    pub evicted_bucket: u64,
    /// Evicted because their page moved to another class.
    pub evicted_page: u64,
    /// Expired or cleared entries that were taken out.
    pub expired: u64,
    /// Entries that were found damaged, and taken out.
    pub damaged: u64,
    pub pages_moved: u64,
    /// Entries copied to another slot because their page moved.
    pub relocated: u64,
    /// Bytes in slots that wait for readers.
    pub retired_bytes: u64,
    /// How long the oldest grace period has been waiting, in milliseconds; large while a guard is held for long.
    pub epoch_lag_ms: u64,
    /// Grace periods that ended.
    pub grace_periods: u64,
    pub pinned_bytes: u64,
    /// Pins that became copies because the budget was spent.
    pub pins_refused: u64,
    /// Keys that were invalidated.
    pub invalidated: u64,
    /// Calls of a loader.
    pub loads: u64,
    /// Of them, those that failed.
    pub loads_failed: u64,
    /// Calls that got what another call's loader said.
    pub loads_shared: u64,
    /// Calls that loaded for themselves alone: they had waited too long, too many waited, or they were in the middle of loading that key.
    pub loads_alone: u64,
    /// Loaded values that were not cached, since their key was written, or all was cleared, while they were read.
    pub loads_voided: u64,
    /// Loaded values that were not cached, as an insert is refused.
    pub loads_refused: u64,
    pub entries: u64,
    /// Removed keys of which a tombstone keeps older versions away: in a cluster only.
    pub tombstones: u64,
    /// Whether reads miss what an earlier life in a cluster left, until it is confirmed.
    pub held: bool,
    /// Whether every page of an earlier life has been looked at: before, `entries` and the gauges are estimates.
    pub settled: bool,
    pub index_buckets: u64,
    /// Entries per word of a home bucket.
    pub index_load: f64,
    pub index_splits: u64,
    /// Splits that were put off.
    pub index_splits_deferred: u64,
    /// Overflow buckets in use.
    pub index_overflow: u64,
    /// Bytes of the arena on huge pages; `None` if the system does not tell.
    pub huge_page_bytes: Option<u64>,
    /// Bytes of heap beside the arena.
    pub heap_bytes: u64,
    /// Bytes of the arena that are backed.
    pub file_bytes: u64,
    pub page_bytes: u64,
    pub pages: u64,
    pub pages_free: u64,
    /// Pages of the index and of its overflow buckets.
    pub pages_index: u64,
    pub capacity: u64,
    /// Whether the file lies on a disk, where writes may stall.
    pub on_disk: bool,
    pub recovery: Recovery,
    /// The size classes that have pages.
    pub classes: Vec<ClassStats>,
}

/// Figures of one size class.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a slot; of a block for values above the largest class.
    pub slot_bytes: u64,
    /// Whether values take several blocks.
    pub is_large: bool,
    /// Pages of this class.
    pub pages: u64,
    /// Slots of these pages: live, free, unprepared and retired ones; blocks for large values.
    pub slots: u64,
    /// Entries.
    pub live: u64,
    /// Free slots.
    pub free: u64,
    /// Slots that were not looked at in this life, or never used.
    pub unprepared: u64,
    /// Slots that wait for readers.
    pub retired: u64,
    /// Entries on probation.
    pub probation: u64,
    /// The share of the class that probation may take, in percent.
    pub probation_share_percent: f32,
}

impl Cache {
    /// All figures. Walks the classes and reads `/proc`: for a scrape, not for a hot loop.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "v")?;
    /// cache.get("k");
    /// cache.get("absent");
    /// let stats = cache.stats();
    /// assert_eq!((stats.inserts, stats.hits, stats.misses), (1, 1, 1));
    /// println!("{stats}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let engine = self.engine();
        let count = |counter| engine.counters().sum(counter);
        let arena = engine.arena_figures();
        let entries = engine.len();
        Stats {
            hits: count(Counter::Hits),
            misses: count(Counter::Misses),
            inserts: count(Counter::Inserts),
            replaced: count(Counter::Replaced),
            removed: count(Counter::Removed),
            refused_busy: count(Counter::RefusedBusy),
            refused_too_large: count(Counter::RefusedTooLarge),
            refused_superseded: count(Counter::RefusedSuperseded),
            refused_below_floor: count(Counter::RefusedBelowFloor),
            refused_unordered: count(Counter::RefusedUnordered),
            evicted_probation: count(Counter::EvictedProbation),
            evicted_main: count(Counter::EvictedMain),
            evicted_bucket: count(Counter::EvictedBucket),
            evicted_page: count(Counter::EvictedPage),
            expired: count(Counter::Expired),
            damaged: count(Counter::Damaged),
            pages_moved: count(Counter::PagesMoved),
            relocated: count(Counter::Relocated),
            retired_bytes: arena.retired_bytes,
            tombstones: engine.tombstones(),
            held: engine.is_held(),
            epoch_lag_ms: engine.epoch_lag_ms(),
            grace_periods: arena.graces,
            pinned_bytes: arena.pinned_bytes,
            pins_refused: count(Counter::PinsRefused),
            invalidated: count(Counter::Invalidated),
            loads: count(Counter::Loads),
            loads_failed: count(Counter::LoadsFailed),
            loads_shared: count(Counter::LoadsShared),
            loads_alone: count(Counter::LoadsAlone),
            loads_voided: count(Counter::LoadsVoided),
            loads_refused: count(Counter::LoadsRefused),
            entries,
            settled: engine.is_settled(),
            index_buckets: u64::from(arena.index_buckets),
            index_load: entries as f64 / (f64::from(arena.index_buckets) * 7.0),
            index_splits: arena.index.splits,
            index_splits_deferred: arena.index.splits_deferred,
            index_overflow: arena.index.overflow_linked.saturating_sub(arena.index.overflow_unlinked),
            huge_page_bytes: engine.region().huge_page_bytes(),
            heap_bytes: arena.heap_bytes,
            file_bytes: engine.layout().backed_bytes(),
            page_bytes: arena.page_bytes,
            pages: u64::from(arena.pages),
            pages_free: u64::from(arena.pages_free),
            pages_index: u64::from(arena.index_pages + arena.overflow_pages),
            capacity: self.handle.capacity,
            on_disk: engine.region().on_disk(),
            recovery: self.recovery().clone(),
            classes: self.class_stats(),
        }
    }

    fn class_stats(&self) -> Vec<ClassStats> {
        let figures = self.engine().class_figures().into_iter();
        figures
            .map(|figures| ClassStats {
                slot_bytes: u64::from(figures.slot_bytes),
                is_large: figures.class == ClassId::LARGE,
                pages: u64::from(figures.pages),
                slots: figures.slots,
                live: figures.live,
                free: figures.free,
                unprepared: figures.unprepared,
                retired: figures.retired,
                probation: u64::from(figures.ring),
                probation_share_percent: figures.ring_share_percent,
            })
            .collect()
    }
}

impl Stats {
    fn fmt_writes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "writes     {} new, {} replaced, {} removed, {} invalidated",
            self.inserts, self.replaced, self.removed, self.invalidated
        )?;
        writeln!(
            f,
            "refused    {} busy, {} too large, {} superseded, {} unordered, {} below a floor",
            self.refused_busy,
            self.refused_too_large,
            self.refused_superseded,
            self.refused_unordered,
            self.refused_below_floor
        )
    }

    fn fmt_loads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.loads == 0 {
            return Ok(());
        }
        writeln!(
            f,
            "loads      {}, {} failed, {} alone, {} shared; {} voided, {} refused",
            self.loads, self.loads_failed, self.loads_alone, self.loads_shared, self.loads_voided, self.loads_refused
        )
    }

    /// Hits per read, 0 to 1; 0 before the first read.
    pub fn hit_ratio(&self) -> f64 {
        self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        writeln!(f, "recovery   {}", self.recovery)?;
        writeln!(f, "reads      {} hits, {} misses ({:.1} %)", self.hits, self.misses, 100.0 * self.hit_ratio())?;
        self.fmt_writes(f)?;
        self.fmt_loads(f)?;
        writeln!(
            f,
            "evicted    {} on probation, {} in main, {} by bucket, {} by page; {} expired, {} damaged",
            self.evicted_probation,
            self.evicted_main,
            self.evicted_bucket,
            self.evicted_page,
            self.expired,
            self.damaged
        )?;
        let estimate = if self.settled { "" } else { " (estimate)" };
        writeln!(
            f,
            "entries    {}{estimate}; index {} buckets, load {:.2}, {} splits, {} overflow",
            self.entries, self.index_buckets, self.index_load, self.index_splits, self.index_overflow
        )?;
        writeln!(
            f,
            "memory     {:.1} MiB of {:.1}: arena {:.1}, heap {:.1}, huge pages {}",
            mib(self.file_bytes + self.heap_bytes),
            mib(self.capacity),
            mib(self.file_bytes),
            mib(self.heap_bytes),
            self.huge_page_bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.1} MiB", mib(bytes)))
        )?;
        writeln!(
            f,
            "pages      {} of {:.0} KiB, {} free, {} moved, {} entries relocated",
            self.pages,
            self.page_bytes as f64 / 1024.0,
            self.pages_free,
            self.pages_moved,
            self.relocated
        )?;
        write!(
            f,
            "waiting    {} bytes retired, lag {} ms, {} bytes pinned, {} pins refused",
            self.retired_bytes, self.epoch_lag_ms, self.pinned_bytes, self.pins_refused
        )?;
        for class in &self.classes {
            write!(
                f,
                "\nclass {:>6} {:>6} pages {:>9} live {:>8} free {:>6} retired, probation {} ({:.0} %)",
                class.slot_bytes,
                class.pages,
                class.live,
                class.free,
                class.retired,
                class.probation,
                class.probation_share_percent
            )?;
        }
        Ok(())
    }
}
