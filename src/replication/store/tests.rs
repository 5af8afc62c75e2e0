//! Two and three stores that tell each other everything by hand: what converges, and what stays away.

#![forbid(unsafe_code)]

use super::*;
use crate::arena::change::Operation;
use crate::engine::Settings;
use crate::engine::insert::Entry;
use crate::engine::open::{Request, open};
use crate::eviction::expiry::TimeToLive;
use crate::types::clock::ManualClock;
use std::path::Path;

fn request(file: Option<&Path>, clock: &ManualClock) -> Request {
    Request {
        capacity: 1 << 20,
        file: file.map(Path::to_owned),
        settings: Settings::default(),
        clock: Some(clock.clone()),
        seed: Some(7),
        crash_loop_guard: false,
    }
}

fn start(name: &str, file: Option<&Path>, clock: &ManualClock) -> Store {
    let (engine, _) = open(&request(file, clock)).expect("opens");
    Store::enlist(Arc::new(engine), name, 1).expect("nobody is inside")
}

fn key(name: &[u8]) -> Key<'_> {
    Key::new(KeyspaceId::RAW, name).expect("a valid key")
}

fn insert(store: &Store, name: &[u8], value: &[u8]) -> Version {
    let engine = store.engine();
    let version = engine.next_version(&crate::engine::changes::Ordering::default());
    let entry = Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Value, cost: 0, source: Source::Local };
    let (_writing, guard) = engine.begin_write().expect("open");
    engine.store(guard, &engine.seek(key(name)), value, &entry).expect("room");
    version
}

fn remove(store: &Store, name: &[u8]) -> bool {
    let engine = store.engine();
    let (_writing, guard) = engine.begin_write().expect("open");
    engine.remove_and_tell(guard, &engine.seek(key(name))).0
}

fn evict(store: &Store, name: &[u8]) {
    let engine = store.engine();
    let guard = engine.pin();
    let seek = engine.seek(key(name));
    engine.evict_key(&guard, &seek);
}

fn read(store: &Store, name: &[u8]) -> Option<Vec<u8>> {
    let engine = store.engine();
    let guard = engine.pin();
    let hit = engine.get(&guard, &engine.aim(engine.seek(key(name))))?;
    Some(engine.value(&guard, &hit).to_vec())
}

/// The frames of all changes from a position on, as a sender makes them.
fn frames(store: &Store, from: &mut Position) -> Vec<Vec<u8>> {
    let mut change = Change::default();
    let mut all = Vec::new();
    loop {
        match store.read_change(*from, &mut change) {
            Read::Change { next } => {
                *from = next;
                let Some(key) = change.key() else { continue };
                let mut bytes = Vec::new();
                match store.outgoing(key, &mut bytes) {
                    Some(Outgoing { body: OutgoingBody::Copied, version, .. })
                        if version.origin == store.stream().origin.0 => {}
                    Some(Outgoing { body: OutgoingBody::Pinned(frame), .. }) => bytes.extend_from_slice(frame.bytes()),
                    _ => {
                        bytes.clear();
                        let kind = match change.operation {
                            Operation::Remove => FrameKind::Tombstone,
                            _ => FrameKind::Invalidation,
                        };
                        Store::write_marker(kind, key, &change.version, &mut bytes);
                    }
                }
                all.push(bytes);
            }
            Read::Nothing { next } => *from = next,
            Read::NotYet => return all,
            Read::Lost => panic!("the ring is large enough"),
        }
    }
}

fn apply(store: &Store, bytes: &[u8]) -> Applied {
    store.apply(&ReceivedFrame::read(bytes).expect("a whole frame"))
}

fn pair() -> (Store, Store, ManualClock) {
    let clock = ManualClock::new();
    let (a, b) = (start("a", None, &clock), start("b", None, &clock));
    a.end_join();
    b.end_join();
    (a, b, clock)
}

