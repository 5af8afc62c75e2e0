//! Syncs: they come to their end, in steps that are never long.

#![forbid(unsafe_code)]

use super::*;
use crate::replication::wire::{HEADER_BYTES, Kind};

#[test]
fn a_donor_with_nothing_to_send_leaves_the_thread_to_others() {
    // Entries that nobody has hit take two passes, those of all hits four.
    let (cold, warm) = (passes_in_vain(1), passes_in_vain(4));
    // So many entries per batch at most.
    assert!(cold >= 2 * ENTRIES / (16 * 300) && warm >= 4 * ENTRIES / (16 * 300), "{cold}, {warm} batches");
    assert!(cold < warm, "a pass for hits that nobody has is left out: {cold}, {warm} batches");
}

const ENTRIES: usize = 20_000;

/// Batches of a sync that finds nothing to give, of entries that have been hit fewer times than so many.
fn passes_in_vain(hits: usize) -> usize {
    let clock = ManualClock::new();
    let made = Made { capacity: 8 << 20, ..Made::default() };
    let (mut donor, mut joiner) = (Host::made("a", 1, &clock, &made), Host::new("b", 2, &clock));
    // The donor has nobody to join: it begins the cluster.
    clock.advance(Duration::from_secs(3));
    donor.tick();
    assert_eq!(donor.node.readiness(), Readiness::Complete);
    for number in 0..ENTRIES {
        let key = format!("key {number}");
        donor.insert(key.as_bytes());
        assert!((0..number % hits).all(|_| donor.has(key.as_bytes())));
    }
    let id = connect(&mut joiner, &mut donor, 1);
    let mut batches = 0;
    let mut transmit = Transmit::default();
    while joiner.node.readiness() != Readiness::Complete {
        let said = joiner.said(id);
        donor.hears(id, &said);
        // All is older than what the joiner asks for, but the passes over the index are made.
        if let Some(donor) = donor.node.links.get_mut(&id).and_then(|link| link.donor.as_mut()) {
            donor.since = Stamp(u64::MAX);
        }
        while donor.node.wants_to_send(id) && donor.node.poll_transmit(donor.now(), id, &mut transmit) {
            let bytes: Vec<u8> = transmit.slices().flatten().copied().collect();
            transmit.clear();
            joiner.hears(id, &bytes);
            batches += 1;
        }
        assert!(batches < 10_000, "it comes to its end");
    }
    batches
}

#[test]
fn nothing_of_a_stream_is_taken_between_two_syncs() {
    let clock = ManualClock::new();
    let [mut donor, mut origin, mut joiner] =
        [("a", 1), ("b", 2), ("c", 3)].map(|(name, at)| Host::new(name, at, &clock));
    clock.advance(Duration::from_secs(3));
    donor.tick();
    let between = connect(&mut origin, &mut donor, 1);
    pass(&mut origin, &mut donor, between, Duration::from_secs(1));
    let to_donor = connect(&mut joiner, &mut donor, 2);
    for _ in 0..2 {
        let said = donor.said(to_donor);
        joiner.hears(to_donor, &said);
        if joiner.node.join_stamp().is_none() {
            let said = joiner.said(to_donor);
            donor.hears(to_donor, &said);
        }
    }
    assert!(joiner.node.join_stamp().is_some() && !joiner.node.standing.is_joined());
    let to_origin = connect(&mut joiner, &mut origin, 3);
    exchange(&mut joiner, &mut origin, to_origin);
    let stream = origin.store.stream();
    assert_eq!(joiner.node.streams.rows[&stream].source, Some(to_origin));
    origin.insert(b"k");
    let late = origin.said(to_origin);
    joiner.node.handle_closed(joiner.now(), to_donor, ClosedBy::Error);
    let before = joiner.node.streams.rows[&stream].position;
    joiner.hears(to_origin, &late);
    let row = &joiner.node.streams.rows[&stream];
    assert_eq!((row.source, row.position, joiner.node.counters().stray_frames), (None, before, 1));
    pass(&mut joiner, &mut origin, to_origin, Duration::from_secs(1));
    assert!(joiner.node.readiness() == Readiness::Complete && joiner.has(b"k"));
}

