//! Values on the heap: every value right, each freed once, none left, whatever happens to the entries.
//!
//! ```text
//!   three threads   insert, replace, remove, reserve and drop, pins kept over writes, clear, walks; keys grow and shrink, so
//!                   that pages move; the arena is the bound, or the heap
//!   at rest         as many allocations as entries, of exactly their lengths
//!   at the end      none
//! ```

mod allocator;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

use allocator::{LIVE, LIVE_BYTES, MADE, WATCHED, WRONG_FREES};
use also_cache::{Builder, Cache, InsertError, InsertOptions, OpenError, PinnedValue, Stats};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{Random, Watchdog, bytes, evictions, maintain_until_idle, mix, seed};

const THREADS: u64 = 3;
const STEPS_PER_PHASE: u64 = 12_000;
/// Key lengths of the phases: slots hold nothing else that differs, so these decide which class is wanted.
const KEY_BYTES: [usize; 6] = [20, 300, 60, 900, 20, 500];
/// Keys of a thread in a phase; from `SHARED` on they are everybody's.
const KEYS_EACH: u64 = 1_200;
const SHARED: u64 = 1 << 20;
const HEAD: usize = 24;
/// Longer than what is watched.
const BUFFER_BYTES: usize = 4096;

/// The counts are of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn key(number: u64, phase: usize) -> Vec<u8> {
    let mut key = format!("{phase}:{number}:").into_bytes();
    key.resize(KEY_BYTES[phase], b'.');
    key
}

/// Number, version and length first, then bytes that follow from them. Some are empty.
fn make(number: u64, version: u64, into: &mut Vec<u8>) {
    into.clear();
    let spread = (WATCHED.end - WATCHED.start) as u64;
    let len = WATCHED.start + (mix(number ^ version << 32) % spread) as usize;
    if len.is_multiple_of(31) {
        return;
    }
    for word in [number, version, len as u64] {
        into.extend_from_slice(&word.to_le_bytes());
    }
    into.extend_from_slice(bytes(mix(number) ^ version, len - HEAD));
}

/// The version that a value tells, `None` if it is empty; panics unless everything about it fits.
fn check(number: u64, value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    assert!(value.len() >= HEAD, "key {number}: {} bytes", value.len());
    let word = |at: usize| u64::from_le_bytes(value[at * 8..at * 8 + 8].try_into().expect("eight bytes"));
    assert_eq!((word(0), word(2)), (number, value.len() as u64), "the value of another key, or freed");
    assert!(value[HEAD..] == *bytes(mix(number) ^ word(1), value.len() - HEAD), "key {number}: torn, or freed");
    Some(word(1))
}

/// One thread's work, and what it knows.
struct Worker<'c> {
    cache: &'c Cache,
    number: u64,
    random: Random,
    versions: &'c AtomicU64,
    /// The last version written under each own key; absent if a read must miss.
    written: HashMap<(usize, u64), u64>,
    pins: Vec<(u64, PinnedValue)>,
    buffer: Vec<u8>,
}

