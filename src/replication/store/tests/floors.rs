//! What keeps older versions away once the newer one is gone.

#![forbid(unsafe_code)]

use super::*;

#[test]
fn a_removed_key_does_not_come_back_by_a_late_older_change() {
    let (a, b, _clock) = pair();
    insert(&a, b"k", b"old");
    let mut at = Position(0);
    let old = frames(&a, &mut at).remove(0);
    assert!(remove(&a, b"k") && !remove(&a, b"k"));
    assert_eq!(read(&a, b"k"), None);
    for frame in frames(&a, &mut at) {
        apply(&b, &frame);
    }
    assert_eq!(apply(&b, &old), Applied::Older);
    assert_eq!(read(&b, b"k"), None);
    assert_eq!(a.engine().len(), 0, "a tombstone is no entry to users");
    evict(&b, b"k");
    assert_eq!(b.version_of(key(b"k")), None, "the tombstone is gone");
    assert_eq!(apply(&b, &old), Applied::BelowFloor);
    assert_eq!(read(&b, b"k"), None);
    assert_ne!(b.floor_of(key(b"k")), Stamp::ZERO);
    insert(&b, b"k", b"new");
    assert_eq!(read(&b, b"k").as_deref(), Some(b"new".as_slice()));
}

#[test]
fn an_evicted_newer_value_keeps_an_older_one_away() {
    let (a, b, _clock) = pair();
    insert(&a, b"k", b"first");
    let (mut of_a, mut of_b) = (Position(0), Position(0));
    let first = frames(&a, &mut of_a).remove(0);
    apply(&b, &first);
    insert(&b, b"k", b"second");
    for frame in frames(&b, &mut of_b) {
        assert_eq!(apply(&a, &frame), Applied::Stored);
    }
    evict(&a, b"k");
    assert_eq!(apply(&a, &first), Applied::BelowFloor);
    assert_eq!(read(&a, b"k"), None);
}

#[test]
fn an_evicted_row_keeps_an_older_row_of_a_later_moment_away() {
    let (a, b, clock) = pair();
    let insert_row = |store: &Store, row: u64| {
        let engine = store.engine();
        let version = engine.next_version(&crate::engine::changes::Ordering { row: Some(row), given: None });
        let entry = Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Value, cost: 0, source: Source::Local };
        let (_writing, guard) = engine.begin_write().expect("open");
        engine.store(guard, &engine.seek(key(b"k")), b"row", &entry).expect("room");
        frames(store, &mut Position(0)).pop().expect("a change")
    };
    let newer = insert_row(&a, 8);
    clock.advance(Duration::from_millis(1));
    let older = insert_row(&b, 7);
    let c = start("c", None, &clock);
    c.end_join();
    clock.advance(Duration::from_millis(1));
    assert_eq!(apply(&c, &newer), Applied::Stored);
    evict(&c, b"k");
    assert_eq!((apply(&c, &older), read(&c, b"k")), (Applied::BelowFloor, None));
}

/// Loads a key, and caches what was read.
fn load(store: &Store, bytes: &[u8]) -> Version {
    use crate::engine::fill::Wish;
    let (engine, wish) = (store.engine(), Wish { ttl: TimeToLive::NEVER, cost: 0, row: None });
    let sought = engine.seek(key(b"k"));
    let ticket = engine.begin_fill(sought.hash);
    let version = engine.fill(&ticket, &sought, Some(bytes), &wish).expect("nobody writes meanwhile");
    engine.end_fill(&ticket);
    version
}

#[test]
fn what_was_read_raises_no_floor_and_keeps_that_of_what_it_replaces() {
    let (a, b, clock) = pair();
    let before = a.floor_of(key(b"k"));
    load(&a, b"read");
    evict(&a, b"k");
    assert_eq!(a.floor_of(key(b"k")), before, "the database still has it");
    insert(&b, b"k", b"written");
    clock.advance(Duration::from_millis(100));
    let mut of_b = Position(0);
    let written = frames(&b, &mut of_b).remove(0);
    assert_eq!(apply(&a, &written), Applied::Stored);
    clock.advance(Duration::from_millis(100));
    load(&a, b"read later");
    evict(&a, b"k");
    // The write comes once more, late: it is older than what was read.
    assert_eq!((apply(&a, &written), read(&a, b"k")), (Applied::BelowFloor, None));
}

#[test]
fn what_was_read_gives_way_to_a_write_that_it_overlaps_and_never_the_other_way_round() {
    let (a, b, clock) = pair();
    let mut of = [Position(0), Position(0)];
    // Read on one node while the other one writes, by clocks that may be a second apart.
    a.set_clock_error(1_000_000);
    clock.advance(Duration::from_secs(10));
    insert(&b, b"k", b"written");
    clock.advance(Duration::from_millis(100));
    load(&a, b"read");
    let (fill, write) = (frames(&a, &mut of[0]).remove(0), frames(&b, &mut of[1]).remove(0));
    assert_eq!((apply(&b, &fill), read(&b, b"k").as_deref()), (Applied::Older, Some(b"written".as_slice())));
    assert_eq!((apply(&a, &write), read(&a, b"k")), (Applied::Unordered, None), "nobody knows which is newer");
    clock.advance(Duration::from_secs(2));
    load(&a, b"read later");
    let fill = frames(&a, &mut of[0]).pop().expect("a change");
    assert_eq!((apply(&b, &fill), read(&b, b"k").as_deref()), (Applied::Stored, Some(b"read later".as_slice())));
    assert_eq!(apply(&b, &write), Applied::Older);
}

