//! A link: a connection, and what the node does over it.

#![forbid(unsafe_code)]

use super::sync_donor::Donor;
use crate::replication::session::peer::Peer;
use crate::replication::session::time::Micros;
use crate::replication::session::{Session, Side};
use crate::replication::store::PinnedFrame;
use crate::replication::wire::ChunkHead;
use crate::sync::Arc;
use crate::types::limits::CHUNK_BYTES;
use crate::types::stream::{Position, Vector};

/// One connection of a node.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: Session,
    /// What this node gives to a peer that syncs.
    pub(super) donor: Option<Donor>,
    /// What the peer had when it was met, or when it was heard again: this node has all that there was once it has that.
    pub(super) owed: Owed,
    /// A large value on its way out.
    pub(super) outgoing: Option<OutgoingValue>,
    /// Whether a sync or a stream has the next turn.
    pub(super) sync_turn: bool,
}

/// What a peer had at a moment.
#[derive(Debug)]
pub(super) enum Owed {
    /// Its next heartbeat says that answers one which was sent since this node is isolated.
    Unknown,
    Vector(Vector),
    Covered,
}

/// A value that goes out in chunks, pinned meanwhile.
#[derive(Debug)]
pub(super) struct OutgoingValue {
    frame: Arc<PinnedFrame>,
    head: ChunkHead,
    next: Position,
}

impl Link {
    pub(super) fn new(side: Side, now: Micros) -> Self {
        Self { session: Session::new(side, now), donor: None, owed: Owed::Unknown, outgoing: None, sync_turn: false }
    }

    /// The peer, once the handshake is done and as long as the connection is good.
    pub(super) fn peer(&self) -> Option<&Peer> {
        self.session.peer.as_ref().filter(|_| self.session.is_established())
    }
}

impl OutgoingValue {
    /// Chunks of a value; `head` says of which stream and between which positions, `next` is where the stream goes on.
    pub(super) fn new(frame: PinnedFrame, head: ChunkHead, next: Position) -> Self {
        let total = frame.bytes().len() as u32;
        Self { frame: Arc::new(frame), head: ChunkHead { total, offset: 0, bytes: 0, ..head }, next }
    }

    /// The next chunk: its head, and the bytes behind it.
    pub(super) fn next_chunk(&mut self) -> (ChunkHead, Arc<PinnedFrame>) {
        self.head.offset += self.head.bytes;
        self.head.bytes = (self.head.total - self.head.offset).min(CHUNK_BYTES as u32);
        if self.is_over() {
            self.head.next = self.next;
        }
        (self.head, Arc::clone(&self.frame))
    }

    /// Where the stream goes on behind it.
    pub(super) fn next(&self) -> Position {
        self.next
    }

    /// Whether the last chunk has been taken.
    pub(super) fn is_over(&self) -> bool {
        self.head.offset + self.head.bytes == self.head.total
    }
}
