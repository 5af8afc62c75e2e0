//! Get: from a key to its bytes in place.
//!
//! ```text
//!   bucket: tag -> slot: generation, key -> run of this life? -> visible? -> frequency -> bytes
//!                                              | no: lengths, alignment and checksum first, once per life
//! ```
//!
//! A hit writes nothing once the frequency is at its top. RETIRED seen under the guard is still a hit: the read comes
//! before the replace.

use crate::arena::classes::ClassId;
use crate::arena::frame::{Extent, FrameHeader, FrameKind};
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::engine::counters::Counter;
use crate::eviction::expiry::TimeToLive;
use crate::index::{Found, Home, KeyCheck};
use crate::region::View;
use crate::sync::epoch::Guard;
use crate::types::handle::{Handle, IndexWord};
use crate::types::key::{Key, KeyHash};
use crate::types::version::{Stamp, Version};
use std::time::Duration;

/// An entry found under a guard. Good for as long as that guard lives, or a pin taken under it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    handle: Handle,
    value_start: u32,
    value_bytes: u32,
}

impl Hit {
    #[inline]
    fn new(slot: Slot<'_>, extent: &Extent) -> Self {
        Self { handle: slot.handle(), value_start: extent.value_start as u32, value_bytes: extent.value_bytes as u32 }
    }

    /// Bytes of the slot in use, for the pin budget.
    pub(crate) fn slot_bytes(&self) -> u64 {
        u64::from(self.value_start) + u64::from(self.value_bytes)
    }
}

/// A key that is being looked up: hashed, its home bucket on the way.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'k> {
    pub(crate) key: Key<'k>,
    pub(crate) hash: KeyHash,
    pub(super) home: Home,
}

/// The same with the slot on the way that is likely to be the key's.
#[derive(Clone, Copy)]
pub(crate) struct Aimed<'k> {
    sought: Sought<'k>,
    likely: Found,
}

/// Compares a word's slot with a key.
pub(super) struct HasKey<'e, 'k> {
    pub(super) engine: &'e Engine,
    pub(super) key: Key<'k>,
}

impl KeyCheck for HasKey<'_, '_> {
    type Seen = ();

    #[inline]
    fn check(&self, word: IndexWord) -> Option<()> {
        let slot = Slot::at(self.engine.region.view(), word.handle())?;
        // SAFETY: every search runs under a guard that was there before it read the word.
        (slot.generation() == word.generation() && unsafe { slot.has_key(self.key) }).then_some(())
    }
}

/// The same for a read, which wants to know where the value lies.
struct ReadsKey<'r, 'k> {
    region: View<'r>,
    key: Key<'k>,
}

impl<'r> KeyCheck for ReadsKey<'r, '_> {
    type Seen = (Slot<'r>, Extent);

    #[inline(always)]
    fn check(&self, word: IndexWord) -> Option<Self::Seen> {
        let slot = Slot::at(self.region, word.handle())?;
        if slot.generation() != word.generation() {
            return None;
        }
        // SAFETY: every search runs under a guard that was there before it read the word.
        let extent = unsafe { slot.extent_of(self.key) }?;
        Some((slot, extent))
    }
}

