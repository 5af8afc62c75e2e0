//! Prepare: the slots of a page are looked at once in each life before any of them is used.
//!
//! ```text
//!   control word of this run             somebody adopted or retired it already: nothing to do
//!   FREE, WRITING, RETIRED of an old run, or nonsense -> FREE of this run -> free bit
//!   LIVE of an old run: named by the index and intact -> adopted;  named but damaged -> unlinked, retired
//!                       not named                     -> retired, free after a grace period
//! ```
//!
//! A slot is live exactly if an index word names it and its key matches, never because its header looks valid. A page
//! that was free is all zero, so its slots read as FREE of run 0. Nothing else frees.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::engine::statistics::Counter;
use crate::index::Found;
use crate::sync::Ordering;
use crate::sync::failpoint::failpoint;
use crate::types::handle::Handle;

impl Engine {
    /// Looks at the next few slots of a class that nobody has looked at; `false` if there are none.
    pub(super) fn prepare_step(&self, class: ClassId) -> bool {
        if class == ClassId::LARGE {
            return self.prepare_large(None);
        }
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
        match self.pages.claim_unprepared_in(page, class) {
            Some((page, first, count)) => {
                self.prepare(page, class, first, count);
                true
            }
            None => false,
        }
    }

    fn prepare(&self, page: PageId, class: ClassId, first: u32, count: u32) {
        let _guard = self.pin();
        for slot in first..first + count {
            self.prepare_slot(self.pages.handle(page, slot), class);
        }
        failpoint!("page.formatted");
    }

    /// The caller holds a guard and the claim on this slot.
    fn prepare_slot(&self, handle: Handle, class: ClassId) {
        if class == ClassId::OVERFLOW {
            if !self.index.is_overflow_linked(&self.region, handle.offset()) {
                self.pages.give_slot(handle);
            }
            return;
        }
        let Some(slot) = self.slot(handle) else { return };
        if self.settle_slot(slot) {
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
            Some(_) if self.is_intact(slot) => self.adopt(slot),
            Some(found) => {
                if self.index.unlink(&self.region, &found) {
                    self.counters.add(Counter::Damaged);
                    self.retire(slot.handle());
                }
            }
            None => self.retire_orphan(slot),
        }
        false
    }

    /// The index word that names a slot with the key that stands in it.
    pub(super) fn named_by(&self, slot: Slot<'_>) -> Option<Found> {
        // SAFETY: callers hold a guard; bytes of a LIVE slot do not change while it is there.
        let key = unsafe { slot.key() }?;
        let found = self.index.find_handle(&self.region, self.hash(key), slot.handle())?;
        (found.word.generation() == slot.generation()).then_some(found)
    }

    /// A LIVE slot that nothing names, of a dead run or of an insert that lost: no entry, so nothing to count but the
    /// slot.
    pub(super) fn retire_orphan(&self, slot: Slot<'_>) {
        if slot.retire(self.run).is_some() {
            if let Some(class) = self.pages.class_of(slot.handle()) {
                self.pages.class(class).limbo.fetch_add(1, Ordering::Relaxed);
            }
            self.limbo.add(slot.handle());
        }
    }
}
