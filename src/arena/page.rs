//! Pages: what each one is, and which of its slots are free.
//!
//! ```text
//!   in the file, a descriptor of 64 B            on the heap, derived, never trusted from the file
//!   word 0: kind 8 | class 8 | extra 48          info:     kind, class, draining
//!   word 1: ordinal (index pages)                bitmap:   one bit a slot, set = free and prepared
//!   word 2: earliest expiry, us (0: none)        prepared: slots before this one were looked at in this run
//!
//!          assign              drain                own all slots           grace, zero
//!   FREE ----------> DATA ... -------> draining ------------------> DIRTY ----------------> FREE
//! ```
//!
//! # Invariants
//!
//! - A page of kind FREE is all zero, so every slot of a newly assigned page reads as FREE of run 0.
//! - Who clears a set bit owns the slot, until a reader-proof release sets the bit again.
//! - A page changes its class only while one thread owns all of its slots, each released after a grace period, and after
//!   another grace period from then on: who looks at a page's class and then at its slots holds a guard.

use crate::arena::classes::{CLASS_SLOTS, ClassId, Classes};
use crate::arena::layout::{Layout, PageId};
use crate::region::View;
use crate::sync::failpoint::failpoint;
use crate::sync::{AtomicU32, AtomicU64, GaugeU32, GaugeU64, Mutex, Ordering, Padded, Turn, bite, thread_number};
use crate::types::handle::Handle;

/// What a page is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PageKind {
    Free = 0,
    Data = 1,
    Large = 2,
    Index = 3,
    Overflow = 4,
    /// The first page of a value that takes several.
    RunHead = 5,
    /// A further page of such a value.
    RunTail = 6,
    /// Taken out of use, not zeroed yet.
    Dirty = 7,
}

impl PageKind {
    /// From the byte in a descriptor.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        use PageKind::{Data, Dirty, Free, Index, Large, Overflow, RunHead, RunTail};
        [Free, Data, Large, Index, Overflow, RunHead, RunTail, Dirty].get(bits as usize).copied()
    }
}

/// Kind, class and draining mark in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageInfo(u32);

const DRAINING: u32 = 1 << 16;
/// Set while the assigner is still at work: the page is nobody else's yet.
const SETUP: u32 = 1 << 17;
/// The page was in use when the arena was opened: its unprepared slots may hold entries.
const INHERITED: u32 = 1 << 18;

impl PageInfo {
    fn new(kind: PageKind, class: ClassId) -> Self {
        Self(kind as u32 | (u32::from(class.0) << 8))
    }

    #[inline]
    pub(crate) fn kind(self) -> PageKind {
        PageKind::from_bits(u64::from(self.0 & 0xff)).unwrap_or(PageKind::Dirty)
    }

    #[inline]
    pub(crate) fn class(self) -> ClassId {
        ClassId((self.0 >> 8) as u8)
    }

    #[inline]
    pub(crate) fn is_draining(self) -> bool {
        self.0 & DRAINING != 0
    }

    /// Whether it was in use when the arena was opened.
    #[inline]
    pub(crate) fn is_inherited(self) -> bool {
        self.0 & INHERITED != 0
    }

    /// Whether slots of this class may be taken from it.
    #[inline]
    fn serves(self, class: ClassId) -> bool {
        self.0 & (DRAINING | SETUP) == 0 && self.has_slots_of(class)
    }

    /// Whether one value of this class begins here and takes the page and those behind it.
    pub(crate) fn is_run_of(self, class: ClassId) -> bool {
        class == ClassId::LARGE && self.kind() == PageKind::RunHead && self.0 & SETUP == 0
    }

    /// Whether its slots are of this class, draining or not.
    #[inline]
    pub(crate) fn has_slots_of(self, class: ClassId) -> bool {
        let slotted = matches!(self.kind(), PageKind::Data | PageKind::Overflow | PageKind::Large);
        slotted && self.class() == class && self.0 & SETUP == 0
    }
}

#[derive(Debug)]
struct PageState {
    info: AtomicU32,
    free: GaugeU32,
    /// Class 8 bits, slots looked at 24 bits: a claim of slots fails once the page is of another class.
    prepared: AtomicU32,
}

const PREPARED_COUNT: u32 = (1 << 24) - 1;

fn prepared_bits(class: ClassId, count: u32) -> u32 {
    u32::from(class.0) << 24 | count
}

