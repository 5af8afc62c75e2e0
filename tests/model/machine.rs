//! The cache beside a map: each operation goes to both, and the answers are compared.
//!
//! ```text
//!   hit      always the last value written, with its version and what is left of its time
//!   miss     room for everything: only what was removed, expired, cleared or refused
//!            overfull: eviction too, but then for good; an entry that was missed once never comes back by itself
//! ```

use crate::operation::{How, Operation, Wish, Write};
use crate::support::{bytes, check_slots, evictions, key, maintain_until_idle};
use also_cache::{Builder, Cache, InsertError, InsertOptions, ManualClock, PinnedValue, Place, Recovery, Version};
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

macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}

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

    fn options(&self, write: &Write) -> (InsertOptions, Option<Wished>) {
        let mut options = InsertOptions::new().cost(write.cost);
        if let Some(ms) = write.ttl_ms {
            options = options.ttl(Duration::from_millis(ms));
        }
        match write.wish {
            Wish::Row(row) => (options.version(row), Some(Wished::Row(row))),
            Wish::Given(at) if !self.issued.is_empty() => {
                let version = self.issued[at % self.issued.len()];
                (options.version(version), Some(Wished::Given(version)))
            }
            _ => (options, None),
        }
    }

    fn insert(&mut self, write: Write) -> Outcome {
        let (options, wished) = self.options(&write);
        let seed = self.step;
        let result = self.cache().insert_with(key(write.key), bytes(seed, write.len), options);
        self.settle_write(&write, wished, seed, result)
    }

    fn reserve(&mut self, write: Write, commit: bool) -> Outcome {
        let (options, wished) = self.options(&write);
        let seed = self.step;
        let cache = self.cache();
        let mut room = match cache.reserve(key(write.key), write.len, options) {
            Ok(room) => room,
            Err(error) => return self.settle_write(&write, wished, seed, Err(error)),
        };
        ensure!(room.iter().all(|byte| *byte == 0), "reserved room of {} bytes is not zero", room.len());
        room.copy_from_slice(bytes(seed, write.len));
        self.read(write.key, How::Get)?;
        if !commit {
            drop(room);
            self.count("reservations dropped");
            return self.read(write.key, How::Get);
        }
        self.count("reservations committed");
        let result = room.commit();
        self.settle_write(&write, wished, seed, result)
    }

    /// What a write must have answered, and what is stored afterwards.
    fn settle_write(
        &mut self,
        write: &Write,
        wished: Option<Wished>,
        seed: u64,
        result: Result<Version, InsertError>,
    ) -> Outcome {
        let name = write.key;
        let older = self.visible(name).is_some_and(|entry| wished.is_some_and(|it| it.is_older_than(&entry.version)));
        match result {
            Ok(version) => {
                ensure!(!older || !self.shape.roomy, "key {name}: an older version replaced a newer one");
                match wished {
                    Some(Wished::Row(row)) => ensure!(version.row() == Some(row), "{version}: not row {row}"),
                    Some(Wished::Given(given)) => ensure!(version == given, "{version}: not {given}"),
                    None => ensure!(
                        self.issued.iter().all(|before| before.stamp() < version.stamp()),
                        "{version} is not above all before"
                    ),
                }
                if older {
                    // Then what was newer had been evicted.
                    self.count("misses by eviction");
                }
                let ttl_ms = write.ttl_ms.or(self.shape.ttl_ms);
                let deadline_us = ttl_ms.map(|ms| version.micros() + ms * 1_000);
                self.map.insert(name, Entry { seed, len: write.len, version, deadline_us });
                if self.issued.len() == 64 {
                    self.issued.remove(0);
                }
                self.issued.push(version);
                self.count("writes");
                self.count_size(write.len);
                Ok(())
            }
            Err(InsertError::Superseded { current }) => {
                ensure!(older, "key {name}: superseded by {current}, but nothing newer was stored");
                let stored = self.visible(name).map(|entry| entry.version);
                ensure!(stored == Some(current), "key {name}: superseded by {current}, stored was {stored:?}");
                self.count("refused: superseded");
                self.read(name, How::Get)
            }
            Err(InsertError::Busy { .. }) => {
                ensure!(!self.shape.roomy, "key {name}: busy, although everything fits\n{}", self.cache().stats());
                self.count(if self.starving { "refused: busy" } else { "refused: busy, nothing held but pins" });
                self.refused(name)
            }
            Err(error) => Err(format!("key {name}, {} bytes: {error}", write.len)),
        }
    }

    fn count_size(&mut self, len: usize) {
        let page = self.shape.capacity as usize / 512;
        let page = page.next_power_of_two().clamp(16 << 10, 2 << 20);
        if len == 0 {
            self.count("empty values");
        } else if len > page {
            self.count("values that take a run of pages");
        } else if len > page / 16 {
            self.count("values in blocks");
        }
    }

    /// After a refusal the key is absent, whatever was there before.
    fn refused(&mut self, name: u64) -> Outcome {
        if self.visible(name).is_some() {
            self.count("refusals over an older value");
        }
        self.map.remove(&name);
        self.read(name, How::Get)
    }

    fn too_large(&mut self, name: u64) -> Outcome {
        let limit = self.shape.value_bytes_max;
        let value = bytes(1, limit as usize + 1);
        let result = self.cache().insert(key(name), value);
        // The smaller one of what is configured and what half of the arena holds.
        let told = match &result {
            Err(InsertError::ValueTooLarge { bytes, limit: told }) if *bytes == limit + 1 => *told,
            _ => 0,
        };
        let arena = self.shape.capacity / 2;
        ensure!(told == limit || told < limit && (arena / 2..arena).contains(&told), "{result:?}");
        self.count("refused: too large");
        self.refused(name)
    }

    fn read(&mut self, name: u64, how: How) -> Outcome {
        let cache = self.cache();
        let name_bytes = key(name);
        let expected = self.visible(name).map(|entry| (entry.seed, entry.len, entry.version, entry.deadline_us));
        let hit = |value: &[u8]| match expected {
            None => Err(format!("key {name}: {} bytes that should be gone ({how:?})", value.len())),
            Some((seed, len, ..)) if value != bytes(seed, len) => {
                Err(format!("key {name}: {} bytes that are not the {len} of the last write ({how:?})", value.len()))
            }
            Some(_) => Ok(()),
        };
        let is_version = |version: Version| match expected {
            Some((.., wanted, _)) if wanted != version => Err(format!("key {name}: version {version}, not {wanted}")),
            _ => Ok(()),
        };
        let now_us = self.now_us;
        let is_left = |left: Option<Duration>| match expected {
            Some((.., at)) if at.map(|at| Duration::from_micros(at - now_us)) != left => {
                Err(format!("key {name}: expires in {left:?}, deadline {at:?}, now {now_us}"))
            }
            _ => Ok(()),
        };
        let found = match how {
            How::Get => match cache.get(&name_bytes) {
                Some(value) => {
                    hit(&value)?;
                    is_version(value.version())?;
                    is_left(value.expires_in())?;
                    true
                }
                None => false,
            },
            How::Read => cache.read(&name_bytes, hit).transpose()?.is_some(),
            How::Reader => cache.reader().get(&name_bytes).map(hit).transpose()?.is_some(),
            How::Pinned => match cache.get_pinned(&name_bytes) {
                Some(value) => {
                    hit(&value)?;
                    is_version(value.version().expect("it is stored"))?;
                    true
                }
                None => false,
            },
            How::Contains => {
                let found = cache.contains(&name_bytes);
                ensure!(!found || expected.is_some(), "key {name} is contained, but should be gone");
                found
            }
            How::Explain => {
                let told = cache.explain(&name_bytes).map_err(|error| error.to_string())?;
                let found = matches!(told.place, Place::Main | Place::Probation | Place::Inherited);
                ensure!(!found || expected.is_some(), "key {name} should be gone, but is {told}");
                if found {
                    is_version(told.version.ok_or("a place without a version")?)?;
                    is_left(told.expires_in)?;
                }
                found
            }
        };
        self.note(name, found, expected.is_some())
    }

    /// A miss of what should be there is an eviction, and final.
    fn note(&mut self, name: u64, found: bool, expected: bool) -> Outcome {
        if found {
            self.count("hits");
        } else if expected {
            ensure!(!self.shape.roomy, "key {name} is gone, although everything fits\n{}", self.cache().stats());
            self.map.remove(&name);
            self.count("misses by eviction");
        } else {
            if self.map.get(&name).is_some_and(|entry| entry.version.stamp() > self.cleared) {
                self.count("misses by expiry");
            }
            self.map.remove(&name);
            self.count("misses");
        }
        Ok(())
    }

    fn get_many(&mut self, first: u64, count: u64) -> Outcome {
        let names: Vec<u64> = (first..first + count).collect();
        let keys: Vec<Vec<u8>> = names.iter().map(|name| key(*name)).collect();
        let mut seen = Vec::new();
        let mut wrong = None;
        self.cache().get_many(&keys, |at, value| {
            let expected = self.visible(names[at]).map(|entry| bytes(entry.seed, entry.len));
            if value.is_some() && value != expected {
                wrong = Some(names[at]);
            }
            seen.push((names[at], value.is_some(), expected.is_some()));
        });
        ensure!(wrong.is_none(), "get_many of key {wrong:?} gave a wrong value");
        ensure!(seen.iter().map(|it| it.0).eq(names.iter().copied()), "get_many visits in another order");
        seen.into_iter().try_for_each(|(name, found, expected)| self.note(name, found, expected))
    }

    fn pin(&mut self, name: u64) -> Outcome {
        if self.pins.len() >= 24 {
            return Ok(());
        }
        if let (Some(value), Some(entry)) = (self.cache().get_pinned(key(name)), self.visible(name)) {
            let (seed, len, version) = (entry.seed, entry.len, entry.version);
            self.count(if value.is_pinned() { "values pinned" } else { "values owned" });
            self.pins.push(Pin { value, seed, len, version });
        }
        Ok(())
    }

    fn unpin(&mut self, at: usize) -> Outcome {
        if self.pins.is_empty() {
            return Ok(());
        }
        let pin = self.pins.swap_remove(at % self.pins.len());
        ensure!(*pin.value == *bytes(pin.seed, pin.len), "a pinned value of {} bytes has changed", pin.len);
        ensure!(pin.value.version() == Some(pin.version), "a pinned value's version has changed");
        Ok(())
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

/// A version that was asked for.
#[derive(Clone, Copy)]
enum Wished {
    Row(u64),
    Given(Version),
}

impl Wished {
    /// A row version decides against another; a stamp of now is younger than all else.
    fn is_older_than(self, stored: &Version) -> bool {
        match self {
            Self::Row(row) => stored.row().is_some_and(|there| row < there),
            Self::Given(version) => match (version.row(), stored.row()) {
                (Some(mine), Some(theirs)) => mine < theirs,
                _ => (version.stamp(), version.origin()) < (stored.stamp(), stored.origin()),
            },
        }
    }
}
