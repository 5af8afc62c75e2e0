//! Threads on one small arena, for ThreadSanitizer: a `main` of its own, as the test harness races by itself.
//!
//! Random keys, a start together and yields, since a regular pattern meets nothing; writes, replaces, removes, reads,
//! pins, page moves. Run by `tools/sanitize.sh`, which first shows it a defect; prints what it reached and fails at zero.
//! `ALSO_CACHE_STEPS=n` makes it n steps of each thread.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

use also_cache::Cache;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use support::Random;

const THREADS: u64 = 4;
const KEYS: u64 = 4_000;

fn work(cache: &Cache, thread: u64, steps: u64, start: &Barrier) {
    let mut random = Random(thread + 1);
    let mut pinned = Vec::new();
    start.wait();
    for step in 0..steps {
        let number = random.below(KEYS);
        let key = number.to_le_bytes();
        match random.below(16) {
            0..=6 => {
                // The size drifts, so that pages move; each byte says whose it is.
                let bytes = 16 + (step / 2_000 % 5 * 150 + random.below(100)) as usize;
                let _ = cache.insert(key, vec![number as u8; bytes]);
            }
            7 => {
                cache.remove(key).expect("open");
            }
            8 => {
                let _ = cache.insert(key, vec![number as u8; 1_500 + (random.below(20_000)) as usize]);
            }
            9 => {
                pinned.extend(cache.get_pinned(key).map(|value| (number, value)));
                if pinned.len() > 8 {
                    pinned.clear();
                }
            }
            10 => {
                cache.maintain(Duration::from_micros(50));
            }
            _ => {
                if let Some(found) = cache.get(key) {
                    assert!(found.iter().all(|byte| *byte == number as u8), "key {number}: a wrong value");
                }
            }
        }
        if random.below(32) == 0 {
            std::thread::yield_now();
        }
        for (number, value) in &pinned {
            assert!(value.first().is_none_or(|byte| *byte == *number as u8), "key {number}: a pin was reused");
        }
    }
}

fn main() {
    let steps = std::env::var("ALSO_CACHE_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000);
    let cache = Cache::builder().capacity(1 << 20).open().expect("a small cache");
    let start = Arc::new(Barrier::new(THREADS as usize));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (cache, start) = (cache.clone(), start.clone());
            std::thread::spawn(move || work(&cache, thread, steps, &start))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    let stats = cache.stats();
    let evicted = stats.evicted_main + stats.evicted_probation;
    println!("{} hits, {} replaced, {evicted} evicted, {} pages moved", stats.hits, stats.replaced, stats.pages_moved);
    assert!(stats.hits > 0 && stats.replaced > 0 && evicted > 0 && stats.pages_moved > 0, "{stats}");
}