#[test]
fn a_change_arrives_as_it_is_in_its_slot() {
    let (a, b, _clock) = pair();
    let large = vec![7; 3000];
    insert(&a, b"small", b"value");
    insert(&a, b"large", &large);
    let mut at = Position(0);
    for frame in frames(&a, &mut at) {
        assert_eq!(apply(&b, &frame), Applied::Stored);
        assert_eq!(apply(&b, &frame), Applied::Same);
    }
    assert_eq!(at, a.end());
    assert_eq!(read(&b, b"small").as_deref(), Some(b"value".as_slice()));
    assert_eq!(read(&b, b"large"), Some(large));
    assert_eq!(b.version_of(key(b"small")), a.version_of(key(b"small")));
    assert_eq!(b.end(), Position(0), "what came from elsewhere is no change of its own");
}

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
fn what_was_evicted_before_it_was_sent_goes_out_as_an_invalidation() {
    let (a, b, _clock) = pair();
    insert(&a, b"k", b"first");
    let mut at = Position(0);
    frames(&a, &mut at).iter().for_each(|frame| assert_eq!(apply(&b, frame), Applied::Stored));
    insert(&a, b"k", b"second");
    evict(&a, b"k");
    let sent = frames(&a, &mut at);
    assert_eq!(sent.len(), 1);
    assert_eq!(apply(&b, &sent[0]), Applied::Stored);
    assert_eq!(read(&b, b"k"), None, "the first value is not the latest");
}

#[test]
fn both_sides_agree_on_concurrent_writes_whatever_comes_first() {
    let (a, b, _clock) = pair();
    for n in 0..100_u8 {
        insert(&a, &[n], b"of a");
        insert(&b, &[n], b"of b");
        if n % 3 == 0 {
            remove(&a, &[n]);
        }
    }
    let (mut of_a, mut of_b) = (Position(0), Position(0));
    let (from_a, mut from_b) = (frames(&a, &mut of_a), frames(&b, &mut of_b));
    from_b.reverse();
    from_a.iter().for_each(|frame| _ = apply(&b, frame));
    from_b.iter().for_each(|frame| _ = apply(&a, frame));
    for n in 0..100_u8 {
        assert_eq!(read(&a, &[n]), read(&b, &[n]), "{n}");
        assert_eq!(a.version_of(key(&[n])), b.version_of(key(&[n])), "{n}");
    }
}

#[test]
fn a_stamp_too_far_ahead_takes_the_value_away_and_the_clock_stays() {
    let (a, b, clock) = pair();
    insert(&b, b"k", b"old");
    let (ahead, there) = (ManualClock::new(), b.version_of(key(b"k")).expect("stored"));
    ahead.advance(std::time::Duration::from_secs(3600));
    let c = start("c", None, &ahead);
    insert(&c, b"k", b"from the future");
    let mut at = Position(0);
    let frame = frames(&c, &mut at).remove(0);
    assert_eq!(apply(&b, &frame), Applied::Ahead);
    assert_eq!(read(&b, b"k"), None);
    assert!(b.stamp().micros() < there.micros() + 1_000_000);
    drop((a, clock));
}

#[test]
fn a_value_too_large_for_this_node_leaves_the_key_absent() {
    let (a, b, _clock) = pair();
    insert(&b, b"k", b"old");
    let mut of_b = Position(0);
    frames(&b, &mut of_b).iter().for_each(|frame| _ = apply(&a, frame));
    insert(&a, b"k", &vec![1; 100_000]);
    let mut at = Position(0);
    let frame = frames(&a, &mut at).remove(0);
    let head = FrameHead::read(&frame).expect("a whole head");
    let small = {
        let mut request = request(None, &ManualClock::new());
        request.settings.value_bytes_max = 50_000;
        Store::enlist(Arc::new(open(&request).expect("opens").0), "c", 1).expect("nobody is inside")
    };
    small.end_join();
    insert(&small, b"k", b"old");
    assert_eq!(small.begin_value(&head, false).expect_err("too large"), Applied::Refused);
    assert!(small.floor_of(key(b"k")) > Stamp::ZERO);
    let mut filling = b.begin_value(&head, false).expect("room");
    filling.space().copy_from_slice(&frame[head.head_bytes..]);
    assert_eq!(filling.finish(), Some(Applied::Stored));
    assert_eq!(read(&b, b"k"), Some(vec![1; 100_000]));
    let mut damaged = b.begin_value(&head, false).expect("room");
    damaged.space().fill(9);
    assert_eq!(damaged.finish(), None);
    assert_eq!(read(&b, b"k"), Some(vec![1; 100_000]));
}

