//! The free slots of pages: a bit a slot, found by a cursor, claimed by one atomic update.
//!
//! ```text
//!   take    cursor of the thread -> page -> word -> lowest set bit, cleared        give    the bit is set again
//!   prepare a word's worth of slots that nobody has looked at in this run
//! ```
//!
//! Who clears a set bit owns the slot. The bits are never in the file: they are derived from the control words.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::{CURSORS, PREPARE_STEP, PREPARED_COUNT, Pages, prepared_bits};
use crate::region::View;
use crate::sync::failpoint::failpoint;
use crate::sync::{AtomicU64, Ordering, bite, thread_number};
use crate::types::handle::Handle;

impl Pages {
    /// Takes one free slot of a class. Lock-free; looks at each page at most twice.
    pub(crate) fn take_slot(&self, region: View<'_>, class: ClassId) -> Option<Handle> {
        let state = self.class(class);
        self.turn.take();
        // Relaxed: only a shortcut; the bit decides.
        if state.free.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let cursor = &state.cursors[thread_number() % CURSORS];
        // Relaxed: a hint where to look first.
        let start = cursor.load(Ordering::Relaxed);
        let (mut page, mut word) = ((start >> 32) as u32 % self.layout.pages, start as u32 as usize);
        for _ in 0..=self.layout.pages {
            if let Some((handle, at)) = self.take_in_page(region, PageId(page), word, class) {
                cursor.store((u64::from(page) << 32) | at as u64, Ordering::Relaxed);
                return Some(handle);
            }
            word = 0;
            page = if page + 1 == self.layout.pages { 0 } else { page + 1 };
        }
        None
    }

    #[inline]
    fn take_in_page(&self, region: View<'_>, page: PageId, first: usize, class: ClassId) -> Option<(Handle, usize)> {
        let state = self.state(page);
        self.turn.take();
        // Relaxed: only a shortcut.
        if !self.info(page).serves(class) || state.free.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let words = &self.bitmap(page)[..self.classes.slots_per_page(class).div_ceil(64) as usize];
        let first = if first < words.len() { first } else { 0 };
        for step in 0..words.len() {
            let at = if first + step < words.len() { first + step } else { first + step - words.len() };
            self.turn.take();
            // Relaxed: the fetch_and below decides.
            let mut bits = words[at].load(Ordering::Relaxed);
            while bits != 0 {
                let bit = bits & bits.wrapping_neg();
                self.turn.take();
                // Acquire: pairs with the Release of `give_slot`, so that what was done to the slot before is over.
                let mut before = words[at].fetch_and(!bit, Ordering::Acquire);
                if bite("page.take-without-cas") {
                    // The defect: what was seen before is believed.
                    words[at].store(bits & !bit, Ordering::Release);
                    before = bits;
                }
                if before & bit != 0 {
                    self.turn.take();
                    if !self.info(page).serves(class) && !bite("page.drain-unseen") {
                        // A drain began between the look and the claim: the slot is the drainer's.
                        self.turn.take();
                        words[at].fetch_or(bit, Ordering::Release);
                        return None;
                    }
                    state.free.fetch_sub(1, Ordering::Relaxed);
                    self.class(class).free.fetch_sub(1, Ordering::Relaxed);
                    failpoint!("free.claimed");
                    self.prefetch_next(region, page, at, before & !bit);
                    return Some((self.handle(page, at as u32 * 64 + bit.trailing_zeros()), at));
                }
                bits = before & !bit;
            }
        }
        None
    }

