//! The peer: who it is, and what it has, by its own words.
//!
//! ```text
//!   HELLO        name, incarnation, own lives: [first .. start .. end]  vector          reach of a stream:
//!   HEARTBEAT                       end of the current life             vector            an own life: its end
//!   ACK                                                                 vector            any other: its vector
//! ```

#![forbid(unsafe_code)]

use crate::replication::wire::{Hello, NodeFlags, Positions};
use crate::types::stream::{Incarnation, Origin, Position, StreamId, StreamRange, Vector};
use std::net::SocketAddr;

/// A node at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) incarnation: Incarnation,
    /// Where it can be dialled.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) flags: NodeFlags,
    /// The lives whose changes it has itself, oldest first; the current one is the last.
    ranges: Vec<StreamRange>,
    /// How far it has applied what others changed.
    pub(crate) vector: Vector,
}

impl Peer {
    /// `None` if what it says of itself can not be: lives of another node, or none that is its current one.
    pub(crate) fn from_hello(hello: &Hello<'_>, address: Option<SocketAddr>) -> Option<Self> {
        let origin = Origin::of_name(hello.name);
        let ranges: Vec<StreamRange> = hello.streams.iter().collect();
        let current = StreamId { origin, incarnation: hello.incarnation };
        let sound = |range: &StreamRange| {
            range.stream.origin == origin && range.first <= range.start && range.first <= range.end
        };
        if !ranges.iter().all(sound) || ranges.last().is_none_or(|last| last.stream != current) {
            return None;
        }
        Some(Self {
            name: hello.name.to_owned(),
            origin,
            incarnation: hello.incarnation,
            address,
            flags: hello.flags,
            ranges,
            vector: hello.vector.to_vector(),
        })
    }

    /// The stream that it writes.
    pub(crate) fn stream(&self) -> StreamId {
        StreamId { origin: self.origin, incarnation: self.incarnation }
    }

    /// Whether it knows what the cluster has forgotten: its floors and its vector are true, so it can give to others.
    pub(crate) fn is_joined(&self) -> bool {
        self.flags.held || self.flags.complete
    }

    /// Whether it has a stream as its own.
    pub(crate) fn is_origin_of(&self, stream: StreamId) -> bool {
        self.ranges.iter().any(|range| range.stream == stream)
    }

    /// How far it has a stream; `None` if it knows nothing of it.
    pub(crate) fn reach(&self, stream: StreamId) -> Option<Position> {
        let own = self.ranges.iter().find(|range| range.stream == stream).map(|range| range.end);
        own.max(self.vector.get(stream))
    }

    /// Everything that it has, with how far.
    pub(crate) fn reaches(&self) -> impl Iterator<Item = (StreamId, Position)> + '_ {
        self.ranges.iter().map(|range| (range.stream, range.end)).chain(self.vector.iter())
    }

    /// Everything that it has as a vector: what a node has to apply to know what this one knew.
    pub(crate) fn everything(&self) -> Vector {
        let mut all = Vector::default();
        self.reaches().for_each(|(stream, position)| _ = all.advance(stream, position));
        all
    }

    /// The end of its current life.
    pub(crate) fn end(&self) -> Position {
        self.ranges.last().map_or(Position(0), |range| range.end)
    }

    /// Its current life has grown.
    pub(crate) fn grow(&mut self, end: Position) {
        if let Some(range) = self.ranges.last_mut() {
            range.end = range.end.max(end);
        }
    }

    /// How far it has applied everything that it has not forgotten.
    pub(crate) fn set_vector(&mut self, vector: Positions<'_>) {
        self.vector = vector.to_vector();
    }

    /// It has applied more.
    pub(crate) fn learn(&mut self, vector: Positions<'_>) {
        vector.iter().for_each(|(stream, position)| _ = self.vector.advance(stream, position));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::wire::List;

    fn range(origin: Origin, incarnation: u64, first: u64, end: u64) -> StreamRange {
        let stream = StreamId { origin, incarnation: Incarnation(incarnation) };
        StreamRange { stream, first: Position(first), start: Position(first), end: Position(end) }
    }

    fn peer(ranges: &[StreamRange]) -> Option<Peer> {
        let hello = Hello {
            protocol: 1..=1,
            flags: NodeFlags::default(),
            cluster: 1,
            incarnation: Incarnation(7),
            name: "pod-1",
            advertised: None,
            streams: List::Values(ranges),
            vector: List::Values(&[]),
        };
        Peer::from_hello(&hello, None)
    }

    #[test]
    fn lives_of_others_are_not_believed() {
        let own = Origin::of_name("pod-1");
        assert!(peer(&[range(own, 6, 0, 9), range(own, 7, 9, 9)]).is_some());
        assert!(peer(&[range(Origin(own.0 ^ 1), 6, 0, 9), range(own, 7, 9, 9)]).is_none());
        assert!(peer(&[range(own, 6, 0, 9)]).is_none(), "the current life is missing");
        assert!(peer(&[range(own, 7, 9, 3)]).is_none(), "ends before it begins");
    }

    #[test]
    fn its_own_lives_reach_to_their_ends() {
        let own = Origin::of_name("pod-1");
        let mut peer = peer(&[range(own, 6, 0, 9), range(own, 7, 9, 9)]).expect("sound");
        peer.grow(Position(12));
        assert_eq!(peer.reach(range(own, 6, 0, 0).stream), Some(Position(9)));
        assert_eq!(peer.reach(peer.stream()), Some(Position(12)));
        assert_eq!(peer.reach(range(own, 5, 0, 0).stream), None);
        assert_eq!(peer.everything().len(), 2);
    }
}
