//! A chunk: a part of an entry whose value is too large for one frame.
//!
//! ```text
//!  byte 32        48         56      60       64
//!       +---------+----------+-------+--------+----------------------------+
//!       | stream  | position | total | offset | bytes of the entry         |
//!       | 16 B    | u64      | u32   | u32    |                            |
//!       +---------+----------+-------+--------+----------------------------+
//!       |<---- covered, with the header ----->|<- the entry has a checksum of its own
//!
//!   entry:  |<-------------------------- total -------------------------->|
//!           | head | value ..            |                    |           |
//!           |<- chunk 0, offset 0 ------>|<- chunk ---------->|<- last -->|
//!             next = first                 next = first         next > first: the stream goes on behind it
//! ```
//!
//! The first chunk holds at least the head, so that room can be taken for the value before the rest of it is read; what
//! follows can then be read from the socket right into that room. A chunk of a sync belongs to no stream: stream and
//! positions are 0.

#![forbid(unsafe_code)]

use super::body::Body;
use super::error::DecodeError;
use super::header::{FrameHeader, HeaderFields, Kind};
use super::list::{Item, StreamBytes};
use crate::arena::frame::{FRAME_START, HEADER_BYTES as SLOT_HEADER_BYTES};
use crate::types::checksum;
use crate::types::limits::{CHUNK_BYTES, KEY_BYTES_MAX, VALUE_BYTES_LIMIT};
use crate::types::stream::{Position, StreamId};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes between header and entry.
pub(crate) const PREFIX_BYTES: usize = size_of::<ChunkPrefix>();

/// The most that stands in front of a value on the wire: header, interval, row version, key, padding.
pub(crate) const ENTRY_HEAD_BYTES_MAX: usize =
    (SLOT_HEADER_BYTES as usize + 12 + KEY_BYTES_MAX).next_multiple_of(8) - FRAME_START as usize;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ChunkPrefix {
    stream: StreamBytes,
    position: U64,
    total: U32,
    offset: U32,
}

const _: () = assert!(size_of::<ChunkPrefix>() == 32);
const _: () = assert!(ENTRY_HEAD_BYTES_MAX == 1066 && ENTRY_HEAD_BYTES_MAX < CHUNK_BYTES);

/// A chunk without its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChunkHead {
    /// Of whose changes the entry is; the default for one of a sync.
    pub(crate) stream: StreamId,
    /// Where the receiver stands; the same in all chunks of an entry.
    pub(crate) first: Position,
    /// Where it stands behind this chunk: `first`, or behind the change in the last one.
    pub(crate) next: Position,
    /// Of the change.
    pub(crate) position: Position,
    /// Bytes of the entry on the wire, head and value.
    pub(crate) total: u32,
    /// Where this chunk begins in the entry.
    pub(crate) offset: u32,
    /// Bytes of this chunk.
    pub(crate) bytes: u32,
}

/// A chunk that has been received, or is being received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) head: ChunkHead,
    /// Of the frame, for the [`StreamChecksum`](super::StreamChecksum).
    pub(crate) checksum: u32,
    /// The front of the chunk's bytes, as far as it is there: in a first chunk at least the head of the entry, else maybe
    /// nothing. The rest is to come: [`FrameReader::chunk_rest`](super::FrameReader::chunk_rest).
    pub(crate) here: &'a [u8],
}

impl ChunkHead {
    /// Whether it begins the entry.
    pub(crate) fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Whether it ends the entry.
    pub(crate) fn is_last(&self) -> bool {
        u64::from(self.offset) + u64::from(self.bytes) == u64::from(self.total)
    }

    /// Whether it belongs to a sync and to no stream.
    pub(crate) fn is_of_sync(&self) -> bool {
        self.stream == StreamId::default()
    }

    /// Appends all of the frame but the chunk's bytes, which are to be sent behind it. Returns the frame's checksum.
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) -> u32 {
        let prefix = ChunkPrefix {
            stream: self.stream.to_bytes(),
            position: self.position.to_bytes(),
            total: U32::new(self.total),
            offset: U32::new(self.offset),
        };
        let fields = HeaderFields {
            version,
            kind: Kind::Chunk,
            bytes: PREFIX_BYTES + self.bytes as usize,
            count: 0,
            first: self.first.0,
            next: self.next.0,
        };
        let header = FrameHeader::new(&fields, checksum::extend(0, prefix.as_bytes()));
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(prefix.as_bytes());
        header.checksum()
    }
}

/// The checksum of the covered bytes.
pub(super) fn cover(bytes: &[u8]) -> Result<u32, DecodeError> {
    Ok(checksum::extend(0, Body::new(Kind::Chunk, bytes).bytes(PREFIX_BYTES)?))
}

impl<'a> Chunk<'a> {
    /// Reads a chunk of which header, prefix and maybe more are in `body`.
    pub(super) fn decode(header: &FrameHeader, mut body: Body<'a>) -> Result<Self, DecodeError> {
        let start = body;
        let prefix: &ChunkPrefix = body.structure()?;
        let head = ChunkHead {
            stream: StreamId::from_bytes(&prefix.stream).ok_or(start.wrong("stream"))?,
            first: Position(header.first()),
            next: Position(header.next()),
            position: Position(prefix.position.get()),
            total: prefix.total.get(),
            offset: prefix.offset.get(),
            bytes: (header.body_bytes() - PREFIX_BYTES) as u32,
        };
        if head.has_wrong_lengths() || header.count() != 0 {
            return Err(start.wrong("length"));
        }
        if head.has_wrong_positions() {
            let ChunkHead { position, first, next, .. } = head;
            return Err(DecodeError::Position { kind: Kind::Chunk, at: start.at(), found: position, first, next });
        }
        Ok(Self { head, checksum: header.checksum(), here: body.rest() })
    }
}

impl ChunkHead {
    fn has_wrong_lengths(&self) -> bool {
        let end = u64::from(self.offset) + u64::from(self.bytes);
        let least = if self.is_first() { self.total.min(ENTRY_HEAD_BYTES_MAX as u32) } else { 1 };
        self.bytes < least.max(1)
            || end > u64::from(self.total)
            || u64::from(self.total) > ENTRY_HEAD_BYTES_MAX as u64 + VALUE_BYTES_LIMIT
    }

    fn has_wrong_positions(&self) -> bool {
        if self.is_of_sync() {
            return [self.first, self.next, self.position] != [Position(0); 3];
        }
        let behind = if self.is_last() { self.next > self.position } else { self.next == self.first };
        self.first > self.position || !behind
    }
}