impl Worker<'_> {
    fn phase(&mut self, phase: usize) {
        for _ in 0..STEPS_PER_PHASE {
            let skewed = self.random.below(KEYS_EACH).min(self.random.below(KEYS_EACH));
            let own = skewed * THREADS + self.number;
            let number = if self.random.chance(10) { SHARED + skewed / 8 } else { own };
            match self.random.below(100) {
                0..35 => self.read(phase, number),
                35..65 => self.insert(phase, number),
                65..75 => self.reserve(phase, number),
                75..82 => self.remove(phase, number),
                82..88 => self.pin(phase, number),
                88..92 => self.insert_late(phase, number),
                92..96 => self.read_many(phase, number),
                96..99 => {
                    self.cache.maintain(Duration::from_micros(200));
                }
                _ => self.seldom(),
            }
        }
    }

    fn is_own(number: u64) -> bool {
        number < SHARED
    }

    fn see(&self, phase: usize, number: u64, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        let version = check(number, value);
        if Self::is_own(number) {
            let expected = self.written.get(&(phase, number));
            assert!(expected.is_some(), "key {number} came back");
            assert!(version.is_none() || version.as_ref() == expected, "key {number}: {version:?}, not {expected:?}");
        }
    }

    fn read(&mut self, phase: usize, number: u64) {
        self.see(phase, number, self.cache.get(key(number, phase)).as_deref());
    }

    fn read_many(&mut self, phase: usize, number: u64) {
        let numbers: Vec<u64> = (0..20).map(|step| number + step * THREADS).collect();
        let keys: Vec<_> = numbers.iter().map(|number| key(*number, phase)).collect();
        self.cache.get_many(&keys, |at, value| self.see(phase, numbers[at], value));
        let reader = self.cache.reader();
        numbers.iter().zip(&keys).for_each(|(number, key)| self.see(phase, *number, reader.get(key)));
    }

    fn next(&mut self, number: u64) -> u64 {
        let version = self.versions.fetch_add(1, Ordering::Relaxed);
        make(number, version, &mut self.buffer);
        version
    }

    fn note<T>(&mut self, phase: usize, number: u64, version: u64, stored: Result<T, InsertError>) {
        match stored {
            Ok(_) => self.written.insert((phase, number), version),
            Err(InsertError::Superseded { .. }) => None,
            Err(_) => self.written.remove(&(phase, number)),
        };
    }

    fn insert(&mut self, phase: usize, number: u64) {
        let version = self.next(number);
        let stored = self.cache.insert_with(key(number, phase), &self.buffer, InsertOptions::new().version(version));
        self.note(phase, number, version, stored);
    }

    /// A row version that is older than what is stored, most of the time.
    fn insert_late(&mut self, phase: usize, number: u64) {
        let version = self.versions.load(Ordering::Relaxed).saturating_sub(5_000);
        make(number, version, &mut self.buffer);
        let stored = self.cache.insert_with(key(number, phase), &self.buffer, InsertOptions::new().version(version));
        self.note(phase, number, version, stored);
    }

    fn reserve(&mut self, phase: usize, number: u64) {
        let version = self.next(number);
        let options = InsertOptions::new().version(version);
        let (key, cache) = (key(number, phase), self.cache);
        match cache.reserve(&key, self.buffer.len(), options) {
            Ok(mut room) => {
                assert!(room.iter().all(|byte| *byte == 0) && room.len() == self.buffer.len());
                room.copy_from_slice(&self.buffer);
                if self.random.chance(50) {
                    let stored = room.commit();
                    self.note(phase, number, version, stored);
                }
            }
            Err(error) => self.note(phase, number, version, Err::<(), _>(error)),
        }
    }

    fn remove(&mut self, phase: usize, number: u64) {
        self.cache.remove(key(number, phase)).expect("a valid key");
        self.written.remove(&(phase, number));
    }

    fn pin(&mut self, phase: usize, number: u64) {
        if self.pins.len() > 60 {
            let at = self.random.below(self.pins.len() as u64) as usize;
            let (number, value) = self.pins.swap_remove(at);
            check(number, &value);
        }
        self.pins.extend(self.cache.get_pinned(key(number, phase)).map(|value| (number, value)));
    }

    fn seldom(&mut self) {
        match self.random.below(20) {
            0 => {
                self.cache.clear().expect("open");
            }
            1 => self.cache.iter().for_each(|(key, value)| {
                let number = key.split(|byte| *byte == b':').nth(1).and_then(|text| str::from_utf8(text).ok());
                check(number.and_then(|text| text.parse().ok()).expect("one of our keys"), &value);
            }),
            2 => {
                let refused = self.cache.insert(b"large", vec![1; 20_000]);
                assert!(matches!(refused, Err(InsertError::ValueTooLarge { .. })));
            }
            _ => {
                // A guard held over a few writes.
                let (cache, number) = (self.cache, self.number);
                let _reader = cache.reader();
                (0..20).for_each(|step| self.insert(0, step * THREADS + number));
            }
        }
    }
}

/// As many allocations as entries with a value, of their lengths.
fn check_at_rest(cache: &Cache) {
    assert!(maintain_until_idle(cache), "housekeeping never ends\n{}", cache.stats());
    let (mut count, mut length) = (0, 0);
    for (_, value) in cache.iter() {
        count += i64::from(!value.is_empty());
        length += value.len() as i64;
    }
    let live = (LIVE.load(Ordering::Relaxed), LIVE_BYTES.load(Ordering::Relaxed));
    assert_eq!(live, (count, length), "allocations and entries\n{}", cache.stats());
    assert!(count > 0, "no entries");
    assert_eq!(cache.len(), cache.stats().entries);
}

