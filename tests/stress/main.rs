//! Everything at once: many threads, guards held long, pins at their budget, a full arena, threads that come and go.
//!
//! ```text
//!   16 workers at a time, each owns the keys  number % 16 == worker      every value tells key, version and length
//!     owner   writes, removes; sees its last write or nothing            anybody   reads: what the value says fits its key
//!     some hold a guard over many writes, some keep pins, each lives for one shift, then another thread takes over
//!   at rest: every slot, block and page is accounted for
//! ```

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

use also_cache::{Cache, InsertError, InsertOptions, PinnedValue};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::{Random, Watchdog, bytes, check_slots, evictions, maintain_until_idle, mix, seed};

const WORKERS: u64 = 16;
const KEYS_EACH: u64 = 1_500;
const HEAD: usize = 24;

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    own_hits: AtomicU64,
    misses: AtomicU64,
    stored: AtomicU64,
    busy: AtomicU64,
    pinned: AtomicU64,
    owned: AtomicU64,
    held: AtomicU64,
    batches: AtomicU64,
    walked: AtomicU64,
    clears: AtomicU64,
    shifts: AtomicU64,
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn name(number: u64) -> String {
    format!("stress:{number}")
}

/// Key, version and length first, then bytes that follow from them.
fn make(number: u64, version: u64, len: usize, into: &mut Vec<u8>) {
    into.clear();
    for word in [number, version, len as u64] {
        into.extend_from_slice(&word.to_le_bytes());
    }
    into.extend_from_slice(bytes(mix(number) ^ version, len));
}

/// The version that a value tells; panics unless everything about it fits.
fn check(number: u64, value: &[u8]) -> u64 {
    assert!(value.len() >= HEAD, "key {number}: {} bytes", value.len());
    let word = |at: usize| u64::from_le_bytes(value[at * 8..at * 8 + 8].try_into().expect("eight bytes"));
    assert_eq!(word(0), number, "the value of another key");
    assert_eq!(word(2) as usize, value.len() - HEAD, "key {number}: another length");
    assert!(value[HEAD..] == *bytes(mix(number) ^ word(1), value.len() - HEAD), "key {number}: torn");
    word(1)
}

struct Shift<'s> {
    cache: &'s Cache,
    counts: &'s Counts,
    worker: u64,
    random: Random,
    /// Version of each own key; 0 is absent.
    versions: &'s mut Vec<u64>,
    next: &'s mut u64,
    /// Whether it clears the cache once, halfway.
    clears: bool,
    buffer: Vec<u8>,
}

impl Shift<'_> {
    fn len(&mut self) -> usize {
        match self.random.below(100) {
            0 => 20_000 + self.random.below(60_000) as usize,
            1..4 => self.random.below(12_000) as usize,
            _ => self.random.below(600) as usize,
        }
    }

    fn own_key(&mut self) -> u64 {
        let at = if self.random.chance(60) { self.random.below(KEYS_EACH / 10) } else { self.random.below(KEYS_EACH) };
        at * WORKERS + self.worker
    }

    fn write(&mut self) {
        let number = self.own_key();
        let len = self.len();
        *self.next += 1;
        let version = *self.next;
        make(number, version, len, &mut self.buffer);
        let result = if self.random.chance(10) {
            self.cache.reserve(name(number), self.buffer.len(), InsertOptions::new()).and_then(|mut room| {
                room.copy_from_slice(&self.buffer);
                room.commit()
            })
        } else {
            self.cache.insert(name(number), &self.buffer)
        };
        let at = (number / WORKERS) as usize;
        match result {
            Ok(_) => {
                self.versions[at] = version;
                bump(&self.counts.stored);
            }
            Err(InsertError::Busy { .. }) => {
                self.versions[at] = 0;
                assert!(!self.cache.contains(name(number)), "key {number} is there after a refusal");
                bump(&self.counts.busy);
            }
            Err(error) => panic!("key {number}, {len} bytes: {error}"),
        }
    }

    fn read_own(&mut self) {
        let number = self.own_key();
        let wanted = self.versions[(number / WORKERS) as usize];
        let found = self.cache.read(name(number), |value| check(number, value));
        assert!(found.is_none() || found == Some(wanted), "key {number}: version {found:?}, last written {wanted}");
        bump(if found.is_some() { &self.counts.own_hits } else { &self.counts.misses });
    }

    fn read_any(&mut self) {
        let number = self.random.below(KEYS_EACH * WORKERS);
        let found = self.cache.get(name(number)).map(|value| check(number, &value));
        bump(if found.is_some() { &self.counts.hits } else { &self.counts.misses });
    }

    fn remove(&mut self) {
        let number = self.own_key();
        self.cache.remove(name(number)).expect("open");
        self.versions[(number / WORKERS) as usize] = 0;
        assert!(!self.cache.contains(name(number)), "key {number} is there after its remove");
    }

    fn read_many(&mut self) {
        let first = self.random.below(KEYS_EACH * WORKERS - 40);
        let names: Vec<String> = (first..first + 40).map(name).collect();
        self.cache.get_many(&names, |at, value| {
            if let Some(value) = value {
                check(first + at as u64, value);
            }
        });
        bump(&self.counts.batches);
    }

    /// Holds one value's guard over many writes of everybody.
    fn hold(&mut self) {
        let number = self.random.below(KEYS_EACH * WORKERS);
        let cache = self.cache;
        let Some(value) = cache.get(name(number)) else { return };
        let version = check(number, &value);
        for _ in 0..200 {
            self.write();
            self.read_own();
        }
        assert_eq!(check(number, &value), version, "a held value has changed");
        bump(&self.counts.held);
    }

    fn work(&mut self, steps: u32) {
        let mut pins: Vec<(u64, u64, PinnedValue)> = Vec::new();
        for step in 0..steps {
            if self.clears && step == steps / 2 {
                self.cache.clear().expect("open");
                bump(&self.counts.clears);
            }
            match self.random.below(1_000) {
                0..330 => self.write(),
                330..560 => self.read_own(),
                560..900 => self.read_any(),
                900..940 => self.remove(),
                940..960 => self.read_many(),
                960..990 => {
                    let number = self.random.below(KEYS_EACH * WORKERS);
                    if let Some(pin) = self.cache.get_pinned(name(number)) {
                        bump(if pin.is_pinned() { &self.counts.pinned } else { &self.counts.owned });
                        pins.push((number, check(number, &pin), pin));
                    }
                    if pins.len() > 160 {
                        let (number, version, pin) = pins.swap_remove(self.random.below(160) as usize);
                        assert_eq!(check(number, &pin), version, "a pinned value has changed");
                    }
                }
                990..999 => {
                    let _ = self.cache.explain(name(self.random.below(KEYS_EACH))).expect("a key");
                }
                _ if self.random.chance(20) => self.hold(),
                _ if self.random.chance(10) => {
                    for (key, value) in self.cache.iter().take(500) {
                        let number = String::from_utf8_lossy(&key[7..]).parse().expect("a key of ours");
                        check(number, &value);
                        bump(&self.counts.walked);
                    }
                }
                _ => {}
            }
        }
        for (number, version, pin) in pins {
            assert_eq!(check(number, &pin), version, "a pinned value has changed");
        }
        bump(&self.counts.shifts);
    }
}

