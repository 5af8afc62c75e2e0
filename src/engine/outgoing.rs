//! Outgoing: an entry's frame as it goes to the other nodes, from where it lies.
//!
//! ```text
//!   small    copied under a guard into the caller's batch
//!   large    pinned, its bytes stay until the write is over;  without a pin: copied, too
//!   larger   than a chunk: pinned, or told of as changed
//! ```
//!
//! What reads do not see goes too: tombstones, and what is expired. A frame is checked before its first use in a life, as by
//! a read.

use crate::arena::frame::{Extent, FRAME_START, FrameHeader, FrameKind, FrameMeta, HEADER_BYTES};
use crate::arena::slot::Slot;
use crate::engine::Engine;
use crate::engine::get::{HasKey, Sought};
use crate::sync::Arc;
use crate::sync::epoch::Guard;
use crate::types::handle::Handle;
use crate::types::key::{Key, KeyHash};
use crate::types::limits::CHUNK_BYTES;
use crate::types::version::Version;
use std::fmt;

/// An entry as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) version: Version,
    pub(crate) body: OutgoingBody,
}

/// Where the bytes of an outgoing frame are.
#[derive(Debug)]
pub(crate) enum OutgoingBody {
    /// Appended to the caller's buffer.
    Copied,
    /// In the arena, kept there until this is dropped.
    Pinned(PinnedFrame),
    /// Too large to be copied, and no pin is to be had: to be told of as changed.
    NoPin,
}

/// The bytes of a frame in the arena, which stay until this is dropped.
pub(crate) struct PinnedFrame {
    engine: Arc<Engine>,
    handle: Handle,
    bytes: u64,
}

impl PinnedFrame {
    /// The frame from its header to the end of its value.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the pin keeps the slot from being reused, and published bytes do not change.
        unsafe { self.engine.region.view().payload(self.handle.offset(), FRAME_START, self.bytes) }
    }

    /// The slot that is kept.
    #[cfg(loom)]
    pub(super) fn handle(&self) -> Handle {
        self.handle
    }
}

impl Drop for PinnedFrame {
    fn drop(&mut self) {
        if let Some(slot) = self.engine.slot(self.handle) {
            slot.unpin();
            self.engine.pins.give(self.bytes);
        }
    }
}

impl fmt::Debug for PinnedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedFrame({} bytes at {:?})", self.bytes, self.handle)
    }
}

impl Engine {
    /// The frame of a key as it is now; `None` if there is none. Up to `copied_max` bytes of value are appended to `into`.
    /// A pin keeps the engine too; no method, since loom's `Arc` can be no `self`.
    pub(crate) fn outgoing(
        this: &Arc<Self>,
        sought: &Sought<'_>,
        copied_max: u64,
        into: &mut Vec<u8>,
    ) -> Option<Outgoing> {
        let guard = this.pin();
        let slot = this.slot_sought(&guard, sought.key, sought.hash)?;
        // SAFETY: the guard was there before the search.
        let header = unsafe { slot.header() };
        let extent = header.extent();
        if !slot.holds(&extent) {
            return None;
        }
        let bytes = extent.end() - FRAME_START;
        // SAFETY: as above.
        let version = unsafe { slot.version() };
        let pinned = extent.value_bytes > copied_max && this.pins.take(bytes);
        if crate::sync::bite("outgoing.pinned-late") {
            drop(guard);
        }
        let pinned = pinned && (slot.pin(this.run) || this.give_budget(bytes));
        let body = if pinned {
            OutgoingBody::Pinned(PinnedFrame { engine: Arc::clone(this), handle: slot.handle(), bytes })
        } else if extent.value_bytes <= CHUNK_BYTES as u64 {
            // SAFETY: as above; the extent was checked.
            into.extend_from_slice(unsafe { slot.bytes(FRAME_START, bytes) });
            OutgoingBody::Copied
        } else {
            OutgoingBody::NoPin
        };
        Some(Outgoing { version, body })
    }

    fn give_budget(&self, bytes: u64) -> bool {
        self.pins.give(bytes);
        false
    }

    /// The version that is there for a key, seen by reads or not.
    pub(crate) fn version_of(&self, key: Key<'_>) -> Option<Version> {
        let guard = self.pin();
        let slot = self.entry_slot(&guard, key)?;
        // SAFETY: the guard was there before the search.
        Some(unsafe { slot.version() })
    }

    /// Whether it is known that a key has no value, by an entry that reads may see.
    pub(crate) fn is_known_absent(&self, guard: &Guard, sought: &Sought<'_>) -> bool {
        self.slot_sought(guard, sought.key, sought.hash).is_some_and(|slot| {
            // SAFETY: the guard was there before the search.
            let header = unsafe { slot.header() };
            header.kind() == FrameKind::Negative
                && self.is_shown(header.keyspace(), header.stamp())
                && !self.is_expired(header)
        })
    }

    /// The slot of a key's entry, checked.
    pub(super) fn entry_slot(&self, guard: &Guard, key: Key<'_>) -> Option<Slot<'_>> {
        self.slot_sought(guard, key, self.hash(key))
    }

    fn slot_sought(&self, _guard: &Guard, key: Key<'_>, hash: KeyHash) -> Option<Slot<'_>> {
        let check = HasKey { engine: self, key };
        let found = self.index.find(self.region.view(), hash, &check)?;
        let slot = self.slot(found.word.handle())?;
        (slot.control().is_readable(self.run) || self.first_read(slot, &found)).then_some(slot)
    }
}

/// Appends a frame without a value: a tombstone or an invalidation.
pub(crate) fn write_marker(kind: FrameKind, key: Key<'_>, version: &Version, into: &mut Vec<u8>) {
    let extent = Extent::of(version, key.bytes.len(), 0);
    let start = into.len();
    into.resize(start + (extent.end() - FRAME_START) as usize, 0);
    let meta = FrameMeta { version: *version, ttl: 0, kind };
    FrameHeader::new(key, 0, &meta).write(version, key, extent.value_start, &mut into[start..]);
}

const _: () = assert!(HEADER_BYTES > FRAME_START);
