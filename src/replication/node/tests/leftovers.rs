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

/// A sync that ends before its end.
fn give_and_die(donor: &mut Host, receiver: &mut Host, number: u32) {
    let id = connect(receiver, donor, number);
    for _ in 0..100 {
        let (there, back) = (receiver.said(id), donor.said(id));
        donor.hears(id, &there);
        if let Some(before) = before_the_end(&back) {
            receiver.hears(id, before);
            return close(receiver, donor, id);
        }
        receiver.hears(id, &back);
    }
    panic!("the sync has no end");
}

#[test]
fn the_last_write_of_a_donor_that_is_lost_goes() {
    let [mut lost, mut other, mut receiver] = three();
    lost.insert(b"k");
    lost.insert(b"of the lost one alone");
    give_and_die(&mut lost, &mut receiver, 1);
    assert_eq!(receiver.version_of(b"k"), lost.version_of(b"k"));
    assert_eq!(receiver.node.leftovers, Leftovers::Some);
    let id = connect(&mut receiver, &mut other, 2);
    pass(&mut receiver, &mut other, id, Duration::from_secs(1));
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
    pass(&mut receiver, &mut other, id, Duration::from_secs(1));
    assert!(receiver.has(b"k") && receiver.version_of(b"k") == other.version_of(b"k"));
    assert!(receiver.has(b"of its own") && other.has(b"of its own"));
    assert_eq!(receiver.node.counters().verified_voided, 0);
}

#[test]
fn who_is_given_leftovers_asks_another_one() {
    let [mut lost, mut other, mut receiver] = three();
    lost.insert(b"k");
    give_and_die(&mut lost, &mut receiver, 1);
    // It joins, and its donor loses a donor meanwhile.
    other.node.leftovers = Leftovers::Some;
    let id = connect(&mut receiver, &mut other, 2);
    pass(&mut receiver, &mut other, id, Duration::from_millis(40));
    assert_eq!((receiver.node.standing.is_joined(), receiver.node.leftovers), (true, Leftovers::Some));
    assert!(receiver.has(b"k"), "of whom it has asked nobody else knows more");
    assert_ne!(receiver.node.readiness(), Readiness::Complete);
    other.node.leftovers = Leftovers::None;
    pass(&mut receiver, &mut other, id, Duration::from_secs(1));
    assert_eq!((receiver.node.readiness(), receiver.node.leftovers), (Readiness::Complete, Leftovers::None));
    assert_eq!((receiver.has(b"k"), receiver.node.counters().verified_voided), (false, 1));
}

#[test]
fn where_all_have_leftovers_the_first_of_them_goes_on_with_its_own() {
    let [mut first, mut second, _] = three();
    first.insert(b"of the first");
    first.node.leftovers = Leftovers::Some;
    second.node.leftovers = Leftovers::Some;
    let id = connect(&mut second, &mut first, 1);
    pass(&mut second, &mut first, id, Duration::from_secs(1));
    for host in [&first, &second] {
        assert_eq!((host.node.readiness(), host.node.leftovers), (Readiness::Complete, Leftovers::None));
        assert!(host.has(b"of the first") && host.has(b"k"));
    }
    assert_eq!((first.node.counters().delta_syncs, second.node.counters().delta_syncs), (1, 1));
}
