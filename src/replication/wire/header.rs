//! The 32 bytes in front of every frame: what kind it is, how long, and whether it arrived whole.
//!
//! ```text
//!  byte 0       2         3      4       8       12         16              24             32
//!       +-------+---------+------+-------+-------+----------+---------------+--------------+
//!       | magic | version | kind | bytes | count | checksum | first         | next         |
//!       | a1 5c | u8      | u8   | u32   | u32   | u32      | u64           | u64          |
//!       +-------+---------+------+-------+-------+----------+---------------+--------------+
//!
//!   bytes      of the body                    checksum   CRC32C over the covered bytes of the body, then this header with 0 here
//!   count      records; 0 in other frames     first, next    positions, or a batch number; 0 in other frames
//!
//!   versions:      ours  min |--------| max          the highest that both have: min(max, max),
//!                theirs        min |--------| max    if that is not below either min
//! ```

#![forbid(unsafe_code)]

use super::error::DecodeError;
use crate::sync::bite;
use crate::types::checksum;
use crate::types::limits::{BATCH_BYTES, CHUNK_BYTES, FRAME_BYTES_MAX, HELLO_BYTES_MAX, REFUSAL_BYTES_MAX};
use std::ops::RangeInclusive;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The versions of the protocol that this build speaks. 0 is none: HELLO and REFUSE carry it.
pub(crate) const PROTOCOL: RangeInclusive<u8> = 1..=1;

/// The first two bytes of every frame, `a1 5c`.
pub(crate) const MAGIC: u16 = 0x5ca1;

/// Bytes of a frame header.
pub(crate) const HEADER_BYTES: usize = size_of::<FrameHeader>();

/// Kinds from this one on may be skipped by who does not know them.
pub(crate) const SKIPPABLE: u8 = 128;

/// The version of HELLO and REFUSE.
pub(crate) const VERSION_OF_HELLO: u8 = 0;

/// The highest version that both ranges have; `None` if they have none in common.
pub(crate) fn negotiate(ours: &RangeInclusive<u8>, theirs: &RangeInclusive<u8>) -> Option<u8> {
    let highest = *ours.end().min(theirs.end());
    (highest >= *ours.start().max(theirs.start())).then_some(highest)
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct FrameHeader {
    magic: U16,
    version: u8,
    kind: u8,
    bytes: U32,
    count: U32,
    checksum: U32,
    first: U64,
    next: U64,
}

const _: () = assert!(size_of::<FrameHeader>() == 32);
const _: () = assert!(std::mem::offset_of!(FrameHeader, checksum) == 12);
const _: () = assert!(std::mem::offset_of!(FrameHeader, next) == 24);

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Hello = 1,
    Refuse = 2,
    Subscribe = 3,
    Unsubscribe = 4,
    NotCovered = 5,
    Changes = 6,
    Chunk = 7,
    Ack = 8,
    Heartbeat = 9,
    Goodbye = 10,
    SyncRequest = 11,
    SyncBegin = 12,
    Verify = 13,
    Verified = 14,
    SyncEntries = 15,
    Floors = 16,
    SyncEnd = 17,
}

impl Kind {
    /// All of them, by number.
    pub(crate) const ALL: [Self; 17] = [
        Self::Hello,
        Self::Refuse,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::NotCovered,
        Self::Changes,
        Self::Chunk,
        Self::Ack,
        Self::Heartbeat,
        Self::Goodbye,
        Self::SyncRequest,
        Self::SyncBegin,
        Self::Verify,
        Self::Verified,
        Self::SyncEntries,
        Self::Floors,
        Self::SyncEnd,
    ];

    /// From the byte of a header.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        Self::ALL.get(usize::from(bits).checked_sub(1)?).copied()
    }

    /// Whether it is the same in every version of the protocol, and carries version 0.
    pub(crate) fn is_of_every_version(self) -> bool {
        matches!(self, Self::Hello | Self::Refuse)
    }

    /// The longest body.
    pub(crate) const fn body_bytes_max(self) -> usize {
        match self {
            Self::Hello => HELLO_BYTES_MAX,
            Self::Refuse => REFUSAL_BYTES_MAX,
            Self::Subscribe | Self::Unsubscribe | Self::NotCovered | Self::Goodbye | Self::SyncEnd => 24,
            Self::Ack | Self::Heartbeat | Self::SyncRequest | Self::SyncBegin => LISTS_BYTES_MAX,
            Self::Verify | Self::Floors => BATCH_BYTES + (2 << 10),
            Self::Chunk => super::chunk::PREFIX_BYTES + CHUNK_BYTES,
            Self::Changes | Self::Verified | Self::SyncEntries => FRAME_BYTES_MAX,
        }
    }
}

