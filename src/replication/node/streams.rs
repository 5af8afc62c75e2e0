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
//! A full table forgets the stream that has not moved for longest of those that nobody writes or sends any more, and where
//! it stood. Streams are forgotten in this order everywhere, so a peer that still knows more streams of this table than nodes
//! can be connected has forgotten nothing that moved while the two did not hear each other. A full one that knows fewer may
//! have: what was missed then only a sync can tell.
//!
//! # Invariants
//!
//! - `applied` never says more than what was applied, and is saved only after it.
//! - A position is one that the stream's sender named: the begin of a change, or the end.

#![forbid(unsafe_code)]

use super::row::Row;
use crate::arena::cluster_header::LIVES_MAX;
use crate::replication::session::ConnectionId;
use crate::replication::session::time::Micros;
use crate::types::limits::{PEERS_MAX, STREAMS_MAX};
use crate::types::stream::{Position, StreamId, Vector};
use std::collections::BTreeMap;

/// Streams of others in a vector that has room for this node's own lives, too.
const ROWS_MAX: usize = STREAMS_MAX - LIVES_MAX;
/// Streams of which it is known that they were forgotten. With more, one of them may be taken in once more.
const FORGOTTEN_MAX: usize = 1024;

/// All streams of others, and of former lives of this node.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) rows: BTreeMap<StreamId, Row>,
    /// What is claimed.
    pub(super) applied: Vector,
    /// Those that connected peers write.
    pub(super) written: Vec<StreamId>,
    /// Where those stood that had to go.
    forgotten: BTreeMap<StreamId, Position>,
    /// A peer may have forgotten streams of which something was missed here.
    in_doubt: bool,
}

/// Whether there is a row for a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    There,
    /// In the place of another one, of which nothing is left.
    InsteadOf(StreamId),
    None,
}

impl Streams {
    pub(super) fn new(applied: Vector) -> Self {
        let rows = applied.iter().map(|(stream, position)| (stream, Row::new(position))).collect();
        let mut streams = Self { rows, applied, ..Self::default() };
        while streams.rows.len() > ROWS_MAX
            && let Some(least) = streams.least()
        {
            streams.forget(least);
        }
        streams
    }

    /// Makes sure that a stream has a row, if there is room: at `position`, or where it stood when it was forgotten.
    pub(super) fn discover(&mut self, stream: StreamId, position: Position) -> Room {
        let mut room = Room::There;
        if self.rows.contains_key(&stream) {
            return room;
        }
        if self.rows.len() >= ROWS_MAX {
            let Some(least) = self.least() else { return Room::None };
            self.forget(least);
            room = Room::InsteadOf(least);
        }
        let stood = self.forgotten.remove(&stream);
        if let Some(stood) = stood {
            self.applied.advance(stream, stood);
        }
        self.rows.insert(stream, Row::new(stood.unwrap_or(position)));
        room
    }

    fn forget(&mut self, stream: StreamId) {
        let row = self.rows.remove(&stream);
        self.applied.forget(stream);
        if let Some(row) = row {
            self.pass_over(stream, row.position);
        }
    }

    /// A sync brings what is before a position of a stream for which there is no room.
    pub(super) fn pass_over(&mut self, stream: StreamId, to: Position) {
        let stood = self.forgotten.entry(stream).or_default();
        *stood = to.max(*stood);
        if self.forgotten.len() > FORGOTTEN_MAX {
            self.forgotten.pop_first();
        }
    }

    /// The next one to forget: nothing of it is open, and nobody who is connected writes it.
    fn least(&self) -> Option<StreamId> {
        let idle = |(stream, row): &(&StreamId, &Row)| {
            row.source.is_none() && row.base.is_none() && !self.written.contains(stream)
        };
        let worth = |(stream, row): &(&StreamId, &Row)| (row.moved, stream.incarnation, stream.origin);
        self.rows.iter().filter(idle).min_by_key(worth).map(|(stream, _)| *stream)
    }

    /// Whether a stream was here up to a position, and had to go.
    pub(super) fn is_forgotten(&self, stream: StreamId, up_to: Position) -> bool {
        self.forgotten.get(&stream).is_some_and(|stood| *stood >= up_to)
    }

    /// A peer is met that has all this: it may have forgotten what was missed here.
    pub(super) fn compare(&mut self, theirs: &Vector) {
        let is_known = |stream: &StreamId| self.rows.contains_key(stream) || self.forgotten.contains_key(stream);
        let known = theirs.iter().filter(|(stream, _)| is_known(stream)).count();
        self.in_doubt |= theirs.len() >= ROWS_MAX && known <= PEERS_MAX;
    }