#[test]
fn a_killed_node_comes_back_held_with_its_changes_and_positions() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("arena");
    let clock = ManualClock::new();
    let a = start("a", Some(&file), &clock);
    a.end_join();
    insert(&a, b"k", b"v");
    let other = StreamId { origin: crate::types::stream::Origin(9), incarnation: crate::types::stream::Incarnation(3) };
    a.save_applied(other, Position(77));
    let before = a.streams();
    drop(a);
    let a = start("a", Some(&file), &clock);
    assert_eq!(a.origination(), Origination::Warm);
    assert!(a.is_held() && read(&a, b"k").is_none());
    assert_eq!(a.saved_applied().get(other), Some(Position(77)));
    let after = a.streams();
    assert_eq!(after.len(), 2);
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].first, before[0].end);
    assert!(after[1].stream.incarnation > before[0].stream.incarnation);
    let mut at = after[0].start;
    assert_eq!(frames(&a, &mut at).len(), 1, "what may not have been sent is offered again");
    insert(&a, b"new", b"seen");
    assert_eq!(read(&a, b"new").as_deref(), Some(b"seen".as_slice()));
    a.serve();
    assert_eq!(read(&a, b"k").as_deref(), Some(b"v".as_slice()));
    drop(a);
    let b = start("b", Some(&file), &clock);
    assert_eq!(b.origination(), Origination::Cold);
    assert_eq!((read(&b, b"k"), b.streams().len(), b.saved_applied().len()), (None, 1, 0));
    assert_eq!(b.engine().len(), 0);
}

