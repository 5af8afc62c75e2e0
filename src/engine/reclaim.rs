//! Reclaim: what was retired becomes free once no reader can see it.

use crate::arena::classes::ClassId;
use crate::arena::page::PageKind;
use crate::arena::reclaim::TAKE_MAX;
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::sync::Ordering;
use crate::sync::epoch::Guard;
use crate::types::handle::Handle;

/// Rounds of [`TAKE_MAX`] in one call.
const ROUNDS_MAX: u32 = 4;

impl Engine {
    /// Frees slots whose grace period is over; returns how many of them are of this class.
    pub(super) fn reclaim(&self, _guard: &Guard, class: ClassId) -> u32 {
        let mut freed = 0;
        for _ in 0..ROUNDS_MAX {
            let mut due = [None; TAKE_MAX];
            let count = self.limbo.take(&mut due);
            for handle in due.into_iter().flatten() {
                freed += u32::from(self.release(handle) == Some(class));
            }
            if count < TAKE_MAX || freed > 0 {
                break;
            }
        }
        freed
    }

    /// Frees slots whose grace period is over, of all classes: a bounded number in one call.
    pub(super) fn reclaim_due(&self, _guard: &Guard) {
        for _ in 0..ROUNDS_MAX {
            let mut due = [None; TAKE_MAX];
            let count = self.limbo.take(&mut due);
            for handle in due.into_iter().flatten() {
                self.release(handle);
            }
            if count < TAKE_MAX {
                break;
            }
        }
    }

    /// Frees one slot, unless it is pinned: then it waits for another grace period. Returns its class if it is free.
    fn release(&self, handle: Handle) -> Option<ClassId> {
        let page = self.pages.layout().page_of_handle(handle)?;
        let info = self.pages.info(page);
        let class = info.class();
        match info.kind() {
            PageKind::Overflow => {
                self.pages.class(class).limbo.fetch_sub(1, Ordering::Relaxed);
                self.pages.give_slot(handle);
                return Some(class);
            }
            PageKind::RunHead => return self.release_run(handle),
            PageKind::Dirty => {
                self.pages.end_grace(page);
                return None;
            }
            _ => {}
        }
        let slot = self.slot(handle)?;
        let blocks = self.blocks_of(slot);
        if !self.release_slot(slot, class) {
            return None;
        }
        if class == ClassId::LARGE {
            self.give_large(handle, blocks);
        } else {
            self.pages.give_slot(handle);
        }
        Some(class)
    }

    /// RETIRED to FREE, unless pinned: then it waits for another grace period. A slot that is anything else has come here
    /// twice, and is left to whoever has it now.
    pub(super) fn release_slot(&self, slot: Slot<'_>, class: ClassId) -> bool {
        let limbo = &self.pages.class(class).limbo;
        let released = slot.release(self.run);
        if !released && slot.control().is(State::Retired, self.run) {
            self.limbo.put_back(slot.handle());
            return false;
        }
        // Relaxed: a gauge.
        limbo.fetch_sub(1, Ordering::Relaxed);
        #[cfg(feature = "values-on-heap")]
        if released {
            self.let_go(slot);
        }
        released
    }

    /// Starts a grace period unless one is under way.
    pub(super) fn launch_grace(&self, guard: &Guard) {
        self.limbo.launch(&self.domain, guard, self.clock.coarse_us());
    }

    /// Moves the epoch on and frees what is due; for housekeeping. Returns what still waits.
    pub(crate) fn drain_limbo(&self) -> usize {
        let guard = self.pin();
        self.reclaim_due(&guard);
        let waiting = self.limbo.len();
        if waiting > 0 {
            self.launch_grace(&guard);
        }
        self.domain.help(&guard);
        waiting
    }
}
