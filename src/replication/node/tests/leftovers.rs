//! Leftovers of a sync that was cut off: whoever knows nothing of them says so, and they go.

#![forbid(unsafe_code)]

use super::*;
use crate::replication::node::leftovers::Leftovers;
use crate::replication::wire::{HEADER_BYTES, Kind};

/// Two nodes that have joined, with the same entry, and one that knows nobody yet.
fn three() -> [Host; 3] {
    let clock = ManualClock::new();
    let [mut one, mut other, late] = [("a", 1), ("b", 2), ("c", 3)].map(|(name, at)| Host::new(name, at, &clock));
    clock.advance(Duration::from_secs(3));
    one.tick();
    let between = connect(&mut other, &mut one, 100);
    pass(&mut other, &mut one, between, Duration::from_secs(1));
    one.insert(b"k");
    exchange(&mut other, &mut one, between);
    assert!(one.version_of(b"k").is_some() && one.version_of(b"k") == other.version_of(b"k"));
    close(&mut other, &mut one, between);
    [one, other, late]
}

fn close(one: &mut Host, other: &mut Host, id: ConnectionId) {
    for host in [one, other] {
        host.node.handle_closed(host.now(), id, ClosedBy::Error);
    }
}

fn has_some(host: &Host) -> bool {
    matches!(host.node.leftovers, Leftovers::Some(_))
}

/// What of these bytes stands before the frame that ends a sync, if that is among them.
fn before_the_end(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
        if header[3] == Kind::SyncEnd as u8 {
            return Some(&bytes[..at]);
        }
        at += HEADER_BYTES + u32::from_le_bytes(header[4..8].try_into().expect("four bytes")) as usize;
    }
    None
}

/// A sync that is given but for its end; what says that it ends, and all behind it, has not come.
fn give_almost(donor: &mut Host, receiver: &mut Host, id: ConnectionId) -> Vec<u8> {
    for _ in 0..100 {
        let (there, back) = (receiver.said(id), donor.said(id));
        donor.hears(id, &there);
        let before = before_the_end(&back).map_or(back.len(), <[u8]>::len);
        receiver.hears(id, &back[..before]);
        if before < back.len() {
            return back[before..].to_vec();
        }
    }
    panic!("the sync has no end");
}

/// A sync that ends before its end.
fn give_and_die(donor: &mut Host, receiver: &mut Host, number: u32) {
    let id = connect(receiver, donor, number);
    give_almost(donor, receiver, id);
    close(receiver, donor, id);
}

#[test]
fn the_last_write_of_a_donor_that_is_lost_goes() {
    let [mut lost, mut other, mut receiver] = three();
    lost.insert(b"k");
    lost.insert(b"of the lost one alone");
    give_and_die(&mut lost, &mut receiver, 1);
    assert_eq!(receiver.version_of(b"k"), lost.version_of(b"k"));
    assert!(has_some(&receiver));
    let id = connect(&mut receiver, &mut other, 2);
    pass(&mut receiver, &mut other, id, Duration::from_secs(4));
    assert_eq!((receiver.node.readiness(), receiver.node.leftovers), (Readiness::Complete, Leftovers::None));
    assert_eq!((receiver.version_of(b"k"), receiver.version_of(b"of the lost one alone")), (None, None));
    assert_eq!(receiver.node.counters().verified_voided, 2);
    other.insert(b"k");
    exchange(&mut receiver, &mut other, id);
    assert!(receiver.has(b"k"));
}

#[test]
fn what_the_next_donor_knows_of_stays() {
    let [mut lost, mut other, mut receiver] = three();
    give_and_die(&mut lost, &mut receiver, 1);
    receiver.insert(b"of its own");
    let id = connect(&mut receiver, &mut other, 2);
    pass(&mut receiver, &mut other, id, Duration::from_secs(4));
    assert!(receiver.has(b"k") && receiver.version_of(b"k") == other.version_of(b"k"));
    assert!(receiver.has(b"of its own") && other.has(b"of its own"));
    assert_eq!(receiver.node.counters().verified_voided, 0);
}

#[test]
fn who_is_given_leftovers_asks_another_one() {
    let [mut one, mut other, mut receiver] = three();
    one.insert(b"k");
    one.node.leftovers = Leftovers::Some(one.store.stamp());
    let id = connect(&mut receiver, &mut one, 1);
    exchange(&mut receiver, &mut one, id);
    assert!(receiver.node.standing.is_joined() && has_some(&receiver) && receiver.has(b"k"));
    // Before it is asked about them, its donor is lost; another one knows nothing of what it gave.
    receiver.node.streams.applied.forget(one.store.stream());
    receiver.node.streams.rows.remove(&one.store.stream());
    close(&mut receiver, &mut one, id);
    let id = connect(&mut receiver, &mut other, 2);
    pass(&mut receiver, &mut other, id, Duration::from_secs(4));
    assert_eq!((receiver.node.readiness(), receiver.node.leftovers), (Readiness::Complete, Leftovers::None));
    assert_eq!((receiver.has(b"k"), receiver.node.counters().verified_voided), (false, 1));
}

