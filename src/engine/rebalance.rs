//! Rebalance: pages move from where they are used least to the class that needs them most.
//!
//! ```text
//!   receiver   most ghost hits per page: what was evicted there is asked for again
//!   donor      a hand over all pages of the arena: a sample of the page's slots is aged as the clock does, and a page
//!              whose sample is mostly unused goes; so idle classes age like busy ones
//!   drain      no new slots -> used entries are copied within the class, the others evicted -> every slot free,
//!              each after its own grace period -> owned -> zeroed -> free
//! ```
//!
//! A drain is a few steps of bounded work, by housekeeping or by inserts that found no room; it gives up after
//! [`DRAIN_MS_MAX`], because of a pin say, and another page is tried.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::slot::{Slot, State};
use crate::engine::statistics::Counter;
use crate::engine::{Engine, PAGES_SPARE};
use crate::eviction::policy::Part;
use crate::sync::failpoint::failpoint;
use crate::sync::{AtomicU32, GaugeU64, Mutex, MutexGuard, Ordering};
use crate::types::handle::{Handle, IndexWord};

/// A drain that takes longer is given up.
const DRAIN_MS_MAX: u64 = 1_000;
/// Slots that one step of a drain looks at.
const DRAIN_STEP: u32 = 512;
/// Slots of a page that stand for all of it.
const SAMPLE: u32 = 128;
/// Pages that the hand looks at for one donor; the coldest of them goes if none is cold enough.
const LOOKED_AT_MAX: u32 = 16;
/// Of 64: a page with fewer used slots than this in its sample is cold.
const COLD_BELOW: u32 = 24;
/// Ghost hits per page that are worth a page.
const HITS_PER_PAGE: u64 = 24;
/// A donor's class may want pages at most half as much as the receiver.
const WANT_RATIO: u64 = 2;
/// Ghost hits after which all counts are halved: what was wanted long ago fades.
const FADE_AFTER: u64 = 1 << 14;
/// Attempts of an insert to finish a drain by itself.
#[cfg(not(loom))]
pub(super) const URGENT_ROUNDS: u32 = 64;
#[cfg(loom)]
pub(super) const URGENT_ROUNDS: u32 = 2;

/// Who wants pages, and the one drain under way.
#[derive(Debug)]
pub(crate) struct Rebalance {
    wanted: Box<[GaugeU64]>,
    wanted_by_all: GaugeU64,
    /// The next page that the hand looks at.
    hand: AtomicU32,
    pub(super) drain: Mutex<Option<Drain>>,
    /// Where the next run of pages is looked for.
    pub(super) next_run: AtomicU32,
}

/// A page on its way out of its class.
#[derive(Debug)]
pub(super) struct Drain {
    page: PageId,
    class: ClassId,
    pub(super) next_slot: u32,
    pub(super) since_us: u64,
    /// Whether used entries are copied; an insert in need evicts all.
    pub(super) rescue: bool,
    then: Then,
}

/// What becomes of a drained page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    Free,
    /// Nobody's: it lies beyond the end of the arena that is to be.
    Withhold,
}

impl Drain {
    /// A drain that evicts everything.
    pub(super) fn of(page: PageId, class: ClassId, then: Then) -> Self {
        Self { page, class, next_slot: 0, since_us: 0, rescue: false, then }
    }
}

impl Rebalance {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            wanted: (0..classes).map(|_| GaugeU64::new(0)).collect(),
            wanted_by_all: GaugeU64::new(0),
            hand: AtomicU32::new(0),
            drain: Mutex::new(None),
            next_run: AtomicU32::new(0),
        }
    }

    /// A ghost hit. Relaxed, as all here: hints.
    pub(super) fn wanted(&self, class: usize) {
        self.add(class, 1);
    }

    /// An insert found no room at all: this weighs more.
    pub(super) fn starved(&self, class: usize) {
        self.add(class, 256);
    }

    fn add(&self, class: usize, weight: u64) {
        self.wanted[class].fetch_add(weight, Ordering::Relaxed);
        if self.wanted_by_all.fetch_add(weight, Ordering::Relaxed) >= FADE_AFTER {
            self.wanted_by_all.store(0, Ordering::Relaxed);
            (0..self.wanted.len()).for_each(|class| self.halve(class));
        }
    }

    fn halve(&self, class: usize) {
        self.wanted[class].store(self.wanted[class].load(Ordering::Relaxed) / 2, Ordering::Relaxed);
    }
}

