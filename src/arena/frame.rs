//! The frame: the bytes of a slot that never change once published, exactly as they go over the wire.
//!
//! ```text
//!  byte 0         4       5        6                 8       16      20    24      28       30        32
//!       +---------+-------+--------+-----------------+-------+-------+-----+-------+--------+---------+
//!       | control | freq. | gener. | key bytes, flags| stamp | value | ttl | crc32c| origin | key     |
//!       | u32     | u8    | u8     | u16             | u64   | bytes | u32 | u32   | u16    | space   |
//!       +---------+-------+--------+-----------------+-------+-------+-----+-------+--------+---------+
//!       |<---- the slot's own ---->|<------------------- frame header, 26 bytes ------------------>|
//!
//!  32: [interval width u32] [row version u64] | key | padding to 8 | value
//!       each only if its flag is set
//!
//!  key bytes, flags:  bit 15    14 13       12      11          10             0
//!                         +-------+----------+-------+----------+---------------+
//!                         | kind  | database | row   | interval | key length 11 |
//!                         +-------+----------+-------+----------+---------------+
//!                           0 value, 1 tombstone, 2 invalidation, 3 negative
//! ```
//!
//! All numbers are little-endian. The checksum covers the header with a checksum of 0 and all behind it to the end of the
//! value; the padding is zero.

use crate::types::checksum;
use crate::types::key::{Key, KeyspaceId};
use crate::types::version::{Order, Span, Stamp, Version};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes before the frame: control word, frequency, generation.
pub(crate) const FRAME_START: u64 = 6;
/// Bytes before the optional fields.
pub(crate) const HEADER_BYTES: u64 = FRAME_START + size_of::<FrameHeader>() as u64;

const INTERVAL_BYTES: u64 = 4;
const ROW_BYTES: u64 = 8;
const KEY_MASK: u16 = (1 << 11) - 1;
const HAS_INTERVAL: u16 = 1 << 11;
const HAS_ROW: u16 = 1 << 12;
const BY_DATABASE: u16 = 1 << 13;
const KIND_SHIFT: u32 = 14;

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct FrameHeader {
    key_and_flags: U16,
    stamp: U64,
    value_bytes: U32,
    ttl: U32,
    checksum: U32,
    origin: U16,
    keyspace: U16,
}

/// Where the checksum stands in a header.
const CHECKSUM_AT: usize = std::mem::offset_of!(FrameHeader, checksum);

const _: () = assert!(size_of::<FrameHeader>() == 26);
const _: () = assert!(HEADER_BYTES == 32);

/// What a frame stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameKind {
    Value,
    Tombstone,
    Invalidation,
    Negative,
}

/// What is written into a slot besides key and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameMeta {
    pub(crate) version: Version,
    pub(crate) ttl: u32,
    pub(crate) kind: FrameKind,
}

/// Where the parts of a slot lie, from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) key_start: u64,
    pub(crate) key_bytes: u64,
    pub(crate) value_start: u64,
    pub(crate) value_bytes: u64,
}

impl Extent {
    /// The extent of an entry to be written.
    #[inline(always)]
    pub(crate) fn of(version: &Version, key_bytes: usize, value_bytes: u64) -> Self {
        let prefix = prefix_bytes(!version.span.is_instant(), version.row.is_some());
        Self::from_parts(prefix, key_bytes as u64, value_bytes)
    }

    #[inline(always)]
    fn from_parts(prefix: u64, key_bytes: u64, value_bytes: u64) -> Self {
        let value_start = (prefix + key_bytes).next_multiple_of(8);
        Self { key_start: prefix, key_bytes, value_start, value_bytes }
    }

    /// Bytes of the slot that are in use.
    #[inline(always)]
    pub(crate) fn end(&self) -> u64 {
        self.value_start + self.value_bytes
    }
}

#[inline]
fn prefix_bytes(interval: bool, row: bool) -> u64 {
    HEADER_BYTES + if interval { INTERVAL_BYTES } else { 0 } + if row { ROW_BYTES } else { 0 }
}

impl FrameHeader {
    /// The header of an entry, its checksum still 0.
    pub(crate) fn new(key: Key<'_>, value_bytes: u32, meta: &FrameMeta) -> Self {
        let version = &meta.version;
        let flags = (if version.span.is_instant() { 0 } else { HAS_INTERVAL })
            | (if version.row.is_some() { HAS_ROW } else { 0 })
            | (if version.order == Order::Database { BY_DATABASE } else { 0 })
            | ((meta.kind as u16) << KIND_SHIFT);
        Self {
            key_and_flags: U16::new(key.bytes.len() as u16 | flags),
            stamp: U64::new(version.stamp.0),
            value_bytes: U32::new(value_bytes),
            ttl: U32::new(meta.ttl),
            checksum: U32::ZERO,
            origin: U16::new(version.origin),
            keyspace: U16::new(key.keyspace.0),
        }
    }