#[test]
fn where_all_have_leftovers_the_first_of_them_goes_on_with_its_own() {
    let [mut first, mut second, _] = three();
    first.insert(b"of the first");
    first.node.leftovers = Leftovers::Some(first.store.stamp());
    second.node.leftovers = Leftovers::Some(second.store.stamp());
    let floors = |host: &Host| (0..host.store.floor_ranges()).map(|range| host.store.floor(range)).collect::<Vec<_>>();
    let before = floors(&first);
    let id = connect(&mut second, &mut first, 1);
    pass(&mut second, &mut first, id, Duration::from_secs(4));
    for host in [&first, &second] {
        assert_eq!((host.node.readiness(), host.node.leftovers), (Readiness::Complete, Leftovers::None));
        assert!(host.has(b"of the first") && host.has(b"k"));
    }
    assert_eq!((first.node.counters().delta_syncs, second.node.counters().delta_syncs), (1, 1));
    assert!(floors(&first) == before, "it has missed nothing, and raises no floor");
}

#[test]
fn what_a_donor_is_being_given_itself_is_suspected_until_that_ends() {
    for ends_well in [true, false] {
        let [mut first, mut between, mut last] = three();
        first.insert(b"k");
        let id = connect(&mut between, &mut first, 1);
        pass(&mut between, &mut first, id, Duration::from_millis(100));
        between.node.begin_sync(between.now(), id);
        let end = give_almost(&mut first, &mut between, id);
        let next = connect(&mut last, &mut between, 2);
        exchange(&mut last, &mut between, next);
        assert!(last.node.standing.is_joined() && last.has(b"k"));
        assert_eq!(last.node.leftovers, Leftovers::Suspected(next));
        if ends_well {
            between.hears(id, &end);
        } else {
            close(&mut between, &mut first, id);
        }
        let seen = |last: &Host| (last.node.leftovers, last.node.readiness());
        let complete = (Leftovers::None, Readiness::Complete);
        pass(&mut last, &mut between, next, Duration::from_millis(100));
        // Where it did not, both have some: the first by name goes on with its own, and the other one asks it.
        pass(&mut last, &mut between, next, Duration::from_secs(4));
        assert_eq!((seen(&last), seen(&between)), (complete, complete), "ends well: {ends_well}");
        let syncs = last.node.counters().delta_syncs;
        assert_eq!(syncs, u64::from(!ends_well));
        assert!(last.has(b"k") && between.has(b"k"));
    }
}

#[test]
fn two_that_give_each_other_a_sync_suspect_nothing() {
    let [mut one, mut other, _] = three();
    let id = connect(&mut other, &mut one, 1);
    pass(&mut other, &mut one, id, Duration::from_millis(100));
    one.node.begin_sync(one.now(), id);
    other.node.begin_sync(other.now(), id);
    exchange(&mut other, &mut one, id);
    for host in [&one, &other] {
        assert_eq!((host.node.leftovers, host.node.counters().syncs_given), (Leftovers::None, 1));
    }
}

