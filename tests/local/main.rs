//! The public local API, as a service would use it.

mod calls;
mod handles;
mod memory;

use also_cache::{Cache, InsertError, InsertOptions, Recovery};

fn cache(capacity: u64) -> Cache {
    Cache::builder().capacity(capacity).hash_seed(1).open().expect("an anonymous cache opens")
}

fn key(number: u64) -> String {
    format!("key:{number:012}")
}

fn value(number: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (number as usize * 31 + at) as u8).collect()
}

/// 1 for a write that was refused because a thread lost its processor inside a guard; any other refusal is a failure.
fn stored_or_busy(stored: Result<also_cache::Version, InsertError>) -> u64 {
    match stored {
        Ok(_) => 0,
        Err(InsertError::Busy { .. }) => 1,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_was_stored_is_read_back() {
    let cache = cache(16 << 20);
    for number in 0..20_000 {
        cache.insert(key(number), value(number, number as usize % 200)).expect("there is room");
    }
    for number in 0..20_000 {
        assert_eq!(
            cache.get(key(number)).as_deref(),
            Some(value(number, number as usize % 200).as_slice()),
            "{number}"
        );
    }
    assert_eq!(cache.len(), 20_000);
}

#[test]
fn a_full_cache_evicts_and_never_lies() {
    let cache = cache(4 << 20);
    let mut busy = 0;
    for number in 0..200_000 {
        // Nothing is held, but housekeeping may lose its processor inside a guard.
        busy += u32::from(cache.insert(key(number), value(number, number as usize % 500)).is_err());
        let back = number / 2;
        if let Some(found) = cache.get(key(back)) {
            assert_eq!(&*found, value(back, back as usize % 500).as_slice());
        }
    }
    let stats = cache.stats();
    assert!(busy <= 1_000, "{busy} of 200,000 inserts were busy");
    assert!(stats.evicted_main + stats.evicted_probation > 100_000, "{stats}");
    println!("{stats}");
}

#[test]
fn large_values_are_one_slice() {
    let cache = Cache::builder().capacity(64 << 20).value_bytes_max(8 << 20).open().expect("opens");
    for number in 0..200 {
        let bytes = 1 + number as usize * 40_000;
        let bytes = bytes % (5 << 20);
        cache
            .insert(key(number), value(number, bytes))
            .unwrap_or_else(|error| panic!("{number} {bytes}: {error}\n{}", cache.stats()));
        assert_eq!(cache.get(key(number)).as_deref(), Some(value(number, bytes).as_slice()));
    }
    println!("{}", cache.stats());
}

#[test]
fn a_cache_restarts_warm() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("arena");
    let open = || Cache::builder().capacity(16 << 20).file(&path).open().expect("opens");
    let cache = open();
    assert_eq!(*cache.recovery(), Recovery::Created);
    for number in 0..50_000 {
        cache.insert(key(number), value(number, number as usize % 100)).expect("there is room");
    }
    drop(cache);
    let cache = open();
    assert!(matches!(cache.recovery(), Recovery::Warm { run: 2, sealed: false, .. }), "{}", cache.recovery());
    let found = (0..50_000).filter(|number| {
        cache.get(key(*number)).is_some_and(|found| *found == *value(*number, *number as usize % 100))
    });
    assert_eq!(found.count(), 50_000);
    while cache.maintain(std::time::Duration::from_millis(10)) {}
    assert_eq!(cache.len(), 50_000);
    cache.close().expect("closes");
    assert!(matches!(open().recovery(), Recovery::Warm { run: 3, sealed: true, entries: 50_000, .. }));
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let cache = cache(1 << 20);
    cache.insert_with("k", "5", InsertOptions::new().version(5)).expect("fits");
    let refused = cache.insert_with("k", "4", InsertOptions::new().version(4));
    assert!(matches!(refused, Err(InsertError::Superseded { .. })));
    assert_eq!(cache.get("k").as_deref(), Some(b"5".as_slice()));
}

#[test]
fn an_arena_of_half_the_capacity_keeps_the_hottest() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("arena");
    let open = |capacity| Cache::builder().capacity(capacity).file(&path).open().expect("opens");
    let cache = open(16 << 20);
    let mut busy = 0;
    for number in 0..200_000 {
        busy += stored_or_busy(cache.insert(key(number), value(number, 100)));
    }
    assert!(busy <= 200, "{busy} of 200,000 were refused");
    let hot: Vec<_> = (0..200_000).filter(|number| cache.contains(key(*number))).take(20_000).collect();
    for _ in 0..3 {
        hot.iter().for_each(|number| assert!(cache.contains(key(*number))));
    }
    let before = cache.len();
    drop(cache);
    let cache = open(8 << 20);
    assert!(matches!(cache.recovery(), Recovery::Warm { resized: Some(_), .. }), "{}", cache.recovery());
    let found = |number: &&u64| cache.get(key(**number)).is_some_and(|found| *found == *value(**number, 100));
    let kept_hot = hot.iter().filter(found).count();
    let all: Vec<_> = (0..200_000).collect();
    let kept = all.iter().filter(found).count() as u64;
    println!("{before} entries before, {kept} after; {kept_hot} of {} hot ones\n{}", hot.len(), cache.stats());
    assert!(kept * 100 >= before * 45, "{kept} of {before}");
    assert!(kept_hot * 100 >= hot.len() * 90, "{kept_hot} of {}", hot.len());
    drop(cache);
    let cache = open(32 << 20);
    let grown = all.iter().filter(|number| cache.contains(key(**number))).count() as u64;
    assert!(grown * 1000 >= kept * 999, "{grown} of {kept}");
}

#[test]
fn an_arena_full_of_large_values_takes_small_ones_and_new_large_ones() {
    let open = Cache::builder().capacity(64 << 20).value_bytes_max(8 << 20).background(false).hash_seed(1);
    let cache = open.open().expect("opens");
    for number in 0..40 {
        cache.insert(key(number), value(number, 4 << 20)).unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(cache.contains(key(number)), "{number} is gone at once");
    }
    let kept: Vec<u64> = (0..40).filter(|number| cache.contains(key(*number))).collect();
    println!("{kept:?} are there");
    assert!(kept.len() >= 8 && kept.iter().filter(|number| **number >= 30).count() >= 5, "{kept:?}");
    for (number, bytes) in (100..400).zip([10, 100, 1_000, 5_000, 20_000].into_iter().cycle()) {
        let stored = cache.insert(key(number), value(number, bytes));
        assert!(stored.is_ok(), "{number}, {bytes} bytes: {stored:?}\n{}", cache.stats());
    }
    cache.insert(key(50), value(50, 7 << 20)).expect("a run again");
    assert_eq!(cache.get(key(50)).as_deref(), Some(value(50, 7 << 20).as_slice()));
}