#[test]
fn what_can_not_be_put_off_halts_its_stream_until_the_sync_has_ended() {
    let (clock, made) = (ManualClock::new(), Made { capacity: 32 << 20, ..Made::default() });
    let [mut donor, mut origin, mut joiner] =
        [("a", 1), ("b", 2), ("c", 3)].map(|(name, at)| Host::made(name, at, &clock, &made));
    clock.advance(Duration::from_secs(3));
    donor.tick();
    let between = connect(&mut origin, &mut donor, 1);
    pass(&mut origin, &mut donor, between, Duration::from_secs(1));
    // More than a node puts off, of which the donor has heard nothing when it begins to give.
    let keys: Vec<String> = (0..40).map(|number| format!("key {number}")).collect();
    for (at, key) in keys.iter().enumerate() {
        // One of them goes in chunks.
        let bytes = if at == 30 { 300 << 10 } else { 50 << 10 };
        assert!(origin.writes_value(key.as_bytes(), &vec![7; bytes]));
    }
    clock.advance(Duration::from_millis(1));
    let (to_donor, to_origin) = (connect(&mut joiner, &mut donor, 2), connect(&mut joiner, &mut origin, 3));
    while joiner.node.join_stamp().is_none() {
        let (there, back) = (joiner.said(to_donor), donor.said(to_donor));
        joiner.hears(to_donor, &back);
        donor.hears(to_donor, &there);
    }
    exchange(&mut joiner, &mut origin, to_origin);
    let halted = joiner.node.counters().streams_halted;
    assert!(halted == 1 && joiner.node.join_stamp().is_some(), "{halted}");
    exchange(&mut joiner, &mut donor, to_donor);
    pass(&mut joiner, &mut origin, to_origin, Duration::from_secs(1));
    let missing: Vec<_> = keys.iter().filter(|key| !joiner.has(key.as_bytes())).collect();
    assert!(missing.is_empty() && joiner.node.counters().floor_refusals == 0, "{missing:?}");
}

/// The bytes up to and with the first frame of a kind, and the rest.
fn behind_the_first(kind: Kind, bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
        at += HEADER_BYTES + u32::from_le_bytes(header[4..8].try_into().expect("four bytes")) as usize;
        if header[3] == kind as u8 {
            break;
        }
    }
    bytes.split_at(at)
}

#[test]
fn a_value_in_chunks_that_halts_its_stream_comes_again_though_the_sync_ends_in_the_middle_of_it() {
    let (clock, made) = (ManualClock::new(), Made { capacity: 32 << 20, ..Made::default() });
    let [mut donor, mut origin, mut joiner] =
        [("a", 1), ("b", 2), ("c", 3)].map(|(name, at)| Host::made(name, at, &clock, &made));
    clock.advance(Duration::from_secs(3));
    donor.tick();
    let between = connect(&mut origin, &mut donor, 1);
    pass(&mut origin, &mut donor, between, Duration::from_secs(1));
    origin.insert(b"before");
    exchange(&mut origin, &mut donor, between);
    assert!(origin.writes_value(b"large", &vec![7; 900 << 10]));
    clock.advance(Duration::from_millis(1));
    let (to_donor, to_origin) = (connect(&mut joiner, &mut donor, 2), connect(&mut joiner, &mut origin, 3));
    while joiner.node.join_stamp().is_none() {
        let (there, back) = (joiner.said(to_donor), donor.said(to_donor));
        joiner.hears(to_donor, &back);
        donor.hears(to_donor, &there);
    }
    let (mut said, mut rest) = (Vec::new(), Vec::new());
    while joiner.node.counters().streams_halted == 0 {
        let there = joiner.said(to_origin);
        origin.hears(to_origin, &there);
        said = origin.said(to_origin);
        let (first, behind) = behind_the_first(Kind::Chunk, &said);
        joiner.hears(to_origin, first);
        rest = behind.to_vec();
    }
    assert!(said.len() > 800 << 10 && rest.len() > 500 << 10, "the other chunks are on their way");
    exchange(&mut joiner, &mut donor, to_donor);
    assert!(joiner.node.join_stamp().is_none(), "the sync has ended");
    let stream = origin.store.stream();
    let before = joiner.node.streams.rows[&stream].position;
    joiner.hears(to_origin, &rest);
    assert_eq!(joiner.node.streams.rows[&stream].position, before, "what was halted is not claimed");
    pass(&mut joiner, &mut origin, to_origin, Duration::from_secs(1));
    assert!(joiner.has(b"large") && joiner.has(b"before"));
}