/// Stops the others also when this thread panics: a failure must not look like a hang.
struct StopAtEnd<'s>(&'s AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_crowd_in_a_full_arena_reads_right_and_loses_no_slot() {
    let _watchdog = Watchdog::new("the stress test", 600);
    let seed = seed(77);
    let rounds: u64 = std::env::var("ALSO_CACHE_STRESS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let counts = Counts::default();
    let cache = Cache::builder().capacity(6 << 20).value_bytes_max(128 << 10).background(false).open().expect("opens");
    let mut versions = vec![vec![0_u64; KEYS_EACH as usize]; WORKERS as usize];
    let mut next = vec![0_u64; WORKERS as usize];
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stopped = StopAtEnd(&stop);
        let keeper = scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                cache.maintain(Duration::from_micros(500));
                std::thread::yield_now();
            }
        });
        for round in 0..rounds {
            // A new thread per worker and round: their registrations, stripes and cursors come and go.
            std::thread::scope(|shifts| {
                for (worker, (versions, next)) in versions.iter_mut().zip(&mut next).enumerate() {
                    let random = Random(mix(seed ^ round << 8 ^ worker as u64));
                    let (cache, counts, worker) = (&cache, &counts, worker as u64);
                    // Not in the last round: what is counted wrongly shows while there are entries.
                    let clears = worker == 0 && round % 2 == 0 && round + 1 < rounds;
                    shifts.spawn(move || {
                        Shift { cache, counts, worker, random, versions, next, clears, buffer: Vec::new() }
                            .work(12_000);
                    });
                }
            });
        }
        stop.store(true, Ordering::Release);
        keeper.join().expect("housekeeping does not panic");
    });
    assert!(maintain_until_idle(&cache), "housekeeping never ends\n{}", cache.stats());
    let stats = cache.stats();
    println!("{stats}");
    let slots = check_slots(&cache).expect("every slot is accounted for");
    let shown = [
        ("hits", &counts.hits),
        ("own hits", &counts.own_hits),
        ("misses", &counts.misses),
        ("stored", &counts.stored),
        ("busy", &counts.busy),
        ("pinned", &counts.pinned),
        ("owned", &counts.owned),
        ("held guards", &counts.held),
        ("batches", &counts.batches),
        ("walked", &counts.walked),
        ("shifts", &counts.shifts),
        ("clears", &counts.clears),
    ];
    println!("{slots} slots accounted for");
    for (what, counter) in shown {
        let count = counter.load(Ordering::Relaxed);
        println!("{count:>10} {what}");
        assert!(count > 0, "never reached: {what}");
    }
    assert!(evictions(&stats) > 0 && stats.grace_periods > 0 && stats.damaged == 0 && stats.pinned_bytes == 0);
}

/// Without guards that are kept, pins or values of many pages an insert hardly ever finds no slot.
#[test]
fn inserts_are_hardly_ever_busy_while_nothing_is_held() {
    let _watchdog = Watchdog::new("inserts under pressure", 600);
    let cache = Cache::builder().capacity(16 << 20).open().expect("opens");
    let stored: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let cache = &cache;
                scope.spawn(move || {
                    let (mut random, mut buffer) = (Random(worker), Vec::new());
                    let mut stored = 0;
                    for version in 0..100_000 {
                        let number = random.below(100_000);
                        make(number, version, (mix(number) % 900) as usize, &mut buffer);
                        stored += u64::from(cache.insert(name(number), &buffer).is_ok());
                        cache.read(name(random.below(100_000)), |value| value.len());
                    }
                    stored
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
    });
    let stats = cache.stats();
    println!("{stats}\n{stored} stored, {} busy", stats.refused_busy);
    assert!(evictions(&stats) > 10_000);
    assert!(stats.refused_busy * 200 <= stored, "{} of {stored} inserts were busy", stats.refused_busy);
}
