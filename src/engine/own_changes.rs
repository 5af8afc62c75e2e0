//! Own changes: the ring and the cluster header, as replication reads and notes them.

use crate::arena::change::{Change, Read};
use crate::engine::Engine;
use crate::types::stream::{Incarnation, Origin, Position, StreamId, StreamRange, Vector};
use crate::types::token::Token;
use crate::types::version::Stamp;

impl Engine {
    /// The stream that this node writes now; `None` without a cluster.
    pub(crate) fn identity(&self) -> Option<StreamId> {
        self.replicated().map(|node| self.cluster_header(node).identity())
    }

    /// Behind the last own change.
    pub(crate) fn own_end(&self) -> Position {
        self.replicated().map_or(Position(0), |node| node.ring.end(self.region.view()))
    }

    /// What this life has written.
    pub(crate) fn token(&self) -> Token {
        let (stream, end) = (self.identity().unwrap_or_default(), self.own_end());
        // Nothing yet: others may not even have heard of this life.
        let nothing = self.own_streams().last().is_none_or(|own| own.first == end);
        Token { stream, position: if nothing { Position::default() } else { end } }
    }

    /// Behind the own changes that are finished, from a position on.
    pub(crate) fn own_settled(&self, from: Position) -> Position {
        self.replicated().map_or(from, |node| node.ring.settled(self.region.view(), from))
    }

    /// Reads the own change at a position.
    pub(crate) fn read_own_change(&self, at: Position, into: &mut Change) -> Read<Position> {
        match self.replicated() {
            Some(node) => node.ring.read(self.region.view(), at, self.origin(), into),
            None => Read::Lost,
        }
    }

    /// How far each stream had been applied, as the arena says.
    pub(crate) fn saved_applied(&self) -> Vector {
        self.replicated().map_or_else(Vector::default, |node| self.cluster_header(node).applied())
    }

    /// Notes how far a stream has been applied. The entries that it covers were written before.
    pub(crate) fn save_applied(&self, stream: StreamId, position: Position) {
        if let Some(node) = self.replicated()
            && stream.origin != Origin::NONE
        {
            let _writing = crate::sync::lock(&node.header);
            self.cluster_header(node).set_applied(stream, position);
        }
    }

    /// Up to this stamp entries may be here that came by a sync which was cut off.
    pub(crate) fn leftovers(&self) -> Stamp {
        self.replicated().map_or(Stamp::ZERO, |node| self.cluster_header(node).leftovers())
    }

    /// Notes up to where there are such: before the first of them, and once all of them are claimed.
    pub(crate) fn set_leftovers(&self, until: Stamp) {
        if let Some(node) = self.replicated() {
            let _writing = crate::sync::lock(&node.header);
            self.cluster_header(node).set_leftovers(until);
        }
    }

    /// The floor of a range.
    pub(crate) fn floor_of_range(&self, range: u32) -> Stamp {
        self.replicated().map_or(Stamp::ZERO, |node| node.floors.get(self.region.view(), range))
    }

    /// Raises the floor of a range.
    pub(crate) fn raise_floor_of_range(&self, range: u32, stamp: Stamp) {
        if let Some(node) = self.replicated() {
            node.floors.raise(self.region.view(), range, stamp);
        }
    }

    /// Raises the floors of all ranges, in one step.
    pub(crate) fn raise_floor_of_all(&self, stamp: Stamp) {
        if let Some(node) = self.replicated() {
            node.floors.raise_all(self.region.view(), stamp);
        }
    }

    /// The lives of this arena whose changes are still there, oldest first; the last one is the current one.
    pub(crate) fn own_streams(&self) -> Vec<StreamRange> {
        let Some(node) = self.replicated() else { return Vec::new() };
        let region = self.region.view();
        let header = self.cluster_header(node);
        let (origin, lives) = (header.identity().origin, header.lives());
        // The end first: what is written meanwhile moves the start.
        let (ring_end, ring_start) = (node.ring.end(region), node.ring.start(region));
        let ends = lives.iter().skip(1).map(|(_, first)| *first).chain([ring_end]);
        let range = |((incarnation, first), end): (&(Incarnation, Position), Position)| StreamRange {
            stream: StreamId { origin, incarnation: *incarnation },
            first: *first,
            start: ring_start.max(*first),
            end,
        };
        let last = lives.last().map(|(incarnation, _)| *incarnation);
        let is_there = |range: &StreamRange| range.end > ring_start || Some(range.stream.incarnation) == last;
        lives.iter().zip(ends).map(range).filter(is_there).collect()
    }
}
