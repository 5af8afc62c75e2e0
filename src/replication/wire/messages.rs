//! A message: a frame that has been found right, and the short ones of them.
//!
//! ```text
//!   SUBSCRIBE     | stream 16 B | from u64 |
//!   UNSUBSCRIBE   | stream 16 B |
//!   NOT_COVERED   | stream 16 B | start u64 |
//!   ACK           | vector: list |
//!   GOODBYE       | end u64 |
//!
//!  HEARTBEAT  32         40        48        56         64        68         72      74
//!             +----------+---------+---------+----------+---------+----------+-------+--------------+
//!             | sequence | sent us | echo us | own end  | held us | checksum | flags | vector: list |
//!             | u64      | u64     | u64     | u64      | u32     | u32      | u16   |              |
//!             +----------+---------+---------+----------+---------+----------+-------+--------------+
//! ```

#![forbid(unsafe_code)]

use super::body::Body;
use super::chunk::{self, Chunk};
use super::error::DecodeError;
use super::header::{self, FrameHeader, Kind};
use super::hello::{Hello, NodeFlags, Refuse};
use super::list::{PositionBytes, Positions, put};
use super::records::{self, Changes, SyncEntries, Verified};
use super::sync_frames::{Floors, SyncBegin, SyncEnd, SyncRequest};
use super::verify::Verify;
use crate::types::checksum;
use crate::types::limits::STREAMS_MAX;
use crate::types::stream::{Position, StreamId};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

// With every list at its longest, a frame is no longer than its kind may be.
const _: () = {
    let vector = 2 + STREAMS_MAX * size_of::<PositionBytes>();
    assert!(size_of::<HeartbeatBytes>() + vector <= Kind::Heartbeat.body_bytes_max());
};

