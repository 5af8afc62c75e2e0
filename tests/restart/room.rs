//! A warm arena with room: what was there stays, though which slots and buckets are free is not known yet.
//!
//! The first life fills a part of the arena with small entries, many of them in overflow buckets of the index, and ends in
//! order. The next one inserts at once, without housekeeping in between, until the arena is two thirds full: it has free
//! pages all the time, so nothing may be evicted, for whatever reason.

use also_cache::{Cache, Recovery};

const CAPACITY: u64 = 64 << 20;
const PART: u64 = 150_000;

#[test]
fn a_warm_arena_with_free_pages_evicts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arena");
    let open =
        || Cache::builder().capacity(CAPACITY).file(&path).crash_loop_guard(false).open().expect("the arena opens");
    let fill = |cache: &Cache, numbers: std::ops::Range<u64>| {
        for number in numbers {
            cache.insert(number.to_le_bytes(), number.to_le_bytes()).expect("there is room");
        }
    };
    let cache = open();
    fill(&cache, 0..PART);
    println!("{}", cache.stats());
    cache.close().expect("nobody writes");
    let cache = open();
    assert!(matches!(cache.recovery(), Recovery::Warm { .. }), "{}", cache.recovery());
    fill(&cache, PART..2 * PART);
    let stats = cache.stats();
    assert!(stats.pages_free > stats.pages / 10, "the arena is too full to show anything\n{stats}");
    assert_eq!(crate::support::evictions(&stats), 0, "{stats}");
    let missing = (0..2 * PART).filter(|number| !cache.contains(number.to_le_bytes())).count();
    assert_eq!(missing, 0, "{stats}");
}
