//! Prepare: the slots of a page are looked at once in each life before any of them is used.
//!
//! ```text
//!   control word of this run             somebody adopted or retired it already: nothing to do
//!   FREE, WRITING, RETIRED of an old run, or nonsense -> FREE of this run -> free bit
//!   LIVE of an old run: named, intact, seen by reads -> adopted;   named, else -> unlinked, retired
//!                       not named                     -> retired, free after a grace period
//! ```
//!
//! A slot is live exactly if an index word names it and its key matches, never because its header looks valid. A page
//! that was free is all zero, so its slots read as FREE of run 0. Nothing else frees.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::slot::{Control, Slot, State};
use crate::engine::Engine;
use crate::index::Found;
use crate::sync::failpoint::failpoint;
use crate::sync::{Ordering, bite};
use crate::types::handle::Handle;

impl Engine {
    /// Looks at the next few slots of a class that nobody has looked at; `false` if there are none.
    pub(super) fn prepare_step(&self, class: ClassId) -> bool {
        if class == ClassId::LARGE {
            return self.prepare_large(None);
        }
        // Before the claim: the page keeps its class until its slots are looked at.
        let _guard = self.pin();
        let _preparing = self.sweep.begin_preparing();
        match self.pages.claim_unprepared(class) {
            Some((page, first, count)) => {
                self.prepare(page, class, first, count);
                true
            }
            None => false,
        }
    }

    /// The same within one page.
    pub(super) fn prepare_step_in(&self, page: PageId, class: ClassId) -> bool {
        if class == ClassId::LARGE {
            return self.prepare_large(Some(page));
        }
        let _guard = self.pin();
        let _preparing = self.sweep.begin_preparing();
        match self.pages.claim_unprepared_in(page, class) {
            Some((page, first, count)) => {
                self.prepare(page, class, first, count);
                true
            }
            None => false,
        }
    }

    /// The caller holds a guard.
    fn prepare(&self, page: PageId, class: ClassId, first: u32, count: u32) {
        for slot in first..first + count {
            self.prepare_slot(self.pages.handle(page, slot), class);
        }
        if class == ClassId::OVERFLOW && self.pages.info(page).is_inherited() {
            // Release: pairs with the Acquire in `may_trim`.
            self.overflow_unknown.fetch_sub(u64::from(count), Ordering::Release);
        }
        failpoint!("page.formatted");
    }

    /// The caller holds a guard and the claim on this slot.
    fn prepare_slot(&self, handle: Handle, class: ClassId) {
        if class == ClassId::OVERFLOW {
            self.prepare_overflow(handle);
            return;
        }
        let Some(slot) = self.slot(handle) else { return };
        if self.settle_slot(slot) {
            self.pages.give_slot(handle);
        }
    }

    /// A bucket that no chain leads to is free, unless it was linked until just now: then who took it out gives it back.
    fn prepare_overflow(&self, handle: Handle) {
        if !self.index.is_overflow_linked(self.region.view(), handle.offset())
            && self.index.claim_overflow(self.region.view(), handle.offset())
        {
            self.pages.give_slot(handle);
        }
    }

    /// Decides about a slot of an old run. `true` if it is FREE of this run now, by this call.
    pub(super) fn settle_slot(&self, slot: Slot<'_>) -> bool {
        let control = slot.control();
        if control.run() == self.run {
            return false;
        }
        if control.state() != Some(State::Live) {
            return slot.reset(control, self.run);
        }
        match self.named_by(slot) {
            None if bite("prepare.named-not-checked") => self.adopt(slot),
            Some(found) => {
                self.first_read(slot, &found);
            }
            None => self.retire_unnamed(slot),
        }
        false
    }

    /// The index word that names a slot with the key that stands in it.
    pub(super) fn named_by(&self, slot: Slot<'_>) -> Option<Found> {
        // SAFETY: callers hold a guard; bytes of a LIVE slot do not change while it is there.
        let key = unsafe { slot.key() }?;
        let found = self.index.find_handle(self.region.view(), self.hash(key), slot.handle())?;
        (found.word.generation() == slot.generation()).then_some(found)
    }

    /// A LIVE slot that nothing names, of a dead run or of an insert that lost: no entry, so nothing to count but the
    /// slot.
    pub(super) fn retire_orphan(&self, slot: Slot<'_>) {
        self.retire_uncounted(slot);
    }

    /// The same for one that was of an old run. A read that found its word before that was taken out may have adopted it
    /// in between, and counted it in.
    pub(super) fn retire_unnamed(&self, slot: Slot<'_>) {
        let before = self.retire_uncounted(slot);
        if before.is_some_and(|before| before.run() == self.run)
            && let Some(class) = self.pages.class_of(slot.handle())
        {
            self.counters.count_out(class, 1);
            self.count_cleared_out(slot);
        }
    }

    fn retire_uncounted(&self, slot: Slot<'_>) -> Option<Control> {
        let before = slot.retire(self.run)?;
        #[cfg(feature = "values-on-heap")]
        self.note_retired_value(slot);
        if let Some(class) = self.pages.class_of(slot.handle()) {
            // Relaxed: a gauge.
            self.pages.class(class).limbo.fetch_add(1, Ordering::Relaxed);
            self.let_wait(class, &[slot.handle()]);
        }
        Some(before)
    }
}