#[test]
fn a_life_that_its_own_node_forgets_before_the_sync_is_missed_by_nobody() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let made = Made { file: Some(&file), ..Made::default() };
    let alone = |host: &mut Host| {
        clock.advance(Duration::from_secs(3));
        host.tick();
        assert_eq!(host.node.readiness(), Readiness::Complete);
    };
    let mut former = Host::made("donor", 1, &clock, &made);
    alone(&mut former);
    [b"first", b"of the former life".as_slice()].into_iter().for_each(|key| former.insert(key));
    drop(former);
    let mut donor = Host::made("donor", 1, &clock, &made);
    alone(&mut donor);
    let lives: Vec<StreamId> = donor.store.streams().iter().map(|range| range.stream).collect();
    assert_eq!(lives.len(), 2);
    let mut joiner = Host::new("joiner", 2, &clock);
    let id = connect(&mut joiner, &mut donor, 1);
    // The joiner hears of the former life, and then the donor's ring has no place for it any more.
    let said = donor.said(id);
    joiner.hears(id, &said);
    (0..2_000).for_each(|number| _ = donor.writes(format!("key {number}").as_bytes()));
    assert_eq!(donor.store.streams().len(), 1);
    // From another node it has had a part of it back.
    donor.node.streams.applied.advance(lives[0], crate::types::stream::Position(1));
    for _ in 0..200 {
        let (there, back) = (joiner.said(id), donor.said(id));
        donor.hears(id, &there);
        joiner.hears(id, &back);
    }
    assert_eq!(joiner.node.readiness(), Readiness::Complete);
    assert!(joiner.has(b"of the former life"));
    assert_eq!(donor.node.counters().syncs_given, 1);
}

#[test]
fn an_entry_that_was_sent_ahead_of_its_place_is_not_lost_in_a_join() {
    let clock = ManualClock::new();
    let [mut donor, mut origin, mut joiner] =
        [("a", 1), ("b", 2), ("c", 3)].map(|(name, at)| Host::new(name, at, &clock));
    clock.advance(Duration::from_secs(3));
    donor.tick();
    let between = connect(&mut origin, &mut donor, 1);
    pass(&mut origin, &mut donor, between, Duration::from_secs(1));
    let to_donor = connect(&mut joiner, &mut donor, 2);
    let to_origin = connect(&mut joiner, &mut origin, 3);
    // The newer entry goes in the place of the older change, in its own place a marker.
    origin.insert(b"k");
    origin.insert(b"k");
    clock.advance(Duration::from_millis(1));
    for _ in 0..2 {
        let said = donor.said(to_donor);
        joiner.hears(to_donor, &said);
        if joiner.node.join_stamp().is_none() {
            let said = joiner.said(to_donor);
            donor.hears(to_donor, &said);
        }
    }
    assert!(joiner.node.join_stamp().is_some() && !joiner.node.standing.is_joined());
    exchange(&mut joiner, &mut origin, to_origin);
    assert_eq!(origin.node.counters().conflations, 2);
    assert!(!joiner.has(b"k"), "nobody knows yet whether the donor has removed it");
    exchange(&mut joiner, &mut donor, to_donor);
    assert!(joiner.node.standing.is_joined() && joiner.has(b"k"), "{:?}", joiner.node.counters());
}