    /// Reads the header behind the first [`FRAME_START`] bytes of a slot.
    #[inline(always)]
    pub(crate) fn read(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// Whether it belongs to a key of this length in this key space.
    #[inline(always)]
    pub(crate) fn fits(&self, key: Key<'_>) -> bool {
        usize::from(self.key_and_flags.get() & KEY_MASK) == key.bytes.len() && self.keyspace.get() == key.keyspace.0
    }

    /// Where the parts lie. Says nothing about whether they fit the slot.
    #[inline(always)]
    pub(crate) fn extent(&self) -> Extent {
        let flags = self.key_and_flags.get();
        let prefix = prefix_bytes(flags & HAS_INTERVAL != 0, flags & HAS_ROW != 0);
        Extent::from_parts(prefix, u64::from(flags & KEY_MASK), u64::from(self.value_bytes.get()))
    }

    #[inline(always)]
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp(self.stamp.get())
    }

    #[inline(always)]
    pub(crate) fn ttl(&self) -> u32 {
        self.ttl.get()
    }

    #[inline(always)]
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        KeyspaceId(self.keyspace.get())
    }

    pub(crate) fn checksum(&self) -> u32 {
        self.checksum.get()
    }

    pub(crate) fn kind(&self) -> FrameKind {
        match self.key_and_flags.get() >> KIND_SHIFT {
            0 => FrameKind::Value,
            1 => FrameKind::Tombstone,
            2 => FrameKind::Invalidation,
            _ => FrameKind::Negative,
        }
    }

    /// The version; `optional` are the bytes between header and key.
    pub(crate) fn version(&self, optional: &[u8]) -> Version {
        let flags = self.key_and_flags.get();
        let (width, rest) = match optional {
            [a, b, c, d, rest @ ..] if flags & HAS_INTERVAL != 0 => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
            rest => (0, rest),
        };
        let row = (flags & HAS_ROW != 0).then(|| U64::read_from_prefix(rest).ok()).flatten().map(|(row, _)| row.get());
        Version {
            stamp: self.stamp(),
            span: Span::from_bits(width),
            origin: self.origin.get(),
            order: if flags & BY_DATABASE != 0 { Order::Database } else { Order::Cache },
            row,
        }
    }

    /// The checksum of a frame with this header, and what follows it to the end of the value.
    pub(crate) fn checksum_of(&self, rest: &[u8]) -> u32 {
        let blank = Self { checksum: U32::ZERO, ..*self };
        checksum::extend(checksum::extend(0, blank.as_bytes()), rest)
    }

    /// Writes header, optional fields, key and padding to a frame that holds its value already, then the checksum over all.
    ///
    /// `into` begins at [`FRAME_START`] and ends with the value, `value_start` bytes into the slot.
    pub(crate) fn write(mut self, version: &Version, key: Key<'_>, value_start: u64, into: &mut [u8]) {
        self.checksum = U32::ZERO;
        into[..size_of::<Self>()].copy_from_slice(self.as_bytes());
        let mut at = size_of::<Self>();
        if !version.span.is_instant() {
            into[at..at + 4].copy_from_slice(&version.span.bits().to_le_bytes());
            at += 4;
        }
        if let Some(row) = version.row {
            into[at..at + 8].copy_from_slice(&row.to_le_bytes());
            at += 8;
        }
        into[at..at + key.bytes.len()].copy_from_slice(key.bytes);
        at += key.bytes.len();
        into[at..(value_start - FRAME_START) as usize].fill(0);
        let checksum = checksum::extend(0, into);
        into[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Makes the checksum of a written frame go on over a value that lies elsewhere.
    #[cfg(feature = "values-on-heap")]
    pub(crate) fn cover(frame: &mut [u8], value: &[u8]) {
        let own = Self::read(frame).map_or(0, Self::checksum);
        let checksum = checksum::extend(own, value);
        frame[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(version: Version) {
        let key = Key::new(KeyspaceId(3), b"user:42").expect("a valid key");
        let value = b"the value";
        let meta = FrameMeta { version, ttl: 17, kind: FrameKind::Value };
        let extent = Extent::of(&version, key.bytes.len(), value.len() as u64);
        let mut bytes = vec![0xee_u8; extent.end() as usize];
        bytes[extent.value_start as usize..].copy_from_slice(value);
        FrameHeader::new(key, value.len() as u32, &meta).write(&version, key, extent.value_start, &mut bytes[6..]);
        let header = FrameHeader::read(&bytes[6..]).expect("long enough");
        assert_eq!(header.extent(), extent);
        assert!(header.fits(key));
        assert_eq!(header.version(&bytes[32..extent.key_start as usize]), version);
        assert_eq!(header.checksum_of(&bytes[32..]), header.checksum());
        assert_ne!(header.checksum_of(&bytes[31..]), header.checksum());
        assert!(
            bytes[(extent.key_start + extent.key_bytes) as usize..extent.value_start as usize]
                .iter()
                .all(|byte| *byte == 0)
        );
        assert!(extent.value_start.is_multiple_of(8));
    }

    #[test]
    fn a_frame_gives_back_what_went_in() {
        let plain = Version::instant(Stamp(1 << 40), 77);
        round_trip(plain);
        round_trip(Version { span: Span::of_write(9), order: Order::Database, ..plain });
        round_trip(Version { row: Some(u64::MAX), order: Order::Database, ..plain });
        round_trip(Version { span: Span::of_fill(1), row: Some(5), order: Order::Database, ..plain });
    }
}