#[test]
fn an_invalidation_that_loses_to_what_was_read_later_leaves_its_floor() {
    let (a, b, clock) = pair();
    insert(&b, b"k", b"old");
    let mut of_b = Position(0);
    let old = frames(&b, &mut of_b).remove(0);
    clock.advance(Duration::from_millis(100));
    let engine = b.engine();
    engine.invalidate(&engine.pin(), &engine.seek(key(b"k")));
    let invalidation = frames(&b, &mut of_b).remove(0);
    clock.advance(Duration::from_millis(100));
    load(&a, b"read");
    assert_eq!(apply(&a, &invalidation), Applied::Older);
    evict(&a, b"k");
    assert_eq!((apply(&a, &old), read(&a, b"k")), (Applied::BelowFloor, None));
}

#[test]
fn what_a_peer_has_read_before_a_clear_stays_away() {
    let (a, b, clock) = pair();
    let mut of_a = Position(0);
    a.set_clock_error(1_000_000);
    clock.advance(Duration::from_secs(10));
    load(&a, b"read");
    let fill = frames(&a, &mut of_a).remove(0);
    b.engine().clear_all_until(ReceivedFrame::read(&fill).expect("a whole frame").version.begin());
    assert_eq!((apply(&b, &fill), read(&b, b"k")), (Applied::Older, None));
}

#[test]
fn a_write_that_its_own_floor_refuses_takes_the_older_value_from_the_others() {
    let (a, b, _clock) = pair();
    insert(&a, b"k", b"first");
    let mut at = Position(0);
    frames(&a, &mut at).iter().for_each(|frame| assert_eq!(apply(&b, frame), Applied::Stored));
    evict(&a, b"k");
    let engine = a.engine();
    let version = engine.next_version(&crate::engine::changes::Ordering::default());
    a.raise_floors(0..1, version.stamp);
    a.raise_floors(0..a.floor_ranges(), a.stamp());
    let entry = Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Value, cost: 0, source: Source::Local };
    let (_writing, guard) = engine.begin_write().expect("open");
    assert!(engine.store(guard, &engine.seek(key(b"k")), b"second", &entry).is_err());
    let told = frames(&a, &mut at);
    assert_eq!(told.len(), 1);
    assert_eq!((apply(&b, &told[0]), read(&b, b"k")), (Applied::Stored, None));
}

#[test]
fn whatever_way_an_entry_goes_its_floor_stays() {
    use crate::engine::counters::Counter;
    let clock = ManualClock::new();
    let store = start("a", None, &clock);
    store.end_join();
    let engine = store.engine();
    let mut versions = std::collections::BTreeMap::new();
    let mut random = 1_u64;
    for written in 0..60_000_u64 {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let name = (random >> 40) % 20_000;
        let version = engine.next_version(&crate::engine::changes::Ordering::default());
        // Sizes drift, so that pages move; some live for a moment only, some take blocks.
        let drift = written / 6_000 % 5 * 90;
        let bytes = if written % 500 == 0 { 6_000 } else { 10 + drift + (random >> 20) % 60 };
        let ttl =
            if written % 9 == 0 { std::time::Duration::from_millis(2) } else { std::time::Duration::from_secs(900) };
        let ttl = TimeToLive::from_duration(ttl);
        let entry = Entry { version, ttl, kind: FrameKind::Value, cost: 0, source: Source::Local };
        let (_writing, guard) = engine.begin_write().expect("open");
        let name = name.to_le_bytes();
        if engine.store(guard, &engine.seek(key(&name)), &vec![7; bytes as usize], &entry).is_ok() {
            versions.insert(name, version);
        }
        if written % 50 == 0 {
            clock.advance(std::time::Duration::from_millis(1));
            engine.maintain(std::time::Duration::from_micros(100));
        }
    }
    let mut gone = 0;
    for (name, version) in &versions {
        if store.version_of(key(name)).is_none() {
            gone += 1;
            assert!(store.floor_of(key(name)) >= version.stamp, "{version} of {name:?} is gone without a trace");
        }
    }
    let counts = [Counter::EvictedProbation, Counter::EvictedMain, Counter::Expired, Counter::PagesMoved]
        .map(|counter| (counter as usize, engine.counters().sum(counter)));
    println!("{gone} of {} keys are gone; {counts:?}", versions.len());
    assert!(gone > 1_000 && counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

#[test]
fn a_clear_that_is_told_again_changes_no_figure() {
    let (a, _, _clock) = pair();
    insert(&a, b"old", b"v");
    let stamp = a.stamp();
    a.apply_clear(None, stamp);
    insert(&a, b"new", b"v");
    remove(&a, b"gone");
    for _ in 0..3 {
        a.apply_clear(None, stamp);
        assert_eq!((a.engine().len(), a.engine().tombstones()), (1, 1));
    }
}