#[test]
fn a_writer_that_panics_between_record_and_change_holds_nobody_up() {
    let (a, _, _clock) = pair();
    let engine = Arc::clone(a.engine());
    let version = engine.next_version(&crate::engine::changes::Ordering::default());
    let entry = Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Value, cost: 0, source: Source::Local };
    let panics = std::thread::spawn(move || {
        let _announced = engine.announce(Operation::Set, key(b"lost"), &entry);
        panic!("as a defect would");
    });
    assert!(panics.join().is_err());
    insert(&a, b"next", b"value");
    let mut at = Position(0);
    assert_eq!(frames(&a, &mut at).len(), 2, "the key that may have changed, and the one behind it");
    assert_eq!(at, a.end());
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
    a.raise_floor(0, version.stamp);
    (0..a.floor_ranges()).for_each(|range| a.raise_floor(range, a.stamp()));
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
    let counts =
        [Counter::EvictedProbation, Counter::EvictedMain, Counter::EvictedPage, Counter::Expired, Counter::PagesMoved]
            .map(|counter| (counter as usize, engine.counters().sum(counter)));
    println!("{gone} of {} keys are gone; {counts:?}", versions.len());
    assert!(gone > 1_000 && counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

#[test]
fn a_start_that_waited_in_vain_is_tried_again_and_empties_all_the_same() {
    let clock = ManualClock::new();
    let engine = Arc::new(open(&request(None, &clock)).expect("opens").0);
    let local =
        Store { engine: Arc::clone(&engine), origination: Origination::Cold, dropped: 0, stream: StreamId::default() };
    insert(&local, b"k", b"before");
    let (started, stop) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let writer = std::thread::spawn({
        let (engine, started) = (Arc::clone(&engine), started.0);
        move || {
            let _writing = engine.begin_write().expect("open");
            started.send(()).expect("the test waits");
            stop.1.recv().expect("the test tells")
        }
    });
    started.1.recv().expect("it is inside");
    let failure = Store::enlist(Arc::clone(&engine), "a", 1).expect_err("it stays inside");
    assert_eq!(failure, EnlistFailure::Inside(1));
    stop.0.send(()).expect("it waits");
    writer.join().expect("it ends");
    let store = Store::enlist(engine, "a", 1).expect("nobody is inside");
    assert_eq!((store.origination(), store.dropped(), read(&store, b"k")), (Origination::Cold, 1, None));
}

#[test]
fn a_given_version_may_lie_ahead_no_further_than_the_others_follow() {
    let clock = ManualClock::new();
    let engine = Arc::new(open(&request(None, &clock)).expect("opens").0);
    let ahead = Version::instant(Stamp::from_micros(engine.clock().fine_us() + 1_000_000), 9);
    assert_eq!(engine.check_given(&ahead), Ok(()));
    let store = Store::enlist(engine, "a", 1).expect("nobody is inside");
    assert_eq!(store.engine().check_given(&ahead), Err(1_000_000));
    let near = Version::instant(Stamp::from_micros(store.engine().clock().fine_us() + 200_000), 9);
    assert_eq!(store.engine().check_given(&near), Ok(()));
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

#[test]
fn damage_in_the_header_of_a_node_makes_its_arena_one_of_no_cluster() {
    use std::os::unix::fs::FileExt;
    // The head of the ring, and the incarnation.
    for at in [256, 32] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("arena");
        let clock = ManualClock::new();
        let a = start("a", Some(&path), &clock);
        a.end_join();
        insert(&a, b"k", b"v");
        drop(a);
        let bytes = std::fs::read(&path).expect("it is there");
        let header = bytes.windows(8).position(|word| word == b"CLUSTER\x01").expect("it has one") as u64;
        let file = std::fs::File::options().write(true).open(&path).expect("it is ours");
        file.write_all_at(&[0xff; 8], header + at).expect("it has room");
        let a = start("a", Some(&path), &clock);
        assert_eq!((a.origination(), read(&a, b"k")), (Origination::Cold, None), "{at}");
    }
}

#[test]
fn a_join_that_was_cut_off_leaves_no_way_back_behind_own_writes() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("arena");
    let clock = ManualClock::new();
    let b = start("b", None, &clock);
    insert(&b, b"k", b"old");
    let mut at = Position(0);
    let old = frames(&b, &mut at).remove(0);
    clock.advance(std::time::Duration::from_millis(1));
    let a = start("a", Some(&file), &clock);
    insert(&a, b"k", b"new");
    drop(a);
    let a = start("a", Some(&file), &clock);
    assert_eq!((a.origination(), a.engine().len()), (Origination::Cold, 0));
    let donated = a.apply_from_donor(&ReceivedFrame::read(&old).expect("a whole frame"));
    assert_eq!((donated, read(&a, b"k")), (Applied::BelowFloor, None));
}

#[test]
fn what_was_stored_before_the_cluster_goes() {
    let clock = ManualClock::new();
    let (engine, _) = open(&request(None, &clock)).expect("opens");
    let engine = Arc::new(engine);
    let local =
        Store { engine: Arc::clone(&engine), origination: Origination::Cold, dropped: 0, stream: StreamId::default() };
    for n in 0..2000_u32 {
        insert(&local, &n.to_le_bytes(), b"before");
    }
    let store = Store::enlist(engine, "a", 1).expect("nobody is inside");
    assert_eq!(store.engine().len(), 0);
    assert!((0..2000_u32).all(|n| read(&store, &n.to_le_bytes()).is_none()));
    insert(&store, b"k", b"after");
    assert_eq!(read(&store, b"k").as_deref(), Some(b"after".as_slice()));
}

#[test]
fn a_node_in_a_full_arena_takes_its_pages() {
    let clock = ManualClock::new();
    let (engine, _) = open(&request(None, &clock)).expect("opens");
    let engine = Arc::new(engine);
    let local =
        Store { engine: Arc::clone(&engine), origination: Origination::Cold, dropped: 0, stream: StreamId::default() };
    for n in 0..20_000_u32 {
        insert(&local, &n.to_le_bytes(), &[0; 100]);
    }
    let store = Store::enlist(engine, "a", 1).expect("pages are taken from classes");
    assert_eq!(store.floor_ranges(), 512);
    for n in 0..20_000_u32 {
        insert(&store, &n.to_le_bytes(), &[0; 100]);
    }
}
