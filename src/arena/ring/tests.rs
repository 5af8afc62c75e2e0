//! Records there and back, laps with and without threads, and each state that a death can leave.

mod deaths;
mod threads;

use super::record::{CELL_BYTES, RECORD_CELLS_MAX};
use super::*;
use crate::arena::change::Operation;
use crate::region::Region;
use crate::types::key::KeyspaceId;
use crate::types::version::{Order, Span, Stamp, Version};

const PAGE_BYTES: u64 = 2048;
const PAGE_CELLS: u64 = PAGE_BYTES / CELL_BYTES;
const ORIGIN: Origin = Origin(77);

const HEADER_AT: u64 = 64;
const PAGES_AT: u64 = 8192;

const _: () = assert!(PAGE_CELLS >= RECORD_CELLS_MAX && HEADER_AT + HEADER_BYTES <= PAGES_AT);

/// A ring whose pages do not lie in the order in which it uses them.
struct Bed {
    region: Region,
    ring: Ring,
}

impl Bed {
    fn new(pages: u64) -> Self {
        let offsets = (0..pages).rev().map(|page| PAGES_AT + page * PAGE_BYTES).collect();
        let region = Region::heap(PAGES_AT + (pages * PAGE_BYTES).next_multiple_of(4096));
        let bed = Self { region, ring: Ring::new(offsets, PAGE_BYTES, HEADER_AT) };
        assert_eq!(bed.ring.reset(bed.view(), Position(0)), Position(0));
        bed
    }

    fn view(&self) -> View<'_> {
        self.region.view()
    }

    fn note(&self, stamp: u64) -> Position {
        let at = self.ring.end(self.view());
        self.ring.note(self.view(), &set(stamp, b"key"));
        at
    }

    fn read(&self, at: Position) -> (Read<Position>, Change) {
        let mut change = Change::default();
        let read = self.ring.read(self.view(), at, ORIGIN, &mut change);
        (read, change)
    }

    /// The stamps of all changes from a position on, up to where the reader stops, and how it stops.
    fn stamps(&self, mut at: Position) -> (Vec<u64>, Read<Position>) {
        let mut stamps = Vec::new();
        loop {
            let (read, change) = self.read(at);
            match read {
                Read::Change { next } => {
                    stamps.push(change.version.stamp.0);
                    at = next;
                }
                Read::Nothing { next } => at = next,
                end => return (stamps, end),
            }
        }
    }

    fn control(&self, at: Position) -> &AtomicU64 {
        self.view().word(self.ring.place(at).at)
    }
}

fn set(stamp: u64, key: &[u8]) -> NewChange<'_> {
    let version = Version::instant(Stamp(stamp), ORIGIN.0);
    NewChange { operation: Operation::Set, version, keyspace: KeyspaceId::RAW, key }
}

fn assert_same(change: &Change, written: &NewChange<'_>) {
    assert_eq!((change.operation, change.keyspace), (written.operation, written.keyspace));
    assert_eq!((change.version, &*change.key), (written.version, written.key));
}

#[test]
fn every_kind_of_change_comes_back() {
    use Operation::{ClearAll, ClearKeyspace, Invalidate, Remove, Set};
    let bed = Bed::new(2);
    let mut at = Position(0);
    for operation in [Set, Remove, Invalidate, ClearKeyspace, ClearAll] {
        for (order, row, span) in [
            (Order::Cache, None, 0),
            (Order::Cache, None, 9),
            (Order::Database, None, 0),
            (Order::Database, None, u32::MAX),
            (Order::Database, Some(0), 0),
            (Order::Database, Some(u64::MAX), 1),
        ] {
            let version =
                Version { stamp: Stamp(u64::MAX - 3), span: Span::from_bits(span), origin: ORIGIN.0, order, row };
            let key: &[u8] = if operation.has_key() { b"some key" } else { b"" };
            let written = NewChange { operation, version, keyspace: KeyspaceId(0xabcd), key };
            bed.ring.note(bed.view(), &written);
            let (read, change) = bed.read(at);
            let Read::Change { next } = read else { panic!("{read:?} at {at:?} of {written:?}") };
            assert_same(&change, &written);
            at = next;
        }
    }
    assert_eq!(bed.read(at).0, Read::NotYet);
}

