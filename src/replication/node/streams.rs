//! Streams: how far each stream of another life has come here, from whom it comes, and what of that is claimed.
//!
//! ```text
//!   unknown --SUBSCRIBE--> awaiting --CHANGES from `position`--> flowing --gap--> awaiting
//!                             |                                     | source lost
//!                             | NOT_COVERED                         v
//!                             +------------> refused: the next source, or a sync: position = the donor's, not claimed
//!
//!   claimed:  | applied ..................... position |                   the vector says so, and the arena
//!   not:      | applied .. | missing, a sync brings it | base .. position |   the vector stays where it was, until SYNC_END
//! ```
//!
//! # Invariants
//!
//! - `applied` never says more than what was applied, and is saved only after it.
//! - A position is one that the stream's sender named: the begin of a change, or the end.

#![forbid(unsafe_code)]

use crate::replication::session::ConnectionId;
use crate::replication::session::time::Micros;
use crate::types::limits::STREAMS_MAX;
use crate::types::stream::{Position, StreamId, Vector};
use crate::types::version::Stamp;
use std::collections::BTreeMap;

/// All streams of others, and of former lives of this node.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) rows: BTreeMap<StreamId, Row>,
    /// What is claimed.
    pub(super) applied: Vector,
}

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Everything before this was applied, or will have been once a sync is through.
    pub(super) position: Position,
    /// Where the part begins that is not claimed yet; `None` if all is.
    pub(super) base: Option<Position>,
    /// A change behind `base` was put off.
    has_deferred: bool,
    pub(super) source: Option<ConnectionId>,
    pub(super) from_origin: bool,
    /// Asked for, nothing has come yet.
    pub(super) awaiting: bool,
    /// When it last moved, or was asked for.
    pub(super) moved: Micros,
    /// Who does not have it from `position` on.
    pub(super) refused: Vec<ConnectionId>,
    /// All that was changed up to this stamp has been applied.
    pub(super) caught_up: Option<Stamp>,
    /// Since when its origin is gone, and whether that was told.
    pub(super) orphaned: Option<(Micros, bool)>,
}

impl Row {
    fn new(position: Position) -> Self {
        Self {
            position,
            base: None,
            has_deferred: false,
            source: None,
            from_origin: false,
            awaiting: false,
            moved: Micros(0),
            refused: Vec::new(),
            caught_up: None,
            orphaned: None,
        }
    }

    fn start_at(&mut self, position: Position, base: Option<Position>) {
        (self.position, self.base) = (position, base);
        (self.source, self.awaiting, self.has_deferred) = (None, false, false);
        self.refused.clear();
    }

    /// Goes on at another place, which is claimed only once a sync is through.
    pub(super) fn jump(&mut self, to: Position) {
        self.start_at(to, Some(to));
    }

    /// Goes on exactly from what is claimed.
    pub(super) fn go_back(&mut self, claimed: Position) {
        self.start_at(claimed, None);
    }

    /// A change was put off until a sync is through: nothing behind it is claimed before.
    pub(super) fn put_off(&mut self, at: Position) {
        self.base = Some(self.base.map_or(self.position, |base| base.min(at)));
        self.has_deferred = true;
    }

    /// What was put off is lost: it has to come again.
    pub(super) fn take_up(&mut self, claimed: Position) {
        match self.base.filter(|_| self.has_deferred) {
            Some(base) if base <= claimed => self.go_back(claimed),
            Some(base) => self.jump(base),
            None => {}
        }
    }
}

impl Streams {
    pub(super) fn new(applied: Vector) -> Self {
        let rows = applied.iter().map(|(stream, position)| (stream, Row::new(position))).collect();
        Self { rows, applied }
    }

    /// Makes sure that a stream has a row. `false` if there is no room.
    pub(super) fn discover(&mut self, stream: StreamId, position: Position) -> bool {
        if self.rows.contains_key(&stream) {
            return true;
        }
        if self.rows.len() >= STREAMS_MAX {
            let is_former = |(other, row): &(&StreamId, &Row)| {
                row.source.is_none()
                    && row.base.is_none()
                    && self.rows.range(**other..).nth(1).is_some_and(|next| next.0.origin == other.origin)
            };
            let Some(former) = self.rows.iter().find(is_former).map(|(stream, _)| *stream) else { return false };
            self.rows.remove(&former);
        }
        self.rows.insert(stream, Row::new(position));
        true
    }

