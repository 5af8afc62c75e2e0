//! The cluster header: who this arena was in a cluster, in which lives, and how far it had applied the others.
//!
//! ```text
//!  byte 0       8        16       24        32       40       48      56      64               256    264    384           3456
//!       +-------+--------+--------+---------+--------+--------+-------+-------+----------------+------+------+-------------+
//!       | magic | ranges | origin | cluster | incar- | floor  | join  | left- | lives x 8:     | ring | ring | streams     |
//!       |       |        |        |         | nation | of all | floor | overs | incarnation,   | head | base | x 128:      |
//!       |       |        |        |         |        |        |       |       | first position |      |      | origin, ... |
//!       +-------+--------+--------+---------+--------+--------+-------+-------+----------------+------+------+-------------+
//!       what each write of a new key reads                                  what each write changes, in lines of its own
//! ```
//!
//! Words of 8 bytes, at the begin of the first page of floors. Outside of any checksum: what is impossible makes the arena
//! one that was never in a cluster, which is always safe.
//!
//! # Invariants
//!
//! - A stream's position is stored after the entries that it covers: a process killed at any instruction leaves no
//!   position that claims too much.
//! - A stream's origin is stored last, and a row without one is free.

#![forbid(unsafe_code)]

use crate::region::View;
use crate::sync::Ordering;
use crate::types::limits::STREAMS_MAX;
use crate::types::stream::{Incarnation, Origin, Position, StreamId, Vector};
use crate::types::version::Stamp;

/// Bytes of the header.
pub(crate) const CLUSTER_HEADER_BYTES: u64 = 4096;
/// "CLUSTER" and the version of this layout.
const MAGIC: u64 = u64::from_le_bytes(*b"CLUSTER\x01");
/// Lives whose changes may still be in the ring.
pub(crate) const LIVES_MAX: usize = 8;

/// Where the words lie in the header.
pub(crate) mod field {
    pub(crate) const MAGIC: u64 = 0;
    pub(crate) const RANGES: u64 = 8;
    pub(crate) const ORIGIN: u64 = 16;
    pub(crate) const CLUSTER: u64 = 24;
    pub(crate) const INCARNATION: u64 = 32;
    pub(crate) const FLOOR_OF_ALL: u64 = 40;
    pub(crate) const JOIN_FLOOR: u64 = 48;
    pub(crate) const LEFTOVERS: u64 = 56;
    pub(crate) const LIVES: u64 = 64;
    /// In a pair of cache lines of its own: each write exchanges the head.
    pub(crate) const RING: u64 = 256;
    pub(crate) const STREAMS: u64 = RING + 128;
    pub(crate) const END: u64 = STREAMS + 24 * super::STREAMS_MAX as u64;
}

const _: () = assert!(field::LIVES + 16 * LIVES_MAX as u64 <= field::RING && field::RING.is_multiple_of(128));
const _: () = assert!(field::END <= CLUSTER_HEADER_BYTES);

/// The header of an arena.
#[derive(Clone, Copy)]
pub(crate) struct ClusterHeader<'r> {
    region: View<'r>,
    at: u64,
}

impl<'r> ClusterHeader<'r> {
    pub(crate) fn new(region: View<'r>, at: u64) -> Self {
        Self { region, at }
    }

    // All Acquire and Release: what is read by the next life is ordered by the end of this one; within one life the lock
    // of the callers orders, and each word stands for itself.
    fn get(self, field: u64) -> u64 {
        self.region.word(self.at + field).load(Ordering::Acquire)
    }

    fn set(self, field: u64, value: u64) {
        self.region.word(self.at + field).store(value, Ordering::Release);
    }

    /// Writes a new header; the magic last.
    pub(crate) fn format(self, ranges: u32, identity: StreamId, cluster: u64) {
        self.set(field::RANGES, u64::from(ranges));
        self.set_identity(identity, cluster);
        self.set(field::MAGIC, MAGIC);
    }

    /// Whether this is a header, of as many floors as fit.
    pub(crate) fn is_whole(self, ranges_max: u64) -> bool {
        let ranges = self.get(field::RANGES);
        self.get(field::MAGIC) == MAGIC && ranges.is_power_of_two() && ranges <= ranges_max
    }

    pub(crate) fn ranges(self) -> u32 {
        self.get(field::RANGES) as u32
    }

    pub(crate) fn cluster(self) -> u64 {
        self.get(field::CLUSTER)
    }

    /// The stream of the current life.
    pub(crate) fn identity(self) -> StreamId {
        StreamId {
            origin: Origin(self.get(field::ORIGIN) as u16),
            incarnation: Incarnation(self.get(field::INCARNATION)),
        }
    }

    /// Takes another name, another life or another cluster.
    pub(crate) fn set_identity(self, identity: StreamId, cluster: u64) {
        self.set(field::ORIGIN, u64::from(identity.origin.0));
        self.set(field::INCARNATION, identity.incarnation.0);
        self.set(field::CLUSTER, cluster);
    }

    /// The stamp of a join that is not complete; 0 if it is.
    pub(crate) fn join_floor(self) -> Stamp {
        Stamp(self.get(field::JOIN_FLOOR))
    }

    pub(crate) fn set_join_floor(self, stamp: Stamp) {
        self.set(field::JOIN_FLOOR, stamp.0);
    }

