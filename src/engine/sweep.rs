//! Sweep: page by page, what is expired or cleared leaves, and slots of an old run are settled.
//!
//! ```text
//!   cursor -> next page: unprepared slots? settle 64 of them      earliest expiry past, or a clear? look at each slot
//! ```
//!
//! Housekeeping calls it with a budget; no page is looked at without a reason, so an idle cache costs nothing.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::engine::large::Look;
use crate::eviction::expiry::TimeToLive;
use crate::sync::backoff::Backoff;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, GaugeU32, Mutex, Ordering, bite};

/// Where the sweep stands.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Cursor and count of pages belong together: one thread at a time moves them, another one lets it.
    turn: Mutex<()>,
    page: AtomicU32,
    slot: AtomicU32,
    /// Pages still to be looked at because of a clear.
    cleared_pages: AtomicU32,
    settled: AtomicBool,
    /// Preparations under way: their slots are claimed, and not all looked at.
    preparing: GaugeU32,
    /// Entries that the last life left and this one has not met yet, by that life's own figure.
    unseen: AtomicU64,
}

/// A preparation under way.
pub(super) struct Preparing<'s>(&'s Sweep);

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of `is_preparing`: the slots were looked at.
        self.0.preparing.fetch_sub(1, Ordering::Release);
    }
}

/// Slots that one step looks at.
const STEP: u32 = 256;

impl Sweep {
    /// Nothing was inherited: a new arena.
    pub(super) fn set_settled(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Entries that are said to be there.
    pub(super) fn expect(&self, entries: u64) {
        self.unseen.store(entries, Ordering::Relaxed);
    }

    /// One of them was met: adopted, or retired unseen.
    pub(super) fn met(&self) {
        // Relaxed: an estimate, which may be too low: it stays at 0 then.
        let _ = self.unseen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }

    /// How many have not been met; 0 once all slots are settled, whatever was said.
    fn unseen(&self) -> u64 {
        if self.settled.load(Ordering::Relaxed) { 0 } else { self.unseen.load(Ordering::Relaxed) }
    }

    /// Says that slots are about to be claimed and looked at, for as long as the result is there.
    pub(super) fn begin_preparing(&self) -> Preparing<'_> {
        // Relaxed: the claim's Release comes after it.
        self.preparing.fetch_add(1, Ordering::Relaxed);
        Preparing(self)
    }

    fn is_preparing(&self) -> bool {
        self.preparing.load(Ordering::Acquire) > 0
    }

    /// Looks at every page once more: something was cleared.
    pub(super) fn restart(&self) {
        // Release: pairs with the Acquire of the sweep, which then sees what was cleared.
        self.cleared_pages.store(u32::MAX, Ordering::Release);
    }
}

impl Engine {
    /// Whether every slot of an old run has been settled: from then on counts are exact.
    pub(crate) fn is_settled(&self) -> bool {
        self.sweep.settled.load(Ordering::Relaxed)
    }

    /// Entries in the index; an estimate until every slot of an old run has been settled.
    pub(super) fn entries(&self) -> u64 {
        self.counters.entries() + self.sweep.unseen()
    }

    /// One step; `false` if a whole round found nothing to do, or another thread is at it.
    pub(crate) fn sweep_step(&self) -> bool {
        if !self.is_settled() {
            return self.settle_step();
        }
        let Some(_turn) = crate::sync::try_lock(&self.sweep.turn) else { return false };
        let pages = self.pages.layout().pages;
        for _ in 0..pages {
            // Asked again for each page: a clear in between counts from here. Its page comes twice, since it may be passed
            // already.
            let cleared = self.sweep.cleared_pages.load(Ordering::Acquire);
            let page = PageId(self.sweep.page.load(Ordering::Relaxed) % pages);
            // In the middle of a page its deadline is that of the first part only.
            let begun = self.sweep.slot.load(Ordering::Relaxed) > 0;
            if (cleared > 0 || begun || self.is_due(page)) && self.has_entries(page) {
                self.sweep_page(page);
                return true;
            }
            self.next_page(page);
        }
        false
    }