/// Gauges of one class.
#[derive(Debug)]
pub(crate) struct ClassState {
    pub(crate) pages: GaugeU32,
    /// Set bits over all its pages.
    pub(crate) free: GaugeU64,
    /// Slots not looked at in this run.
    pub(crate) unprepared: GaugeU64,
    /// Those of them that may hold entries of an old run.
    pub(crate) inherited: GaugeU64,
    /// Retired slots that wait for readers.
    pub(crate) limbo: GaugeU64,
    /// Entries in the index.
    pub(crate) live: GaugeU64,
    cursors: [GaugeU64; CURSORS],
}

#[cfg(not(loom))]
const CURSORS: usize = 4;
#[cfg(loom)]
const CURSORS: usize = 1;

/// Slots that are prepared in one step: a word of the bitmap.
#[cfg(not(loom))]
pub(crate) const PREPARE_STEP: u32 = 64;
#[cfg(loom)]
pub(crate) const PREPARE_STEP: u32 = 1;

/// All pages of an arena.
#[derive(Debug)]
pub(crate) struct Pages {
    layout: Layout,
    classes: Classes,
    states: Box<[PageState]>,
    bitmaps: Box<[AtomicU64]>,
    words_per_page: usize,
    class_states: Box<[Padded<ClassState>]>,
    free_pages: GaugeU32,
    /// Dirty pages that will be free after a grace period.
    coming: GaugeU32,
    large: Mutex<()>,
    turn: Turn,
}

impl Pages {
    /// A table in which every page is still unknown; [`Pages::load`] fills it.
    pub(crate) fn new(layout: Layout, classes: Classes) -> Self {
        let words_per_page = (layout.page_bytes / 64).div_ceil(64) as usize;
        let states = (0..layout.pages)
            .map(|_| PageState { info: AtomicU32::new(0), free: GaugeU32::new(0), prepared: AtomicU32::new(0) })
            .collect();
        let bitmaps = (0..words_per_page * layout.pages as usize).map(|_| AtomicU64::new(0)).collect();
        let class_states = (0..CLASS_SLOTS).map(|_| Padded(ClassState::new())).collect();
        let free_pages = GaugeU32::new(0);
        let (coming, large) = (GaugeU32::new(0), Mutex::new(()));
        let turn = Turn::new();
        Self { layout, classes, states, bitmaps, words_per_page, class_states, free_pages, coming, large, turn }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn classes(&self) -> &Classes {
        &self.classes
    }

    #[inline]
    pub(crate) fn class(&self, class: ClassId) -> &ClassState {
        &self.class_states[class.index()]
    }

    #[inline]
    fn state(&self, page: PageId) -> &PageState {
        &self.states[page.0 as usize]
    }

    /// What a page is. Acquire: pairs with the Release of the assigner, so that its set-up is seen.
    #[inline]
    pub(crate) fn info(&self, page: PageId) -> PageInfo {
        PageInfo(self.state(page).info.load(Ordering::Acquire))
    }

    /// Every page number.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PageId> {
        (0..self.layout.pages).map(PageId)
    }

    /// Pages that are free.
    pub(crate) fn free_pages(&self) -> u32 {
        // Relaxed: a gauge; taking a page is a CAS on its info.
        self.free_pages.load(Ordering::Relaxed)
    }

    /// Pages that become free once no reader can look at them.
    pub(crate) fn coming_pages(&self) -> u32 {
        // Relaxed: a gauge.
        self.coming.load(Ordering::Relaxed)
    }

    /// Counts a dirty page that waits for a grace period.
    pub(crate) fn await_grace(&self) {
        self.coming.fetch_add(1, Ordering::Relaxed);
    }

    /// The grace period of a dirty page is over.
    pub(crate) fn end_grace(&self, page: PageId) {
        self.coming.fetch_sub(1, Ordering::Relaxed);
        self.leave_dirty(page);
    }

    /// Slots of a class that hold entries, retired ones apart; an estimate until all pages are prepared.
    #[inline]
    pub(crate) fn occupied(&self, class: ClassId) -> u64 {
        let state = self.class(class);
        // Relaxed: gauges.
        state.live.load(Ordering::Relaxed) + state.inherited.load(Ordering::Relaxed)
    }

    /// Slots of a page, whatever its kind.
    #[inline]
    pub(crate) fn slots_in(&self, info: PageInfo) -> u32 {
        self.classes.slots_per_page(info.class())
    }

    /// The class of a handle and the room behind it, if it names the start of a slot.
    #[inline]
    pub(crate) fn class_of(&self, handle: Handle) -> Option<ClassId> {
        let (page, within) = self.locate(handle)?;
        let info = self.info(page);
        if info.kind() == PageKind::RunHead {
            return (within == 0).then_some(ClassId::LARGE);
        }
        let slotted = matches!(info.kind(), PageKind::Data | PageKind::Large);
        let (number, starts) = self.classes.slot_at(info.class(), within);
        (slotted && starts && number < self.slots_in(info)).then_some(info.class())
    }