#[test]
fn keys_of_every_length_come_back_lap_after_lap() {
    let bed = Bed::new(3);
    let long: Vec<u8> = (0..1024_u32).map(|at| (at * 7 + 1) as u8).collect();
    let (mut at, mut pads) = (Position(0), 0);
    for length in 1..=long.len() {
        let written = set(length as u64, &long[..length]);
        bed.ring.note(bed.view(), &written);
        let (mut read, mut change) = bed.read(at);
        if let Read::Nothing { next } = read {
            assert!(next.0.is_multiple_of(PAGE_CELLS), "padding ends with the page");
            pads += 1;
            (read, change) = bed.read(next);
        }
        let Read::Change { next } = read else { panic!("{read:?} at {at:?}, {length} bytes") };
        assert_same(&change, &written);
        at = next;
    }
    assert!(pads > 100 && at.0 > 50 * bed.ring.capacity(), "{pads} paddings, up to {at:?}");
}

#[test]
fn a_reader_waits_at_a_claim_and_passes_over_what_was_not_made() {
    let bed = Bed::new(2);
    let first = bed.ring.claim(bed.view(), &set(1, b"a"));
    let second = bed.ring.claim(bed.view(), &set(2, b"b"));
    let third = bed.ring.claim(bed.view(), &set(3, b"c"));
    assert!(bed.ring.finish(bed.view(), third, true));
    assert_eq!(bed.stamps(Position(0)), (vec![], Read::NotYet));
    assert!(bed.ring.finish(bed.view(), first, true));
    assert_eq!(bed.stamps(Position(0)), (vec![1], Read::NotYet));
    assert!(bed.ring.finish(bed.view(), second, false));
    assert_eq!(bed.stamps(Position(0)), (vec![1, 3], Read::NotYet));
}

#[test]
fn what_is_settled_ends_where_a_writer_is_at_it() {
    let bed = Bed::new(2);
    let settled = |from: u64| bed.ring.settled(bed.view(), Position(from));
    assert_eq!(settled(0), Position(0));
    let [first, second] = [1, 2].map(|stamp| bed.ring.claim(bed.view(), &set(stamp, b"a")));
    bed.note(3);
    let end = bed.ring.end(bed.view());
    assert_eq!(settled(0), first.position());
    assert!(bed.ring.finish(bed.view(), first, true));
    assert_eq!(settled(0), second.position());
    assert!(bed.ring.finish(bed.view(), second, false));
    assert_eq!((settled(0), settled(second.position().0), settled(end.0)), (end, end, end));
    while bed.ring.end(bed.view()).0 <= 2 * bed.ring.capacity() {
        bed.note(4);
    }
    assert_eq!(settled(second.position().0), bed.ring.end(bed.view()), "writers have overtaken");
}

#[test]
fn a_reader_is_lost_where_no_record_begins() {
    let bed = Bed::new(2);
    let long = [1; 100];
    bed.ring.note(bed.view(), &set(1, &long));
    let end = bed.ring.end(bed.view());
    for at in 1..end.0 {
        assert_eq!(bed.read(Position(at)).0, Read::Lost, "{at}");
        assert!(!bed.ring.covers(bed.view(), Position(at)));
    }
    for at in [end.0 + 1, end.0 + bed.ring.capacity(), u64::MAX] {
        assert_eq!(bed.read(Position(at)).0, Read::Lost, "{at}");
        assert!(!bed.ring.covers(bed.view(), Position(at)));
    }
    assert!(bed.ring.covers(bed.view(), Position(0)) && bed.ring.covers(bed.view(), end));
}

