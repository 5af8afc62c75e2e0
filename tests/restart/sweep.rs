//! A sweep that was cut short, and what the next life knows of deadlines.
//!
//! ```text
//!   a page of 512 slots:  | 10 of a second, the others of two hours | more of two | one hour |
//!   two seconds later:      swept, expired ones gone                | not looked at, the life ends here
//!   next life, an hour later, nothing was read:                       these have to go by themselves
//! ```
//!
//! And writes right after an open, before anything was looked at.

use also_cache::{Cache, InsertOptions, ManualClock};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_sweep_cut_short_leaves_no_entry_behind_its_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::new();
    let open = || {
        let builder = Cache::builder().capacity(16 << 20).file(folder.path().join("arena")).clock(clock.clone());
        builder.background(false).open().expect("opens")
    };
    let idle = |cache: &Cache| assert!((0..10_000).any(|_| !cache.maintain(Duration::from_millis(5))));
    let cache = open();
    for number in 0..480_u64 {
        let ttl = match number {
            0..10 => SECOND,
            10..300 => 2 * HOUR,
            _ => HOUR,
        };
        cache.insert_with(number.to_le_bytes(), [7; 16], InsertOptions::new().ttl(ttl)).expect("fits");
    }
    assert_eq!(cache.stats().classes[0].pages, 1, "one page holds them all");
    clock.advance(2 * SECOND);
    cache.maintain(Duration::ZERO);
    assert_eq!(cache.len(), 470, "the first half was swept");
    drop(cache);
    let cache = open();
    idle(&cache);
    assert!(cache.stats().settled);
    assert_eq!(cache.len(), 470);
    clock.advance(HOUR);
    idle(&cache);
    assert_eq!(cache.len(), 290, "those of an hour are gone, unread");
    clock.advance(HOUR);
    idle(&cache);
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_write_right_after_an_open_takes_a_free_page_before_it_looks_through_those_in_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || {
        let builder = Cache::builder().capacity(16 << 20).file(folder.path().join("arena"));
        builder.background(false).open().expect("opens")
    };
    let cache = open();
    // More than one write looks through.
    (0..10_000_u64).for_each(|number| assert!(cache.insert(number.to_le_bytes(), [7; 64]).is_ok()));
    let pages = |cache: &Cache| cache.stats().classes.iter().map(|class| class.pages).sum::<u64>();
    let before = pages(&cache);
    drop(cache);
    let cache = open();
    assert!(matches!(cache.recovery(), also_cache::Recovery::Warm { .. }));
    (0..100_u64).for_each(|number| assert!(cache.insert(number.to_le_bytes(), [8; 64]).is_ok(), "write {number}"));
    assert!(pages(&cache) <= before + 1, "{before} pages and {}", pages(&cache));
    assert!((0..10_000_u64).all(|number| cache.contains(number.to_le_bytes())));
}
