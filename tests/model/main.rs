//! Random operations on the real cache and on a map, in virtual time; a failure shrinks to a few operations.
//!
//! ```text
//!   seed -> episodes of one scenario each -> cache + map -> answers differ? -> fewer operations that still differ
//! ```
//!
//! `ALSO_CACHE_SEED` chooses other operations, `ALSO_CACHE_MODEL_OPERATIONS` how many (default 1,000,000).

mod machine;
mod operation;
mod shrink;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

use machine::{Reached, Shape};
use operation::{Mix, Operation, draw};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use support::{Random, Watchdog, mix, seed};

struct Scenario {
    shape: Shape,
    mix: Mix,
    /// Operations of one episode.
    episode: usize,
    /// Of a hundred operations, how many.
    percent: u64,
}

fn shape(name: &'static str, capacity: u64, value_bytes_max: u64, roomy: bool, file: bool) -> Shape {
    Shape { name, capacity, value_bytes_max, entries_max: None, ttl_ms: None, roomy, file }
}

fn mix_of(keys: u64, len: usize) -> Mix {
    Mix {
        keys,
        len,
        large_len: 0,
        large_one_in: 0,
        ttl_percent: 20,
        ttl_ms_max: 2_000,
        reopen_one_in: 0,
        clear_one_in: 2_000,
        starve_one_in: 0,
    }
}

fn scenarios() -> Vec<Scenario> {
    let reopening = |mix: Mix| Mix { reopen_one_in: 300, ..mix };
    let seldom_cleared = |mix: Mix| Mix { clear_one_in: 30_000, ttl_percent: 5, ..mix };
    let large = |mix: Mix, large_len, large_one_in| Mix { large_len, large_one_in, ..mix };
    vec![
        Scenario {
            shape: shape("roomy, 8 MiB", 8 << 20, 1 << 20, true, false),
            mix: mix_of(600, 700),
            episode: 5_000,
            percent: 20,
        },
        Scenario {
            shape: shape("roomy, 8 MiB, reopened", 8 << 20, 1 << 20, true, true),
            mix: reopening(mix_of(2_000, 300)),
            episode: 4_000,
            percent: 15,
        },
        Scenario {
            shape: Shape { ttl_ms: Some(500), ..shape("roomy, 8 MiB, all expire", 8 << 20, 1 << 20, true, false) },
            mix: mix_of(500, 200),
            episode: 4_000,
            percent: 10,
        },
        Scenario {
            shape: shape("roomy, 64 MiB, large values, reopened", 64 << 20, 8 << 20, true, true),
            mix: reopening(large(mix_of(12, 100_000), 2 << 20, 6)),
            episode: 400,
            percent: 1,
        },
        Scenario {
            shape: shape("overfull, 1 MiB, reopened", 1 << 20, 256 << 10, false, true),
            mix: Mix { starve_one_in: 4_000, reopen_one_in: 1_000, ..seldom_cleared(mix_of(8_000, 500)) },
            episode: 8_000,
            percent: 24,
        },
        Scenario {
            shape: shape("overfull, 4 MiB, mixed sizes", 4 << 20, 256 << 10, false, false),
            mix: Mix { starve_one_in: 4_000, ..large(seldom_cleared(mix_of(4_000, 4_000)), 100_000, 20) },
            episode: 6_000,
            percent: 12,
        },
        Scenario {
            shape: shape("overfull, 2 MiB, small values", 2 << 20, 1 << 20, false, true),
            mix: Mix { reopen_one_in: 10_000, ..seldom_cleared(mix_of(60_000, 20)) },
            episode: 60_000,
            percent: 12,
        },
        Scenario {
            shape: shape("overfull, 64 MiB, values up to 8 MiB", 64 << 20, 8 << 20, false, true),
            mix: Mix { reopen_one_in: 300, ..large(seldom_cleared(mix_of(400, 200_000)), 8 << 20, 8) },
            episode: 600,
            percent: 1,
        },
        Scenario {
            shape: Shape { entries_max: Some(100), ..shape("100 entries", 4 << 20, 1 << 20, false, true) },
            mix: reopening(mix_of(400, 300)),
            episode: 4_000,
            percent: 5,
        },
    ]
}

#[test]
fn random_operations_agree_with_a_map() {
    let _watchdog = Watchdog::new("the model test", 900);
    let seed = seed(20_261_122);
    let operations: u64 =
        std::env::var("ALSO_CACHE_MODEL_OPERATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let scenarios = scenarios();
    let mut episodes = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        let count = (operations * scenario.percent / 100).div_ceil(scenario.episode as u64);
        episodes.extend((0..count).map(|episode| (number, mix(seed ^ (number as u64) << 32 ^ episode))));
    }
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let reached: Mutex<Vec<Reached>> = Mutex::new(vec![Reached::new(); scenarios.len()]);
    let failure: Mutex<Option<(usize, Vec<Operation>, String)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((number, seed)) = episodes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let scenario = &scenarios[*number];
                    let mut random = Random(*seed);
                    let drawn: Vec<_> = (0..scenario.episode).map(|_| draw(&scenario.mix, &mut random)).collect();
                    match shrink::run(&scenario.shape, &drawn) {
                        Ok(episode) => {
                            done.fetch_add(drawn.len() as u64, Ordering::Relaxed);
                            let mut all = reached.lock().expect("no panic under the lock");
                            episode.into_iter().for_each(|(name, n)| *all[*number].entry(name).or_default() += n);
                        }
                        Err(told) => {
                            next.store(usize::MAX / 2, Ordering::Relaxed);
                            *failure.lock().expect("no panic under the lock") = Some((*number, drawn, told));
                        }
                    }
                }
            });
        }
    });
    if let Some((number, drawn, told)) = failure.into_inner().expect("no panic under the lock") {
        println!("{}: {told}\nshrinking {} operations", scenarios[number].shape.name, drawn.len());
        let (few, told) = shrink::shrink(&scenarios[number].shape, drawn, told);
        panic!("{:#?}\n{few:#?}\n{} operations: {told}", scenarios[number].shape, few.len());
    }
    report(&scenarios, &reached.into_inner().expect("no panic under the lock"), done.into_inner());
}

fn report(scenarios: &[Scenario], reached: &[Reached], done: u64) {
    let mut all = Reached::new();
    for (scenario, reached) in scenarios.iter().zip(reached) {
        println!("{}: {reached:?}", scenario.shape.name);
        reached.iter().for_each(|(name, count)| *all.entry(name).or_default() += count);
    }
    println!("{done} operations reached:");
    all.iter().for_each(|(name, count)| println!("{count:>12} {name}"));
    for name in [
        "hits",
        "loads",
        "hits of loads",
        "loads not cached",
        "misses by eviction",
        "misses by expiry",
        "evictions on probation",
        "evictions in main",
        "expired and taken out",
        "refused: busy",
        "refused: superseded",
        "refused: too large",
        "refusals over an older value",
        "reopens",
        "closes",
        "empty values",
        "values in blocks",
        "values that take a run of pages",
        "values pinned",
        "values owned",
        "pins refused",
        "values held over writes",
        "splits of the index",
        "overflow buckets",
        "pages moved",
        "entries relocated",
        "clears",
        "removed",
        "reservations committed",
        "reservations dropped",
        "walks",
        "grace periods",
        "slots accounted for",
    ] {
        assert!(all.get(name).is_some_and(|count| *count > 0), "never reached: {name}");
    }
}