    #[inline]
    fn locate(&self, handle: Handle) -> Option<(PageId, u64)> {
        let page = self.layout.page_of_handle(handle)?;
        Some((page, handle.offset() - self.layout.page_start(page)))
    }

    /// The page and the slot number within it.
    #[inline]
    pub(crate) fn slot_number(&self, handle: Handle) -> Option<(PageId, u32)> {
        let (page, within) = self.locate(handle)?;
        Some((page, self.classes.slot_at(self.info(page).class(), within).0))
    }

    /// The handle of a slot number.
    #[inline]
    pub(crate) fn handle(&self, page: PageId, slot: u32) -> Handle {
        self.handle_in(page, self.info(page).class(), slot)
    }

    /// The same in a page of which the caller knows the class.
    #[inline]
    pub(crate) fn handle_in(&self, page: PageId, class: ClassId, slot: u32) -> Handle {
        Handle::from_offset(self.layout.page_start(page) + u64::from(slot) * u64::from(self.classes.slot_bytes(class)))
    }

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
        let words = self.bitmap(page);
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
        const WORDS_AHEAD: usize = if cfg!(loom) { 0 } else { 8 };
        const LINES: u64 = 4;
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
    fn bitmap(&self, page: PageId) -> &[AtomicU64] {
        let first = page.0 as usize * self.words_per_page;
        &self.bitmaps[first..first + self.words_per_page]
    }

    /// The lock of those who take blocks.
    pub(crate) fn large_lock(&self) -> &Mutex<()> {
        &self.large
    }

    /// The bits of a page.
    pub(super) fn bitmap_of(&self, page: PageId) -> &[AtomicU64] {
        self.bitmap(page)
    }

