//! A subscription: one stream on its way to one peer, a cursor and no queue.
//!
//! ```text
//!   stream   | sent .......... | passed over ... | unread ........ | end
//!                              ^ told            ^ cursor
//!   told: where the receiver stands once what was sent has arrived      behind the last frame, told = cursor
//! ```

#![forbid(unsafe_code)]

use super::sent::SentAhead;
use super::time::Micros;
use crate::types::stream::{Position, StreamId};

/// Where the changes of a stream are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The own ring: up to the end of a former life, or on and on.
    Own { end: Option<Position> },
    /// The ring that keeps another node's changes.
    Relay,
}

/// One stream that a peer has asked for.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) stream: StreamId,
    pub(crate) source: Source,
    /// The next position to be read.
    pub(crate) cursor: Position,
    /// Where the receiver stands, or will stand.
    pub(crate) told: Position,
    /// There may be something to read at the cursor.
    pub(crate) ready: bool,
    pub(crate) ahead: SentAhead,
    /// Where a relayed stream is read on: a block and an offset.
    pub(crate) hint: (u64, usize),
    /// At which change it waits for something, and since when.
    pub(crate) waits: Option<(Position, Micros)>,
    /// Up to here it has waited long enough.
    pub(crate) waited_to: Position,
}

impl Subscription {
    /// For a receiver that stands at `told`, where nothing is between that and the cursor.
    pub(crate) fn new(stream: StreamId, source: Source, told: Position, cursor: Position) -> Self {
        Self {
            stream,
            source,
            cursor,
            told,
            ready: true,
            ahead: SentAhead::default(),
            hint: (0, 0),
            waits: None,
            waited_to: Position(0),
        }
    }

    /// Whether a former life has been sent to its end.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.source, Source::Own { end: Some(end) } if self.cursor >= end)
    }
}