#[test]
fn entries_that_become_hot_while_they_are_given_arrive() {
    const ENTRIES: usize = 5_000;
    let clock = ManualClock::new();
    let made = Made { capacity: 8 << 20, ..Made::default() };
    let (mut donor, mut joiner) = (Host::made("a", 1, &clock, &made), Host::made("b", 2, &clock, &made));
    clock.advance(Duration::from_secs(3));
    donor.tick();
    let keys: Vec<Vec<u8>> = (0..ENTRIES).map(|number| format!("key {number}").into_bytes()).collect();
    keys.iter().for_each(|key| donor.insert(key));
    assert!(keys.iter().step_by(3).all(|key| donor.has(key)));
    let id = connect(&mut joiner, &mut donor, 1);
    let mut batches = 0;
    let mut transmit = Transmit::default();
    while joiner.node.readiness() != Readiness::Complete {
        let said = joiner.said(id);
        donor.hears(id, &said);
        while donor.node.wants_to_send(id) && donor.node.poll_transmit(donor.now(), id, &mut transmit) {
            let bytes: Vec<u8> = transmit.slices().flatten().copied().collect();
            transmit.clear();
            joiner.hears(id, &bytes);
            batches += 1;
            assert!(keys.iter().skip(batches % 7).step_by(7).all(|key| donor.has(key)));
        }
        assert!(batches < 10_000, "it comes to its end");
    }
    let missing = keys.iter().filter(|key| !joiner.has(key)).count();
    assert_eq!(missing, 0, "{batches} batches; {:?}", joiner.node.counters());
}

#[test]
fn entries_with_long_keys_are_compared_in_several_batches() {
    let clock = ManualClock::new();
    let made = Made { capacity: 8 << 20, ..Made::default() };
    let mut donor = Host::made("a", 1, &clock, &made);
    clock.advance(Duration::from_secs(3));
    donor.tick();
    let mut joiner = Host::made("b", 2, &clock, &made);
    let key = |number: usize, length: usize| format!("{number:0length$}").into_bytes();
    for (number, length) in [100, 230, 600, 1_024].into_iter().flat_map(|length| (0..500).map(move |n| (n, length))) {
        joiner.insert(&key(number, length));
    }
    let id = connect(&mut joiner, &mut donor, 1);
    pass(&mut joiner, &mut donor, id, Duration::from_secs(5));
    assert_eq!(joiner.node.readiness(), Readiness::Complete);
    assert!(joiner.has(&key(499, 1_024)) && donor.has(&key(499, 1_024)) && donor.has(&key(0, 100)));
    assert!(joiner.node.counters().verified >= 2_000, "{}", joiner.node.counters().verified);
}

#[test]
fn a_scan_of_an_empty_index_ends_soon_and_a_sync_goes_on_behind_it() {
    let clock = ManualClock::new();
    let made = Made { capacity: 32 << 20, ..Made::default() };
    let (mut donor, mut joiner) = (Host::made("a", 1, &clock, &made), Host::made("b", 2, &clock, &made));
    clock.advance(Duration::from_secs(3));
    donor.tick();
    for host in [&mut donor, &mut joiner] {
        (0..60_000_u32).for_each(|number| host.insert(&number.to_be_bytes()));
        host.store.engine().clear_all();
        while host.store.engine().sweep_step() {}
        host.insert(b"after");
        let mut met = 0;
        assert!(host.store.scan(0, usize::MAX, &mut |_| met += 1).is_some_and(|next| next < 10_000), "{met}");
    }
    let id = connect(&mut joiner, &mut donor, 1);
    pass(&mut joiner, &mut donor, id, Duration::from_secs(5));
    assert!(joiner.node.readiness() == Readiness::Complete && joiner.has(b"after") && donor.has(b"after"));
    assert!(joiner.node.counters().verified >= 1);
}

#[test]
fn whoever_asks_and_reads_nothing_is_left() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::new("a", 1, &clock), Host::new("b", 2, &clock));
    clock.advance(Duration::from_secs(3));
    one.tick();
    let id = connect(&mut other, &mut one, 1);
    exchange(&mut other, &mut one, id);
    let ask = |stream: u16| {
        let mut out = Vec::new();
        let origin = crate::types::stream::Origin(stream);
        let stream = StreamId { origin, incarnation: crate::types::stream::Incarnation(1) };
        crate::replication::wire::Subscribe { stream, from: crate::types::stream::Position(1) }.encode(1, &mut out);
        out
    };
    let asked: Vec<u8> = (0..20_000).flat_map(ask).collect();
    one.hears(id, &asked);
    assert_eq!(one.node.counters().choked_closed, 1);
    assert!(one.node.heap_bytes() < 2 << 20, "{} bytes", one.node.heap_bytes());
}
