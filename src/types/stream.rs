//! Who changed something, in which of its lives, and how far: streams, positions, vectors.
//!
//! ```text
//!   name "pod-3" -> XXH3-64, low 16 bits -> Origin        incarnation: rises with every start of that node
//!
//!   Stream = origin + incarnation:   | change | change | change | ... | change |
//!                          position: 0        4        7                       end      in cells of its ring
//!
//!   Vector:  stream -> position      every change before the position has been applied
//! ```
//!
//! Positions of one arena go on over its lives: where one incarnation ends the next one begins. They name bytes of a ring,
//! so they have gaps as wide as their records; a change is followed by the one that begins where it ends.

#![forbid(unsafe_code)]

use crate::types::limits::STREAMS_MAX;
use std::fmt;

/// A node, as versions and streams name it: the specified hash of its name. 0 without a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Origin(pub(crate) u16);

impl Origin {
    /// No node: what was written without a cluster.
    pub(crate) const NONE: Self = Self(0);

    /// The low 16 bits of the XXH3-64 of a name; 1 where they are 0.
    pub(crate) fn of_name(name: &str) -> Self {
        Self((xxhash_rust::xxh3::xxh3_64(name.as_bytes()) as u16).max(1))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

/// A life of a node. Rises with every start; microseconds since 2020 where the clock allows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub(crate) struct Incarnation(pub(crate) u64);

/// The changes of one life of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct StreamId {
    pub(crate) origin: Origin,
    pub(crate) incarnation: Incarnation,
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.origin, self.incarnation.0)
    }
}

/// A place in a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub(crate) struct Position(pub(crate) u64);

/// A stream, and the part of it that somebody can send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StreamRange {
    pub(crate) stream: StreamId,
    /// Where the stream begins: the end of the life before.
    pub(crate) first: Position,
    /// The oldest position from which on every change is there.
    pub(crate) start: Position,
    /// Behind the last change.
    pub(crate) end: Position,
}

/// How far each stream has been applied. At most [`STREAMS_MAX`], sorted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Vector(Vec<(StreamId, Position)>);

impl Vector {
    /// How far a stream has been applied; `None` if nothing is known of it.
    pub(crate) fn get(&self, stream: StreamId) -> Option<Position> {
        let at = self.0.binary_search_by_key(&stream, |(stream, _)| *stream).ok()?;
        Some(self.0[at].1)
    }

    /// Raises a stream's position; never lowers it. Where there is no room for one more stream, the oldest life of a node
    /// that has several goes, else the one that began first; `false` if that would be this one.
    pub(crate) fn advance(&mut self, stream: StreamId, position: Position) -> bool {
        match self.0.binary_search_by_key(&stream, |(stream, _)| *stream) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(position),
            Err(_) if self.0.len() >= STREAMS_MAX && !self.make_room(stream) => return false,
            Err(_) => {
                let at = self.0.partition_point(|(other, _)| *other < stream);
                self.0.insert(at, (stream, position));
            }
        }
        true
    }

    /// Drops the oldest life of a node of which a later one is known, or else the one that began first, and before `for_one`.
    fn make_room(&mut self, for_one: StreamId) -> bool {
        let former = self.0.windows(2).position(|pair| pair[0].0.origin == pair[1].0.origin);
        let began = |at: &usize| self.0[*at].0.incarnation;
        let first = || (0..self.0.len()).min_by_key(began).filter(|at| began(at) < for_one.incarnation);
        former.or_else(first).map(|at| self.0.remove(at)).is_some()
    }

    /// Drops a stream.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        self.0.retain(|(other, _)| *other != stream);
    }

    /// Takes the higher position of each stream.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (stream, position) in &other.0 {
            self.advance(*stream, *position);
        }
    }

    /// Streams and positions, by stream.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (StreamId, Position)> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn as_slice(&self) -> &[(StreamId, Position)] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(origin: u16, incarnation: u64) -> StreamId {
        StreamId { origin: Origin(origin), incarnation: Incarnation(incarnation) }
    }

    #[test]
    fn a_name_always_gives_the_same_origin() {
        assert_eq!(Origin::of_name("pod-3"), Origin::of_name("pod-3"));
        assert_ne!(Origin::of_name("pod-3"), Origin::of_name("pod-4"));
        assert!((0..100_000).all(|n| Origin::of_name(&n.to_string()) != Origin::NONE));
    }

    #[test]
    fn positions_never_go_back() {
        let mut vector = Vector::default();
        assert!(vector.advance(stream(2, 1), Position(7)));
        assert!(vector.advance(stream(1, 9), Position(3)));
        assert!(vector.advance(stream(2, 1), Position(4)));
        assert_eq!(vector.get(stream(2, 1)), Some(Position(7)));
        assert_eq!(vector.get(stream(2, 2)), None);
        assert_eq!(vector.iter().map(|(stream, _)| stream.origin.0).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn merging_takes_the_higher_position_of_each_stream() {
        let (mut mine, mut theirs) = (Vector::default(), Vector::default());
        mine.advance(stream(1, 1), Position(10));
        theirs.advance(stream(1, 1), Position(7));
        theirs.advance(stream(2, 1), Position(1));
        mine.merge(&theirs);
        assert_eq!(mine.iter().map(|(_, position)| position.0).collect::<Vec<_>>(), [10, 1]);
    }

    #[test]
    fn a_full_vector_forgets_former_lives_first() {
        let mut vector = Vector::default();
        for origin in 1..=STREAMS_MAX as u16 - 1 {
            assert!(vector.advance(stream(origin, 5), Position(1)));
        }
        assert!(vector.advance(stream(3, 6), Position(2)));
        assert!(vector.advance(stream(4000, 1), Position(3)));
        assert_eq!(vector.get(stream(3, 5)), None);
        assert_eq!(vector.get(stream(3, 6)), Some(Position(2)));
        assert!(!vector.advance(stream(4001, 1), Position(3)));
        assert_eq!(vector.len(), STREAMS_MAX);
    }

    #[test]
    fn a_full_vector_of_as_many_nodes_forgets_the_one_that_began_first() {
        let mut vector = Vector::default();
        for origin in 1..=200 {
            assert!(vector.advance(stream(origin, 1_000 + u64::from(origin)), Position(1)));
        }
        assert_eq!(vector.len(), STREAMS_MAX);
        assert_eq!(vector.get(stream(200, 1_200)), Some(Position(1)));
        assert_eq!(vector.get(stream(72, 1_072)), None);
        assert!(!vector.advance(stream(72, 1_072), Position(1)), "it would be the next to go");
        vector.forget(stream(200, 1_200));
        assert_eq!(vector.len(), STREAMS_MAX - 1);
    }
}