impl Engine {
    /// A page for a class that has none, from another class, at once. Bounded; `false` if readers hold it up.
    pub(super) fn take_page_from_donor(&self, class: ClassId) -> bool {
        for _ in 0..URGENT_ROUNDS {
            let kind = if class == ClassId::LARGE { PageKind::Large } else { PageKind::Data };
            if self.pages.assign(self.region.view(), kind, class, 0).is_some() {
                return true;
            }
            if !self.hasten_page() && !self.drain_some(Some(class), false) && !self.evict_some_run() {
                return false;
            }
        }
        false
    }

    /// One step of housekeeping: keeps the spare pages, and moves a page if somebody wants one. `false` if there is
    /// nothing to do, or nothing can be done now.
    pub(crate) fn rebalance_step(&self) -> bool {
        if self.clean_dirty_page() {
            return true;
        }
        if self.pages.coming_pages() > PAGES_SPARE {
            return self.hasten_page();
        }
        let under_way = self.rebalance.drain.try_lock().is_ok_and(|drain| drain.is_some());
        let receiver = self.receiver();
        if let Some(class) = receiver
            && self.pages.free_pages() > PAGES_SPARE
        {
            self.rebalance.halve(self.ghost_class(class));
            return self.assign_page(class);
        }
        let short = self.pages.free_pages() + self.pages.coming_pages() < PAGES_SPARE;
        (short || under_way || receiver.is_some()) && self.drain_some(receiver, true)
    }

    /// Ghost hits per page of a class, in 1/16.
    fn want(&self, class: ClassId) -> u64 {
        let pages = u64::from(self.pages.class(class).pages.load(Ordering::Relaxed).max(1));
        self.rebalance.wanted[self.ghost_class(class)].load(Ordering::Relaxed) * 16 / pages
    }

    /// The class with the most ghost hits per page, if that is worth a page. One that has slots which nobody used yet has
    /// room: what it misses went because of the bound on entries.
    fn receiver(&self) -> Option<ClassId> {
        let all = (0..self.pages.classes().len() as u8).map(ClassId).chain([ClassId::LARGE]);
        // Relaxed: a gauge.
        all.filter(|class| self.pages.class(*class).unprepared.load(Ordering::Relaxed) == 0)
            .map(|class| (self.want(class), class))
            .filter(|(want, _)| *want >= HITS_PER_PAGE * 16)
            .max_by_key(|(want, _)| *want)
            .map(|(_, class)| class)
    }

    /// Goes on with the drain under way, or starts one for `receiver`. `false` if there is no donor, or another thread
    /// is at it.
    pub(super) fn drain_some(&self, receiver: Option<ClassId>, rescue: bool) -> bool {
        let Ok(mut under_way) = self.rebalance.drain.try_lock() else { return false };
        if under_way.is_none() {
            *under_way = self.begin_drain(receiver, rescue);
        }
        let Some(drain) = under_way.as_mut() else { return false };
        drain.rescue &= rescue;
        if self.drain_step(drain) {
            *under_way = None;
        } else if self.clock.coarse_us().saturating_sub(drain.since_us) > DRAIN_MS_MAX * 1_000 {
            self.pages.cancel_drain(drain.page);
            *under_way = None;
        }
        true
    }

    fn begin_drain(&self, receiver: Option<ClassId>, rescue: bool) -> Option<Drain> {
        let Some(page) = self.donor(receiver) else {
            // Nobody gives: the receiver asks again when it has more reason.
            receiver.inspect(|class| self.rebalance.halve(self.ghost_class(*class)));
            return None;
        };
        let class = self.pages.info(page).class();
        if !self.pages.begin_drain(page, class) {
            return None;
        }
        failpoint!("page.draining");
        Some(Drain { since_us: self.clock.coarse_us(), rescue, ..Drain::of(page, class, Then::Free) })
    }