    /// Takes what is not here, and what the peer that had it has forgotten meanwhile, out of what was to come from it.
    pub(super) fn release(&mut self, owed: &mut Vector, is_known: impl Fn(StreamId) -> bool) {
        let gone = |(stream, position): &(StreamId, Position)| !is_known(*stream) && !self.covers(*stream, *position);
        for (stream, _) in owed.iter().filter(gone).collect::<Vec<_>>() {
            owed.forget(stream);
            self.in_doubt = true;
        }
    }

    /// Whether something may have been missed of which nobody knows.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Everything before `next` has been applied: where it may be said, it is.
    pub(super) fn advance(&mut self, now: Micros, stream: StreamId, next: Position) -> bool {
        let Some(row) = self.rows.get_mut(&stream) else { return false };
        (row.position, row.moved) = (next, now);
        row.refused.clear();
        row.keep_promise();
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
        self.in_doubt = false;
        for (stream, row) in &mut self.rows {
            if row.claim() {
                self.applied.advance(*stream, row.position);
            }
        }
    }

    /// Whether everything of a vector is here and claimed.
    pub(super) fn cover(&self, vector: &Vector, own: impl Fn(StreamId) -> bool) -> bool {
        vector.iter().all(|(stream, position)| own(stream) || self.covers(stream, position))
    }

    fn covers(&self, stream: StreamId, position: Position) -> bool {
        match self.rows.get(&stream) {
            Some(row) => row.base.is_none() && row.position >= position,
            None => position == Position(0) || self.is_forgotten(stream, position),
        }
    }

    /// Whether a part is not claimed.
    pub(super) fn is_unclaimed(&self) -> bool {
        self.in_doubt || self.rows.values().any(|row| row.base.is_some())
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
    fn a_full_table_forgets_what_has_not_moved_for_longest_and_does_not_miss_it() {
        let mut streams = Streams::default();
        for origin in 1..=200 {
            let (new, now) = (stream(origin, 9), Micros(u64::from(origin)));
            let room = streams.discover(new, Position(0));
            assert_eq!(room == Room::There, usize::from(origin) <= ROWS_MAX);
            assert!(room != Room::None && streams.advance(now, new, Position(9)));
            assert!(streams.rows.len() <= ROWS_MAX && streams.applied.len() <= ROWS_MAX);
        }
        assert_eq!(streams.rows.keys().map(|stream| stream.origin.0).min(), Some(81));
        assert!(streams.cover(&vector(&[(stream(2, 9), 9), (stream(200, 9), 9)]), |_| false));
        assert!(!streams.cover(&vector(&[(stream(2, 9), 10)]), |_| false), "it has moved since");
        assert_eq!(streams.discover(stream(2, 9), Position(0)), Room::InsteadOf(stream(81, 9)));
        assert_eq!(
            (streams.rows[&stream(2, 9)].position, streams.applied.get(stream(2, 9))),
            (Position(9), Some(Position(9)))
        );
    }

    #[test]
    fn a_stream_that_is_written_or_open_is_not_forgotten() {
        let mut streams = Streams { written: vec![stream(1, 1)], ..Streams::default() };
        for origin in 1..=ROWS_MAX as u16 {
            assert_eq!(streams.discover(stream(origin, 1), Position(0)), Room::There);
            streams.rows.get_mut(&stream(origin, 1)).expect("just taken in").source =
                (origin > 2).then_some(ConnectionId(1));
        }
        streams.rows.get_mut(&stream(2, 1)).expect("taken in before").jump(Position(5));
        assert_eq!(streams.discover(stream(4_000, 1), Position(0)), Room::None);
        streams.claim_all();
        assert_eq!(streams.discover(stream(4_000, 1), Position(0)), Room::InsteadOf(stream(2, 1)));
    }

    #[test]
    fn what_a_peer_has_forgotten_before_it_came_is_in_doubt() {
        let mut streams = Streams::new(vector(&[(stream(1, 1), 10)]));
        let mut owed = vector(&[(stream(1, 1), 10), (stream(2, 1), 5), (stream(3, 1), 5)]);
        streams.release(&mut owed, |known| known == stream(2, 1));
        assert_eq!(owed, vector(&[(stream(1, 1), 10), (stream(2, 1), 5)]));
        assert!(streams.is_in_doubt());
    }

    #[test]
    fn a_full_peer_that_knows_few_of_the_same_streams_is_in_doubt() {
        let all = |from: u16, to: u16| vector(&(from..to).map(|origin| (stream(origin, 1), 1)).collect::<Vec<_>>());
        for (theirs, doubt) in
            [(all(1, 121), false), (all(50, 170), false), (all(57, 177), true), (all(121, 230), false)]
        {
            let mut streams = Streams::new(all(1, 121));
            streams.compare(&theirs);
            assert_eq!((streams.is_in_doubt(), streams.is_unclaimed()), (doubt, doubt), "{theirs:?}");
            streams.claim_all();
            assert!(!streams.is_in_doubt());
        }
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