    /// Starts to load the slot that the next caller will take, if it is near: it will write all of it, and a store that
    /// misses the caches holds up every atomic update behind it.
    #[inline]
    fn prefetch_next(&self, region: View<'_>, page: PageId, at: usize, rest: u64) {
        const WORDS_AHEAD: usize = 8;
        const LINES: u64 = 4;
        if cfg!(loom) {
            return;
        }
        let words = self.bitmap(page);
        let (mut at, mut bits) = (at, rest);
        for _ in 0..WORDS_AHEAD {
            if bits != 0 {
                let class = self.info(page).class();
                let start = self.handle_in(page, class, at as u32 * 64 + bits.trailing_zeros()).offset();
                let bytes = u64::from(self.classes.slot_bytes(class));
                return (0..bytes.div_ceil(64).min(LINES)).for_each(|line| region.prefetch(start + line * 64));
            }
            at += 1;
            let Some(word) = words.get(at) else { return };
            // Relaxed: a hint.
            bits = word.load(Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn bitmap(&self, page: PageId) -> &[AtomicU64] {
        let first = page.0 as usize * self.words_per_page;
        &self.bitmaps[first..first + self.words_per_page]
    }

    /// The bits of a page.
    pub(super) fn bitmap_of(&self, page: PageId) -> &[AtomicU64] {
        self.bitmap(page)
    }

    /// Free slots of a page. Relaxed: a gauge.
    pub(crate) fn free_in(&self, page: PageId) -> u32 {
        self.state(page).free.load(Ordering::Relaxed)
    }

    pub(super) fn count_taken(&self, page: PageId, count: u32) {
        self.state(page).free.fetch_sub(count, Ordering::Relaxed);
        self.class(self.info(page).class()).free.fetch_sub(u64::from(count), Ordering::Relaxed);
    }

    pub(super) fn count_given(&self, page: PageId, count: u32) {
        self.state(page).free.fetch_add(count, Ordering::Relaxed);
        self.class(self.info(page).class()).free.fetch_add(u64::from(count), Ordering::Relaxed);
    }

    /// Gives a slot back, or for the first time. Its control word says FREE of this run.
    pub(crate) fn give_slot(&self, handle: Handle) {
        let Some((page, slot)) = self.slot_number(handle) else { return };
        let class = self.info(page).class();
        self.state(page).free.fetch_add(1, Ordering::Relaxed);
        self.class(class).free.fetch_add(1, Ordering::Relaxed);
        let bit = 1 << (slot % 64);
        self.turn.take();
        // Release: pairs with the Acquire of the next owner's fetch_and.
        let before = self.bitmap(page)[slot as usize / 64].fetch_or(bit, Ordering::Release);
        debug_assert!(before & bit == 0, "slot {slot} of page {} was free already", page.0);
        if before & bit != 0 {
            self.count_taken(page, 1);
        }
    }

    /// Claims the next slots of a class that nobody has looked at in this run: page, first slot and count.
    pub(crate) fn claim_unprepared(&self, class: ClassId) -> Option<(PageId, u32, u32)> {
        self.turn.take();
        if self.class(class).unprepared.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.ids().find_map(|page| self.claim_unprepared_in(page, class))
    }

    /// The same within one page.
    pub(crate) fn claim_unprepared_in(&self, page: PageId, class: ClassId) -> Option<(PageId, u32, u32)> {
        let info = self.info(page);
        if !info.has_slots_of(class) {
            return None;
        }
        let slots = self.classes.slots_per_page(class);
        let state = self.state(page);
        loop {
            self.turn.take();
            let seen = state.prepared.load(Ordering::Relaxed);
            let first = seen & PREPARED_COUNT;
            // Of another class: the page has moved on since the look at what it is.
            let is_of_class = seen & !PREPARED_COUNT == prepared_bits(class, 0) || bite("page.claim-any-class");
            if first >= slots || !is_of_class {
                return None;
            }
            // Where large values begin is known only from the first block on.
            let step = if class == ClassId::LARGE { slots } else { PREPARE_STEP };
            let count = step.min(slots - first);
            self.turn.take();
            // AcqRel: claims are handed on in order; the slots themselves change by CAS.
            let claimed = state.prepared.compare_exchange(seen, seen + count, Ordering::AcqRel, Ordering::Relaxed);
            if claimed.is_ok() || bite("page.claim-without-cas") {
                self.class(class).unprepared.fetch_sub(u64::from(count), Ordering::Relaxed);
                // Looked at again: with slots that are not free yet the page stays what it is now.
                if self.info(page).is_inherited() {
                    // Release: who sees it lower sees that a preparation is under way.
                    self.class(class).inherited.fetch_sub(u64::from(count), Ordering::Release);
                }
                return Some((page, first, count));
            }
        }
    }

    /// Slots of a page that were looked at in this run.
    #[inline]
    pub(crate) fn prepared(&self, page: PageId) -> u32 {
        self.state(page).prepared.load(Ordering::Acquire) & PREPARED_COUNT
    }
}