impl Engine {
    /// Hashes a key and starts to load its home bucket. Needs no guard: what is loaded before the pin, whose fence waits
    /// for it, costs no time behind it.
    #[inline(always)]
    pub(crate) fn seek<'k>(&self, key: Key<'k>) -> Sought<'k> {
        let (hash, region) = (self.hash(key), self.region.view());
        let home = self.index.home(region, hash);
        self.index.prefetch(region, home);
        Sought { key, hash, home }
    }

    /// Reads the home bucket, and starts to load the slot that it leads to. Needs no guard either.
    #[inline(always)]
    pub(crate) fn aim<'k>(&self, sought: Sought<'k>) -> Aimed<'k> {
        let region = self.region.view();
        let likely = self.index.aim(region, sought.hash, sought.home);
        let offset = likely.word.handle().offset();
        region.prefetch(offset);
        region.prefetch(offset + 64);
        Aimed { sought, likely }
    }

    /// Finds an entry that a read may see. Lock-free, allocates nothing.
    #[inline(always)]
    pub(crate) fn get(&self, _guard: &Guard, aimed: &Aimed<'_>) -> Option<Hit> {
        let region = self.region.view();
        let check = ReadsKey { region, key: aimed.sought.key };
        match self.index.find_aimed(region, &aimed.likely, &check) {
            Some((slot, extent)) => self.read(slot, &extent, &aimed.likely),
            None => self.get_beyond(&aimed.sought),
        }
    }

    /// The same for a key whose home bucket does not lead to it: absent, behind the bucket, or moving.
    #[inline(never)]
    pub(super) fn get_beyond(&self, sought: &Sought<'_>) -> Option<Hit> {
        let region = self.region.view();
        let check = ReadsKey { region, key: sought.key };
        let (found, (slot, extent)) = self.index.find_from(region, sought.hash, sought.home, &check)?;
        self.read(slot, &extent, &found)
    }

    /// What a read makes of the slot that its key is in.
    #[inline(always)]
    fn read(&self, slot: Slot<'_>, extent: &Extent, found: &Found) -> Option<Hit> {
        if !slot.control().is_readable(self.run) && !self.first_read(slot, found) {
            return None;
        }
        // SAFETY: the guard was there before the search.
        let header = unsafe { slot.header() };
        if !self.is_visible(header) {
            return None;
        }
        if crate::sync::bite("get.writes-always") {
            slot.set_frequency(slot.frequency());
        }
        slot.touch();
        Some(Hit::new(slot, extent))
    }

    /// The value's bytes, in the arena.
    #[inline]
    pub(crate) fn value<'g>(&'g self, _guard: &'g Guard, hit: &Hit) -> &'g [u8] {
        #[cfg(feature = "values-on-heap")]
        if self.has_heap_values() {
            return self.heap_value(hit.handle, hit.value_start.into());
        }
        // SAFETY: a hit is used with the guard that it was found under, which was there before the search; it was made
        // of an extent that lies in the region.
        unsafe {
            self.region.view().payload_unchecked(hit.handle.offset(), hit.value_start.into(), hit.value_bytes.into())
        }
    }

    /// The value's bytes of an entry that the caller has pinned.
    pub(crate) fn pinned_value(&self, hit: &Hit) -> &[u8] {
        #[cfg(feature = "values-on-heap")]
        if self.has_heap_values() {
            return self.heap_value(hit.handle, hit.value_start.into());
        }
        // SAFETY: the caller's pin keeps the slot from being reused.
        unsafe { self.region.view().payload(hit.handle.offset(), hit.value_start.into(), hit.value_bytes.into()) }
    }

    /// The key of an entry.
    pub(crate) fn key<'g>(&'g self, _guard: &'g Guard, hit: &Hit) -> Key<'g> {
        let header = self.header(hit);
        let extent = header.extent();
        // SAFETY: as for `value`.
        let bytes = unsafe { self.region.view().payload(hit.handle.offset(), extent.key_start, extent.key_bytes) };
        Key { keyspace: header.keyspace(), bytes }
    }

    fn header(&self, hit: &Hit) -> &FrameHeader {
        let slot = self.slot(hit.handle).expect("a hit lies in the region");
        // SAFETY: callers hold the hit's guard or a pin.
        unsafe { slot.header() }
    }

    /// The version of an entry.
    pub(crate) fn version(&self, hit: &Hit) -> Version {
        let slot = self.slot(hit.handle).expect("a hit lies in the region");
        // SAFETY: callers hold the hit's guard or a pin.
        unsafe { slot.version() }
    }

    /// How long an entry is still visible; `None` if for ever.
    pub(crate) fn expires_in(&self, hit: &Hit) -> Option<Duration> {
        let header = self.header(hit);
        let at = TimeToLive::from_bits(header.ttl()).deadline(header.stamp().micros())?;
        Some(Duration::from_micros(at.saturating_sub(self.clock.fine_us())))
    }

    /// Takes a counted pin on an entry; `false` if the budget or the slot's pins are spent.
    pub(crate) fn pin_entry(&self, _guard: &Guard, hit: &Hit) -> bool {
        if !self.pins.take(hit.slot_bytes()) {
            return false;
        }
        let pinned = self.slot(hit.handle).is_some_and(|slot| slot.pin(self.run));
        if !pinned {
            self.pins.give(hit.slot_bytes());
        }
        pinned
    }

    /// Gives a pin back.
    pub(crate) fn unpin_entry(&self, hit: &Hit) {
        if let Some(slot) = self.slot(hit.handle) {
            slot.unpin();
            self.pins.give(hit.slot_bytes());
        }
    }

    /// Visits entries of the buckets from `first` on, until one had any word; returns the bucket behind it, `None` at the
    /// end. Each entry present throughout a whole walk is seen at least once.
    pub(crate) fn for_each_in(&self, guard: &Guard, first: u32, mut visit: impl FnMut(&Hit)) -> Option<u32> {
        let mut words = false;
        for bucket in first.. {
            let more = self.index.for_each_in(self.region.view(), bucket, |word| {
                words = true;
                if let Some(hit) = self.hit_of(guard, word) {
                    visit(&hit);
                }
            });
            if !more {
                return None;
            }
            if words {
                return Some(bucket + 1);
            }
        }
        None
    }

    fn hit_of(&self, guard: &Guard, word: IndexWord) -> Option<Hit> {
        let slot = self.slot(word.handle())?;
        if slot.generation() != word.generation() {
            return None;
        }
        // SAFETY: the caller's guard was there before the word was read.
        let key = unsafe { slot.key() }?;
        let hash = self.hash(key);
        // A word that a search for its own key does not meet is none: an entry that left meanwhile, or damage.
        let found = self.index.find_handle(self.region.view(), hash, word.handle())?;
        if found.word.generation() != word.generation() {
            return None;
        }
        if !slot.control().is_readable(self.run) && !self.first_read(slot, &found) {
            return None;
        }
        let _ = guard;
        // SAFETY: as above.
        let header = unsafe { slot.header() };
        let extent = header.extent();
        (slot.holds(&extent) && self.is_visible(header)).then(|| Hit::new(slot, &extent))
    }

    /// Starts to load what an insert will look at once the home bucket of its key is there: the slot that it may replace,
    /// and what is behind the bucket.
    #[inline]
    pub(super) fn prefetch_old(&self, hash: KeyHash) {
        if cfg!(loom) {
            return;
        }
        let region = self.region.view();
        let home = self.index.home(region, hash);
        region.prefetch(self.index.aim(region, hash, home).word.handle().offset());
        self.index.prefetch_beyond(region, home);
    }

    /// Starts to load what an insert of this key will change: its bucket, its ghosts, the stripe.
    #[inline]
    pub(crate) fn prefetch_to_insert(&self, sought: &Sought<'_>) {
        self.index.prefetch_to_insert(self.region.view(), sought.home, sought.hash);
        self.ghost.prefetch(sought.hash);
    }

    /// Whether an entry is a value, younger than the last clear, not held back, and not expired.
    #[inline(always)]
    pub(super) fn is_visible(&self, header: &FrameHeader) -> bool {
        header.kind() == FrameKind::Value
            && self.is_shown(header.keyspace(), header.stamp())
            && !self.is_expired(header)
    }

    #[inline(always)]
    pub(super) fn is_expired(&self, header: &FrameHeader) -> bool {
        let ttl = TimeToLive::from_bits(header.ttl());
        !ttl.is_never() && self.is_past(ttl, header.stamp())
    }

    #[inline(never)]
    fn is_past(&self, ttl: TimeToLive, stamp: Stamp) -> bool {
        !crate::sync::bite("ttl.ignored") && ttl.deadline(stamp.micros()).is_some_and(|at| self.clock.is_past(at))
    }

    /// The first read of an entry in this life: everything about it is checked once. `false` unlinks it.
    #[cold]
    pub(super) fn first_read(&self, slot: Slot<'_>, found: &Found) -> bool {
        let control = slot.control();
        if control.run() == self.run {
            // LIVE or RETIRED in this life: others have been here in between, and it is the hit that it was. FREE or
            // WRITING: what led here is not the word of an entry.
            return control.is_readable(self.run) && slot.generation() == found.word.generation();
        }
        let intact = self.is_intact(slot);
        if intact && !self.is_dead(slot) {
            self.adopt(slot);
            return slot.control().is_readable(self.run) && slot.generation() == found.word.generation();
        }
        if intact {
            self.before_unlink(slot);
        } else {
            self.raise_all_floors();
        }
        if self.index.unlink(self.region.view(), found) {
            self.counters.add(if intact { Counter::Expired } else { Counter::Damaged });
            self.retire(slot.handle());
        }
        false
    }

    /// Whether a slot lies where its page's class has one, LIVE or just retired, with right lengths and checksum.
    pub(super) fn is_intact(&self, slot: Slot<'_>) -> bool {
        let Some(limit) = self.room(slot) else { return false };
        if crate::sync::bite("get.no-checksum") {
            return true;
        }
        // Retired in this run: by somebody who came after the caller found it, so it is what it was.
        let control = slot.control();
        let retired_now = control.is(State::Retired, self.run) && !crate::sync::bite("get.retired-is-damage");
        // SAFETY: callers hold a guard since before they read the handle.
        (control.state() == Some(State::Live) || retired_now) && unsafe { slot.is_intact(limit) }
    }

    /// Bytes that a slot may use; `None` if no slot starts there.
    pub(super) fn room(&self, slot: Slot<'_>) -> Option<u64> {
        let class = self.pages.class_of(slot.handle())?;
        if class == ClassId::LARGE {
            return self.large_room(slot.handle());
        }
        Some(u64::from(self.pages.classes().slot_bytes(class)))
    }

    /// Takes an entry of an old run over into this one; whoever wins counts it.
    pub(super) fn adopt(&self, slot: Slot<'_>) {
        match self.pages.class_of(slot.handle()) {
            Some(class) if self.is_unsettled_large(slot, class) => self.adopt_unsettled_large(slot),
            Some(class) => self.adopt_alone(slot, class),
            None => {}
        }
    }

    /// The same, by whom nothing can come in between but another adopter or a retirer.
    pub(super) fn adopt_alone(&self, slot: Slot<'_>, class: ClassId) {
        // Before it is adopted: whoever retires it then counts it out.
        self.counters.count_in(class);
        if slot.adopt(slot.control(), self.run) {
            self.sweep.met();
            self.count_marker_in(slot);
            // A sweep of the last life may have ended in the middle of the page: then its deadline is not this entry's.
            if !crate::sync::bite("sweep.adopts-silently") {
                self.note_deadline(slot);
            }
        } else {
            self.counters.count_out(class, 1);
        }
    }
}