    pub(super) fn serves(&self, page: PageId, class: ClassId) -> bool {
        self.info(page).serves(class)
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

    /// Claims one free page. Acquire: pairs with the Release of `free`.
    pub(crate) fn claim_free(&self, page: PageId) -> bool {
        let free = PageInfo::new(PageKind::Free, ClassId(0)).0;
        let claimed =
            self.state(page).info.compare_exchange(free, free | SETUP, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if claimed {
            self.free_pages.fetch_sub(1, Ordering::Relaxed);
        }
        claimed
    }

    /// Puts a claimed page back.
    pub(super) fn unclaim(&self, page: PageId) {
        self.state(page).info.store(PageInfo::new(PageKind::Free, ClassId(0)).0, Ordering::Release);
        self.free_pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_up_run(&self, region: View<'_>, page: PageId, kind: PageKind, ordinal: u64) {
        self.set_up(region, page, kind, ClassId::LARGE, ordinal);
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
                    self.class(class).inherited.fetch_sub(u64::from(count), Ordering::Relaxed);
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

    /// Takes a free page for a purpose; at least `spare` free ones stay.
    pub(crate) fn assign(&self, region: View<'_>, kind: PageKind, class: ClassId, spare: u32) -> Option<PageId> {
        if self.free_pages() <= spare {
            return None;
        }
        let free = PageInfo::new(PageKind::Free, ClassId(0));
        let setup = PageInfo(PageInfo::new(kind, class).0 | SETUP);
        for page in self.ids() {
            let info = &self.state(page).info;
            self.turn.take();
            // Relaxed look; the CAS below is Acquire and pairs with the Release of `free`.
            if info.load(Ordering::Relaxed) == free.0
                && info.compare_exchange(free.0, setup.0, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                self.free_pages.fetch_sub(1, Ordering::Relaxed);
                self.set_up(region, page, kind, class, 0);
                return Some(page);
            }
        }
        None
    }

    fn set_up(&self, region: View<'_>, page: PageId, kind: PageKind, class: ClassId, ordinal: u64) {
        let descriptor = self.layout.descriptor(page);
        region.word(descriptor + 8).store(ordinal, Ordering::Relaxed);
        region.word(descriptor + 16).store(0, Ordering::Relaxed);
        // Release: a process killed after this store finds the other words written.
        region.word(descriptor).store(descriptor_bits(kind, class), Ordering::Release);
        failpoint!("page.assigned");
        self.enter(page, kind, class, 0);
    }

    /// Counts a page in and opens it for use.
    fn enter(&self, page: PageId, kind: PageKind, class: ClassId, marks: u32) {
        let info = PageInfo(PageInfo::new(kind, class).0 | marks);
        let state = self.state(page);
        state.free.store(0, Ordering::Relaxed);
        // Relaxed: published with the info below. Under loom only pages in use have cells for their bits.
        #[cfg(not(loom))]
        self.bitmap(page).iter().for_each(|word| word.store(0, Ordering::Relaxed));
        if matches!(kind, PageKind::Data | PageKind::Large | PageKind::Overflow) {
            let class_state = self.class(class);
            class_state.pages.fetch_add(1, Ordering::Relaxed);
            let slots = u64::from(self.slots_in(info));
            class_state.unprepared.fetch_add(slots, Ordering::Relaxed);
            if info.is_inherited() {
                class_state.inherited.fetch_add(slots, Ordering::Relaxed);
            }
        }
        self.turn.take();
        // Release: whoever claims slots to prepare sees the bits and gauges from above.
        state.prepared.store(prepared_bits(class, 0), Ordering::Release);
        self.turn.take();
        // Release: pairs with the Acquire of `info`.
        state.info.store(info.0, Ordering::Release);
    }

    /// Writes the ordinal of an index page.
    pub(crate) fn set_ordinal(&self, region: View<'_>, page: PageId, ordinal: u64) {
        // Release: after the page's set-up; read by the next open only.
        region.word(self.layout.descriptor(page) + 8).store(ordinal, Ordering::Release);
    }

    /// The ordinal of an index page.
    pub(crate) fn ordinal(&self, region: View<'_>, page: PageId) -> u64 {
        region.word(self.layout.descriptor(page) + 8).load(Ordering::Acquire)
    }

    /// The earliest expiry in a page, in microseconds of the cache's clock; 0 for none.
    pub(crate) fn min_expiry(&self, region: View<'_>, page: PageId) -> u64 {
        // Relaxed: a hint for the sweep; every read checks its entry exactly.
        region.word(self.layout.descriptor(page) + 16).load(Ordering::Relaxed)
    }

    /// Lowers the earliest expiry of a page.
    pub(crate) fn note_expiry(&self, region: View<'_>, page: PageId, at_us: u64) {
        let word = region.word(self.layout.descriptor(page) + 16);
        let mut seen = word.load(Ordering::Relaxed);
        while seen == 0 || seen > at_us {
            match word.compare_exchange_weak(seen, at_us, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Starts a sweep of a page: its earliest expiry is unknown until the sweep has seen all slots.
    pub(crate) fn reset_expiry(&self, region: View<'_>, page: PageId) {
        region.word(self.layout.descriptor(page) + 16).store(0, Ordering::Relaxed);
    }

    /// Reads what the file says of a page. Nonsense is left out of use as dirty. Single-threaded, at open.
    pub(crate) fn load(&self, region: View<'_>, page: PageId) -> PageInfo {
        let bits = region.word(self.layout.descriptor(page)).load(Ordering::Acquire);
        let class = ClassId((bits >> 8) as u8);
        let kind = PageKind::from_bits(bits & 0xff).filter(|kind| match kind {
            PageKind::Data => self.classes.contains(class) || crate::sync::bite("open.trusts-descriptor"),
            PageKind::Large | PageKind::RunHead | PageKind::RunTail => class == ClassId::LARGE,
            PageKind::Overflow => class == ClassId::OVERFLOW,
            _ => true,
        });
        match kind.filter(|kind| descriptor_bits(*kind, class) == bits) {
            Some(PageKind::Free) => {
                self.free_pages.fetch_add(1, Ordering::Relaxed);
                self.state(page).info.store(PageInfo::new(PageKind::Free, ClassId(0)).0, Ordering::Release);
            }
            Some(PageKind::Dirty) | None => self.enter(page, PageKind::Dirty, ClassId(0), 0),
            Some(kind) => self.enter(page, kind, class, INHERITED),
        }
        self.info(page)
    }

    /// Marks a page as draining: nobody takes slots from it any more. `false` if it is not a page of this class.
    pub(crate) fn begin_drain(&self, page: PageId, class: ClassId) -> bool {
        let info = self.info(page);
        self.turn.take();
        // Release: pairs with the Acquire of `info` in whoever takes slots.
        info.serves(class)
            && self
                .state(page)
                .info
                .compare_exchange(info.0, info.0 | DRAINING, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Takes a page back into use.
    pub(crate) fn cancel_drain(&self, page: PageId) {
        self.state(page).info.fetch_and(!DRAINING, Ordering::AcqRel);
    }

    /// Takes all slots of a draining page; `false`, with everything as before, if one of them is not free yet.
    pub(crate) fn own_all(&self, page: PageId) -> bool {
        let info = self.info(page);
        let slots = self.slots_in(info);
        if !info.is_draining() || self.prepared(page) < slots || (self.state(page).free.load(Ordering::Relaxed) < slots)
        {
            return false;
        }
        let words = &self.bitmap(page)[..slots.div_ceil(64) as usize];
        let mut taken = 0;
        for (at, word) in words.iter().enumerate() {
            let full = full_word(slots, at);
            self.turn.take();
            // Acquire: pairs with the Release of `give_slot`.
            if word.compare_exchange(full, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                break;
            }
            taken += 1;
        }
        if taken == words.len() || bite("page.own-without-check") {
            let class = self.class(info.class());
            class.free.fetch_sub(u64::from(slots), Ordering::Relaxed);
            class.pages.fetch_sub(1, Ordering::Relaxed);
            self.state(page).free.store(0, Ordering::Relaxed);
            return true;
        }
        for (at, word) in words[..taken].iter().enumerate() {
            self.turn.take();
            word.fetch_or(full_word(slots, at), Ordering::Release);
        }
        false
    }

    /// Takes a page out of its class in the file: it is nobody's until it is zero. The caller owns all of its slots.
    pub(crate) fn make_dirty(&self, region: View<'_>, page: PageId) {
        let info = PageInfo(PageInfo::new(PageKind::Dirty, ClassId(0)).0 | SETUP);
        region
            .word(self.layout.descriptor(page))
            .store(descriptor_bits(PageKind::Dirty, ClassId(0)), Ordering::Release);
        self.state(page).info.store(info.0, Ordering::Release);
        failpoint!("page.drained");
    }

    /// Makes an owned dirty page free. The caller has zeroed it.
    pub(crate) fn free(&self, region: View<'_>, page: PageId) {
        let free = PageInfo::new(PageKind::Free, ClassId(0));
        self.turn.take();
        region.word(self.layout.descriptor(page)).store(descriptor_bits(PageKind::Free, ClassId(0)), Ordering::Release);
        // Release: pairs with the Acquire of `assign`: the zeros are seen before the page is.
        self.state(page).info.store(free.0, Ordering::Release);
        self.free_pages.fetch_add(1, Ordering::Relaxed);
        failpoint!("page.freed");
    }

    /// Counts an overflow page out of its class. Only before anybody is served, with nothing in limbo.
    pub(crate) fn withdraw(&self, page: PageId) {
        if self.info(page).kind() == PageKind::Overflow {
            let class = self.class(ClassId::OVERFLOW);
            class.pages.fetch_sub(1, Ordering::Relaxed);
            class.free.fetch_sub(u64::from(self.free_in(page)), Ordering::Relaxed);
            self.state(page).free.store(0, Ordering::Relaxed);
            for word in self.bitmap(page) {
                word.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Leaves a page that was made dirty for whoever zeroes it.
    pub(crate) fn leave_dirty(&self, page: PageId) {
        // Release: pairs with the Acquire of `claim_dirty`.
        self.state(page).info.store(PageInfo::new(PageKind::Dirty, ClassId(0)).0, Ordering::Release);
    }

    /// Claims a dirty page that a dead process left, to zero it.
    pub(crate) fn claim_dirty(&self) -> Option<PageId> {
        let dirty = PageInfo::new(PageKind::Dirty, ClassId(0));
        self.ids().find(|page| {
            let info = &self.state(*page).info;
            info.load(Ordering::Relaxed) == dirty.0
                && info.compare_exchange(dirty.0, dirty.0 | SETUP, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })
    }

    /// Bytes of heap that the tables take.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let states =
            self.states.len() * size_of::<PageState>() + self.class_states.len() * size_of::<Padded<ClassState>>();
        (states + self.bitmaps.len() * size_of::<AtomicU64>()) as u64
    }
}

fn full_word(slots: u32, at: usize) -> u64 {
    match slots as usize - at * 64 {
        count if count >= 64 => u64::MAX,
        count => (1 << count) - 1,
    }
}

fn descriptor_bits(kind: PageKind, class: ClassId) -> u64 {
    kind as u64 | (u64::from(class.0) << 8)
}

impl ClassState {
    fn new() -> Self {
        Self {
            pages: GaugeU32::new(0),
            free: GaugeU64::new(0),
            unprepared: GaugeU64::new(0),
            inherited: GaugeU64::new(0),
            limbo: GaugeU64::new(0),
            live: GaugeU64::new(0),
            cursors: std::array::from_fn(|_| GaugeU64::new(0)),
        }
    }
}