#[test]
fn a_lap_takes_one_record_after_the_other() {
    let bed = Bed::new(2);
    let capacity = bed.ring.capacity();
    (0..capacity).for_each(|stamp| assert_eq!(bed.note(stamp), Position(stamp)));
    assert!(bed.ring.covers(bed.view(), Position(0)));
    assert_eq!(bed.ring.start(bed.view()), Position(PAGE_CELLS), "the next claim overwrites the page before");
    for stamp in capacity..3 * capacity {
        bed.note(stamp);
        let oldest = stamp + 1 - capacity;
        assert_eq!(bed.read(Position(oldest - 1)).0, Read::Lost);
        assert_eq!(bed.read(Position(oldest)).1.version.stamp, Stamp(oldest));
        let start = bed.ring.start(bed.view());
        assert!(start.0.is_multiple_of(PAGE_CELLS) && start.0 > oldest && start.0 <= oldest + PAGE_CELLS);
        assert_eq!(bed.stamps(start).0.len() as u64, stamp + 1 - start.0);
    }
}

#[test]
fn a_writer_that_slept_for_a_lap_learns_it_and_tells_its_change_anew() {
    let bed = Bed::new(2);
    let late = set(1_000, b"late");
    let claim = bed.ring.claim(bed.view(), &late);
    (0..bed.ring.capacity()).for_each(|stamp| assert_eq!(bed.note(stamp).0, stamp + 1));
    assert!(!bed.ring.finish(bed.view(), claim, true) && !bed.ring.finish(bed.view(), claim, false));
    bed.ring.finish_made(bed.view(), claim, &late);
    let (stamps, end) = bed.stamps(Position(2));
    assert_eq!(end, Read::NotYet);
    assert_eq!(stamps, (1..bed.ring.capacity()).chain([1_000]).collect::<Vec<_>>());
}

#[test]
fn a_writer_whose_cell_a_longer_record_took_learns_it_too() {
    let bed = Bed::new(2);
    bed.note(0);
    let late = set(1_000, b"late");
    let claim = bed.ring.claim(bed.view(), &late);
    let key = [7; 60];
    while bed.ring.end(bed.view()).0 < bed.ring.capacity() {
        bed.ring.note(bed.view(), &set(1, &key));
    }
    assert_eq!(bed.ring.settled(bed.view(), claim.position()), claim.position());
    let over = bed.ring.end(bed.view());
    bed.ring.note(bed.view(), &set(2, &key));
    // It begins a cell before, so that the word of the claim is as it was.
    assert_eq!((over.0 % bed.ring.capacity(), bed.ring.end(bed.view()).0), (0, over.0 + 2));
    assert_eq!(bed.ring.settled(bed.view(), claim.position()), bed.ring.end(bed.view()));
    assert!(!bed.ring.finish(bed.view(), claim, true));
}

#[test]
fn what_a_writer_that_slept_for_a_lap_writes_is_never_read() {
    let bed = Bed::new(2);
    let late = set(1_000, b"late");
    let shape = Shape::of(&late);
    let claim = bed.ring.take(bed.view(), shape.cells());
    (0..bed.ring.capacity()).for_each(|stamp| assert_eq!(bed.note(stamp).0, stamp + 1));
    assert_eq!(bed.read(Position(bed.ring.capacity())).1.version.stamp.0, bed.ring.capacity() - 1);
    record::write(bed.view(), claim.at, claim.position(), shape, &late);
    assert_eq!(bed.read(Position(bed.ring.capacity())).0, Read::Lost);
    assert!(!bed.ring.finish(bed.view(), claim, true));
}

#[test]
fn any_changed_bit_of_a_record_is_noticed() {
    let bed = Bed::new(1);
    let version =
        Version { stamp: Stamp(7), span: Span::of_write(5), origin: ORIGIN.0, order: Order::Database, row: Some(1) };
    let key: Vec<u8> = (0..50).collect();
    bed.ring.note(bed.view(), &NewChange { operation: Operation::Remove, version, keyspace: KeyspaceId(3), key: &key });
    let at = bed.ring.place(Position(0)).at;
    // Seal, stamp, width, row and 7 words of the key: 11, of which 4 lie in the second cell.
    for word in (1..8).chain(9..13).map(|word| bed.view().word(at + word * 8)) {
        for bit in 0..64 {
            let before = word.fetch_xor(1 << bit, Ordering::Relaxed);
            assert_eq!(bed.read(Position(0)).0, Read::Lost, "bit {bit}");
            word.store(before, Ordering::Relaxed);
        }
    }
    assert_eq!(bed.read(Position(0)).0, Read::Change { next: Position(2) });
}
