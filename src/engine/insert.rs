//! Insert: a slot is written unseen, becomes LIVE, and one CAS makes it the entry.
//!
//! ```text
//!   draft      take a slot -> WRITING -> the caller fills the value
//!   publish    header, key, checksum -> LIVE -> find the key
//!                present: newer? -> CAS old word -> new word, retire the old slot
//!                absent:  stripe -> look again -> above the floor? -> link; a full chain gives up its coldest entry
//!   refused    the draft goes back, the key's entry is unlinked: absent, never old
//! ```

use crate::arena::change::Operation;
use crate::arena::classes::ClassId;
use crate::arena::frame::{Extent, FRAME_START, FrameHeader, FrameKind, FrameMeta};
use crate::arena::slot::{FREQUENCY_MAX, Slot};
use crate::engine::Engine;
use crate::engine::allocate::Taken;
use crate::engine::counters::Counter;
use crate::engine::get::HasKey;
use crate::eviction::expiry::TimeToLive;
use crate::eviction::policy::Part;
use crate::index::StripeGuard;
use crate::sync::Ordering;
use crate::sync::epoch::Guard;
use crate::sync::failpoint::failpoint;
use crate::types::handle::{Generation, Handle, IndexWord};
use crate::types::key::{Key, KeyHash};
use crate::types::version::Version;

/// Evictions of one insert while there are more entries than configured.
const EVICTED_OVER_MAX: u64 = 4;

/// A slot that is being written: WRITING, and its owner's alone.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) handle: Handle,
    pub(crate) class: ClassId,
    pub(super) generation: Generation,
    extent: Extent,
    tends: bool,
}

#[cfg(feature = "values-on-heap")]
impl Draft {
    /// Where the value begins, from the start of the slot.
    pub(super) fn value_start(&self) -> u64 {
        self.extent.value_start
    }
}

/// What an entry is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) version: Version,
    pub(crate) ttl: TimeToLive,
    pub(crate) kind: FrameKind,
    /// Hits that it starts with, 0 to 2: what was costly to make stays longer.
    pub(crate) cost: u8,
    pub(crate) source: Source,
}

/// Where a write comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// A caller of this node: the others are told.
    Local,
    /// The same, with what was read for a miss: later than whatever is there.
    Fill,
    /// Another node, which tells the others itself.
    Peer,
    /// A donor, during a join: it has compared the entry with its own floors.
    Donor,
}

/// Why an entry was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// No slot could be had without waiting.
    Busy,
    /// Too large for this arena.
    TooLarge,
    /// A newer version is there, and stays.
    Superseded(Version),
    /// The key is absent, and something newer of its range may have been there: it stays absent.
    BelowFloor,
    /// The order of the two versions can not be known: the key is absent now, this one was there.
    Unordered(Version),
}

impl Engine {
    /// Takes a slot for a value of so many bytes. Comes back with the guard, or a new one if it had to be let go.
    pub(crate) fn draft(
        &self,
        guard: Guard,
        key: Key<'_>,
        value_bytes: u64,
        version: &Version,
    ) -> Result<(Guard, Draft), Refusal> {
        #[cfg(feature = "values-on-heap")]
        let (value_bytes, length) = (self.value_bytes_in_slot(value_bytes), value_bytes);
        let extent = Extent::of(version, key.bytes.len(), value_bytes);
        let (guard, Taken { handle, class, generation, tends }) = self.allocate(guard, extent.end())?;
        failpoint!("insert.allocated");
        let draft = Draft { handle, class, generation, extent, tends };
        #[cfg(feature = "values-on-heap")]
        let draft = self.begin_on_heap(draft, length);
        Ok((guard, draft))
    }

    /// The value's bytes of a draft.
    pub(crate) fn draft_bytes<'d>(&'d self, draft: &'d Draft) -> &'d [u8] {
        #[cfg(feature = "values-on-heap")]
        if self.has_heap_values() {
            return self.heap_value(draft.handle, draft.value_start());
        }
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        // SAFETY: a draft's slot is WRITING and owned by it, and it is borrowed.
        unsafe { slot.bytes(draft.extent.value_start, draft.extent.value_bytes) }
    }

    /// The value's bytes of a draft, to be written: as the last owner of the slot left them.
    pub(crate) fn draft_bytes_mut<'d>(&'d self, draft: &'d mut Draft) -> &'d mut [u8] {
        #[cfg(feature = "values-on-heap")]
        if self.has_heap_values() {
            return self.heap_draft_mut(draft);
        }
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        // SAFETY: a draft's slot is WRITING and owned by it, and it is borrowed exclusively.
        unsafe { slot.bytes_mut(draft.extent.value_start, draft.extent.value_bytes) }
    }

