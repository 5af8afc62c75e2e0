//! A thread stopped anywhere inside insert, replace, remove, evict, split or a page move lets all others finish.
//!
//! ```text
//!   one thread parks at a failpoint        ->  others read, replace, remove and insert: same bucket, both halves of the
//!   (in insert of key K, say)                  split under way, same stripe, elsewhere        -> it goes on -> all is right
//! ```
//!
//! Reads, replaces and removes always finish. A fresh insert of the parked thread's stripe may be refused as busy after a
//! bounded wait, which is counted. Failpoints are global to the process, so one test walks through all of them, and the
//! tests of this crate run one after the other.
#![cfg(debug_assertions)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

mod closing;
mod inherited;
mod ring;

use also_cache::failpoint::{Action, NAMES, arm, disarm, hits};
use also_cache::{Cache, InsertError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use support::{Watchdog, bytes, check_slots, evictions, maintain_until_idle, mix};

/// Failpoints are everybody's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a failpoint lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Journey {
    Insert,
    Replace,
    Remove,
    Evict,
    Split,
    Move,
    /// A value that takes a run of pages.
    Run,
    /// Opening and closing are nobody else's business: the kill test has them.
    Alone,
}

fn journey(name: &str) -> Journey {
    match name {
        "replace.swapped" | "retire.marked" => Journey::Replace,
        "remove.unlinked" => Journey::Remove,
        "page.draining" | "page.drained" | "page.freed" => Journey::Move,
        name if name.starts_with("open.") || name.starts_with("close.") => Journey::Alone,
        name if name.starts_with("split.") => Journey::Split,
        name if name.starts_with("evict.") => Journey::Evict,
        _ => Journey::Insert,
    }
}

const VALUE: usize = 100;
const OTHERS: u64 = 3;

fn name(number: u64) -> String {
    format!("{number:012}")
}

fn value(number: u64, version: u64) -> &'static [u8] {
    bytes(mix(number) ^ version, VALUE)
}

/// Runs the journey again and again until it parks, and after that until it is told to stop.
fn travel(cache: &Cache, journey: Journey, now: &AtomicU64, stop: &AtomicBool) {
    for number in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
        let key = match journey {
            Journey::Replace | Journey::Remove => number % 1_000,
            _ => 1_000_000 + number,
        };
        now.store(key, Ordering::Relaxed);
        let done = match journey {
            Journey::Remove => {
                cache.remove(name(key)).map(|_| ()).and_then(|()| cache.insert(name(key), value(key, 0)).map(|_| ()))
            }
            Journey::Move => {
                // Ever larger values: classes without a page take one from those that have many.
                let stored = cache.insert(name(key), bytes(key, (number as usize * 97) % 900));
                cache.maintain(std::time::Duration::from_micros(50));
                stored.map(|_| ())
            }
            Journey::Run => cache.insert(name(key), bytes(key, 40_000)).map(|_| ()),
            _ => cache.insert(name(key), value(key, 0)).map(|_| ()),
        };
        assert!(matches!(done, Ok(()) | Err(InsertError::Busy { .. })), "{journey:?} of {key}: {done:?}");
    }
}

#[derive(Debug, Default)]
struct Seen {
    reads: u64,
    replaces: u64,
    removes: u64,
    fresh: u64,
    fresh_busy: u64,
    replaces_busy: u64,
    large: u64,
    large_busy: u64,
    same_bucket: u64,
}

/// What another thread does with keys that are its own, while one is parked.
fn work(cache: &Cache, keys: &[u64], fresh: &[u64], rounds: u64, full: bool) -> Seen {
    let mut seen = Seen::default();
    let mut versions: HashMap<u64, u64> = HashMap::new();
    let read = |key: u64, version: u64, seen: &mut Seen| {
        let found = cache.read(name(key), |found| assert_eq!(found, value(key, version), "key {key}"));
        assert!(found.is_some() || full, "key {key} is gone");
        seen.reads += 1;
        found.is_some()
    };
    for round in 1..=rounds {
        for key in keys {
            let version = versions.entry(*key).or_default();
            let was_there = read(*key, *version, &mut seen);
            *version = round;
            match cache.insert(name(*key), value(*key, round)) {
                Ok(_) => seen.replaces += 1,
                Err(InsertError::Busy { .. }) if full || !was_there => {
                    seen.replaces_busy += 1;
                    assert!(!cache.contains(name(*key)), "key {key} is there after a refusal");
                    continue;
                }
                Err(error) => panic!("replace of {key}: {error}"),
            }
            read(*key, *version, &mut seen);
        }
    }
    for key in keys.iter().take(keys.len() / 2) {
        let there = cache.remove(name(*key)).expect("open");
        assert!(there || full, "key {key} was not there to be removed");
        assert!(!cache.contains(name(*key)), "key {key} is there after its remove");
        seen.removes += 1;
    }
    for key in fresh {
        match cache.insert(name(*key), value(*key, 0)) {
            Ok(_) => {
                read(*key, 0, &mut seen);
            }
            Err(InsertError::Busy { .. }) => seen.fresh_busy += 1,
            Err(error) => panic!("insert of {key}: {error}"),
        }
        seen.fresh += 1;
    }
    for (key, len) in fresh.iter().zip([3_000, 40_000]) {
        match cache.insert(name(*key), bytes(*key, len)) {
            Ok(_) => assert!(cache.get(name(*key)).is_none_or(|found| *found == *bytes(*key, len)), "key {key}"),
            Err(InsertError::Busy { .. }) => seen.large_busy += 1,
            Err(error) => panic!("insert of {key}: {error}"),
        }
        seen.large += 1;
    }
    seen
}

