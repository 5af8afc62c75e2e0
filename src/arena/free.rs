//! The free slots of pages: a bit a slot, claimed a few at a time, handed out one by one.
//!
//! ```text
//!   bitmap of a page   ...0110 1111 | 0000 0100 | ...         a bit a slot, set = free and prepared
//!                            \_____/
//!   stash of a class        one group of 16 bits, claimed by one atomic update; several stashes, picked by thread
//!
//!  bit 63      40 39       16 15        0
//!      +---------+-----------+-----------+
//!      | page 24 | group 24  |  bits 16  |   Stash, one u64: free slots of a group; without bits: where to look next
//!      +---------+-----------+-----------+
//!
//!   take   stash of the thread -> lowest bit          give   the bits of a group are set again, some at once
//! ```
//!
//! A stash hides nothing: any thread may take from it, a drain empties it, and its bits count as free. A class of fewer than
//! [`STASHED_FROM`] slots uses none. Who clears a set bit, in a bitmap or a stash, owns the slot. The bits are never in the
//! file: they are derived from the control words.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::{PREPARE_STEP, PREPARED_COUNT, Pages, prepared_bits};
use crate::region::View;
use crate::sync::failpoint::failpoint;
use crate::sync::{AtomicU64, Ordering, bite, thread_number};
use crate::types::handle::Handle;

/// Stashes of a class.
#[cfg(not(loom))]
pub(super) const STASHES: usize = 8;
#[cfg(loom)]
pub(super) const STASHES: usize = 1;
/// Slots of a class from which on it uses stashes: all of them together then hold 1 % at most.
const STASHED_FROM: u64 = if cfg!(loom) { 1 } else { 100 * STASHES as u64 * GROUP as u64 };
/// Bits of a group.
const GROUP: u32 = 16;
const GROUP_MASK: u64 = (1 << GROUP) - 1;
const GROUPS_PER_WORD: u32 = 64 / GROUP;
/// Lines of a slot that is next in its stash which are on their way.
const LINES_AHEAD: u64 = 8;

/// A slot that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeSlot {
    pub(crate) handle: Handle,
    /// Whether bits had to be claimed for it: once in up to 16 times. The moment to see to it that more become free.
    pub(crate) was_claimed: bool,
}

/// Some free slots of one group.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stash(u64);

impl Stash {
    fn new(page: PageId, group: u32, bits: u64) -> Self {
        Self(u64::from(page.0) << 40 | u64::from(group) << GROUP | bits)
    }

    fn page(self) -> PageId {
        PageId((self.0 >> 40) as u32)
    }

    fn group(self) -> u32 {
        (self.0 >> GROUP) as u32 & ((1 << 24) - 1)
    }

    fn bits(self) -> u64 {
        self.0 & GROUP_MASK
    }

    /// Its lowest slot; there is one.
    fn slot(self) -> u32 {
        self.group() * GROUP + self.bits().trailing_zeros()
    }

    fn without_lowest(self) -> Self {
        Self(self.0 & (self.0 - 1))
    }

    fn emptied(self) -> Self {
        Self(self.0 & !GROUP_MASK)
    }
}

impl Pages {
    /// Takes one free slot of a class. Lock-free; looks at each page at most twice.
    #[inline]
    pub(crate) fn take_slot(&self, region: View<'_>, class: ClassId) -> Option<FreeSlot> {
        let word = self.stash(thread_number(), class);
        self.turn.take();
        // Relaxed: the exchange decides.
        let mut stash = Stash(word.load(Ordering::Relaxed));
        while stash.bits() != 0 {
            match self.take_from(word, stash, class) {
                Ok(handle) => {
                    let rest = stash.without_lowest();
                    if rest.bits() != 0 {
                        self.prefetch_slot(region, rest.page(), class, rest.slot());
                    }
                    failpoint!("free.claimed");
                    return Some(FreeSlot { handle, was_claimed: false });
                }
                Err(now) => stash = now,
            }
        }
        let handle = self.take_beyond(region, class, word, stash)?;
        Some(FreeSlot { handle, was_claimed: true })
    }

    /// Takes the lowest slot of a stash; else what the stash is now.
    #[inline]
    fn take_from(&self, word: &AtomicU64, stash: Stash, class: ClassId) -> Result<Handle, Stash> {
        let rest = stash.without_lowest();
        self.turn.take();
        // Acquire: pairs with the Release of whoever filled the stash, who acquired the bits from `give_slots`.
        if let Err(now) = word.compare_exchange(stash.0, rest.0, Ordering::Acquire, Ordering::Relaxed)
            && !bite("page.stash-without-cas")
        {
            return Err(Stash(now));
        }
        if !self.may_hand_out(stash.page(), class) {
            // A drain began: the slot is the drainer's.
            self.give_slots(stash.page(), class, stash.slot() / 64, 1 << (stash.slot() % 64));
            return Err(rest);
        }
        Ok(self.handle_in(stash.page(), class, stash.slot()))
    }

