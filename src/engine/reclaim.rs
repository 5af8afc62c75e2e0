//! Reclaim: what was retired becomes free once no reader can see it.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::reclaim::TAKE_MAX;
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::sync::Ordering;
use crate::sync::epoch::Guard;
use crate::types::handle::Handle;

/// Rounds of [`TAKE_MAX`] in one call.
const ROUNDS_MAX: u32 = 4;

/// Slots of one word of a page's bitmap that have become free, to be given back together.
#[derive(Clone, Copy)]
struct Group {
    page: PageId,
    class: ClassId,
    word: u32,
    bits: u64,
}

/// What one round of reclaiming gives back; slots that were retired one after the other often stand side by side.
struct Round<'e> {
    engine: &'e Engine,
    class: ClassId,
    group: Option<Group>,
    freed: u32,
}

impl Round<'_> {
    /// A slot of a page of kind data that is FREE now.
    #[inline]
    fn give(&mut self, page: PageId, class: ClassId, slot: u32) {
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        match &mut self.group {
            Some(group) if (group.page, group.word) == (page, word) => group.bits |= bit,
            _ => {
                self.flush();
                self.group = Some(Group { page, class, word, bits: bit });
            }
        }
        self.freed += u32::from(class == self.class);
    }

    fn flush(&mut self) {
        if let Some(Group { page, class, word, bits }) = self.group.take() {
            // Relaxed: a gauge.
            let count = u64::from(bits.count_ones());
            self.engine.pages.class(class).limbo.fetch_sub(count, Ordering::Relaxed);
            self.engine.pages.give_slots(page, class, word, bits);
        }
    }
}

impl Engine {
    /// Frees slots whose grace period is over; returns how many of them are of this class.
    pub(super) fn reclaim(&self, _guard: &Guard, class: ClassId) -> u32 {
        let mut freed = 0;
        for _ in 0..ROUNDS_MAX {
            let (count, of_class) = self.reclaim_round(class);
            freed += of_class;
            if count < TAKE_MAX || freed > 0 {
                break;
            }
        }
        freed
    }

    /// Frees slots whose grace period is over, of all classes: a bounded number in one call.
    pub(super) fn reclaim_due(&self, _guard: &Guard) {
        for _ in 0..ROUNDS_MAX {
            if self.reclaim_round(ClassId::LARGE).0 < TAKE_MAX {
                break;
            }
        }
    }

    /// Up to [`TAKE_MAX`] slots: how many were due, and how many of a class are free now.
    fn reclaim_round(&self, class: ClassId) -> (usize, u32) {
        let mut due = [None; TAKE_MAX];
        let count = self.limbo.take(&mut due);
        for handle in due[..count].iter().flatten() {
            self.region.view().prefetch_to_write(handle.offset());
        }
        let mut round = Round { engine: self, class, group: None, freed: 0 };
        for handle in due[..count].iter().flatten() {
            self.release(*handle, &mut round);
        }
        round.flush();
        (count, round.freed)
    }

    /// Frees one slot, unless it is pinned: then it waits for another grace period.
    fn release(&self, handle: Handle, round: &mut Round<'_>) {
        let Some((page, slot_number)) = self.pages.slot_number(handle) else { return };
        let info = self.pages.info(page);
        let class = info.class();
        match info.kind() {
            PageKind::Data => {
                if self.slot(handle).is_some_and(|slot| self.release_slot(slot, class)) {
                    round.give(page, class, slot_number);
                }
            }
            PageKind::Large => {
                let Some(slot) = self.slot(handle) else { return };
                let blocks = self.blocks_of(slot);
                if self.release_slot(slot, class) {
                    self.count_released(class);
                    self.give_large(handle, blocks);
                    round.freed += u32::from(class == round.class);
                }
            }
            PageKind::Overflow => {
                self.count_released(class);
                self.pages.give_slot(handle);
                round.freed += u32::from(class == round.class);
            }
            PageKind::RunHead => round.freed += u32::from(self.release_run(handle) == Some(round.class)),
            PageKind::Dirty => self.pages.end_grace(page),
            PageKind::Free | PageKind::Index | PageKind::RunTail | PageKind::Floors | PageKind::Changes => {}
        }
    }

    pub(super) fn count_released(&self, class: ClassId) {
        // Relaxed: a gauge.
        self.pages.class(class).limbo.fetch_sub(1, Ordering::Relaxed);
    }

    /// RETIRED to FREE, unless pinned: then it waits for another grace period. A slot that is anything else has come here
    /// twice, and is left to whoever has it now. What was released is still to be counted out of limbo, and given.
    pub(super) fn release_slot(&self, slot: Slot<'_>, class: ClassId) -> bool {
        if slot.release(self.run) {
            #[cfg(feature = "values-on-heap")]
            self.let_go(slot);
            return true;
        }
        if slot.control().is(State::Retired, self.run) {
            self.let_wait(class, &[slot.handle()]);
        } else {
            self.count_released(class);
        }
        false
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
