//! Pages: what each one is, and where its slots lie.
//!
//! ```text
//!   in the file, a descriptor of 64 B            on the heap, derived, never trusted from the file
//!   word 0: kind 8 | class 8 | extra 48          info:     kind, class, draining
//!   word 1: ordinal (index pages)                bitmap:   one bit a slot, set = free and prepared
//!   word 2: earliest expiry, us (0: none)        prepared: slots before this one were looked at in this run
//!
//!   descriptor  the words in the file     free  the bits     turnover  from free to free
//! ```
//!
//! # Invariants
//!
//! - A page of kind FREE is all zero, so every slot of a newly assigned page reads as FREE of run 0.
//! - Who clears a set bit owns the slot, until a reader-proof release sets the bit again.
//! - A page changes its class only while one thread owns all of its slots, each released after a grace period, and after
//!   another grace period from then on: who looks at a page's class and then at its slots holds a guard.

use crate::arena::classes::{CLASS_SLOTS, ClassId, Classes};
use crate::arena::free::STASHES;
use crate::arena::layout::{Layout, PageId};
use crate::sync::{AtomicU32, AtomicU64, GaugeU32, GaugeU64, Mutex, Ordering, Padded, Turn, zeroed};
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
    /// Cluster header and version floors.
    Floors = 8,
    /// The ring of own changes.
    Changes = 9,
}

impl PageKind {
    /// From the byte in a descriptor.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        use PageKind::{Changes, Data, Dirty, Floors, Free, Index, Large, Overflow, RunHead, RunTail};
        [Free, Data, Large, Index, Overflow, RunHead, RunTail, Dirty, Floors, Changes].get(bits as usize).copied()
    }
}

/// Kind, class and draining mark in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageInfo(pub(super) u32);

pub(super) const DRAINING: u32 = 1 << 16;
/// Set while the assigner is still at work: the page is nobody else's yet.
pub(super) const SETUP: u32 = 1 << 17;
/// The page was in use when the arena was opened: its unprepared slots may hold entries.
pub(super) const INHERITED: u32 = 1 << 18;

impl PageInfo {
    pub(super) fn new(kind: PageKind, class: ClassId) -> Self {
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
    pub(super) fn serves(self, class: ClassId) -> bool {
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
pub(super) struct PageState {
    pub(super) info: AtomicU32,
    pub(super) free: GaugeU32,
    /// Class 8 bits, slots looked at 24 bits: a claim of slots fails once the page is of another class.
    pub(super) prepared: AtomicU32,
}

pub(super) const PREPARED_COUNT: u32 = (1 << 24) - 1;

pub(super) fn prepared_bits(class: ClassId, count: u32) -> u32 {
    u32::from(class.0) << 24 | count
}

/// Gauges of one class.
#[derive(Debug)]
pub(crate) struct ClassState {
    pub(crate) pages: GaugeU32,
    /// Set bits over all its pages; without what is in stashes.
    pub(crate) free: GaugeU64,
    /// Slots not looked at in this run.
    pub(crate) unprepared: GaugeU64,
    /// Those of them that may hold entries of an old run.
    pub(crate) inherited: GaugeU64,
    /// Retired slots that wait for readers.
    pub(crate) limbo: GaugeU64,
    /// Counts calls of `is_turn`.
    turns: GaugeU32,
}

/// Slots that are prepared in one step: a word of the bitmap.
#[cfg(not(loom))]
pub(crate) const PREPARE_STEP: u32 = 64;
#[cfg(loom)]
pub(crate) const PREPARE_STEP: u32 = 1;

/// All pages of an arena.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(super) layout: Layout,
    pub(super) classes: Classes,
    pub(super) states: Box<[PageState]>,
    pub(super) bitmaps: Box<[AtomicU64]>,
    pub(super) words_per_page: usize,
    pub(super) class_states: Box<[Padded<ClassState>]>,
    /// By thread first, so that threads share no line.
    pub(super) stashes: Box<[Padded<[AtomicU64; CLASS_SLOTS]>; STASHES]>,
    pub(super) free_pages: GaugeU32,
    /// Dirty pages that will be free after a grace period.
    pub(super) coming: GaugeU32,
    pub(super) large: Mutex<()>,
    pub(super) turn: Turn,
}

impl Pages {
    /// A table in which every page is still unknown; [`Pages::load`] fills it.
    pub(crate) fn new(layout: Layout, classes: Classes) -> Self {
        let words_per_page = (layout.page_bytes / 64).div_ceil(64) as usize;
        let states = (0..layout.pages)
            .map(|_| PageState { info: AtomicU32::new(0), free: GaugeU32::new(0), prepared: AtomicU32::new(0) })
            .collect();
        let bitmaps = zeroed(words_per_page * layout.pages as usize);
        let class_states = (0..CLASS_SLOTS).map(|_| Padded(ClassState::new())).collect();
        let stashes = Box::new(std::array::from_fn(|_| Padded(std::array::from_fn(|_| AtomicU64::new(0)))));
        let free_pages = GaugeU32::new(0);
        let (coming, large) = (GaugeU32::new(0), Mutex::new(()));
        let turn = Turn::new();
        Self {
            layout,
            classes,
            states,
            bitmaps,
            words_per_page,
            class_states,
            stashes,
            free_pages,
            coming,
            large,
            turn,
        }
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
    pub(super) fn state(&self, page: PageId) -> &PageState {
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

    /// Nobody will say when the grace period of a dirty page is over: the next life zeroes it.
    pub(crate) fn give_up_grace(&self) {
        self.coming.fetch_sub(1, Ordering::Relaxed);
    }

    /// The grace period of a dirty page is over.
    pub(crate) fn end_grace(&self, page: PageId) {
        self.coming.fetch_sub(1, Ordering::Relaxed);
        self.leave_dirty(page);
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
    pub(super) fn locate(&self, handle: Handle) -> Option<(PageId, u64)> {
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

    /// The lock of those who take blocks.
    pub(crate) fn large_lock(&self) -> &Mutex<()> {
        &self.large
    }

    pub(super) fn serves(&self, page: PageId, class: ClassId) -> bool {
        self.info(page).serves(class)
    }

    /// Bytes of heap that the tables take.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let states =
            self.states.len() * size_of::<PageState>() + self.class_states.len() * size_of::<Padded<ClassState>>();
        (states + self.bitmaps.len() * size_of::<AtomicU64>() + size_of_val(&*self.stashes)) as u64
    }
}

impl ClassState {
    fn new() -> Self {
        Self {
            pages: GaugeU32::new(0),
            free: GaugeU64::new(0),
            unprepared: GaugeU64::new(0),
            inherited: GaugeU64::new(0),
            limbo: GaugeU64::new(0),
            turns: GaugeU32::new(0),
        }
    }

    /// `true` once in about so many calls. Relaxed, and no exchange: of two threads at once one may not count.
    pub(crate) fn is_turn(&self, every: u32) -> bool {
        let turn = self.turns.load(Ordering::Relaxed).wrapping_add(1);
        self.turns.store(turn, Ordering::Relaxed);
        turn.is_multiple_of(every)
    }

    /// Slots that were never used in this life and hold nothing of an earlier one. Relaxed: gauges.
    pub(crate) fn fresh(&self) -> u64 {
        self.unprepared.load(Ordering::Relaxed).saturating_sub(self.inherited.load(Ordering::Relaxed))
    }
}