fn park_at(point: &'static str, journey: Journey) -> Seen {
    let full = matches!(journey, Journey::Evict | Journey::Move);
    let cache = Cache::builder().capacity(4 << 20).background(false).hash_seed(5).open().expect("opens");
    let mut preloaded = 0;
    while if full { evictions(&cache.stats()) == 0 } else { preloaded < 1_000 } {
        for _ in 0..500 {
            cache.insert(name(preloaded), value(preloaded, 0)).expect("nothing is held");
            preloaded += 1;
        }
    }
    let (now, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    arm(point, Action::Park);
    let seen = std::thread::scope(|scope| {
        let traveller = scope.spawn(|| travel(&cache, journey, &now, &stop));
        while hits(point) == 0 {
            assert!(!traveller.is_finished(), "the journey ended before {point}");
            std::thread::yield_now();
        }
        let parked = now.load(Ordering::Relaxed);
        let let_go = LetGo { point, stop: &stop };
        let seen = around(&cache, point, parked, preloaded, full);
        drop(let_go);
        traveller.join().expect("the parked thread goes on");
        seen
    });
    assert!(maintain_until_idle(&cache), "{point}: housekeeping never ends\n{}", cache.stats());
    check_slots(&cache).unwrap_or_else(|told| panic!("after {point}: {told}"));
    seen
}

/// Lets the parked thread go, also after a failed check: the scope waits for it.
struct LetGo<'s> {
    point: &'static str,
    stop: &'s AtomicBool,
}

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        disarm(self.point);
    }
}

/// Lets the others work on the buckets that the parked thread is in, and on its stripe.
fn around(cache: &Cache, point: &str, parked: u64, preloaded: u64, full: bool) -> Seen {
    let bucket = |key: u64| cache.explain(name(key)).expect("a key").bucket;
    let (own, count) = bucket(parked);
    let mut focus = vec![own];
    if point.starts_with("split.") {
        let target = if point == "split.listed" { count } else { count - 1 };
        focus.extend([target, target ^ (1 << target.ilog2())]);
    }
    // There are 256 buckets at first, and as many stripes.
    let in_stripe = |key: &u64| focus.iter().any(|bucket_of| (bucket(*key).0 ^ bucket_of) & 255 == 0);
    let in_focus = |key: &u64| focus.contains(&bucket(*key).0);
    let there = |key: &u64| *key != parked && cache.contains(name(*key));
    let mut keys: Vec<u64> = (0..preloaded).filter(|key| in_stripe(key) && there(key)).collect();
    keys.sort_by_key(|key| !in_focus(key));
    keys.truncate(24);
    let same_bucket = keys.iter().filter(|key| in_focus(key)).count() as u64;
    keys.extend((0..preloaded).step_by(101).filter(|key| !in_stripe(key) && there(key)).take(12));
    let fresh: Vec<u64> = (2_000_000..2_020_000).filter(in_stripe).take(9).chain(3_000_000..3_000_012).collect();
    // A full arena has a reserve of 2 % while nothing can be reclaimed.
    let rounds = if full { 4 } else { 20 };
    let mut all = Seen { same_bucket, ..Seen::default() };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..OTHERS)
            .map(|worker| {
                let pick = |from: &[u64]| -> Vec<u64> {
                    from.iter()
                        .copied()
                        .enumerate()
                        .filter(|(at, _)| *at as u64 % OTHERS == worker)
                        .map(|it| it.1)
                        .collect()
                };
                let (keys, fresh) = (pick(&keys), pick(&fresh));
                scope.spawn(move || work(cache, &keys, &fresh, rounds, full))
            })
            .collect();
        for worker in workers {
            let seen = worker.join().expect("the others finish");
            all.reads += seen.reads;
            all.replaces += seen.replaces;
            all.removes += seen.removes;
            all.fresh += seen.fresh;
            all.fresh_busy += seen.fresh_busy;
            all.replaces_busy += seen.replaces_busy;
            all.large += seen.large;
            all.large_busy += seen.large_busy;
        }
    });
    all
}

#[test]
fn a_thread_stopped_anywhere_lets_all_others_finish() {
    let _alone = alone();
    let mut parked = 0;
    let mut same_bucket = 0;
    // An arena in no cluster has no ring of changes: `ring` parks threads there.
    let of_arena = NAMES.iter().filter(|point| !point.starts_with("ring."));
    let points = of_arena.map(|point| (*point, journey(point))).chain([("page.assigned", Journey::Run)]);
    for (point, journey) in points.filter(|(_, journey)| *journey != Journey::Alone) {
        let _watchdog = Watchdog::new(point, 120);
        let seen = park_at(point, journey);
        println!("parked at {point} in {journey:?}: {seen:?}");
        assert!(seen.reads > 0 && seen.replaces > 0 && seen.removes > 0 && seen.fresh > seen.fresh_busy, "{point}");
        assert!(seen.replaces > 10 * seen.replaces_busy, "{point}: {seen:?}");
        parked += 1;
        same_bucket += seen.same_bucket;
    }
    println!("parked at {parked} points, {same_bucket} keys of the same buckets");
    assert!(parked >= 20 && same_bucket > 0);
}