    fn has_entries(&self, page: PageId) -> bool {
        matches!(self.pages.info(page).kind(), PageKind::Data | PageKind::Large | PageKind::RunHead)
    }

    fn next_page(&self, page: PageId) {
        let pages = self.pages.layout().pages;
        self.sweep.slot.store(0, Ordering::Relaxed);
        self.sweep.page.store((page.0 + 1) % pages, Ordering::Relaxed);
        let left = self
            .sweep
            .cleared_pages
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.min(pages + 1).checked_sub(1));
        if left == Ok(1) {
            // Every page was looked at since the clear: what races with it may have been counted twice.
            self.cleared.store(0, Ordering::Relaxed);
        }
    }

    /// `false` also if all that is left is in the hands of other threads: whoever comes next looks again.
    fn settle_step(&self) -> bool {
        let classes = self.pages.classes().len() as u8;
        let all = (0..classes).map(ClassId).chain([ClassId::LARGE, ClassId::OVERFLOW]);
        let mut left = false;
        for class in all {
            // Acquire: pairs with the Release of the claim, so that a preparation under way is seen below.
            if self.pages.class(class).inherited.load(Ordering::Acquire) > 0 {
                if self.prepare_step(class) {
                    return true;
                }
                left = true;
            }
        }
        if self.settle_some_run() {
            return true;
        }
        if (left || self.sweep.is_preparing()) && !bite("sweep.settled-early") {
            return false;
        }
        self.sweep.settled.store(true, Ordering::Relaxed);
        true
    }

    /// Whether something in a page has expired.
    fn is_due(&self, page: PageId) -> bool {
        match self.pages.min_expiry(self.region.view(), page) {
            0 => false,
            at => self.clock.is_past(at),
        }
    }

    fn sweep_page(&self, page: PageId) {
        let _guard = self.pin();
        let info = self.pages.info(page);
        let slots = if info.kind() == PageKind::RunHead { 1 } else { self.pages.slots_in(info) };
        let first = self.sweep.slot.load(Ordering::Relaxed);
        if first == 0 {
            self.pages.reset_expiry(self.region.view(), page);
        }
        let end = (first + STEP).min(slots);
        for number in first..end {
            self.sweep_slot(page, number, info.class());
        }
        if end >= slots {
            self.next_page(page);
        } else {
            self.sweep.slot.store(end, Ordering::Relaxed);
        }
    }

    fn sweep_slot(&self, page: PageId, number: u32, class: ClassId) {
        let mut backoff = Backoff::default();
        let (slot, control) = loop {
            match self.look_at(page, class, number) {
                Some(Look::At(slot, control)) => break (slot, control),
                Some(Look::Later) if backoff.wait() => {}
                // The page is looked at once more: it is due from now on.
                Some(Look::Later) => return self.pages.note_expiry(self.region.view(), page, self.clock.coarse_us()),
                None => return,
            }
        };
        if !control.is(State::Live, self.run) {
            return;
        }
        if self.is_dead(slot) {
            self.unlink(slot.handle(), class, None);
            return;
        }
        self.note_deadline(slot);
    }

    /// A sweep that passed a slot before its entry was linked could not take it out: it is told again of a deadline, and
    /// of a clear in between. The caller holds a guard since before the slot was LIVE.
    #[inline]
    pub(super) fn note_linked(&self, slot: Slot<'_>) {
        // SAFETY: by the caller's guard the bytes stay.
        let header = unsafe { slot.header() };
        if header.ttl() != 0 {
            self.note_deadline(slot);
        }
        if !self.is_after_clear(header.keyspace(), header.stamp()) {
            self.sweep.restart();
        }
    }

    /// Lets the sweep of a slot's page know when its entry expires. The caller holds a guard since before the slot was
    /// LIVE, or has seen it LIVE under one.
    pub(super) fn note_deadline(&self, slot: Slot<'_>) {
        // SAFETY: by the caller's guard the bytes stay.
        let header = unsafe { slot.header() };
        if let Some(at) = TimeToLive::from_bits(header.ttl()).deadline(header.stamp().micros())
            && let Some(page) = self.pages.layout().page_of_handle(slot.handle())
        {
            self.pages.note_expiry(self.region.view(), page, at);
        }
    }
}
