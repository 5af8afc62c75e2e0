//! Two and three stores that tell each other everything by hand: what converges, and what stays away.

#![forbid(unsafe_code)]

mod floors;
mod starts;

use super::*;
use crate::arena::change::Operation;
use crate::engine::Settings;
use crate::engine::insert::Entry;
use crate::engine::open::{Request, open};
use crate::eviction::expiry::TimeToLive;
use crate::types::clock::ManualClock;
use std::path::Path;
use std::time::Duration;

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
                match store.outgoing(&store.approach(key), &mut bytes) {
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
fn a_frame_that_nobody_here_would_write_is_written_anew() {
    use crate::arena::frame::FrameHeader;
    use crate::arena::received::WIRE_HEADER_BYTES;
    let (a, b, _clock) = pair();
    insert(&a, b"key", b"value");
    let mut bytes = frames(&a, &mut Position(0)).pop().expect("one change");
    assert_eq!(ReceivedFrame::read(&bytes).expect("a whole frame").whole, Some(&bytes[..]));
    // Behind a key of three bytes: something where zeros belong, and a checksum over that.
    bytes[WIRE_HEADER_BYTES + 4] = 7;
    let header = FrameHeader::read(&bytes).expect("long enough");
    let (before, after) = (header.checksum(), header.checksum_of(&bytes[WIRE_HEADER_BYTES..]));
    let at = bytes.windows(4).position(|four| four == before.to_le_bytes()).expect("it is in the header");
    bytes[at..at + 4].copy_from_slice(&after.to_le_bytes());
    assert_eq!(ReceivedFrame::read(&bytes).expect("the checksum is right").whole, None);
    assert_eq!(apply(&b, &bytes), Applied::Stored);
    let mut stored = Vec::new();
    b.outgoing(&b.approach(key(b"key")), &mut stored).expect("it is there");
    let stored = ReceivedFrame::read(&stored).expect("with a checksum of its own");
    assert!(stored.whole.is_some() && stored.value == b"value");
}

#[test]
fn a_scan_meets_every_entry_and_visits_those_whose_hits_are_wanted() {
    let (a, _b, _clock) = pair();
    let names: Vec<Vec<u8>> = (0..1_000).map(|number| format!("key {number}").into_bytes()).collect();
    for (number, name) in names.iter().enumerate() {
        insert(&a, name, b"value");
        (0..number % 3).for_each(|_| assert!(read_and_touch(&a, name)));
    }
    let mut seen = [0, 0, 0, 0];
    for hits in 0..3_u8 {
        let (mut next, mut visited) = (Some(0), Vec::new());
        while let Some(bucket) = next {
            next = a.scan_some(bucket, 10, &mut |frequency| frequency == hits, &mut |scanned| {
                seen[usize::from(scanned.frequency)] += 1;
                visited.push(scanned.key.bytes.to_vec());
            });
        }
        let mut wanted: Vec<_> = names.iter().skip(usize::from(hits)).step_by(3).cloned().collect();
        wanted.sort();
        visited.sort();
        assert_eq!(visited, wanted, "{hits} hits");
    }
    assert_eq!(seen, [334, 333, 333, 0]);
}

fn read_and_touch(store: &Store, name: &[u8]) -> bool {
    let engine = store.engine();
    let guard = engine.pin();
    engine.get(&guard, &engine.aim(engine.seek(key(name)))).is_some()
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
    ahead.advance(Duration::from_secs(3600));
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
