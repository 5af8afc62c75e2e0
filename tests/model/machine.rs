//! The cache beside a map: each operation goes to both, and the answers are compared.
//!
//! ```text
//!   hit      always the last value written, with its version and what is left of its time
//!   miss     room for everything: only what was removed, expired, cleared or refused
//!            overfull: eviction too, but then for good; an entry that was missed once never comes back by itself
//! ```

macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}

mod reads;
mod writes;

use crate::operation::{Operation, Wish, Write};
use crate::support::{bytes, check_slots, evictions, key, maintain_until_idle};
use also_cache::{Builder, Cache, ManualClock, PinnedValue, Recovery, Version};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How a cache of one scenario is opened.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) capacity: u64,
    pub(crate) value_bytes_max: u64,
    pub(crate) entries_max: Option<u64>,
    pub(crate) ttl_ms: Option<u64>,
    /// Everything fits: no miss may be blamed on eviction.
    pub(crate) roomy: bool,
    pub(crate) file: bool,
}

/// What a run reached, by name.
pub(crate) type Reached = BTreeMap<&'static str, u64>;

struct Entry {
    seed: u64,
    len: usize,
    version: Version,
    deadline_us: Option<u64>,
}

struct Pin {
    value: PinnedValue,
    seed: u64,
    len: usize,
    version: Version,
}

pub(crate) struct Machine<'s> {
    shape: &'s Shape,
    path: Option<PathBuf>,
    clock: ManualClock,
    now_us: u64,
    cache: Option<Cache>,
    map: BTreeMap<u64, Entry>,
    pins: Vec<Pin>,
    issued: Vec<Version>,
    /// Entries at or before this stamp were cleared.
    cleared: u64,
    step: u64,
    starving: bool,
    pub(crate) reached: Reached,
}

type Outcome<T = ()> = Result<T, String>;

impl<'s> Machine<'s> {
    pub(crate) fn new(shape: &'s Shape, path: Option<PathBuf>) -> Outcome<Self> {
        let mut machine = Self {
            shape,
            path,
            clock: ManualClock::new(),
            now_us: Duration::from_secs(86_400).as_micros() as u64,
            cache: None,
            map: BTreeMap::new(),
            pins: Vec::new(),
            issued: Vec::new(),
            cleared: 0,
            step: 0,
            starving: false,
            reached: Reached::new(),
        };
        machine.cache = Some(machine.builder().open().map_err(|error| error.to_string())?);
        Ok(machine)
    }

    fn builder(&self) -> Builder {
        let shape = self.shape;
        let mut builder = Cache::builder()
            .capacity(shape.capacity)
            .value_bytes_max(shape.value_bytes_max)
            .background(false)
            .clock(self.clock.clone())
            .hash_seed(11);
        if let Some(entries) = shape.entries_max {
            builder = builder.entries_max(entries);
        }
        if let Some(ttl) = shape.ttl_ms {
            builder = builder.time_to_live(Duration::from_millis(ttl));
        }
        match &self.path {
            Some(path) => builder.file(path),
            None => builder,
        }
    }

    fn cache(&self) -> Cache {
        self.cache.clone().expect("open between operations")
    }