    /// The stash that a thread uses.
    #[inline]
    fn stash(&self, thread: usize, class: ClassId) -> &AtomicU64 {
        &self.stashes[thread % STASHES][class.index()]
    }

    fn stashes_of(&self, class: ClassId) -> impl Iterator<Item = &AtomicU64> {
        self.stashes.iter().map(move |stashes| &stashes[class.index()])
    }

    /// Whether a slot that the caller has claimed may be used.
    #[inline]
    fn may_hand_out(&self, page: PageId, class: ClassId) -> bool {
        self.turn.take();
        self.serves(page, class) || bite("page.drain-unseen")
    }

    /// Claims free slots of the class's pages: one to hand out, and what else is in its group for the stash.
    #[cold]
    fn take_beyond(&self, region: View<'_>, class: ClassId, word: &AtomicU64, from: Stash) -> Option<Handle> {
        let state = self.class(class);
        self.turn.take();
        // Relaxed: only a shortcut; the bits decide. What other stashes hold is looked for last.
        if state.free.load(Ordering::Relaxed) == 0 {
            return self.take_from_others(class);
        }
        let many = self.takes_many(class);
        let mut page = from.page().0 % self.layout.pages;
        let mut first = from.group() / GROUPS_PER_WORD;
        for _ in 0..=self.layout.pages {
            if let Some(claimed) = self.claim_in_page(PageId(page), class, first, many) {
                let rest = claimed.without_lowest();
                self.fill(class, word, rest);
                failpoint!("free.claimed");
                if rest.bits() != 0 {
                    self.prefetch_slot(region, rest.page(), class, rest.slot());
                }
                return Some(self.handle_in(claimed.page(), class, claimed.slot()));
            }
            first = 0;
            page = if page + 1 == self.layout.pages { 0 } else { page + 1 };
        }
        self.take_from_others(class)
    }

    /// Whether a class is large enough for stashes.
    pub(crate) fn takes_many(&self, class: ClassId) -> bool {
        // Relaxed: a gauge.
        let pages = u64::from(self.class(class).pages.load(Ordering::Relaxed));
        pages * u64::from(self.classes.slots_per_page(class)) >= STASHED_FROM
    }

    /// Puts what is left of a claim into a stash, or back where it came from.
    fn fill(&self, class: ClassId, word: &AtomicU64, rest: Stash) {
        self.turn.take();
        let seen = Stash(word.load(Ordering::Relaxed));
        self.turn.take();
        // Release: pairs with the Acquire of whoever takes from it. A stash with bits is another thread's that filled it.
        let filled =
            seen.bits() == 0 && word.compare_exchange(seen.0, rest.0, Ordering::Release, Ordering::Relaxed).is_ok();
        if !filled && rest.bits() != 0 {
            let (at, shift) = (rest.group() / GROUPS_PER_WORD, rest.group() % GROUPS_PER_WORD * GROUP);
            self.give_slots(rest.page(), class, at, rest.bits() << shift);
        }
    }

    /// Takes from whatever stash has something.
    fn take_from_others(&self, class: ClassId) -> Option<Handle> {
        self.stashes_of(class).find_map(|word| {
            self.turn.take();
            let mut stash = Stash(word.load(Ordering::Relaxed));
            while stash.bits() != 0 {
                match self.take_from(word, stash, class) {
                    Ok(handle) => return Some(handle),
                    Err(now) => stash = now,
                }
            }
            None
        })
    }

    /// Claims one free slot, or all of a group, from a word of the page on.
    fn claim_in_page(&self, page: PageId, class: ClassId, first: u32, many: bool) -> Option<Stash> {
        let state = self.state(page);
        self.turn.take();
        // Relaxed: only a shortcut.
        if !self.serves(page, class) || state.free.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let words = &self.bitmap(page)[..self.classes.slots_per_page(class).div_ceil(64) as usize];
        let first = if (first as usize) < words.len() { first as usize } else { 0 };
        for at in (first..words.len()).chain(0..first) {
            self.turn.take();
            // Relaxed: the fetch_and below decides.
            let mut bits = words[at].load(Ordering::Relaxed);
            while bits != 0 {
                let lowest = bits & bits.wrapping_neg();
                let shift = lowest.trailing_zeros() / GROUP * GROUP;
                let wanted = if many { bits & GROUP_MASK << shift } else { lowest };
                self.turn.take();
                // Acquire: pairs with the Release of `give_slots`, so that what was done to the slots before is over.
                let mut before = words[at].fetch_and(!wanted, Ordering::Acquire);
                if bite("page.take-without-cas") {
                    // The defect: what was seen before is believed.
                    words[at].store(bits & !wanted, Ordering::Release);
                    before = bits;
                }
                let claimed = before & wanted;
                if claimed != 0 {
                    self.count_taken(page, class, claimed.count_ones());
                    if !self.may_hand_out(page, class) {
                        // A drain began between the look and the claim: the slots are the drainer's.
                        self.give_slots(page, class, at as u32, claimed);
                        return None;
                    }
                    let group = at as u32 * GROUPS_PER_WORD + shift / GROUP;
                    return Some(Stash::new(page, group, claimed >> shift));
                }
                bits = before & !wanted;
            }
        }
        None
    }

