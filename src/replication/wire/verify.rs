//! VERIFY: keys and versions that a node holds and does not trust yet. The donor answers each batch with VERIFIED.
//!
//! ```text
//!   | held | held | ..      first: number of the batch      count: of held; 0 says that there are no more
//!
//!  held 0       8     16         20       22      24          26          28
//!       +-------+-----+----------+--------+-------+-----------+-----------+-----+
//!       | stamp | row | width us | origin | flags | key bytes | key space | key |     flags: 1 ordered by the database
//!       | u64   | u64 | u32      | u16    | u16   | u16       | u16       |     |            2 has a row version
//!       +-------+-----+----------+--------+-------+-----------+-----------+-----+
//! ```

#![forbid(unsafe_code)]

use super::body::Body;
use super::error::DecodeError;
use super::header::{FrameHeader, HEADER_BYTES, HeaderFields, Kind};
use crate::types::checksum;
use crate::types::key::{Key, KeyspaceId};
use crate::types::limits::BATCH_BYTES;
use crate::types::version::{Order, Span, Stamp, Version};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct HeldHeader {
    stamp: U64,
    row: U64,
    span: U32,
    origin: U16,
    flags: U16,
    key_bytes: U16,
    keyspace: U16,
}

const BY_DATABASE: u16 = 1;
const HAS_ROW: u16 = 2;

const _: () = assert!(size_of::<HeldHeader>() == 28);

/// A batch of what a node holds. Yields each of it.
#[derive(Clone, Debug)]
pub(crate) struct Verify<'a> {
    /// Rises by one with each batch.
    pub(crate) batch: u64,
    rest: Body<'a>,
    left: u32,
}

/// A key, and the version that is held of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) version: Version,
}

impl<'a> Verify<'a> {
    /// How many are still to come.
    pub(crate) fn len(&self) -> usize {
        self.left as usize
    }

    pub(super) fn decode(header: &FrameHeader, body: Body<'a>) -> Result<Self, DecodeError> {
        let mut walk = body;
        if header.next() != 0 {
            return Err(body.wrong("batch"));
        }
        for _ in 0..header.count() {
            read(&mut walk)?;
        }
        walk.end()?;
        Ok(Self { batch: header.first(), rest: body, left: header.count() })
    }
}

impl<'a> Iterator for Verify<'a> {
    type Item = Held<'a>;

    fn next(&mut self) -> Option<Held<'a>> {
        self.left = self.left.checked_sub(1)?;
        read(&mut self.rest).ok()
    }
}

fn read<'a>(body: &mut Body<'a>) -> Result<Held<'a>, DecodeError> {
    let before = *body;
    let header: &HeldHeader = body.structure()?;
    let key = body.bytes(usize::from(header.key_bytes.get()))?;
    let key = Key::new(KeyspaceId(header.keyspace.get()), key).ok_or(before.wrong("key"))?;
    let (flags, row) = (header.flags.get(), header.row.get());
    let has_row = flags & HAS_ROW != 0;
    if flags & !(BY_DATABASE | HAS_ROW) != 0 || (!has_row && row != 0) {
        return Err(before.wrong("version"));
    }
    let version = Version {
        stamp: Stamp(header.stamp.get()),
        span: Span::from_bits(header.span.get()),
        origin: header.origin.get(),
        order: if flags & BY_DATABASE != 0 { Order::Database } else { Order::Cache },
        row: has_row.then_some(row),
    };
    Ok(Held { key, version })
}

/// A VERIFY frame that is being put together at the end of a buffer.
#[derive(Debug)]
#[must_use = "a frame has to be finished"]
pub(crate) struct VerifyBuilder<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    version: u8,
    batch: u64,
    count: u32,
}

impl<'o> VerifyBuilder<'o> {
    /// Begins a batch.
    pub(crate) fn new(out: &'o mut Vec<u8>, version: u8, batch: u64) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        Self { out, start, version, batch, count: 0 }
    }

    /// Adds a key and its version.
    pub(crate) fn push(&mut self, key: Key<'_>, version: &Version) {
        assert!(!self.is_full(), "a batch of {} bytes takes no more", self.body_bytes());
        let flags = (if version.order == Order::Database { BY_DATABASE } else { 0 })
            | (if version.row.is_some() { HAS_ROW } else { 0 });
        let header = HeldHeader {
            stamp: U64::new(version.stamp.0),
            row: U64::new(version.row.unwrap_or(0)),
            span: U32::new(version.span.bits()),
            origin: U16::new(version.origin),
            flags: U16::new(flags),
            key_bytes: U16::new(key.bytes.len() as u16),
            keyspace: U16::new(key.keyspace.0),
        };
        self.out.extend_from_slice(header.as_bytes());
        self.out.extend_from_slice(key.bytes);
        self.count += 1;
    }

    fn body_bytes(&self) -> usize {
        self.out.len() - self.start - HEADER_BYTES
    }

    /// How many there are so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Whether the frame is to be finished before the next one is added.
    pub(crate) fn is_full(&self) -> bool {
        self.body_bytes() >= BATCH_BYTES
    }

    /// Takes the frame back.
    pub(crate) fn give_up(self) {
        self.out.truncate(self.start);
    }

    /// Finishes the frame. An empty one says that there are no more.
    pub(crate) fn finish(self) {
        let (bytes, version, count, first) = (self.body_bytes(), self.version, self.count, self.batch);
        let fields = HeaderFields { version, kind: Kind::Verify, bytes, count, first, next: 0 };
        let covered = checksum::extend(0, &self.out[self.start + HEADER_BYTES..]);
        let header = FrameHeader::new(&fields, covered);
        self.out[self.start..self.start + HEADER_BYTES].copy_from_slice(header.as_bytes());
    }
}
