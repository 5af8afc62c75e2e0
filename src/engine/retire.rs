//! Retire: what left the index waits in limbo until no reader can see it; what leaves together is counted together.
//!
//! ```text
//!   mark    LIVE -> RETIRED, one slot after the other        settle  gauges, one fence, one queue: once for all of them
//! ```

use crate::arena::classes::ClassId;
use crate::arena::frame::FrameKind;
use crate::arena::slot::Slot;
use crate::engine::Engine;
use crate::sync::Ordering;
use crate::sync::failpoint::failpoint;
use crate::types::handle::{Handle, IndexWord};

/// Slots that go through one journey together.
#[cfg(not(loom))]
pub(super) const TOGETHER_MAX: usize = 16;
#[cfg(loom)]
pub(super) const TOGETHER_MAX: usize = 2;

/// Slots of one class that one thread has taken out of the index, and not settled yet.
pub(super) struct Retired {
    class: ClassId,
    handles: [Handle; TOGETHER_MAX],
    len: usize,
    /// Those that had been counted in: an entry of an old run that was never adopted was not.
    counted: u64,
}

impl Retired {
    pub(super) fn of(class: ClassId) -> Self {
        Self { class, handles: [Handle::from_offset(0); TOGETHER_MAX], len: 0, counted: 0 }
    }

    /// A defect to be found: one more than there are.
    pub(super) fn count_twice(&mut self) {
        self.counted += 1;
    }
}

impl Engine {
    /// Marks a slot whose word the caller has just taken out. `false` if somebody did so before.
    pub(super) fn mark_retired(&self, retired: &mut Retired, slot: Slot<'_>) -> bool {
        let before = if self.is_unsettled_large(slot, retired.class) {
            self.retire_unsettled_large(slot)
        } else {
            slot.retire(self.run)
        };
        let Some(before) = before else { return false };
        #[cfg(feature = "values-on-heap")]
        self.note_retired_value(slot);
        failpoint!("retire.marked");
        if before.run() == self.run {
            retired.counted += 1;
            self.count_cleared_out(slot);
        } else {
            self.sweep.met();
        }
        retired.handles[retired.len] = slot.handle();
        retired.len += 1;
        true
    }

    /// Counts them out and lets them wait.
    pub(super) fn settle_retired(&self, retired: &Retired) {
        if retired.len == 0 {
            return;
        }
        let state = self.pages.class(retired.class);
        self.counting.take();
        self.counters.count_out(retired.class, retired.counted);
        // Relaxed: a gauge.
        state.limbo.fetch_add(retired.len as u64, Ordering::Relaxed);
        self.let_wait(retired.class, &retired.handles[..retired.len]);
    }

    /// Puts retired slots, which were counted, into limbo. What finds no room there is out of use, and no longer waits.
    pub(super) fn let_wait(&self, class: ClassId, handles: &[Handle]) {
        let lost = self.limbo.add(handles);
        if lost > 0 {
            self.pages.class(class).limbo.fetch_sub(lost, Ordering::Relaxed);
        }
    }

    /// Retires a slot whose word the caller has just taken out of the index, and counts the entry out.
    pub(super) fn retire(&self, handle: Handle) {
        let (Some(slot), Some(class)) = (self.slot(handle), self.pages.class_of(handle)) else { return };
        let mut retired = Retired::of(class);
        self.mark_retired(&mut retired, slot);
        self.settle_retired(&retired);
    }

    /// The same for a word whose key was not compared: it may be damage that names another entry's slot, or a slot that
    /// was free long ago.
    pub(super) fn retire_unlinked(&self, word: IndexWord) {
        let Some(slot) = self.slot(word.handle()) else { return };
        if slot.generation() == word.generation() && self.named_by(slot).is_none() {
            self.retire(word.handle());
        }
    }

    /// Counts out what no read could see.
    pub(super) fn count_cleared_out(&self, slot: Slot<'_>) {
        if self.cleared.load(Ordering::Relaxed) == 0 && self.markers.load(Ordering::Relaxed) == 0 {
            return;
        }
        // SAFETY: the caller unlinked the slot under its guard, or owns it; retired bytes do not change.
        let header = unsafe { slot.header() };
        let gauge = if !self.is_after_clear(header.keyspace(), header.stamp()) {
            &self.cleared
        } else if header.kind() != FrameKind::Value {
            &self.markers
        } else {
            return;
        };
        let _ = gauge.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }

    /// Counts in an entry that was adopted or copied, if it is a marker: a tombstone. Whether it was.
    pub(super) fn count_marker_in(&self, slot: Slot<'_>) -> bool {
        // SAFETY: the caller adopted or wrote the slot under its guard.
        let header = unsafe { slot.header() };
        let counts = header.kind() != FrameKind::Value && self.is_after_clear(header.keyspace(), header.stamp());
        self.markers.fetch_add(u64::from(counts), Ordering::Relaxed);
        counts
    }

    /// Takes back what was counted in.
    pub(super) fn count_markers_back(&self, count: u64) {
        let _ = self.markers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(count));
    }
}
