//! Calls that are refused, and what each one promises when it is not.

use super::{cache, key, value};
use also_cache::{Cache, InsertError, InsertOptions, ManualClock, OpenError, limits};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn a_bad_key_is_refused_with_its_length_and_the_bound() {
    let cache = cache(1 << 20);
    let limit = limits::KEY_BYTES_MAX;
    for bytes in [0, limit + 1] {
        let key = vec![b'k'; bytes];
        let wanted = InsertError::Key { bytes, limit };
        assert_eq!(cache.insert(&key, "v"), Err(wanted.clone()));
        assert_eq!(cache.reserve(&key, 1, InsertOptions::new()).map(|_| ()), Err(wanted.clone()));
        assert_eq!(cache.remove(&key), Err(wanted.clone()));
        assert_eq!(cache.explain(&key).map(|_| ()).map_err(|error| error.to_string()), Err(wanted.to_string()));
        assert!(cache.get(&key).is_none() && !cache.contains(&key) && cache.get_pinned(&key).is_none());
        cache.get_many(&[&key], |_, found| assert!(found.is_none()));
        assert!(wanted.to_string().contains(&bytes.to_string()) && wanted.to_string().contains(&limit.to_string()));
    }
    let longest = vec![b'k'; limit];
    cache.insert(&longest, "v").expect("the longest key fits");
    assert_eq!(cache.get(&longest).as_deref(), Some(b"v".as_slice()));
}

#[test]
fn a_value_above_the_limit_leaves_the_key_absent() {
    let cache = Cache::builder().capacity(4 << 20).value_bytes_max(1_000).open().expect("opens");
    let wanted = InsertError::ValueTooLarge { bytes: 1_001, limit: 1_000 };
    cache.insert("k", value(1, 1_000)).expect("the largest value fits");
    assert_eq!(cache.insert("k", value(2, 1_001)), Err(wanted.clone()));
    assert!(cache.get("k").is_none(), "the older value must not stay behind a refused write");
    cache.insert("k", "old").expect("fits");
    assert_eq!(cache.reserve("k", 1_001, InsertOptions::new()).map(|_| ()), Err(wanted));
    assert!(cache.get("k").is_none());
    assert_eq!(cache.stats().refused_too_large, 2);
}

#[test]
fn a_value_above_what_the_arena_holds_is_refused_with_what_it_would_hold() {
    let open = || Cache::builder().capacity(1 << 20).value_bytes_max(limits::VALUE_BYTES_LIMIT).background(false);
    let options = |row: Option<u64>| row.map_or(InsertOptions::new(), |row| InsertOptions::new().version(row));
    for (key, row) in [(b"k".to_vec(), None), (vec![b'k'; 1_000], None), (b"k".to_vec(), Some(7))] {
        let cache = open().open().expect("opens");
        let refused = cache.insert_with(&key, value(1, 800_000), options(row));
        let Err(InsertError::ValueTooLarge { bytes: 800_000, limit }) = refused else { panic!("{refused:?}") };
        assert!((400_000..500_000).contains(&limit), "{limit} bytes of {}", cache.stats().file_bytes);
        let above = value(2, limit as usize + 1);
        let wanted = InsertError::ValueTooLarge { bytes: limit + 1, limit };
        assert_eq!(cache.insert_with(&key, &above, options(row)), Err(wanted.clone()));
        assert_eq!(cache.reserve(&key, above.len(), options(row)).map(|_| ()), Err(wanted));
        let largest = value(3, limit as usize);
        cache.insert_with(&key, &largest, options(row)).expect("the largest fits");
        assert_eq!(cache.get(&key).as_deref(), Some(largest.as_slice()));
    }
    // Where the configured bound is the smaller one, it is the one that is told.
    let cache = open().value_bytes_max(300_000).open().expect("opens");
    let wanted = InsertError::ValueTooLarge { bytes: 800_000, limit: 300_000 };
    assert_eq!(cache.insert("k", value(1, 800_000)), Err(wanted));
}

