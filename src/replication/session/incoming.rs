//! A large value that arrives in chunks: from the socket right into its slot.
//!
//! ```text
//!   chunk 0:  | head of the entry | value ....    begin: room is taken, or the value is passed over
//!   chunk n:  | value ........................    follows: same entry, no gap
//!   the last: | value ..|                         finish: checksum, applied
//! ```

#![forbid(unsafe_code)]

use crate::arena::frame::FrameKind;
use crate::arena::received::FrameHead;
use crate::replication::store::{Applied, Filling};
use crate::replication::wire::ChunkHead;
use crate::types::key::{Key, KeyspaceId};
use crate::types::version::Version;

/// The value that a connection is in the middle of.
#[derive(Debug)]
pub(crate) struct IncomingValue {
    head: ChunkHead,
    pub(crate) keyspace: KeyspaceId,
    key: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) kind: FrameKind,
    /// Where the value goes; what became of it if it goes nowhere.
    into: Result<Filling, Applied>,
    /// Bytes of the entry that have come.
    received: u32,
    /// Bytes of the value that have been written.
    written: usize,
}

impl IncomingValue {
    /// The first chunk has come, and with it the head of the entry. `None` if the lengths do not agree.
    pub(crate) fn begin(head: ChunkHead, entry: &FrameHead<'_>, into: Result<Filling, Applied>) -> Option<Self> {
        if entry.frame_bytes() != u64::from(head.total) {
            return None;
        }
        Some(Self {
            head,
            keyspace: entry.key.keyspace,
            key: entry.key.bytes.to_vec(),
            version: entry.version,
            kind: entry.header.kind(),
            into,
            received: 0,
            written: 0,
        })
    }

    /// Whether a chunk goes on where this one has come to.
    pub(crate) fn is_followed_by(&self, head: &ChunkHead) -> bool {
        let of_same = |head: &ChunkHead| (head.stream, head.position, head.total, head.first);
        of_same(head) == of_same(&self.head) && head.offset == self.received
    }

    /// The chunk that is being received.
    pub(crate) fn head(&self) -> &ChunkHead {
        &self.head
    }

    pub(crate) fn key(&self) -> Option<Key<'_>> {
        Key::new(self.keyspace, &self.key)
    }

    /// A further chunk begins.
    pub(crate) fn go_on(&mut self, head: ChunkHead) {
        self.head = head;
    }

    /// Takes in bytes of the entry that were received elsewhere; `head_bytes` of them are not of the value.
    pub(crate) fn copy(&mut self, bytes: &[u8], head_bytes: usize) {
        let value = &bytes[head_bytes..];
        if let Ok(filling) = &mut self.into {
            filling.space()[self.written..][..value.len()].copy_from_slice(value);
        }
        self.received += head_bytes as u32;
        self.count(value.len());
    }

    /// Whether the next bytes of the value have a place, and are not to be passed over.
    pub(crate) fn has_room(&self) -> bool {
        self.into.is_ok()
    }

    /// Where the next bytes of the value belong, at most so many.
    pub(crate) fn space(&mut self, most: usize) -> &mut [u8] {
        let Ok(filling) = &mut self.into else { return &mut [] };
        let space = &mut filling.space()[self.written..];
        let end = most.min(space.len());
        &mut space[..end]
    }

    /// Whether everything of the chunk that is being received has come.
    pub(crate) fn is_over(&self) -> bool {
        self.received == self.head.total
    }

    /// So many bytes of the value were put to the front of the space, or passed over.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.written += bytes;
        self.received += bytes as u32;
    }

    /// Everything has come. `None`: the checksum is wrong, nothing was changed.
    pub(crate) fn finish(self) -> Option<Applied> {
        match self.into {
            Ok(filling) => filling.finish(),
            Err(applied) => Some(applied),
        }
    }
}