    /// The next cold page under the hand, of a class that wants pages less than the receiver.
    pub(super) fn donor(&self, receiver: Option<ClassId>) -> Option<PageId> {
        let _guard = self.pin();
        let want = receiver.map_or(u64::MAX, |class| self.want(class));
        let pages = self.pages.layout().pages;
        let mut coldest = None;
        let mut looked_at = 0;
        for _ in 0..pages {
            // Relaxed: one drain at a time, under its lock.
            let page = PageId(self.rebalance.hand.load(Ordering::Relaxed) % pages);
            self.rebalance.hand.store((page.0 + 1) % pages, Ordering::Relaxed);
            let info = self.pages.info(page);
            let class = info.class();
            let slotted = matches!(info.kind(), PageKind::Data | PageKind::Large) && info.has_slots_of(class);
            if !slotted || info.is_draining() || Some(class) == receiver || self.want(class) > want / WANT_RATIO {
                continue;
            }
            let used = self.age(page, class);
            if used < COLD_BELOW {
                return Some(page);
            }
            if coldest.is_none_or(|(least, _)| used < least) {
                coldest = Some((used, page));
            }
            looked_at += 1;
            if looked_at >= LOOKED_AT_MAX {
                break;
            }
        }
        coldest.map(|(_, page)| page)
    }

    /// Ages a sample of a page's slots; returns how many were used, of 64.
    fn age(&self, page: PageId, class: ClassId) -> u32 {
        let slots = self.pages.classes().slots_per_page(class);
        let stride = slots.div_ceil(SAMPLE).max(1);
        let (mut used, mut seen) = (0, 0);
        for number in (0..slots).step_by(stride as usize) {
            seen += 1;
            if class == ClassId::LARGE && !self.pages.is_head(page, number) {
                continue;
            }
            let Some(slot) = self.slot(self.pages.handle(page, number)) else { continue };
            let frequency = slot.frequency();
            if slot.control().state() == Some(State::Live) && frequency > 0 {
                slot.set_frequency(frequency - 1);
                used += 1;
            }
        }
        used * 64 / seen.max(1)
    }

    /// Some slots of a draining page. `true` once the page is free.
    pub(super) fn drain_step(&self, drain: &mut Drain) -> bool {
        let guard = self.pin();
        let info = self.pages.info(drain.page);
        if !info.is_draining() || !info.has_slots_of(drain.class) {
            // Somebody who needed it for a run of pages emptied it first; it may be another class's by now.
            return true;
        }
        let slots = self.pages.classes().slots_per_page(drain.class);
        while self.pages.prepared(drain.page) < slots && self.prepare_step_in(drain.page, drain.class) {}
        let end = (drain.next_slot + DRAIN_STEP).min(slots);
        for number in drain.next_slot..end {
            self.drain_slot(drain, number);
        }
        drain.next_slot = if end == slots { 0 } else { end };
        self.reclaim(&guard, drain.class);
        if self.pages.own_all(drain.page) {
            match drain.then {
                Then::Free => self.retire_page(drain.page),
                Then::Withhold => self.pages.make_dirty(self.region.view(), drain.page),
            }
            self.counters.add(Counter::PagesMoved);
            return true;
        }
        self.launch_grace(&guard);
        self.domain.help(&guard);
        false
    }

    fn drain_slot(&self, drain: &Drain, number: u32) {
        if drain.class == ClassId::LARGE && !self.pages.is_head(drain.page, number) {
            return;
        }
        let handle = self.pages.handle(drain.page, number);
        let Some(slot) = self.slot(handle) else { return };
        if slot.control().state() != Some(State::Live) {
            return;
        }
        let keep = drain.rescue && drain.class != ClassId::LARGE && slot.frequency() > 0 && !self.is_dead(slot);
        if !(keep && self.relocate(slot, drain.class)) {
            let part = if slot.control().is_queued() { Part::Ring } else { Part::Main };
            self.unlink(handle, drain.class, Some(part));
        }
    }