    fn count(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    pub(crate) fn apply(&mut self, operation: &Operation) -> Outcome {
        self.step += 1;
        match *operation {
            Operation::Insert(write) => self.insert(write),
            Operation::Reserve { write, commit } => self.reserve(write, commit),
            Operation::Load(write) => self.load(write),
            Operation::TooLarge { key } => self.too_large(key),
            Operation::Get { key, how } => self.read(key, how),
            Operation::GetMany { first, count } => self.get_many(first, count),
            Operation::Pin { key } => self.pin(key),
            Operation::Unpin { at } => self.unpin(at),
            Operation::Remove { key } => self.remove(key),
            Operation::Clear => self.clear(),
            Operation::Advance { ms } => {
                self.clock.advance(Duration::from_millis(ms));
                self.now_us += ms * 1_000;
                Ok(())
            }
            Operation::Maintain => {
                self.cache().maintain(Duration::from_micros(200));
                Ok(())
            }
            Operation::Walk => self.walk(),
            Operation::Starve { first, count, len } => self.starve(first, count, len),
            Operation::Reopen { close } => self.reopen(close),
        }
    }

    /// Everything at rest, once the operations are through.
    pub(crate) fn finish(&mut self) -> Outcome {
        while !self.pins.is_empty() {
            self.unpin(0)?;
        }
        self.walk()?;
        let cache = self.cache();
        let slots = check_slots(&cache)?;
        *self.reached.entry("slots accounted for").or_default() += slots;
        self.note_stats(&cache)
    }

    fn note_stats(&mut self, cache: &Cache) -> Outcome {
        let stats = cache.stats();
        ensure!(stats.damaged == 0, "{} entries were found damaged", stats.damaged);
        let evicted = evictions(&stats);
        ensure!(!self.shape.roomy || evicted == 0, "{evicted} evictions although everything fits\n{stats}");
        for (name, count) in [
            ("evictions on probation", stats.evicted_probation),
            ("evictions in main", stats.evicted_main),
            ("evictions by bucket or page", stats.evicted_bucket + stats.evicted_page),
            ("expired and taken out", stats.expired),
            ("pages moved", stats.pages_moved),
            ("entries relocated", stats.relocated),
            ("splits of the index", stats.index_splits),
            ("overflow buckets", stats.index_overflow),
            ("pins refused", stats.pins_refused),
            ("grace periods", stats.grace_periods),
        ] {
            *self.reached.entry(name).or_default() += count;
        }
        Ok(())
    }

    /// The entry that a read must see, if it was not evicted.
    fn visible(&self, key: u64) -> Option<&Entry> {
        self.map.get(&key).filter(|entry| self.is_visible(entry))
    }

    fn is_visible(&self, entry: &Entry) -> bool {
        entry.version.stamp() > self.cleared && entry.deadline_us.is_none_or(|at| at > self.now_us)
    }

    fn remove(&mut self, name: u64) -> Outcome {
        let removed = self.cache().remove(key(name)).map_err(|error| error.to_string())?;
        let expected = self.visible(name).is_some();
        ensure!(!removed || expected, "key {name} was removed, but was not there");
        ensure!(removed || !expected || !self.shape.roomy, "key {name} was there, but was not removed");
        self.map.remove(&name);
        self.count(if removed { "removed" } else { "removes of nothing" });
        Ok(())
    }

    fn clear(&mut self) -> Outcome {
        self.cache().clear().map_err(|error| error.to_string())?;
        self.cleared = self.issued.iter().map(|version| version.stamp()).max().unwrap_or(0).max(self.cleared);
        self.map.retain(|_, _| false);
        ensure!(self.cache().is_empty(), "{} entries right after a clear", self.cache().len());
        self.count("clears");
        Ok(())
    }

    /// Housekeeping to its end, then a walk over everything; the count must agree.
    fn walk(&mut self) -> Outcome {
        let cache = self.cache();
        let idle = maintain_until_idle_with(&cache, !self.pins.is_empty());
        ensure!(idle, "housekeeping never ends\n{}", cache.stats());
        let mut seen = BTreeMap::new();
        for (key, value) in cache.iter() {
            let name = std::str::from_utf8(&key).ok().and_then(|key| key.split(':').nth(1));
            let name = name.and_then(|name| u64::from_str_radix(name, 16).ok()).ok_or("a key that nobody wrote")?;
            let Some(entry) = self.visible(name) else {
                return Err(format!("a walk met key {name}, which should be gone"));
            };
            ensure!(*value == *bytes(entry.seed, entry.len), "a walk met key {name} with a wrong value");
            ensure!(seen.insert(name, ()).is_none(), "a walk met key {name} twice");
        }
        let entries = cache.len();
        ensure!(entries == seen.len() as u64, "{entries} entries counted, {} seen\n{}", seen.len(), cache.stats());
        let visible: Vec<u64> =
            self.map.iter().filter(|(_, entry)| self.is_visible(entry)).map(|(name, _)| *name).collect();
        let lost: Vec<&u64> = visible.iter().filter(|name| !seen.contains_key(name)).collect();
        ensure!(!self.shape.roomy || lost.is_empty(), "keys {lost:?} are gone, although everything fits");
        if let Some(max) = self.shape.entries_max {
            ensure!(entries <= max, "{entries} entries, at most {max} are allowed");
        }
        self.map.retain(|name, _| seen.contains_key(name));
        self.count("walks");
        Ok(())
    }

    /// A held reader keeps all that is retired from reuse: writes are refused at last, reads stay right.
    fn starve(&mut self, first: u64, count: u64, len: usize) -> Outcome {
        let cache = self.cache();
        let reader = cache.reader();
        let watched = self.map.keys().next().copied().unwrap_or(first);
        let kept = self.visible(watched).and_then(|entry| {
            let value = reader.get(key(watched))?;
            Some((value, bytes(entry.seed, entry.len)))
        });
        self.starving = true;
        for name in std::iter::once(watched).chain(first..first + count) {
            self.step += 1;
            let write = Write { key: name % 4_000, len, ttl_ms: None, wish: Wish::None, cost: 0 };
            self.insert(write)?;
        }
        self.starving = false;
        if let Some((value, wanted)) = kept {
            ensure!(value == wanted, "a value changed under a held reader");
            self.count("values held over writes");
        }
        Ok(())
    }

    fn reopen(&mut self, close: bool) -> Outcome {
        if self.path.is_none() {
            return Ok(());
        }
        while !self.pins.is_empty() {
            self.unpin(0)?;
        }
        let cache = self.cache.take().ok_or("not open")?;
        self.note_stats(&cache)?;
        if close {
            cache.close().map_err(|error| error.to_string())?;
            self.count("closes");
        } else {
            drop(cache);
        }
        let cache = self.builder().open().map_err(|error| error.to_string())?;
        let warm = matches!(cache.recovery(), Recovery::Warm { sealed, .. } if *sealed == close);
        ensure!(warm, "reopened {}", cache.recovery());
        self.cache = Some(cache);
        self.count("reopens");
        Ok(())
    }
}

fn maintain_until_idle_with(cache: &Cache, pinned: bool) -> bool {
    if pinned {
        // What is pinned waits as long as its pin; the rest is done long before.
        for _ in 0..50 {
            cache.maintain(Duration::from_millis(5));
        }
        return true;
    }
    maintain_until_idle(cache)
}