/// The longest body of frames with a vector, and clears.
const LISTS_BYTES_MAX: usize = 8 << 10;

/// What of a header its encoder chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderFields {
    pub(crate) version: u8,
    pub(crate) kind: Kind,
    pub(crate) bytes: usize,
    pub(crate) count: u32,
    pub(crate) first: u64,
    pub(crate) next: u64,
}

impl FrameHeader {
    /// The header of a frame; `covered` is the checksum of the covered bytes of its body.
    pub(crate) fn new(fields: &HeaderFields, covered: u32) -> Self {
        assert!(fields.bytes <= fields.kind.body_bytes_max(), "{fields:?} is longer than its kind may be");
        let mut header = Self {
            magic: U16::new(MAGIC),
            version: fields.version,
            kind: fields.kind as u8,
            bytes: U32::new(fields.bytes as u32),
            count: U32::new(fields.count),
            checksum: U32::ZERO,
            first: U64::new(fields.first),
            next: U64::new(fields.next),
        };
        header.checksum = U32::new(header.checksum_over(covered));
        header
    }

    /// Reads the header at the front of some bytes; `None` if they are fewer than a header.
    pub(crate) fn read(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// Looks at all that a header shows alone, before its body is waited for: `None` for a kind to be skipped.
    ///
    /// `version` is what was agreed on, `None` as long as nothing was.
    pub(crate) fn check(&self, version: Option<u8>) -> Result<Option<Kind>, DecodeError> {
        if self.magic.get() != MAGIC {
            return Err(DecodeError::Magic { found: self.magic.get(), expected: MAGIC });
        }
        let kind = Kind::from_bits(self.kind);
        if kind.is_none() && self.kind < SKIPPABLE {
            return Err(DecodeError::Kind { kind: self.kind });
        }
        let expected = match kind {
            Some(kind) if kind.is_of_every_version() => VERSION_OF_HELLO,
            _ => version.ok_or(DecodeError::Early { kind: self.kind })?,
        };
        if self.version != expected {
            return Err(DecodeError::Version { kind: self.kind, found: self.version, expected });
        }
        let limit = kind.map_or(FRAME_BYTES_MAX, Kind::body_bytes_max);
        if self.body_bytes() > limit && !bite("wire.length-unchecked") {
            return Err(DecodeError::TooLong { kind: self.kind, bytes: self.bytes.get(), limit: limit as u32 });
        }
        Ok(kind)
    }

    /// Compares the checksum with what was received.
    pub(crate) fn check_sum(&self, covered: u32) -> Result<(), DecodeError> {
        let (found, expected) = (self.checksum.get(), self.checksum_over(covered));
        if found != expected && !bite("wire.frame-checksum-unchecked") {
            return Err(DecodeError::Checksum { kind: self.kind, found, expected });
        }
        Ok(())
    }

    /// The checksum of the covered bytes of a body, extended over this header with a checksum of 0.
    fn checksum_over(&self, covered: u32) -> u32 {
        checksum::extend(covered, Self { checksum: U32::ZERO, ..*self }.as_bytes())
    }

    /// The same header with the checksum that is right for a body whose covered bytes have this one.
    #[cfg(any(test, fuzzing))]
    pub(super) fn mended(&self, covered: u32) -> Self {
        Self { checksum: U32::new(self.checksum_over(covered)), ..*self }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn kind_bits(&self) -> u8 {
        self.kind
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.bytes.get() as usize
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.get()
    }

    pub(crate) fn first(&self) -> u64 {
        self.first.get()
    }

    pub(crate) fn next(&self) -> u64 {
        self.next.get()
    }

    pub(crate) fn checksum(&self) -> u32 {
        self.checksum.get()
    }
}

/// Appends a frame, all of whose body is covered and appended by `write`.
pub(crate) fn encode(out: &mut Vec<u8>, version: u8, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let body = &out[start + HEADER_BYTES..];
    let fields = HeaderFields { version, kind, bytes: body.len(), count: 0, first: 0, next: 0 };
    let header = FrameHeader::new(&fields, checksum::extend(0, body));
    out[start..start + HEADER_BYTES].copy_from_slice(header.as_bytes());
}

/// A checksum over all frames of changes of one connection, in their order: the CRC32C of their checksums.
///
/// Sender and receiver each keep one; heartbeats carry the sender's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct StreamChecksum(u32);

impl StreamChecksum {
    /// Goes on over a CHANGES or CHUNK frame with this checksum.
    pub(crate) fn add(&mut self, frame_checksum: u32) {
        self.0 = checksum::extend(self.0, &frame_checksum.to_le_bytes());
    }

    pub(crate) fn value(self) -> u32 {
        self.0
    }
}