    /// Gives back what the stashes of a class hold of a page: it is to leave the class.
    pub(crate) fn empty_stashes(&self, page: PageId, class: ClassId) {
        for word in self.stashes_of(class) {
            self.turn.take();
            let mut stash = Stash(word.load(Ordering::Relaxed));
            while stash.bits() != 0 && stash.page() == page {
                self.turn.take();
                // Acquire: as in `take_slot`.
                let emptied = stash.emptied();
                match word.compare_exchange(stash.0, emptied.0, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => {
                        let (at, shift) = (stash.group() / GROUPS_PER_WORD, stash.group() % GROUPS_PER_WORD * GROUP);
                        self.give_slots(page, class, at, stash.bits() << shift);
                        break;
                    }
                    Err(now) => stash = Stash(now),
                }
            }
        }
    }

    /// Forgets what the stashes of a class hold, as nobody is there yet.
    pub(super) fn forget_stashes(&self, class: ClassId) {
        self.stashes_of(class).for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Free slots of a class, those in stashes included. Relaxed: gauges.
    #[inline]
    pub(crate) fn free_slots(&self, class: ClassId) -> u64 {
        let state = self.class(class);
        let bits = |word: &AtomicU64| Stash(word.load(Ordering::Relaxed)).bits().count_ones();
        let stashed: u32 = self.stashes_of(class).map(bits).sum();
        state.free.load(Ordering::Relaxed) + u64::from(stashed)
    }

    /// Starts to load a slot that will be taken soon: its owner will write all of it, and a store that misses the caches holds
    /// up every atomic update behind it.
    #[inline]
    fn prefetch_slot(&self, region: View<'_>, page: PageId, class: ClassId, slot: u32) {
        let start = self.handle_in(page, class, slot).offset();
        let lines = u64::from(self.classes.slot_bytes(class)).div_ceil(64).min(LINES_AHEAD);
        (0..lines).for_each(|line| region.prefetch_to_write(start + line * 64));
    }

    /// The bits of a page.
    #[inline]
    pub(super) fn bitmap(&self, page: PageId) -> &[AtomicU64] {
        let first = page.0 as usize * self.words_per_page;
        &self.bitmaps[first..first + self.words_per_page]
    }

    /// Free slots of a page. Relaxed: a gauge.
    pub(crate) fn free_in(&self, page: PageId) -> u32 {
        self.state(page).free.load(Ordering::Relaxed)
    }

    pub(super) fn count_taken(&self, page: PageId, class: ClassId, count: u32) {
        self.state(page).free.fetch_sub(count, Ordering::Relaxed);
        self.class(class).free.fetch_sub(u64::from(count), Ordering::Relaxed);
    }

    pub(super) fn count_given(&self, page: PageId, class: ClassId, count: u32) {
        self.state(page).free.fetch_add(count, Ordering::Relaxed);
        self.class(class).free.fetch_add(u64::from(count), Ordering::Relaxed);
    }

    /// Gives a slot back, or for the first time. Its control word says FREE of this run.
    pub(crate) fn give_slot(&self, handle: Handle) {
        if let Some((page, slot)) = self.slot_number(handle) {
            self.give_slots(page, self.info(page).class(), slot / 64, 1 << (slot % 64));
        }
    }

    /// The same for several of one word of the bitmap. The caller owns them, so the page keeps its class.
    pub(crate) fn give_slots(&self, page: PageId, class: ClassId, word: u32, bits: u64) {
        self.count_given(page, class, bits.count_ones());
        self.turn.take();
        // Release: pairs with the Acquire of the next owner's fetch_and.
        let before = self.bitmap(page)[word as usize].fetch_or(bits, Ordering::Release);
        debug_assert!(
            before & bits == 0,
            "slots {:#x} of word {word} of page {} were free already",
            before & bits,
            page.0
        );
        if before & bits != 0 {
            self.count_taken(page, class, (before & bits).count_ones());
        }
    }

    /// Claims the next slots of a class that nobody has looked at in this run: page, first slot and count.
    pub(crate) fn claim_unprepared(&self, class: ClassId) -> Option<(PageId, u32, u32)> {
        self.turn.take();
        let state = self.class(class);
        if state.unprepared.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let claim = |page| self.claim_unprepared_in(page, class);
        // Slots of a page that was free are free; those of an inherited one are mostly in use.
        let mut fresh = self.ids().filter(|page| !self.info(*page).is_inherited());
        let claimed = if state.fresh() > 0 { fresh.find_map(claim) } else { None };
        claimed.or_else(|| self.ids().find_map(claim))
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
