//! Get: from a key to its bytes in place.
//!
//! ```text
//!   bucket: tag -> slot: generation, key -> run of this life? -> visible? -> frequency -> bytes
//!                                              | no: lengths, alignment and checksum first, once per life
//! ```
//!
//! A hit writes nothing once the frequency is at its top. RETIRED seen under the guard is still a hit: the read comes
//! before the replace.

use crate::arena::frame::{Extent, FrameHeader, FrameKind};
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::engine::statistics::Counter;
use crate::eviction::expiry::TimeToLive;
use crate::index::{Found, KeyCheck};
use crate::sync::Ordering;
use crate::sync::epoch::Guard;
use crate::types::handle::{Handle, IndexWord};
use crate::types::key::{Key, KeyHash};
use crate::types::version::Version;

/// An entry found under a guard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit<'g> {
    slot: Slot<'g>,
    header: &'g FrameHeader,
    extent: Extent,
}

impl<'g> Hit<'g> {
    /// The value's bytes, in the arena.
    #[inline]
    pub(crate) fn value(&self) -> &'g [u8] {
        // SAFETY: the guard that `'g` borrows from has been held since before the handle was read.
        unsafe { self.slot.bytes(self.extent.value_start, self.extent.value_bytes) }
    }

    /// The key's bytes, in the arena.
    pub(crate) fn key(&self) -> &'g [u8] {
        // SAFETY: as for `value`.
        unsafe { self.slot.bytes(self.extent.key_start, self.extent.key_bytes) }
    }

    pub(crate) fn header(&self) -> &'g FrameHeader {
        self.header
    }

    pub(crate) fn handle(&self) -> Handle {
        self.slot.handle()
    }

    pub(crate) fn slot(&self) -> Slot<'g> {
        self.slot
    }

    pub(crate) fn version(&self) -> Version {
        self.slot.version()
    }

    /// Bytes of the slot in use, for the pin budget.
    pub(crate) fn slot_bytes(&self) -> u64 {
        self.extent.end()
    }
}

impl<'r> Slot<'r> {
    /// The version of a published frame. Callers hold a [`Hit`] or own the slot.
    pub(crate) fn version(self) -> Version {
        // SAFETY: callers hold a guard since before they read the handle.
        let header: &'r FrameHeader = unsafe { self.header() };
        let extent = header.extent();
        let start = crate::arena::frame::HEADER_BYTES;
        // SAFETY: as above; at most 12 bytes behind the header, within the smallest slot.
        let optional = unsafe { self.bytes(start, extent.key_start - start) };
        header.version(optional)
    }
}

/// Compares a word's slot with a key.
pub(super) struct HasKey<'e, 'k> {
    pub(super) engine: &'e Engine,
    pub(super) key: Key<'k>,
}

impl KeyCheck for HasKey<'_, '_> {
    #[inline]
    fn matches(&self, word: IndexWord) -> bool {
        let Some(slot) = Slot::at(&self.engine.region, word.handle()) else { return false };
        // SAFETY: every search runs under a guard that was there before it read the word.
        slot.generation() == word.generation() && unsafe { slot.has_key(self.key) }
    }
}

impl Engine {
    /// Finds an entry that a read may see. Lock-free, allocates nothing.
    #[inline]
    pub(crate) fn get<'g>(&'g self, _guard: &'g Guard, key: Key<'_>, hash: KeyHash) -> Option<Hit<'g>> {
        let found = self.index.find(&self.region, hash, &HasKey { engine: self, key })?;
        let slot = self.slot(found.word.handle())?;
        let control = slot.control();
        if control.run() != self.run && !self.first_read(slot, &found) {
            return None;
        }
        // SAFETY: the guard was there before the search.
        let header = unsafe { slot.header() };
        let extent = header.extent();
        if !slot.holds(&extent) || !self.is_visible(header) {
            return None;
        }
        slot.touch();
        Some(Hit { slot, header, extent })
    }

    /// Starts to load what a get of this key will need first.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, hash: KeyHash) {
        self.index.prefetch(&self.region, hash);
    }

    /// Whether an entry is a value, younger than the last clear, and not expired.
    #[inline]
    pub(super) fn is_visible(&self, header: &FrameHeader) -> bool {
        header.kind() == FrameKind::Value
            && self.is_after_clear(header.keyspace(), header.stamp())
            && !self.is_expired(header)
    }

    #[inline]
    pub(super) fn is_expired(&self, header: &FrameHeader) -> bool {
        let ttl = TimeToLive::from_bits(header.ttl());
        !ttl.is_never() && ttl.deadline(header.stamp().micros()).is_some_and(|at| self.clock.is_past(at))
    }

    /// The first read of an entry in this life: everything about it is checked once. `false` unlinks it.
    #[cold]
    pub(super) fn first_read(&self, slot: Slot<'_>, found: &Found) -> bool {
        if self.is_intact(slot) {
            self.adopt(slot);
            let now = slot.control();
            return now.run() == self.run && now.state() != Some(State::Free);
        }
        if self.index.unlink(&self.region, found) {
            self.counters.add(Counter::Damaged);
            self.retire(slot.handle());
        }
        false
    }

    /// Whether a slot lies where its page's class has one, in state LIVE, with right lengths and checksum.
    pub(super) fn is_intact(&self, slot: Slot<'_>) -> bool {
        let Some(limit) = self.room(slot) else { return false };
        if crate::sync::bite("get.no-checksum") {
            return true;
        }
        // SAFETY: callers hold a guard since before they read the handle.
        slot.control().state() == Some(State::Live) && unsafe { slot.is_intact(limit) }
    }

    /// Bytes that a slot may use; `None` if no slot starts there.
    pub(super) fn room(&self, slot: Slot<'_>) -> Option<u64> {
        let class = self.pages.class_of(slot.handle())?;
        if class == crate::arena::classes::ClassId::LARGE {
            return self.large_room(slot.handle());
        }
        Some(u64::from(self.pages.classes().slot_bytes(class)))
    }

    /// Takes an entry of an old run over into this one; whoever wins counts it.
    pub(super) fn adopt(&self, slot: Slot<'_>) {
        if slot.adopt(slot.control(), self.run)
            && let Some(class) = self.pages.class_of(slot.handle())
        {
            // Relaxed: a gauge.
            self.pages.class(class).live.fetch_add(1, Ordering::Relaxed);
        }
    }
}
