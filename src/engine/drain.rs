//! Drain: a page leaves its class, slot by slot, while everything around it goes on.
//!
//! ```text
//!   no new slots -> used entries are copied within the class, the others evicted -> every slot free, each after its own
//!   grace period -> owned -> dirty, and a grace period for those who looked at its class -> zeroed -> free
//! ```

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::engine::allocate::Taken;
use crate::engine::counters::Counter;
use crate::engine::large::Look;
use crate::eviction::policy::Part;
use crate::sync::MutexGuard;
use crate::types::handle::{Handle, IndexWord};

/// Slots that one step of a drain looks at.
const DRAIN_STEP: u32 = 512;

/// A page on its way out of its class.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) page: PageId,
    pub(super) class: ClassId,
    pub(super) next_slot: u32,
    pub(super) since_us: u64,
    /// Whether used entries are copied; an insert in need evicts all.
    pub(super) rescue: bool,
    pub(super) then: Then,
}

/// What becomes of a drained page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    Free,
    /// Nobody's: it lies beyond the end of the arena that is to be.
    Withhold,
}

impl Drain {
    /// A drain that evicts everything.
    pub(super) fn of(page: PageId, class: ClassId, then: Then) -> Self {
        Self { page, class, next_slot: 0, since_us: 0, rescue: false, then }
    }
}

impl Engine {
    /// Some slots of a draining page. `true` once the page is free.
    pub(super) fn drain_step(&self, drain: &mut Drain) -> bool {
        let guard = self.pin();
        let info = self.pages.info(drain.page);
        if !info.is_draining() || !info.has_slots_of(drain.class) {
            // Somebody who needed it for a run of pages emptied it first; it may be another class's by now.
            return true;
        }
        let slots = self.pages.classes().slots_per_page(drain.class);
        while self.pages.prepared(drain.page) < slots && self.prepare_step_in(drain.page, drain.class) {}
        let end = (drain.next_slot + DRAIN_STEP).min(slots);
        for number in drain.next_slot..end {
            self.drain_slot(drain, number);
        }
        drain.next_slot = if end == slots { 0 } else { end };
        self.reclaim_due(&guard);
        self.pages.empty_stashes(drain.page, drain.class);
        if self.pages.own_all(drain.page) {
            match drain.then {
                Then::Free => self.retire_page(drain.page),
                Then::Withhold => self.pages.make_dirty(self.region.view(), drain.page),
            }
            self.counters.add(Counter::PagesMoved);
            return true;
        }
        self.launch_grace(&guard);
        self.domain.help(&guard);
        false
    }

    fn drain_slot(&self, drain: &Drain, number: u32) {
        let Some(Look::At(slot, control)) = self.look_at(drain.page, drain.class, number) else { return };
        if control.state() != Some(State::Live) {
            return;
        }
        let handle = slot.handle();
        let keep = drain.rescue && drain.class != ClassId::LARGE && slot.frequency() > 0 && !self.is_dead(slot);
        if !(keep && self.relocate(slot, drain.class)) {
            let part = if slot.control().is_queued() { Part::Ring } else { Part::Main };
            self.unlink(handle, drain.class, Some(part));
        }
    }

    /// Copies an entry to another slot of its class; the index decides whether it is still the one. `false` if the entry
    /// has to go instead.
    pub(super) fn relocate(&self, slot: Slot<'_>, class: ClassId) -> bool {
        // Not named: on its way into the index, or out of it. The next look at this page finds out.
        let Some(found) = self.named_by(slot) else { return !crate::sync::bite("rebalance.evicts-unlinked") };
        if !slot.control().is_readable(self.run) && !self.first_read(slot, &found) {
            return false;
        }
        // SAFETY: the caller holds a guard and saw the slot LIVE under it.
        let Some(key) = (unsafe { slot.key() }) else { return false };
        // SAFETY: as above.
        let end = unsafe { slot.header() }.extent().end();
        if end > u64::from(self.pages.classes().slot_bytes(class)) {
            return false;
        }
        let bytes = end - crate::arena::frame::FRAME_START;
        let Some(Taken { handle: to, generation, .. }) = self.take(&self.pin(), class) else { return false };
        let Some(copy) = self.slot(to) else { return false };
        // SAFETY: as above; an adopted slot's extent lies within it.
        let from = unsafe { slot.bytes(crate::arena::frame::FRAME_START, bytes) };
        // SAFETY: the new slot is WRITING and ours.
        unsafe { copy.bytes_mut(crate::arena::frame::FRAME_START, bytes) }.copy_from_slice(from);
        // The hand may have lowered it since the caller looked.
        copy.set_frequency(slot.frequency().saturating_sub(1));
        let queued = slot.control().is_queued();
        #[cfg(feature = "values-on-heap")]
        self.share_heap_value(copy, class);
        copy.publish(self.run, queued);
        let word = IndexWord::new(self.hash(key), generation, to);
        // First, since whoever unlinks the copy counts it out.
        self.counters.count_in(class);
        let marker = self.count_marker_in(copy);
        if !self.index.swap(self.region.view(), &found, word) {
            self.counters.count_out(class, 1);
            self.count_markers_back(u64::from(marker));
            self.release_unlinked(to, class, 0);
            return true;
        }
        self.note_linked(copy);
        self.counters.add(Counter::Relocated);
        self.retire(slot.handle());
        if queued {
            self.push_to_ring(to, class);
        }
        true
    }

    /// Takes an owned page out of its class. Whoever still walks its slots by that class holds a guard, so it waits
    /// for them before it is zeroed and freed.
    pub(super) fn retire_page(&self, page: PageId) {
        self.pages.make_dirty(self.region.view(), page);
        if crate::sync::bite("page.free-at-once") {
            return self.pages.leave_dirty(page);
        }
        self.pages.await_grace();
        if self.limbo.add(&[Handle::from_offset(self.pages.layout().page_start(page))]) > 0 {
            self.pages.give_up_grace();
        }
    }

    /// Gives the drains under way up and keeps others from starting one; `None` if another thread is at it.
    pub(super) fn stop_drains(&self) -> Option<MutexGuard<'_, Vec<Drain>>> {
        let mut under_way = crate::sync::try_lock(&self.rebalance.drains)?;
        under_way.drain(..).for_each(|drain| self.pages.cancel_drain(drain.page));
        Some(under_way)
    }

    /// One step towards a free page among those on their way; `false` if there is none.
    pub(super) fn hasten_page(&self) -> bool {
        if self.clean_dirty_page() {
            return true;
        }
        if self.pages.coming_pages() == 0 {
            return false;
        }
        let guard = self.pin();
        self.reclaim(&guard, ClassId::LARGE);
        self.launch_grace(&guard);
        self.domain.help(&guard);
        true
    }

    /// Zeroes one page that was left dirty; `false` if there is none.
    pub(super) fn clean_dirty_page(&self) -> bool {
        let Some(page) = self.pages.claim_dirty() else { return false };
        self.zero(page);
        self.pages.free(self.region.view(), page);
        true
    }

    fn zero(&self, page: PageId) {
        let layout = self.pages.layout();
        // SAFETY: the caller owns the page: none of its slots is anybody's, and no index word leads into it.
        unsafe { self.region.view().zero(layout.page_start(page), layout.page_bytes) };
    }
}
