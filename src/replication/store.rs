//! The store: what replication asks of the engine, and nothing else.

#![forbid(unsafe_code)]
#![expect(unused_variables, clippy::todo, reason = "signatures")]

use crate::arena::change::{Change, Read};
use crate::arena::frame::FrameKind;
use crate::arena::received::{FrameHead, ReceivedFrame};
use crate::engine::Engine;
use crate::sync::Arc;
use crate::types::key::{Key, KeyspaceId};
use crate::types::stream::{Position, StreamId, StreamRange, Vector};
use crate::types::version::{Stamp, Version};

/// One node's entries and changes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    engine: Arc<Engine>,
}

/// What an arena brought with it when the cluster was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origination {
    /// It is new, or started cold, in its cluster: nothing is known of what others did.
    Cold,
    /// It was in this cluster in a former life, and its entries are held until they are confirmed.
    Warm,
    /// It has entries, and was never in a cluster or in another one.
    Standalone,
}

/// What became of a frame that was applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Applied {
    /// It is the entry of its key now; a tombstone or an invalidation has taken effect.
    Stored,
    /// A newer version is there.
    Older,
    /// This version is there.
    Same,
    /// The key is absent, and something newer of its range may have been there: it stays absent.
    BelowFloor,
    /// Nobody can know which of the two is newer: the key is absent now.
    Unordered,
    /// No room, or too large for this node: the key is absent now.
    Refused,
    /// Its stamp is too far ahead of the clock: taken as an invalidation of what was there.
    Ahead,
    /// The cache is closed.
    Closed,
}

/// An entry as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) version: Version,
    pub(crate) kind: FrameKind,
    /// Length of the frame on the wire.
    pub(crate) bytes: usize,
    pub(crate) body: OutgoingBody,
}

/// Where the bytes of an outgoing frame are.
#[derive(Debug)]
pub(crate) enum OutgoingBody {
    /// Appended to the caller's buffer.
    Copied,
    /// In the arena, kept there until this is dropped.
    Pinned(PinnedFrame),
}

/// The bytes of a frame in the arena, which stay until this is dropped.
#[derive(Debug)]
pub(crate) struct PinnedFrame {
    engine: Arc<Engine>,
}

impl PinnedFrame {
    /// The frame from its header to the end of its value.
    pub(crate) fn bytes(&self) -> &[u8] {
        todo!()
    }
}

/// Room in the arena for a large value that is on its way. Dropping it leaves no trace, but the key absent.
#[derive(Debug)]
pub(crate) struct Filling {
    engine: Arc<Engine>,
}

impl Filling {
    /// The bytes of the value, to be written.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        todo!()
    }

    /// Checks the frame's checksum over what was written and applies it. `None`: the checksum is wrong, nothing was changed.
    pub(crate) fn finish(self) -> Option<Applied> {
        todo!()
    }
}

/// An entry that a scan met.
#[derive(Debug)]
pub(crate) struct Scanned<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) version: Version,
    pub(crate) kind: FrameKind,
    /// Hits, 0 to 3.
    pub(crate) frequency: u8,
    /// Bytes of its frame on the wire.
    pub(crate) bytes: usize,
}

impl Store {
    /// The stream that this node writes now.
    pub(crate) fn stream(&self) -> StreamId {
        todo!()
    }

    /// What the arena brought with it.
    pub(crate) fn origination(&self) -> Origination {
        todo!()
    }

    /// The lives of this arena whose changes are still there, oldest first; the last one is the current one.
    pub(crate) fn streams(&self) -> Vec<StreamRange> {
        todo!()
    }

    /// Reads the own change at a position.
    pub(crate) fn read_change(&self, at: Position, into: &mut Change) -> Read<Position> {
        todo!()
    }

    /// The frame of a key as it is now: small ones are appended to `into`, large ones pinned, where the budget allows.
    /// `None`: there is none. Entries that reads do not see (tombstones, expired ones) are there too.
    pub(crate) fn outgoing(&self, key: Key<'_>, into: &mut Vec<u8>) -> Option<Outgoing> {
        todo!()
    }

    /// The version that is there for a key, seen by reads or not.
    pub(crate) fn version_of(&self, key: Key<'_>) -> Option<Version> {
        todo!()
    }

    /// Appends a frame without a value: a tombstone or an invalidation.
    pub(crate) fn write_marker(kind: FrameKind, key: Key<'_>, version: &Version, into: &mut Vec<u8>) {
        todo!()
    }

    /// Applies a frame. Idempotent; what it leaves does not depend on the order of what comes before and after.
    pub(crate) fn apply(&self, frame: &ReceivedFrame<'_>) -> Applied {
        todo!()
    }

    /// Takes room for a large value whose head has come.
    pub(crate) fn begin_value(&self, head: &FrameHead<'_>) -> Result<Filling, Applied> {
        todo!()
    }

    /// Makes entries at or before a stamp invisible: of one key space, or all.
    pub(crate) fn apply_clear(&self, keyspace: Option<KeyspaceId>, stamp: Stamp) {
        todo!()
    }

    /// Every clear that is known: `None` is the clear of all.
    pub(crate) fn clears(&self) -> Vec<(Option<KeyspaceId>, Stamp)> {
        todo!()
    }

    /// How many version floors there are; a power of two. The top bits of `Key::wire_hash` choose one.
    pub(crate) fn floor_ranges(&self) -> u32 {
        todo!()
    }

    /// A floor: no version that begins at or before it may become the entry of an absent key of the range.
    pub(crate) fn floor(&self, range: u32) -> Stamp {
        todo!()
    }

    /// The floor of a key's range.
    pub(crate) fn floor_of(&self, key: Key<'_>) -> Stamp {
        todo!()
    }

    /// Raises a floor; never lowers it. The clock follows.
    pub(crate) fn raise_floor(&self, range: u32, stamp: Stamp) {
        todo!()
    }

    /// Visits entries from an index bucket on, until at least `want` were met; returns the bucket behind, `None` at the end.
    pub(crate) fn scan(&self, from: u32, want: usize, visit: &mut dyn FnMut(&Scanned<'_>)) -> Option<u32> {
        todo!()
    }

    /// How far each stream had been applied, as the arena says. Empty after a cold start.
    pub(crate) fn saved_applied(&self) -> Vector {
        todo!()
    }

    /// Notes in the arena that everything before a position has been applied. After the entries that it covers.
    pub(crate) fn save_applied(&self, stream: StreamId, position: Position) {
        todo!()
    }

    /// Makes everything that was there before invisible to reads, until [`Store::serve`]. Writes go on.
    pub(crate) fn hold(&self) {
        todo!()
    }

    /// Lets reads see what is there.
    pub(crate) fn serve(&self) {
        todo!()
    }

    /// Whether reads are held.
    pub(crate) fn is_held(&self) -> bool {
        todo!()
    }

    /// Empties the cache and raises every floor to a stamp of now: nothing of what was there is known to be right.
    pub(crate) fn start_over(&self) {
        todo!()
    }

    /// A stamp above all that this node has seen.
    pub(crate) fn stamp(&self) -> Stamp {
        todo!()
    }

    /// The largest value that this node stores.
    pub(crate) fn value_bytes_max(&self) -> u64 {
        todo!()
    }
}