    /// The frame of a draft, to be written: from its header to the end of the value.
    pub(super) fn draft_frame_mut<'d>(&'d self, draft: &'d mut Draft) -> &'d mut [u8] {
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        // SAFETY: a draft's slot is WRITING and owned by it, and it is borrowed exclusively.
        unsafe { slot.bytes_mut(FRAME_START, draft.extent.end() - FRAME_START) }
    }

    /// Gives an unpublished slot back.
    pub(crate) fn abandon(&self, draft: &Draft) {
        #[cfg(feature = "values-on-heap")]
        self.let_go_of_draft(draft);
        self.release_unlinked(draft.handle, draft.class, draft.extent.end());
    }

    /// Writes header, key and checksum of a filled draft and makes it the entry of its key. `true` if a read could have seen
    /// the entry that was there.
    pub(crate) fn publish(
        &self,
        guard: &Guard,
        key: Key<'_>,
        hash: KeyHash,
        draft: &Draft,
        entry: &Entry,
    ) -> Result<bool, Refusal> {
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        self.write_frame(slot, key, draft, entry);
        // The bucket has been on its way since the key was sought: asked earlier, it would be waited for.
        self.prefetch_old(hash);
        failpoint!("insert.written");
        self.publish_written(guard, key, hash, draft, entry)
    }

    /// The same for a draft whose frame is written.
    pub(super) fn publish_written(
        &self,
        guard: &Guard,
        key: Key<'_>,
        hash: KeyHash,
        draft: &Draft,
        entry: &Entry,
    ) -> Result<bool, Refusal> {
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        self.void_fills(hash);
        let announce = || self.announce(Operation::of(entry.kind), key, entry);
        let announced = (!crate::sync::bite("change.numbered-late")).then(announce);
        let word = IndexWord::new(hash, draft.generation, draft.handle);
        let result = self.enter(guard, key, hash, draft, entry, word);
        // Where the order is unknown, or something newer may have been there, the key is absent here: the others have to
        // learn that what they hold may be older.
        let made = matches!(result, Ok(_) | Err(Refusal::Unordered(_) | Refusal::BelowFloor));
        announced.unwrap_or_else(announce).conclude(made);
        match &result {
            Err(_) => self.abandon(draft),
            Ok(_) => self.note_linked(slot),
        }
        result
    }

    pub(super) fn write_frame(&self, slot: Slot<'_>, key: Key<'_>, draft: &Draft, entry: &Entry) {
        let extent = &draft.extent;
        let meta = FrameMeta { version: entry.version, ttl: entry.ttl.bits(), kind: entry.kind };
        let header = FrameHeader::new(key, extent.value_bytes as u32, &meta);
        // SAFETY: the slot is WRITING and the draft's, and nobody else has a reference to it.
        let frame = unsafe { slot.bytes_mut(FRAME_START, extent.end() - FRAME_START) };
        header.write(&entry.version, key, extent.value_start, frame);
        #[cfg(feature = "values-on-heap")]
        if self.has_heap_values() {
            FrameHeader::cover(frame, self.draft_bytes(draft));
        }
        self.begin_entry(slot, draft, entry);
    }

    /// What a written frame needs beside its bytes.
    pub(super) fn begin_entry(&self, slot: Slot<'_>, draft: &Draft, entry: &Entry) {
        slot.set_frequency(entry.cost.min(FREQUENCY_MAX - 1));
        if let Some(at) = entry.ttl.deadline(entry.version.micros())
            && let Some((page, _)) = self.pages.slot_number(draft.handle)
        {
            self.pages.note_expiry(self.region.view(), page, at);
        }
    }

    /// Links the written slot: replaces what is there, or takes the stripe and adds it.
    fn enter(
        &self,
        guard: &Guard,
        key: Key<'_>,
        hash: KeyHash,
        draft: &Draft,
        entry: &Entry,
        word: IndexWord,
    ) -> Result<bool, Refusal> {
        let check = HasKey { engine: self, key };
        let mut part = None;
        if crate::sync::bite("replace.under-a-lock") && self.index.lock(hash).is_none() {
            return Err(Refusal::Busy);
        }
        loop {
            let absent = self.index.is_absent_at_sight(self.region.view(), hash);
            if !absent && let Some(found) = self.index.find(self.region.view(), hash, &check) {
                match self.replace(key, draft, entry, word, &found)? {
                    Some(visible) => return Ok(visible),
                    None => continue,
                }
            }
            let part = *part.get_or_insert_with(|| self.admit(draft.class, hash));
            let Some(stripe) = self.index.lock(hash) else { return Err(Refusal::Busy) };
            failpoint!("insert.locked");
            if !crate::sync::bite("insert.no-second-look")
                && !self.index.is_absent_at_sight(self.region.view(), hash)
                && self.index.find(self.region.view(), hash, &check).is_some()
            {
                continue;
            }
            if !self.is_above_floor(key, entry) {
                return Err(Refusal::BelowFloor);
            }
            self.link_new(guard, key, hash, draft, entry, word, part, stripe)?;
            return Ok(false);
        }
    }

