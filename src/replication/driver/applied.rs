//! How far this node has applied each stream, for readers that must not wait for the thread.
//!
//! ```text
//!   row   | turn | origin | incarnation | position |      one per stream, as in the node's vector
//!
//!   same stream, higher position:   position                                   one store
//!   another stream:                 turn odd, origin, incarnation, position, turn even
//!   reader:                         turn, origin, incarnation, position, turn: odd or changed -> "not known"
//! ```
//!
//! # Invariants
//!
//! - Only the driver's thread writes.
//! - A position is stored after the changes before it were applied; who reads it sees them. "Not known" is always allowed:
//!   the reader then asks the thread.

#![forbid(unsafe_code)]

use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use crate::types::limits::STREAMS_MAX;
use crate::types::stream::{Incarnation, Origin, Position, StreamId, Vector};

/// The positions.
#[derive(Debug)]
pub(crate) struct AppliedTable {
    rows: Box<[Row]>,
}

#[derive(Debug, Default)]
struct Row {
    turn: AtomicU32,
    origin: AtomicU32,
    incarnation: AtomicU64,
    position: AtomicU64,
}

impl Default for AppliedTable {
    fn default() -> Self {
        Self { rows: (0..STREAMS_MAX).map(|_| Row::default()).collect() }
    }
}

impl AppliedTable {
    /// Shows what a vector says. For the driver's thread only.
    pub(super) fn publish(&self, applied: &Vector) {
        let mut shown = 0;
        for ((stream, position), row) in applied.iter().zip(&self.rows) {
            row.show(stream, position);
            shown += 1;
        }
        for row in self.rows[shown..].iter().take_while(|row| row.is_used()) {
            row.show(StreamId::default(), Position::default());
        }
    }

    /// How far a stream has been applied, if that can be told without waiting.
    pub(crate) fn get(&self, stream: StreamId) -> Option<Position> {
        self.rows.iter().take_while(|row| row.is_used()).find_map(|row| row.position_of(stream))
    }
}

impl Row {
    /// No node has the origin 0.
    fn is_used(&self) -> bool {
        // Relaxed: a row that is just coming into use is "not known" yet.
        self.origin.load(Ordering::Relaxed) != 0
    }

    fn show(&self, stream: StreamId, position: Position) {
        // Relaxed: this thread wrote them.
        let shown = StreamId {
            origin: Origin(self.origin.load(Ordering::Relaxed) as u16),
            incarnation: Incarnation(self.incarnation.load(Ordering::Relaxed)),
        };
        if shown == stream {
            // Release: pairs with the Acquire in `position_of`; what was applied before is seen with it.
            self.position.store(position.0, Ordering::Release);
            return;
        }
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        // Release: pairs with the fence in `position_of`. Who reads one of the stores below sees the odd turn, or a later one.
        fence(Ordering::Release);
        self.origin.store(u32::from(stream.origin.0), Ordering::Relaxed);
        self.incarnation.store(stream.incarnation.0, Ordering::Relaxed);
        self.position.store(position.0, Ordering::Release);
        // Release: pairs with the first load in `position_of`.
        self.turn.store(turn.wrapping_add(2), Ordering::Release);
    }

    fn position_of(&self, stream: StreamId) -> Option<Position> {
        // Acquire: pairs with the last store in `show`; the loads below see what was written before it, or later things.
        let turn = self.turn.load(Ordering::Acquire);
        let origin = self.origin.load(Ordering::Relaxed);
        let incarnation = self.incarnation.load(Ordering::Relaxed);
        // Acquire: pairs with the stores in `show`; the caller sees what was applied before this position.
        let position = self.position.load(Ordering::Acquire);
        // Acquire: pairs with the fence in `show`.
        fence(Ordering::Acquire);
        let is_whole = turn.is_multiple_of(2) && turn == self.turn.load(Ordering::Relaxed);
        let is_it = origin == u32::from(stream.origin.0) && incarnation == stream.incarnation.0;
        (is_whole && is_it).then_some(Position(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(origin: u16, incarnation: u64) -> StreamId {
        StreamId { origin: Origin(origin), incarnation: Incarnation(incarnation) }
    }

    fn vector(positions: &[(u16, u64, u64)]) -> Vector {
        let mut vector = Vector::default();
        for (origin, incarnation, position) in positions {
            assert!(vector.advance(stream(*origin, *incarnation), Position(*position)));
        }
        vector
    }

    #[test]
    fn it_shows_what_the_vector_says() {
        let table = AppliedTable::default();
        assert_eq!(table.get(stream(2, 1)), None);
        table.publish(&vector(&[(2, 1, 10), (4, 1, 20)]));
        table.publish(&vector(&[(1, 9, 1), (2, 1, 11), (4, 1, 20), (4, 2, 30)]));
        assert_eq!(table.get(stream(2, 1)), Some(Position(11)));
        assert_eq!(table.get(stream(4, 2)), Some(Position(30)));
        assert_eq!(table.get(stream(4, 3)), None);
        table.publish(&vector(&[(4, 2, 30)]));
        assert_eq!((table.get(stream(2, 1)), table.get(stream(4, 2))), (None, Some(Position(30))));
    }

    #[test]
    fn a_reader_beside_the_writer_never_takes_one_stream_for_another() {
        let table = AppliedTable::default();
        let stop = crate::sync::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Life n of node 1 never gets beyond n.
                for life in 1..20_000_u64 {
                    table.publish(&vector(&[(1, life, life)]));
                    table.publish(&vector(&[(1, life, life), (2, life, life)]));
                }
                stop.store(true, Ordering::Release);
            });
            while !stop.load(Ordering::Acquire) {
                for life in 1..50 {
                    for origin in [1, 2] {
                        let seen = table.get(stream(origin, life));
                        assert!(seen.is_none_or(|position| position.0 == life), "{seen:?} of life {life}");
                    }
                }
            }
        });
    }
}