#[test]
fn a_life_that_ended_in_a_sync_leaves_them_to_the_next_one() {
    let [mut lost, mut other, unused] = three();
    drop(unused);
    let (clock, directory) = (other.clock.clone(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let made = Made { file: Some(&file), ..Made::default() };
    let mut receiver = Host::made("c", 3, &clock, &made);
    let id = connect(&mut receiver, &mut other, 1);
    exchange(&mut receiver, &mut other, id);
    pass(&mut receiver, &mut other, id, Duration::from_millis(200));
    assert_eq!((receiver.node.readiness(), receiver.node.leftovers), (Readiness::Complete, Leftovers::None));
    lost.insert(b"k");
    let id = connect(&mut receiver, &mut lost, 2);
    let said = [receiver.said(id), lost.said(id)];
    lost.hears(id, &said[0]);
    receiver.hears(id, &said[1]);
    receiver.node.begin_sync(receiver.now(), id);
    give_almost(&mut lost, &mut receiver, id);
    assert_eq!(receiver.version_of(b"k"), lost.version_of(b"k"));
    drop(receiver);
    let mut receiver = Host::made("c", 3, &clock, &made);
    assert!(has_some(&receiver));
    let id = connect(&mut receiver, &mut other, 3);
    pass(&mut receiver, &mut other, id, Duration::from_secs(4));
    assert_eq!((receiver.node.readiness(), receiver.node.leftovers), (Readiness::Complete, Leftovers::None));
    assert_eq!(receiver.node.counters().delta_syncs, 1, "it has asked");
    // This one had come by the lost node's stream too: so it is relayed, and stays.
    assert!(receiver.has(b"k") && receiver.version_of(b"k") == other.version_of(b"k"));
    drop(receiver);
    assert_eq!(Host::made("c", 3, &clock, &made).node.leftovers, Leftovers::None);
}

#[test]
fn who_has_leftovers_relays_what_the_writer_says_is_none() {
    let mut hosts = three();
    let [first, between, last] = &mut hosts;
    let (id, next) = (connect(between, first, 1), connect(last, between, 2));
    pass_all(&mut hosts, &[(0, 1, id), (1, 2, next)], Duration::from_secs(1));
    let [first, between, last] = &mut hosts;
    assert_eq!(last.node.readiness(), Readiness::Complete);
    for key in [b"new", b"new", b"old"] {
        first.clock.advance(Duration::from_millis(1));
        first.insert(key);
        // Each as a change of its own.
        exchange(between, first, id);
    }
    between.node.leftovers = Leftovers::Some(between.store.stamp());
    between.node.leftovers_again = Micros(u64::MAX);
    let floor = |host: &Host| host.store.floor_of(Key::new(KeyspaceId::RAW, b"new").expect("a valid key"));
    let before = floor(last);
    // It says how far it is, and the writer does not.
    pass(last, between, next, Duration::from_millis(60));
    assert_eq!((last.version_of(b"new"), last.version_of(b"old")), (None, None), "nobody has said so yet");
    pass(between, first, id, Duration::from_millis(60));
    exchange(last, between, next);
    assert_eq!(last.version_of(b"new"), first.version_of(b"new"));
    assert_eq!(last.version_of(b"old"), first.version_of(b"old"));
    assert_eq!(floor(last), before, "a floor keeps other keys out");
}

#[test]
fn a_later_life_does_not_vouch_for_what_an_earlier_one_has_written() {
    let [mut first, mut between, _last] = three();
    let id = connect(&mut between, &mut first, 1);
    pass(&mut between, &mut first, id, Duration::from_secs(1));
    first.insert(b"of the former life");
    close(&mut between, &mut first, id);
    let lost = first.version_of(b"of the former life").expect("just written");
    drop(first);
    // The same name, with nothing, a second later.
    between.clock.advance(Duration::from_secs(1));
    let mut second = Host::new("a", 1, &between.clock);
    let id = connect(&mut second, &mut between, 2);
    pass(&mut second, &mut between, id, Duration::from_secs(1));
    second.insert(b"of this life");
    pass(&mut second, &mut between, id, Duration::from_millis(100));
    let kept = second.version_of(b"of this life").expect("just written");
    let vouched = between.node.vouched_for();
    assert!(vouched.covers(&kept) && !vouched.covers(&lost) && !vouched.will_cover(&lost), "{vouched:?}");
}

#[test]
fn a_key_that_is_written_on_and_on_holds_up_no_relay() {
    let mut hosts = three();
    let [first, between, last] = &mut hosts;
    let (id, next) = (connect(between, first, 1), connect(last, between, 2));
    let links = [(0, 1, id), (1, 2, next)];
    pass_all(&mut hosts, &links, Duration::from_secs(1));
    hosts[1].node.leftovers = Leftovers::Some(hosts[1].store.stamp());
    hosts[1].node.leftovers_again = Micros(u64::MAX);
    for round in 0..20 {
        for _ in 0..2 {
            hosts[0].insert(b"hot");
            let [first, between, _] = &mut hosts;
            exchange(between, first, id);
        }
        if round == 0 {
            hosts[0].insert(b"cold");
        }
        pass_all(&mut hosts, &links, Duration::from_millis(30));
    }
    assert!(hosts[1].node.counters().relays_waited > 0, "it has waited");
    assert!(hosts[2].has(b"cold"), "and not for ever");
}

#[test]
fn what_another_node_has_overtaken_goes_by_no_stream_while_there_are_leftovers() {
    for has_leftovers in [false, true] {
        let [mut first, mut between, mut last] = three();
        let (id, next) = (connect(&mut between, &mut first, 1), connect(&mut last, &mut between, 2));
        exchange(&mut between, &mut first, id);
        exchange(&mut last, &mut between, next);
        between.insert(b"k");
        first.clock.advance(Duration::from_millis(1));
        first.insert(b"k");
        exchange(&mut between, &mut first, id);
        assert_eq!(between.version_of(b"k"), first.version_of(b"k"));
        if has_leftovers {
            between.node.leftovers = Leftovers::Some(between.store.stamp());
        }
        let before = between.node.counters().overwritten_sent;
        exchange(&mut last, &mut between, next);
        assert_eq!(between.node.counters().overwritten_sent > before, !has_leftovers);
    }
}