#[test]
fn settings_out_of_bounds_are_refused_with_value_and_bounds() {
    let told = |builder: also_cache::Builder| builder.open().expect_err("out of bounds").to_string();
    let builder = Cache::builder;
    for bytes in [limits::CAPACITY_MIN - 1, limits::CAPACITY_MAX + 1] {
        assert!(matches!(
            builder().capacity(bytes).open(),
            Err(OpenError::Capacity { bytes: met, min: limits::CAPACITY_MIN, max: limits::CAPACITY_MAX }) if met == bytes
        ));
        assert!(told(builder().capacity(bytes)).contains(&bytes.to_string()));
    }
    assert!(told(builder().value_bytes_max(0)).contains(&limits::VALUE_BYTES_LIMIT.to_string()));
    assert!(told(builder().value_bytes_max(limits::VALUE_BYTES_LIMIT + 1)).contains("67108865"));
    assert!(matches!(builder().entries_max(0).open(), Err(OpenError::EntriesMax)));
    assert!(matches!(builder().time_to_live(Duration::ZERO).open(), Err(OpenError::TimeToLive { .. })));
    let ages = Duration::from_secs(limits::TTL_SECONDS_MAX + 1);
    assert!(told(builder().time_to_live(ages)).contains(&limits::TTL_SECONDS_MAX.to_string()));
}

#[test]
fn a_bad_time_to_live_changes_nothing() {
    let cache = cache(1 << 20);
    cache.insert("k", "old").expect("fits");
    for ttl in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(limits::TTL_SECONDS_MAX + 1)] {
        let refused = cache.insert_with("k", "new", InsertOptions::new().ttl(ttl));
        let wanted = InsertError::TimeToLive { seconds: ttl.as_secs_f64(), max_seconds: limits::TTL_SECONDS_MAX };
        assert_eq!(refused, Err(wanted));
    }
    assert_eq!(cache.get("k").as_deref(), Some(b"old".as_slice()));
}

/// The version that a node whose clock is ahead gives to an entry.
fn version_ahead_by(ahead: Duration) -> also_cache::Version {
    let clock = ManualClock::new();
    clock.advance(ahead);
    let other = Cache::builder().capacity(1 << 20).clock(clock).background(false).open().expect("opens");
    other.insert("k", "theirs").expect("fits")
}

#[test]
fn a_version_too_far_ahead_changes_nothing() {
    let here = Cache::builder().capacity(1 << 20).clock(ManualClock::new()).background(false).open().expect("opens");
    here.insert("k", "ours").expect("fits");
    let version = version_ahead_by(Duration::from_secs(3_600));
    let refused = here.insert_with("k", "theirs", InsertOptions::new().version(version));
    let Err(InsertError::VersionAhead { ahead_us, limit_us }) = refused else { panic!("{refused:?}") };
    assert_eq!((ahead_us, limit_us), (3_600_000_000, limits::STAMP_AHEAD_MAX_US));
    assert_eq!(here.get("k").as_deref(), Some(b"ours".as_slice()));
}

#[test]
fn an_insert_after_a_version_from_a_faster_clock_is_newer() {
    let here = Cache::builder().capacity(1 << 20).clock(ManualClock::new()).background(false).open().expect("opens");
    let theirs = version_ahead_by(Duration::from_secs(30));
    here.insert_with("k", "theirs", InsertOptions::new().version(theirs)).expect("within the bound");
    let ours = here.insert("k", "ours").expect("stored");
    assert!(ours.stamp() > theirs.stamp());
    assert_eq!(here.get("k").as_deref(), Some(b"ours".as_slice()), "an insert that is acknowledged is read");
}