    /// Whether a stream was forgotten rather than never known: there was no room, and a later life of its node is known.
    pub(super) fn is_forgotten(&self, stream: StreamId) -> bool {
        self.rows.len() >= STREAMS_MAX
            && !self.rows.contains_key(&stream)
            && self.rows.range(stream..).next().is_some_and(|next| next.0.origin == stream.origin)
    }

    /// Everything before `next` has been applied: where it may be said, it is.
    pub(super) fn advance(&mut self, now: Micros, stream: StreamId, next: Position) -> bool {
        let Some(row) = self.rows.get_mut(&stream) else { return false };
        (row.position, row.moved) = (next, now);
        row.refused.clear();
        let is_claimed = row.base.is_none();
        if is_claimed {
            self.applied.advance(stream, next);
        }
        is_claimed
    }

    /// A connection is gone.
    pub(super) fn drop_source(&mut self, id: ConnectionId) {
        for row in self.rows.values_mut() {
            row.refused.retain(|refused| *refused != id);
            if row.source == Some(id) {
                (row.source, row.awaiting) = (None, false);
            }
        }
    }

    /// A sync is through: what was not claimed is.
    pub(super) fn claim_all(&mut self) {
        for (stream, row) in &mut self.rows {
            row.has_deferred = false;
            if row.base.take().is_some() {
                self.applied.advance(*stream, row.position);
            }
        }
    }

    /// Whether everything of a vector is here and claimed.
    pub(super) fn cover(&self, vector: &Vector, own: impl Fn(StreamId) -> bool) -> bool {
        vector.iter().all(|(stream, position)| match self.rows.get(&stream) {
            _ if own(stream) => true,
            Some(row) => row.base.is_none() && row.position >= position,
            None => position == Position(0) || self.is_forgotten(stream),
        })
    }

    /// Whether a part is not claimed.
    pub(super) fn is_unclaimed(&self) -> bool {
        self.rows.values().any(|row| row.base.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::stream::{Incarnation, Origin};

    fn stream(origin: u16, incarnation: u64) -> StreamId {
        StreamId { origin: Origin(origin), incarnation: Incarnation(incarnation) }
    }

    fn vector(all: &[(StreamId, u64)]) -> Vector {
        let mut vector = Vector::default();
        all.iter().for_each(|(stream, at)| _ = vector.advance(*stream, Position(*at)));
        vector
    }

    #[test]
    fn a_jump_is_claimed_by_the_end_of_a_sync_alone() {
        let mut streams = Streams::new(vector(&[(stream(1, 1), 10)]));
        let target = vector(&[(stream(1, 1), 50)]);
        assert!(!streams.cover(&target, |_| false));
        streams.rows.get_mut(&stream(1, 1)).expect("a row").jump(Position(50));
        assert!(!streams.advance(Micros(1), stream(1, 1), Position(60)));
        assert!(!streams.cover(&target, |_| false) && streams.is_unclaimed());
        assert_eq!(streams.applied.get(stream(1, 1)), Some(Position(10)));
        streams.claim_all();
        assert!(streams.cover(&target, |_| false));
        assert_eq!(streams.applied.get(stream(1, 1)), Some(Position(60)));
    }

    #[test]
    fn a_full_table_forgets_former_lives_and_does_not_miss_them() {
        let mut streams = Streams::default();
        assert!(streams.discover(stream(1, 1), Position(3)) && streams.discover(stream(1, 2), Position(0)));
        for origin in 2..STREAMS_MAX as u16 {
            assert!(streams.discover(stream(origin, 5), Position(0)));
        }
        assert!(!streams.is_forgotten(stream(1, 1)));
        assert!(streams.discover(stream(4_000, 1), Position(0)));
        assert!(streams.is_forgotten(stream(1, 1)) && !streams.is_forgotten(stream(4_001, 1)));
        assert!(streams.cover(&vector(&[(stream(1, 1), 99)]), |_| false));
        assert!(!streams.discover(stream(4_002, 1), Position(0)));
    }

    #[test]
    fn a_lost_source_is_no_source() {
        let mut streams = Streams::new(vector(&[(stream(1, 1), 10)]));
        let row = streams.rows.get_mut(&stream(1, 1)).expect("a row");
        (row.source, row.refused) = (Some(ConnectionId(7)), vec![ConnectionId(8)]);
        streams.drop_source(ConnectionId(8));
        streams.drop_source(ConnectionId(7));
        let row = &streams.rows[&stream(1, 1)];
        assert!(row.source.is_none() && row.refused.is_empty());
    }
}