fn live_through(builder: Builder, seed: u64) -> Stats {
    let made = MADE.load(Ordering::Relaxed);
    let cache = builder.background(false).value_bytes_max(10_000).hash_seed(seed).open().expect("opens");
    let versions = AtomicU64::new(1 << 20);
    let mut workers: Vec<Worker<'_>> = (0..THREADS)
        .map(|number| Worker {
            cache: &cache,
            number,
            random: Random(mix(seed ^ number)),
            versions: &versions,
            written: HashMap::new(),
            pins: Vec::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
        })
        .collect();
    for phase in 0..KEY_BYTES.len() {
        std::thread::scope(|scope| {
            for worker in &mut workers {
                scope.spawn(move || worker.phase(phase));
            }
        });
        if phase == 1 || phase == 3 {
            workers.iter_mut().for_each(|worker| worker.pins.clear());
            // Even if the last call was a clear; some are refused where readers hold a small arena up.
            (0..100).for_each(|number| workers[0].insert(phase, number * THREADS));
            check_at_rest(&cache);
        }
    }
    let kept: Vec<_> = workers.into_iter().flat_map(|worker| worker.pins).collect();
    let stats = cache.stats();
    // A few words only: the text is kept in a buffer, which would be watched at the length of a value.
    let (made, evicted) = (MADE.load(Ordering::Relaxed) - made, evictions(&stats));
    println!("{made} allocations, {evicted} evictions, {} relocated, {} kept", stats.relocated, kept.len());
    let unfinished = cache.reserve("unfinished", 2_000, InsertOptions::new());
    let last = (0..SHARED).find_map(|number| Some((number, cache.get_pinned(key(number, 5))?)));
    let (number, last) = last.expect("an entry of the last phase");
    drop(unfinished);
    cache.close().expect("closes");
    // Pins keep the cache; what they see does not change.
    check(number, &last);
    for (number, value) in &kept {
        check(*number, value);
    }
    assert!(!kept.is_empty(), "nothing was pinned");
    drop((last, kept));
    stats
}

fn check_all_gone() {
    assert_eq!(WRONG_FREES.load(Ordering::Relaxed), 0, "frees of what was not there");
    let left = (LIVE.load(Ordering::Relaxed), LIVE_BYTES.load(Ordering::Relaxed));
    assert_eq!(left, (0, 0), "allocations and bytes that nobody freed");
}

#[test]
fn every_value_is_right_and_freed_once_when_the_arena_is_the_bound() {
    let _alone = ALONE.lock();
    let _watchdog = Watchdog::new("values on the heap, bounded by the arena", 300);
    let stats = live_through(Cache::builder().capacity(1 << 20).values_on_heap(u64::MAX), seed(77));
    check_all_gone();
    assert!(evictions(&stats) > 1_000 && stats.relocated > 0 && stats.pages_moved > 0, "{stats}");
    assert!(stats.refused_superseded > 0 && stats.replaced > 0 && stats.removed > 0, "{stats}");
}

#[test]
fn every_value_is_right_and_freed_once_when_the_heap_is_the_bound() {
    let _alone = ALONE.lock();
    let _watchdog = Watchdog::new("values on the heap, bounded by the heap", 300);
    const BYTES: u64 = 1 << 20;
    let stats = live_through(Cache::builder().capacity(8 << 20).values_on_heap(BYTES), seed(78));
    check_all_gone();
    assert!(evictions(&stats) > 1_000, "{stats}");
}

#[test]
fn slots_and_values_stay_within_the_bound() {
    let _alone = ALONE.lock();
    const BYTES: u64 = 4 << 20;
    let cache = Cache::builder().capacity(4 << 20).values_on_heap(BYTES).background(false).open().expect("opens");
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    for number in 0..20_000 {
        make(number, number, &mut buffer);
        cache.insert(key(number, 0), &buffer).expect("nobody reads");
        // What waits for readers comes on top.
        assert!(LIVE_BYTES.load(Ordering::Relaxed) as u64 <= BYTES + BYTES / 8, "after {number}");
    }
    while cache.maintain(Duration::from_millis(1)) {}
    let live = LIVE_BYTES.load(Ordering::Relaxed) as u64;
    assert!((BYTES * 8 / 10..=BYTES).contains(&live), "{live} bytes");
    drop(cache);
    check_all_gone();
}

#[test]
fn a_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arena");
    let opened = Cache::builder().file(&path).values_on_heap(u64::MAX).open();
    assert!(matches!(opened, Err(OpenError::ValuesOnHeap { .. })));
    assert!(!path.exists());
}