#[test]
fn an_empty_value_is_a_value() {
    let cache = cache(1 << 20);
    cache.insert("k", "").expect("fits");
    assert_eq!(cache.get("k").as_deref(), Some(b"".as_slice()));
    assert_eq!(cache.get_pinned("k").as_deref(), Some(b"".as_slice()));
    cache.reserve("r", 0, InsertOptions::new()).expect("room").commit().expect("fits");
    assert_eq!((cache.read("r", <[u8]>::len), cache.len()), (Some(0), 2));
}

#[test]
fn entries_max_bounds_the_count() {
    let cache = Cache::builder().capacity(4 << 20).entries_max(100).background(false).open().expect("opens");
    for number in 0..5_000 {
        cache.insert(key(number), value(number, number as usize % 300)).expect("fits");
        assert!(cache.len() <= 100, "{} entries after {number}", cache.len());
    }
    let seen = cache.iter().count() as u64;
    assert_eq!(cache.len(), seen);
    assert!(seen >= 90, "{seen} entries where 100 are allowed");
}

#[test]
fn entries_end_with_their_time_to_live() {
    let clock = ManualClock::new();
    let open = Cache::builder().capacity(1 << 20).time_to_live(Duration::from_secs(10)).background(false);
    let cache = open.clock(clock.clone()).open().expect("opens");
    cache.insert("default", "v").expect("fits");
    cache.insert_with("short", "v", InsertOptions::new().ttl(Duration::from_millis(1))).expect("fits");
    assert!(cache.contains("short"));
    clock.advance(Duration::from_millis(1));
    assert!(!cache.contains("short") && cache.contains("default"));
    assert_eq!(cache.get("default").and_then(|found| found.expires_in()), Some(Duration::from_millis(9_999)));
    clock.advance(Duration::from_millis(9_998));
    assert!(cache.contains("default"));
    clock.advance(Duration::from_millis(1));
    assert!(!cache.contains("default"));
    while cache.maintain(Duration::from_millis(1)) {}
    assert_eq!((cache.len(), cache.stats().expired), (0, 2), "the sweep has taken them out");
}

#[test]
fn jitter_shortens_within_its_share_and_never_lengthens() {
    let cache = Cache::builder().capacity(4 << 20).time_to_live(Duration::from_secs(100)).ttl_jitter_percent(20);
    let cache = cache.clock(ManualClock::new()).background(false).open().expect("opens");
    let left: Vec<u64> = (0..2_000)
        .map(|number| {
            cache.insert(key(number), "v").expect("fits");
            let left = cache.get(key(number)).and_then(|found| found.expires_in());
            left.expect("it expires").as_millis() as u64
        })
        .collect();
    let (low, high) = (left.iter().min().expect("some"), left.iter().max().expect("some"));
    println!("{low} to {high} ms");
    assert!((80_000..81_000).contains(low) && (99_000..=100_000).contains(high), "{low} to {high}");
}

#[test]
fn clear_is_seen_at_once_and_counted() {
    let cache = Cache::builder().capacity(8 << 20).background(false).open().expect("opens");
    for number in 0..10_000 {
        cache.insert(key(number), "v").expect("fits");
    }
    cache.clear().expect("open");
    assert_eq!((cache.len(), cache.iter().count()), (0, 0));
    assert!((0..10_000).all(|number| !cache.contains(key(number))));
    cache.insert(key(1), "again").expect("fits");
    assert_eq!((cache.len(), cache.get(key(1)).as_deref()), (1, Some(b"again".as_slice())));
    while cache.maintain(Duration::from_millis(5)) {}
    assert_eq!((cache.len(), cache.stats().expired), (1, 9_999));
}