    /// Adds a key that is absent, under its stripe.
    #[expect(clippy::too_many_arguments, reason = "what its callers have in hand, on the path of every insert")]
    #[inline]
    pub(super) fn link_new(
        &self,
        guard: &Guard,
        key: Key<'_>,
        hash: KeyHash,
        draft: &Draft,
        entry: &Entry,
        word: IndexWord,
        part: Part,
        stripe: StripeGuard<'_>,
    ) -> Result<(), Refusal> {
        self.go_live(draft, part);
        // Before it can be found: whoever takes it out again counts it out.
        let late = crate::sync::bite("insert.counts-late");
        if !late {
            self.count_in(draft.class, key, entry);
        }
        while self.index.link(self.region.view(), &stripe, hash, word, self).is_err() {
            if !self.evict_from_chain(hash) {
                self.count_back(draft.class, key, entry);
                return Err(Refusal::Busy);
            }
        }
        failpoint!("insert.linked");
        drop(stripe);
        if late {
            self.count_in(draft.class, key, entry);
        }
        self.counters.add(Counter::Inserts);
        if part == Part::Ring {
            self.push_to_ring(draft.handle, draft.class);
        }
        self.after_insert(guard, draft);
        Ok(())
    }

    pub(super) fn go_live(&self, draft: &Draft, part: Part) {
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        slot.publish(self.run, part == Part::Ring);
    }

    /// Where a fresh entry goes; a ghost of its key teaches the class.
    pub(super) fn admit(&self, class: ClassId, hash: KeyHash) -> Part {
        let policy = self.policy(class);
        let ghost =
            if self.filled.load(Ordering::Relaxed) { self.ghost.take(self.ghost_class(class), hash) } else { None };
        if let Some(table) = ghost {
            policy.share.learn(table, self.occupied(class));
            // What went because of the bound on entries would have gone from any number of pages.
            if !self.has_all_entries() {
                self.rebalance.wanted(self.ghost_class(class));
            }
        }
        policy.share.admit(ghost, self.filling())
    }

    /// Counts an entry that is about to be linked: whoever unlinks it counts it out, which may be at once.
    pub(super) fn count_in(&self, class: ClassId, key: Key<'_>, entry: &Entry) {
        self.counting.take();
        self.counters.count_in(class);
        // Relaxed: gauges.
        if !self.is_after_clear(key.keyspace, entry.version.stamp) {
            self.cleared.fetch_add(1, Ordering::Relaxed);
            self.sweep.restart();
        } else if entry.kind != FrameKind::Value {
            self.markers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes back what `count_in` counted: the entry was not linked.
    pub(super) fn count_back(&self, class: ClassId, key: Key<'_>, entry: &Entry) {
        self.counters.count_out(class, 1);
        // Relaxed: gauges.
        if !self.is_after_clear(key.keyspace, entry.version.stamp) {
            let _ = self.cleared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        } else if entry.kind != FrameKind::Value {
            let _ = self.markers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        }
    }

    /// What follows an insert of a new key: growth, and room for the next ones.
    #[inline]
    fn after_insert(&self, guard: &Guard, draft: &Draft) {
        if let Some(max) = self.settings.entries_max {
            self.keep_entries_within(guard, draft.class, max);
        }
        self.tend(draft);
    }

    /// What the insert does that claimed slots for a stash, for all that will use them: lets the index grow, and sees to room.
    #[inline]
    pub(super) fn tend(&self, draft: &Draft) {
        if draft.tends {
            let entries = self.entries();
            if entries > self.index.entries_before_growth(self.region.view()) {
                self.index.grow(self.region.view(), self, entries);
            }
        }
        self.keep_reserve(draft.class, draft.tends);
    }

    fn keep_entries_within(&self, guard: &Guard, class: ClassId, max: u64) {
        let entries = self.entries();
        if entries > max {
            self.mark_filled();
            // More than one: an eviction may have found nothing while others inserted.
            for _ in 0..(entries - max).min(EVICTED_OVER_MAX) {
                self.evict_entry(guard, class);
            }
        }
    }
}
