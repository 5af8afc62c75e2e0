//! A frame that came from elsewhere: nothing in it is believed before its lengths and its checksum were found right.
//!
//! ```text
//!   wire:  frame header 26 B | [interval u32] [row u64] | key | padding | value        the bytes of a slot from 6 on
//! ```

#![forbid(unsafe_code)]

use crate::arena::frame::{Extent, FRAME_START, FrameHeader, FrameKind, HEADER_BYTES};
use crate::types::key::Key;
use crate::types::version::Version;

/// Bytes of a frame header on the wire.
pub(crate) const WIRE_HEADER_BYTES: usize = (HEADER_BYTES - FRAME_START) as usize;

/// A frame whose lengths and checksum are right. Borrows the bytes that it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedFrame<'a> {
    pub(crate) version: Version,
    pub(crate) kind: FrameKind,
    pub(crate) ttl: u32,
    pub(crate) key: Key<'a>,
    pub(crate) value: &'a [u8],
    /// All of it, if that is byte for byte what a slot with it holds: it can be put there as it came, checksum and all.
    pub(crate) whole: Option<&'a [u8]>,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {found} bytes ends before its {needed} bytes")]
    Short { found: u64, needed: u64 },
    #[error("a frame of {needed} bytes has {found} bytes")]
    Long { found: u64, needed: u64 },
    #[error("a key of {bytes} bytes")]
    Key { bytes: u64 },
    #[error("a {kind:?} with a value of {bytes} bytes")]
    Value { kind: FrameKind, bytes: u64 },
    #[error("checksum {found:08x} where {expected:08x} is right")]
    Checksum { found: u32, expected: u32 },
}

/// The part of a frame in front of its value, when the value is still on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameHead<'a> {
    pub(crate) header: &'a FrameHeader,
    pub(crate) version: Version,
    pub(crate) key: Key<'a>,
    /// Bytes of the head on the wire.
    pub(crate) head_bytes: usize,
    pub(crate) value_bytes: u64,
}

impl<'a> FrameHead<'a> {
    /// Reads what stands in front of the value. The checksum is not looked at: it covers the value.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the bytes are too few, or no key is in them.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let short = |needed: u64| FrameError::Short { found: bytes.len() as u64, needed };
        let header = FrameHeader::read(bytes).ok_or(short(WIRE_HEADER_BYTES as u64))?;
        let Extent { key_start, key_bytes, value_start, value_bytes } = header.extent();
        let head_bytes = (value_start - FRAME_START) as usize;
        if bytes.len() < head_bytes {
            return Err(short(head_bytes as u64));
        }
        let key_at = (key_start - FRAME_START) as usize;
        let key = Key::new(header.keyspace(), &bytes[key_at..key_at + key_bytes as usize])
            .ok_or(FrameError::Key { bytes: key_bytes })?;
        let version = header.version(&bytes[WIRE_HEADER_BYTES..key_at]);
        let kind = header.kind();
        if value_bytes > 0 && matches!(kind, FrameKind::Tombstone | FrameKind::Invalidation) {
            return Err(FrameError::Value { kind, bytes: value_bytes });
        }
        Ok(Self { header, version, key, head_bytes, value_bytes })
    }

    /// Whether a node that writes this entry writes exactly these bytes: nothing in them is there that need not be, and the
    /// padding is zero.
    fn is_as_written(&self, bytes: &[u8]) -> bool {
        let extent = self.header.extent();
        let padding = (extent.key_start + extent.key_bytes - FRAME_START) as usize..self.head_bytes;
        Extent::of(&self.version, self.key.bytes.len(), self.value_bytes) == extent
            && bytes[padding].iter().all(|byte| *byte == 0)
    }

    /// Bytes of the whole frame on the wire.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.head_bytes as u64 + self.value_bytes
    }
}

impl<'a> ReceivedFrame<'a> {
    /// Reads a whole frame, which fills `bytes`.
    ///
    /// # Errors
    ///
    /// [`FrameError`]; no part of the frame is to be used then.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let head = FrameHead::read(bytes)?;
        let (found, needed) = (bytes.len() as u64, head.frame_bytes());
        if found < needed {
            return Err(FrameError::Short { found, needed });
        }
        if found > needed {
            return Err(FrameError::Long { found, needed });
        }
        let expected = head.header.checksum_of(&bytes[WIRE_HEADER_BYTES..]);
        let found = head.header.checksum();
        if found != expected && !crate::sync::bite("wire.checksum-unchecked") {
            return Err(FrameError::Checksum { found, expected });
        }
        Ok(Self {
            version: head.version,
            kind: head.header.kind(),
            ttl: head.header.ttl(),
            key: head.key,
            value: &bytes[head.head_bytes..],
            whole: head.is_as_written(bytes).then_some(bytes),
        })
    }
}