#[test]
fn a_clear_during_housekeeping_is_swept_whole() {
    let cache = Cache::builder().capacity(32 << 20).background(false).open().expect("opens");
    let (idle, left, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                idle.fetch_add(u64::from(!cache.maintain(Duration::from_millis(1))), Ordering::Relaxed);
            }
        });
        for round in 0..400 {
            for number in 0..40 {
                cache.insert(key(number), value(number, number as usize * 40)).expect("there is room");
            }
            // So that the clear comes at another moment of the sweep each time.
            (0..round).for_each(|_| std::hint::spin_loop());
            cache.clear().expect("open");
            let before = idle.load(Ordering::Relaxed);
            while idle.load(Ordering::Relaxed) < before + 2 {
                std::thread::yield_now();
            }
            left.fetch_add(cache.stats().entries, Ordering::Relaxed);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(left.into_inner(), 0, "entries that nobody can see, and nobody takes out");
}

#[test]
fn threads_that_keep_house_together_sweep_all_that_was_cleared() {
    for seed in 0..30 {
        let cache = Cache::builder().capacity(4 << 20).background(false).hash_seed(seed).open().expect("opens");
        for number in 0..20_000 {
            cache.insert(key(number), [0; 60]).expect("there is room");
        }
        cache.clear().expect("open");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        cache.maintain(Duration::from_micros(50));
                    }
                });
            }
        });
        while cache.maintain(Duration::from_millis(5)) {}
        assert_eq!((cache.len(), cache.stats().entries), (0, 0), "{}", cache.stats());
    }
}

#[test]
fn pins_beyond_the_budget_are_owned_bytes_and_counted() {
    let cache = Cache::builder().capacity(1 << 20).background(false).open().expect("opens");
    let pins: Vec<_> = (0..60)
        .map(|number| {
            cache.insert(key(number), value(number, 4_000)).expect("fits");
            cache.get_pinned(key(number)).expect("just stored")
        })
        .collect();
    let pinned = pins.iter().filter(|pin| pin.is_pinned()).count();
    let stats = cache.stats();
    println!("{pinned} of {} pinned, {} bytes", pins.len(), stats.pinned_bytes);
    assert!(pinned > 0 && pinned < pins.len());
    assert_eq!(stats.pins_refused, (pins.len() - pinned) as u64);
    assert!(stats.pinned_bytes <= stats.pages * stats.page_bytes / limits::PINNED_SHARE_DIVISOR);
    assert!(pins.iter().zip(0..).all(|(pin, number)| **pin == *value(number, 4_000)));
    drop(pins);
    assert_eq!(cache.stats().pinned_bytes, 0);
}

#[test]
fn a_slot_has_at_most_511_pins() {
    let cache = cache(1 << 20);
    cache.insert("k", "v").expect("fits");
    let pins: Vec<_> = (0..=limits::PINS_PER_SLOT_MAX).map(|_| cache.get_pinned("k").expect("there")).collect();
    assert_eq!(pins.iter().filter(|pin| pin.is_pinned()).count(), limits::PINS_PER_SLOT_MAX as usize);
    assert!(pins.iter().all(|pin| **pin == *b"v"));
}

#[test]
fn a_walk_sees_everything_that_is_there_throughout() {
    let cache = Cache::builder().capacity(32 << 20).hash_seed(1).open().expect("opens");
    for number in 0..5_000 {
        cache.insert(key(number), value(number, 50)).expect("fits");
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 10_000;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && number < 150_000 {
                cache.insert(key(number), value(number, 50)).expect("fits");
                number += 1;
            }
            number
        });
        for _ in 0..10 {
            let mut seen = vec![false; 5_000];
            for (name, found) in cache.iter() {
                let number: u64 = String::from_utf8_lossy(&name[4..]).parse().expect("a key of ours");
                assert!(*found == *value(number, 50), "key {number}");
                if let Some(seen) = seen.get_mut(number as usize) {
                    *seen = true;
                }
            }
            let lost = seen.iter().filter(|seen| !**seen).count();
            assert_eq!(lost, 0, "entries that were there throughout");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        println!("{} keys written meanwhile", writer.join().expect("no panic") - 10_000);
    });
    assert!(cache.stats().index_splits > 0);
}