/// A frame whose checksum and lengths are right. Borrows the bytes that it was read from.
#[derive(Clone, Debug)]
pub(crate) enum Message<'a> {
    Hello(Hello<'a>),
    Refuse(Refuse<'a>),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    NotCovered(NotCovered),
    Changes(Changes<'a>),
    Chunk(Chunk<'a>),
    Ack(Ack<'a>),
    Heartbeat(Heartbeat<'a>),
    Goodbye(Goodbye),
    SyncRequest(SyncRequest<'a>),
    SyncBegin(SyncBegin<'a>),
    Verify(Verify<'a>),
    Verified(Verified<'a>),
    SyncEntries(SyncEntries<'a>),
    Floors(Floors<'a>),
    SyncEnd(SyncEnd),
    /// A frame of a kind that this version does not have, and that may be skipped.
    Skipped,
}

/// Asks for a stream from a position on. Answered with CHANGES and CHUNK, or with NOT_COVERED.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Subscribe {
    pub(crate) stream: StreamId,
    pub(crate) from: Position,
}

/// Asks for no more of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unsubscribe {
    pub(crate) stream: StreamId,
}

/// The sender does not have, or no longer has, all that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotCovered {
    pub(crate) stream: StreamId,
    /// From here on it has everything.
    pub(crate) start: Position,
}

/// How far the sender has applied those streams that have moved since its last ACK.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Ack<'a> {
    pub(crate) applied: Positions<'a>,
}

/// A sign of life, with what a peer needs to know how far apart the two are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Heartbeat<'a> {
    pub(crate) sequence: u64,
    /// The sender's clock when it was sent.
    pub(crate) sent_us: u64,
    /// `sent_us` of the last heartbeat that the sender received; 0 before the first.
    pub(crate) echo_us: u64,
    /// The end of the sender's own stream.
    pub(crate) end: Position,
    /// How long ago the sender received what it echoes.
    pub(crate) held_us: u32,
    /// [`StreamChecksum`](super::StreamChecksum) of all that was sent on this connection before.
    pub(crate) checksum: u32,
    pub(crate) flags: NodeFlags,
    pub(crate) vector: Positions<'a>,
}

/// The sender closes the connection and means it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Goodbye {
    /// The end of its own stream, for ever.
    pub(crate) end: Position,
}

impl<'a> Message<'a> {
    /// Decodes a frame that is there, but for a chunk's bytes, of which any part may be missing.
    pub(super) fn decode(kind: Option<Kind>, header: &FrameHeader, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        header.check_sum(covered(kind, header, bytes)?)?;
        let Some(kind) = kind else { return Ok(Self::Skipped) };
        let body = Body::new(kind, bytes);
        Ok(match kind {
            Kind::Hello => Self::Hello(Hello::decode(body)?),
            Kind::Refuse => Self::Refuse(Refuse::decode(body)?),
            Kind::Changes => Self::Changes(Changes::decode(header, body)?),
            Kind::Chunk => Self::Chunk(Chunk::decode(header, body)?),
            Kind::Verify => Self::Verify(Verify::decode(header, body)?),
            Kind::Verified => Self::Verified(Verified::decode(header, body)?),
            Kind::SyncEntries => Self::SyncEntries(SyncEntries::decode(header, body)?),
            _ => Self::decode_short(kind, header, body)?,
        })
    }

    /// Those of which the header says nothing but kind and length.
    fn decode_short(kind: Kind, header: &FrameHeader, mut body: Body<'a>) -> Result<Self, DecodeError> {
        if (header.count(), header.first(), header.next()) != (0, 0, 0) {
            return Err(DecodeError::Field { kind, at: 8, field: "count or position" });
        }
        let message = match kind {
            Kind::Subscribe => {
                Self::Subscribe(Subscribe { stream: body.item("stream")?, from: body.item("position")? })
            }
            Kind::Unsubscribe => Self::Unsubscribe(Unsubscribe { stream: body.item("stream")? }),
            Kind::NotCovered => {
                Self::NotCovered(NotCovered { stream: body.item("stream")?, start: body.item("position")? })
            }
            Kind::Ack => Self::Ack(Ack { applied: body.list("vector", STREAMS_MAX)? }),
            Kind::Heartbeat => Self::Heartbeat(Heartbeat::decode(&mut body)?),
            Kind::Goodbye => Self::Goodbye(Goodbye { end: body.item("position")? }),
            Kind::SyncRequest => Self::SyncRequest(SyncRequest::decode(&mut body)?),
            Kind::SyncBegin => Self::SyncBegin(SyncBegin::decode(&mut body)?),
            Kind::Floors => Self::Floors(Floors::decode(&mut body)?),
            _ => Self::SyncEnd(SyncEnd::decode(&mut body)?),
        };
        body.end()?;
        Ok(message)
    }
}

/// The checksum of the covered bytes of a body.
pub(super) fn covered(kind: Option<Kind>, header: &FrameHeader, bytes: &[u8]) -> Result<u32, DecodeError> {
    match kind {
        Some(kind @ (Kind::Changes | Kind::Verified | Kind::SyncEntries)) => records::cover(kind, header, bytes),
        Some(Kind::Chunk) => chunk::cover(bytes),
        _ => Ok(checksum::extend(0, bytes)),
    }
}

impl Subscribe {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::Subscribe, |out| {
            put(out, self.stream);
            put(out, self.from);
        });
    }
}

impl Unsubscribe {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::Unsubscribe, |out| put(out, self.stream));
    }
}

impl NotCovered {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::NotCovered, |out| {
            put(out, self.stream);
            put(out, self.start);
        });
    }
}

impl Ack<'_> {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::Ack, |out| self.applied.encode(out));
    }
}

impl Goodbye {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::Goodbye, |out| put(out, self.end));
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct HeartbeatBytes {
    sequence: U64,
    sent_us: U64,
    echo_us: U64,
    end: U64,
    held_us: U32,
    checksum: U32,
    flags: U16,
}

const _: () = assert!(size_of::<HeartbeatBytes>() == 42);

impl<'a> Heartbeat<'a> {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        let fixed = HeartbeatBytes {
            sequence: U64::new(self.sequence),
            sent_us: U64::new(self.sent_us),
            echo_us: U64::new(self.echo_us),
            end: U64::new(self.end.0),
            held_us: U32::new(self.held_us),
            checksum: U32::new(self.checksum),
            flags: U16::new(self.flags.to_bits()),
        };
        header::encode(out, version, Kind::Heartbeat, |out| {
            out.extend_from_slice(fixed.as_bytes());
            self.vector.encode(out);
        });
    }

    fn decode(body: &mut Body<'a>) -> Result<Self, DecodeError> {
        let start = *body;
        let fixed: &HeartbeatBytes = body.structure()?;
        let flags = NodeFlags::from_bits(fixed.flags.get());
        if flags.to_bits() != fixed.flags.get() {
            return Err(start.wrong("set of flags"));
        }
        Ok(Self {
            sequence: fixed.sequence.get(),
            sent_us: fixed.sent_us.get(),
            echo_us: fixed.echo_us.get(),
            end: Position(fixed.end.get()),
            held_us: fixed.held_us.get(),
            checksum: fixed.checksum.get(),
            flags,
            vector: body.list("vector", STREAMS_MAX)?,
        })
    }
}
