//! The entry in a slot: its frame, read where it lies.
//!
//! ```text
//!   slot:  control | frame header | key | padding | value        header -> extent -> key, value, checksum
//! ```
//!
//! Lengths in a header that comes from a file mean nothing until they were compared with the region, and the entry is
//! whole only if its checksum says so. Who may look: a guard since before the handle was read, a pin, or the owner.

use crate::arena::frame::{Extent, FRAME_START, FrameHeader, HEADER_BYTES};
use crate::arena::slot::Slot;
use crate::types::key::{Key, KeyspaceId};
use crate::types::version::Version;

impl<'r> Slot<'r> {
    /// The frame header.
    ///
    /// # Safety
    ///
    /// - The caller holds a guard since before it read the handle, a pin, or owns the slot.
    #[inline(always)]
    pub(crate) unsafe fn header(self) -> &'r FrameHeader {
        // SAFETY: passed on to the caller; within the region by the invariant of the type.
        let bytes = unsafe { self.region.payload_unchecked(self.offset, FRAME_START, HEADER_BYTES - FRAME_START) };
        FrameHeader::read(bytes).expect("the slice has the header's length")
    }

    /// Whether an extent read from a header lies in the region.
    #[inline]
    pub(crate) fn holds(self, extent: &Extent) -> bool {
        extent.end() <= self.region.len() - self.offset
    }

    /// Bytes of the slot.
    ///
    /// # Safety
    ///
    /// - As for [`Slot::header`], and the range lies in the region.
    #[inline]
    pub(crate) unsafe fn bytes(self, start: u64, len: u64) -> &'r [u8] {
        // SAFETY: passed on to the caller.
        unsafe { self.region.payload(self.offset, start, len) }
    }

    /// Bytes of a slot that the caller is writing.
    ///
    /// # Safety
    ///
    /// - The slot is WRITING and the caller's own, and no other reference to these bytes lives.
    pub(crate) unsafe fn bytes_mut(self, start: u64, len: u64) -> &'r mut [u8] {
        // SAFETY: passed on to the caller.
        unsafe { self.region.payload_mut(self.offset, start, len) }
    }

    /// Whether the slot holds this key.
    ///
    /// # Safety
    ///
    /// - As for [`Slot::header`].
    #[inline(always)]
    pub(crate) unsafe fn has_key(self, key: Key<'_>) -> bool {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        if !header.fits(key) {
            return false;
        }
        let extent = header.extent();
        if extent.key_start + extent.key_bytes > self.region.len() - self.offset {
            return false;
        }
        // SAFETY: passed on to the caller; the range was checked just above.
        let bytes = unsafe { self.region.payload_unchecked(self.offset, extent.key_start, extent.key_bytes) };
        same_bytes(bytes, key.bytes)
    }

    /// Where the parts of the slot lie if it holds this key, all of them in the region.
    ///
    /// # Safety
    ///
    /// - As for [`Slot::header`].
    #[inline(always)]
    pub(crate) unsafe fn extent_of(self, key: Key<'_>) -> Option<Extent> {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        let extent = header.extent();
        if !header.fits(key) || !self.holds(&extent) {
            return None;
        }
        // SAFETY: passed on to the caller; the range was checked just above.
        let bytes = unsafe { self.region.payload_unchecked(self.offset, extent.key_start, extent.key_bytes) };
        same_bytes(bytes, key.bytes).then_some(extent)
    }

    /// The key, if its bytes lie in the region.
    ///
    /// # Safety
    ///
    /// - As for [`Slot::header`].
    pub(crate) unsafe fn key(self) -> Option<Key<'r>> {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        let extent = header.extent();
        if extent.key_start + extent.key_bytes > self.region.len() - self.offset {
            return None;
        }
        let keyspace: KeyspaceId = header.keyspace();
        // SAFETY: passed on to the caller; the range was checked just above.
        let bytes = unsafe { self.region.payload(self.offset, extent.key_start, extent.key_bytes) };
        Key::new(keyspace, bytes)
    }

    /// The version of a published frame.
    ///
    /// # Safety
    ///
    /// - As for [`Slot::header`].
    pub(crate) unsafe fn version(self) -> Version {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        let optional_bytes = header.extent().key_start - HEADER_BYTES;
        // SAFETY: passed on to the caller; at most 12 bytes behind the header, within the smallest slot.
        header.version(unsafe { self.bytes(HEADER_BYTES, optional_bytes) })
    }

    /// Whether lengths and checksum of a published frame are right; `limit` is the room that its slot has.
    ///
    /// # Safety
    ///
    /// - As for [`Slot::header`].
    pub(crate) unsafe fn is_intact(self, limit: u64) -> bool {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        let extent = header.extent();
        if extent.key_bytes == 0 || extent.end() > limit || !self.holds(&extent) {
            return false;
        }
        // SAFETY: passed on to the caller; the extent was checked just above.
        let rest = unsafe { self.bytes(HEADER_BYTES, extent.end() - HEADER_BYTES) };
        header.checksum_of(rest) == header.checksum()
    }
}

/// Compares two slices of one length; short ones by words, without a call.
#[inline(always)]
fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    if !(8..=32).contains(&left.len()) || left.len() != right.len() {
        return left == right;
    }
    let (left_words, _) = left.as_chunks::<8>();
    let (right_words, _) = right.as_chunks::<8>();
    let mut differs = 0;
    for (left, right) in left_words.iter().zip(right_words) {
        differs |= u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
    }
    // The last eight bytes, whatever the length: some were compared already.
    let (Some(left), Some(right)) = (left.last_chunk::<8>(), right.last_chunk::<8>()) else { return false };
    differs | (u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right)) == 0
}