    /// Up to this stamp entries may be here that came by a sync which was cut off; the highest stamp while one is under way.
    pub(crate) fn leftovers(self) -> Stamp {
        Stamp(self.get(field::LEFTOVERS))
    }

    pub(crate) fn set_leftovers(self, until: Stamp) {
        self.set(field::LEFTOVERS, until.0);
    }

    /// Lives of which the first position is known, oldest first.
    pub(crate) fn lives(self) -> Vec<(Incarnation, Position)> {
        let row = |row: usize| field::LIVES + 16 * row as u64;
        let all = (0..LIVES_MAX).map(|number| (self.get(row(number)), self.get(row(number) + 8)));
        let mut lives: Vec<_> = all
            .filter(|(incarnation, _)| *incarnation != 0)
            .map(|(incarnation, first)| (Incarnation(incarnation), Position(first)))
            .collect();
        lives.sort_unstable();
        lives
    }

    /// Notes a life in the place of the oldest one.
    pub(crate) fn add_life(self, incarnation: Incarnation, first: Position) {
        let rows = (0..LIVES_MAX as u64).map(|row| field::LIVES + 16 * row);
        let Some(oldest) = rows.min_by_key(|row| self.get(*row)) else { return };
        // A row whose incarnation is 0 is none: a kill in between leaves one life less.
        self.set(oldest, 0);
        self.set(oldest + 8, first.0);
        self.set(oldest, incarnation.0);
    }

    /// Forgets all lives.
    pub(crate) fn forget_lives(self) {
        (0..LIVES_MAX as u64).for_each(|row| self.set(field::LIVES + 16 * row, 0));
    }

    fn stream_rows(self) -> impl Iterator<Item = u64> {
        (0..STREAMS_MAX as u64).map(|row| field::STREAMS + 24 * row)
    }

    /// How far the streams had been applied.
    pub(crate) fn applied(self) -> Vector {
        let mut vector = Vector::default();
        for row in self.stream_rows() {
            let origin = Origin(self.get(row) as u16);
            if origin != Origin::NONE {
                let stream = StreamId { origin, incarnation: Incarnation(self.get(row + 8)) };
                vector.advance(stream, Position(self.get(row + 16)));
            }
        }
        vector
    }

    /// Notes how far a stream has been applied. The entries that it covers were written before.
    pub(crate) fn set_applied(self, stream: StreamId, position: Position) {
        let is_of = |row: &u64| self.get(*row) as u16 == stream.origin.0 && self.get(*row + 8) == stream.incarnation.0;
        if let Some(row) = self.stream_rows().find(is_of) {
            return self.set(row + 16, position.0);
        }
        // A free row; else a former life of the same node gives way, else the one whose life began first.
        let former = |row: &u64| self.get(*row) as u16 == stream.origin.0;
        let free = |row: &u64| self.get(*row) as u16 == 0;
        let row = self.stream_rows().find(free).or_else(|| self.stream_rows().find(former));
        let Some(row) = row.or_else(|| self.stream_rows().min_by_key(|row| self.get(*row + 8))) else { return };
        self.set(row, 0);
        self.set(row + 8, stream.incarnation.0);
        self.set(row + 16, position.0);
        self.set(row, u64::from(stream.origin.0));
    }

    /// Forgets how far anything has been applied.
    pub(crate) fn forget_applied(self) {
        self.stream_rows().for_each(|row| self.set(row, 0));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::region::Region;

    fn stream(origin: u16, incarnation: u64) -> StreamId {
        StreamId { origin: Origin(origin), incarnation: Incarnation(incarnation) }
    }

    #[test]
    fn a_header_says_who_it_was() {
        let region = Region::heap(8192);
        let header = ClusterHeader::new(region.view(), 4096);
        assert!(!header.is_whole(1 << 20));
        header.format(512, stream(7, 9), 0xc1);
        assert!(header.is_whole(1 << 20) && !header.is_whole(256));
        assert_eq!((header.identity(), header.cluster(), header.ranges()), (stream(7, 9), 0xc1, 512));
    }

    #[test]
    fn the_oldest_life_is_forgotten_first() {
        let region = Region::heap(8192);
        let header = ClusterHeader::new(region.view(), 0);
        for life in 1..=LIVES_MAX as u64 + 3 {
            header.add_life(Incarnation(life), Position(10 * life));
        }
        let lives = header.lives();
        assert_eq!(lives.len(), LIVES_MAX);
        assert_eq!(lives[0], (Incarnation(4), Position(40)));
        header.forget_lives();
        assert!(header.lives().is_empty());
    }

    #[test]
    fn positions_are_kept_by_stream() {
        let region = Region::heap(8192);
        let header = ClusterHeader::new(region.view(), 0);
        header.set_applied(stream(1, 1), Position(5));
        header.set_applied(stream(2, 1), Position(6));
        header.set_applied(stream(1, 1), Position(9));
        assert_eq!(header.applied().get(stream(1, 1)), Some(Position(9)));
        for life in 2..2 + STREAMS_MAX as u64 {
            header.set_applied(stream(3, life), Position(life));
        }
        assert_eq!(header.applied().get(stream(1, 1)), Some(Position(9)), "a former life of the same node goes first");
        header.forget_applied();
        assert_eq!(header.applied().len(), 0);
    }
}