    /// Copies an entry to another slot of its class; the index decides whether it is still the one. `false` if the entry
    /// has to go instead.
    pub(super) fn relocate(&self, slot: Slot<'_>, class: ClassId) -> bool {
        // Not named: on its way into the index, or out of it. The next look at this page finds out.
        let Some(found) = self.named_by(slot) else { return !crate::sync::bite("rebalance.evicts-unlinked") };
        if !slot.control().is_readable(self.run) && !self.first_read(slot, &found) {
            return false;
        }
        // SAFETY: the caller holds a guard and saw the slot LIVE under it.
        let Some(key) = (unsafe { slot.key() }) else { return false };
        // SAFETY: as above.
        let end = unsafe { slot.header() }.extent().end();
        if end > u64::from(self.pages.classes().slot_bytes(class)) {
            return false;
        }
        let bytes = end - crate::arena::frame::FRAME_START;
        let Some((to, _, generation)) = self.take(&self.pin(), class) else { return false };
        let Some(copy) = self.slot(to) else { return false };
        // SAFETY: as above; an adopted slot's extent lies within it.
        let from = unsafe { slot.bytes(crate::arena::frame::FRAME_START, bytes) };
        // SAFETY: the new slot is WRITING and ours.
        unsafe { copy.bytes_mut(crate::arena::frame::FRAME_START, bytes) }.copy_from_slice(from);
        // The hand may have lowered it since the caller looked.
        copy.set_frequency(slot.frequency().saturating_sub(1));
        let queued = slot.control().is_queued();
        #[cfg(feature = "values-on-heap")]
        self.share_heap_value(copy, class);
        copy.publish(self.run, queued);
        let word = IndexWord::new(self.hash(key), generation, to);
        // Relaxed: gauges, raised first, since whoever unlinks the copy lowers them.
        self.pages.class(class).live.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(1, Ordering::Relaxed);
        if !self.index.swap(self.region.view(), &found, word) {
            self.pages.class(class).live.fetch_sub(1, Ordering::Relaxed);
            self.entries.fetch_sub(1, Ordering::Relaxed);
            self.release_unlinked(to, class, 0);
            return true;
        }
        self.note_linked(copy);
        self.counters.add(Counter::Relocated);
        self.retire(slot.handle());
        if queued {
            self.push_to_ring(to, class);
        }
        true
    }

    /// Takes an owned page out of its class. Whoever still walks its slots by that class holds a guard, so it waits
    /// for them before it is zeroed and freed.
    pub(super) fn retire_page(&self, page: PageId) {
        self.pages.make_dirty(self.region.view(), page);
        if crate::sync::bite("page.free-at-once") {
            return self.pages.leave_dirty(page);
        }
        self.pages.await_grace();
        self.limbo.add(Handle::from_offset(self.pages.layout().page_start(page)));
    }

    /// Gives the drain under way up and keeps others from starting one; `None` if another thread is at it.
    pub(super) fn stop_drain(&self) -> Option<MutexGuard<'_, Option<Drain>>> {
        let mut under_way = self.rebalance.drain.try_lock().ok()?;
        if let Some(drain) = under_way.take() {
            self.pages.cancel_drain(drain.page);
        }
        Some(under_way)
    }

    /// One step towards a free page among those on their way; `false` if there is none.
    pub(super) fn hasten_page(&self) -> bool {
        if self.clean_dirty_page() {
            return true;
        }
        if self.pages.coming_pages() == 0 {
            return false;
        }
        let guard = self.pin();
        self.reclaim(&guard, ClassId::LARGE);
        self.launch_grace(&guard);
        self.domain.help(&guard);
        true
    }

    /// Zeroes one page that was left dirty; `false` if there is none.
    pub(super) fn clean_dirty_page(&self) -> bool {
        let Some(page) = self.pages.claim_dirty() else { return false };
        self.zero(page);
        self.pages.free(self.region.view(), page);
        true
    }

    fn zero(&self, page: PageId) {
        let layout = self.pages.layout();
        // SAFETY: the caller owns the page: none of its slots is anybody's, and no index word leads into it.
        unsafe { self.region.view().zero(layout.page_start(page), layout.page_bytes) };
    }
}
