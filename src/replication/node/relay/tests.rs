//! What is kept is read from any place, and nothing is claimed that is not kept.

#![forbid(unsafe_code)]

use super::*;
use crate::types::stream::{Incarnation, Origin};

const STREAM: StreamId = StreamId { origin: Origin(3), incarnation: Incarnation(8) };

fn push(relays: &mut Relays, stream: StreamId, at: u64) {
    let key = [at as u8; 100];
    let version = Version { row: Some(at), ..Version::instant(Stamp(at), 3) };
    let change = Relayed { operation: Operation::Set, version, keyspace: KeyspaceId(1), key: &key };
    relays.push(stream, Position(at), &change);
}

/// One frame of changes, three positions each.
fn frame(relays: &mut Relays, stream: StreamId, first: u64, count: u64) -> u64 {
    relays.begin(stream, Position(first));
    (0..count).for_each(|n| push(relays, stream, first + 3 * n));
    relays.settle(stream, Position(first + 3 * count));
    first + 3 * count
}

/// Reads to the end; the positions of what was read.
fn read_all(relays: &Relays, from: u64) -> (Vec<u64>, Read<Position>) {
    let (mut at, mut hint, mut change, mut found) = (Position(from), Hint::default(), Change::default(), Vec::new());
    loop {
        match relays.read(STREAM, at, &mut hint, &mut change) {
            Read::Change { next } => {
                assert_eq!((change.version.row, change.key[0]), (Some(at.0), at.0 as u8));
                found.push(at.0);
                at = next;
            }
            Read::Nothing { next } => at = next,
            end => return (found, end),
        }
    }
}

#[test]
fn what_was_pushed_is_read_from_any_place() {
    let mut relays = Relays::new(64 << 10);
    let middle = frame(&mut relays, STREAM, 30, 20);
    let end = frame(&mut relays, STREAM, middle, 40);
    assert_eq!(relays.range(STREAM), Some((Position(30), Position(end))));
    for from in 30..=end {
        let (found, last) = read_all(&relays, from);
        assert_eq!(found, (30..end).step_by(3).filter(|at| *at >= from).collect::<Vec<_>>());
        assert_eq!(last, Read::NotYet);
    }
    assert_eq!(read_all(&relays, 29).1, Read::Lost);
    assert_eq!(read_all(&relays, end + 1).1, Read::Lost);
}

#[test]
fn a_budget_is_kept_and_the_longest_ring_gives() {
    let mut relays = Relays::new(16 << 10);
    let quiet = StreamId { origin: Origin(4), ..STREAM };
    frame(&mut relays, quiet, 0, 5);
    let mut end = 0;
    for _ in 0..100 {
        end = frame(&mut relays, STREAM, end, 7);
        assert!(relays.bytes_of_blocks() <= 16 << 10 && relays.bytes() <= 17 << 10);
    }
    assert_eq!(relays.range(quiet), Some((Position(0), Position(15))));
    let (start, _) = relays.range(STREAM).expect("the ring");
    assert!(start.0 > 0);
    let (found, last) = read_all(&relays, start.0);
    assert_eq!((found, last), ((start.0..end).step_by(3).collect(), Read::NotYet));
}

#[test]
fn a_frame_that_takes_its_own_blocks_claims_no_more_than_is_there() {
    for count in [1, 14, 16, 20, 200] {
        let mut relays = Relays::new(16 << 10);
        let others = (0..BLOCKS_MIN as u16).map(|n| StreamId { origin: Origin(n + 10), ..STREAM });
        for other in others.clone() {
            frame(&mut relays, other, 0, 5);
        }
        let end = frame(&mut relays, STREAM, 30, count);
        let (start, last) = relays.range(STREAM).expect("the ring");
        assert!(start <= last && last == Position(end), "{count}");
        let (found, last) = read_all(&relays, start.0);
        assert_eq!((found, last), ((start.0..end).step_by(3).collect(), Read::NotYet), "{count}");
        let whole = |other: StreamId| relays.range(other) == Some((Position(0), Position(15)));
        assert!(
            others
                .clone()
                .filter(|other| !whole(*other))
                .all(|other| { relays.range(other) == Some((Position(15), Position(15))) })
        );
        let end = frame(&mut relays, STREAM, end, 2);
        assert_eq!(read_all(&relays, end - 6).0, [end - 6, end - 3]);
    }
}

#[test]
fn a_stream_that_is_forgotten_gives_its_blocks_back() {
    let mut relays = Relays::new(16 << 10);
    let nothing = relays.bytes();
    for life in 0..1_000 {
        let stream = StreamId { incarnation: Incarnation(life), ..STREAM };
        frame(&mut relays, stream, 0, 20);
        relays.forget(stream);
        assert_eq!(relays.range(stream), None);
    }
    assert!((nothing..=2 * relays.block_bytes).contains(&relays.bytes()), "{}", relays.bytes());
}

#[test]
fn what_belongs_to_a_broken_frame_is_taken_back() {
    for pushed in [1, 10, 40, 400] {
        let mut relays = Relays::new(16 << 10);
        let end = frame(&mut relays, STREAM, 0, 20);
        relays.begin(STREAM, Position(end));
        (0..pushed).for_each(|n| push(&mut relays, STREAM, end + 1 + n));
        assert!(read_all(&relays, end).0.is_empty());
        let end = frame(&mut relays, STREAM, end, 2);
        let (start, _) = relays.range(STREAM).expect("the ring");
        let (found, last) = read_all(&relays, start.0);
        assert_eq!((found, last), ((start.0..end).step_by(3).collect(), Read::NotYet), "{pushed}");
    }
}

#[test]
fn a_gap_begins_the_ring_anew() {
    let mut relays = Relays::new(16 << 10);
    let end = frame(&mut relays, STREAM, 0, 20);
    let (mut hint, mut change) = (Hint::default(), Change::default());
    relays.read(STREAM, Position(0), &mut hint, &mut change);
    frame(&mut relays, STREAM, end + 300, 2);
    assert_eq!(relays.range(STREAM).map(|range| range.0), Some(Position(end + 300)));
    assert_eq!(relays.read(STREAM, Position(3), &mut hint, &mut change), Read::Lost);
    let next = Read::Change { next: Position(end + 303) };
    assert_eq!(relays.read(STREAM, Position(end + 300), &mut hint, &mut change), next);
}
