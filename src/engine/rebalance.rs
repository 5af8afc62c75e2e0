//! Rebalance: pages move from the class that needs them least to the one that needs them most.
//!
//! ```text
//!   receiver   most ghost hits and evictions per page since the last look
//!   donor      the hand finds the largest share of unused entries; all hands age alike, also of idle classes
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
use crate::sync::backoff::Backoff;
use crate::sync::failpoint::failpoint;
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering};
use crate::types::handle::{Handle, IndexWord};

/// A drain that takes longer is given up.
const DRAIN_MS_MAX: u64 = 1_000;
/// Slots that one step of a drain looks at.
const DRAIN_STEP: u32 = 512;
/// Slots sampled to tell how cold a class is.
const SAMPLE: u32 = 64;
/// Attempts of an insert to finish a drain by itself.
#[cfg(not(loom))]
const URGENT_ROUNDS: u32 = 64;
#[cfg(loom)]
const URGENT_ROUNDS: u32 = 2;

/// Who wants pages, and the one drain under way.
#[derive(Debug)]
pub(crate) struct Rebalance {
    wanted: Box<[AtomicU64]>,
    drain: Mutex<Option<Drain>>,
    /// Where the next run of pages is looked for.
    next_run: AtomicU32,
}

#[derive(Debug)]
struct Drain {
    page: PageId,
    class: ClassId,
    next_slot: u32,
    since_us: u64,
    /// Whether used entries are copied; an insert in need evicts all.
    rescue: bool,
}

impl Rebalance {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            wanted: (0..classes).map(|_| AtomicU64::new(0)).collect(),
            drain: Mutex::new(None),
            next_run: AtomicU32::new(0),
        }
    }

    /// A ghost hit. Relaxed: a hint.
    pub(super) fn wanted(&self, class: usize) {
        self.wanted[class].fetch_add(1, Ordering::Relaxed);
    }

    /// An insert found no room at all: this weighs more.
    pub(super) fn starved(&self, class: usize) {
        self.wanted[class].fetch_add(1 << 10, Ordering::Relaxed);
    }
}

impl Engine {
    /// A page for a class that has none, from another class, at once. Bounded; `false` if readers hold it up.
    pub(super) fn take_page_from_donor(&self, class: ClassId) -> bool {
        for _ in 0..URGENT_ROUNDS {
            let kind = if class == ClassId::LARGE { PageKind::Large } else { PageKind::Data };
            if self.pages.assign(&self.region, kind, class, 0).is_some() {
                return true;
            }
            if !self.hasten_page() && !self.drain_some(Some(class), false) && !self.evict_some_run() {
                return false;
            }
        }
        false
    }

    /// One step of housekeeping: keeps the spare pages, and moves a page if somebody wants one. `false` if there is
    /// nothing to do.
    pub(crate) fn rebalance_step(&self) -> bool {
        if self.clean_dirty_page() {
            return true;
        }
        let wanted = self.receiver().is_some();
        let under_way = self.rebalance.drain.try_lock().is_ok_and(|drain| drain.is_some());
        let spare = self.pages.free_pages() + self.pages.coming_pages();
        if spare >= PAGES_SPARE && !wanted && !under_way {
            return false;
        }
        let receiver = self.receiver();
        if self.pages.free_pages() > PAGES_SPARE
            && let Some(class) = receiver
        {
            self.rebalance.wanted[self.ghost_class(class)].store(0, Ordering::Relaxed);
            return self.assign_page(class);
        }
        let idle = !self.filled.load(Ordering::Relaxed) || spare > PAGES_SPARE;
        if idle && !under_way {
            return false;
        }
        self.drain_some(receiver, true)
    }

    /// The class with the most ghost hits per page, if that is worth a page.
    fn receiver(&self) -> Option<ClassId> {
        let score = |class: ClassId| {
            let pages = u64::from(self.pages.class(class).pages.load(Ordering::Relaxed).max(1));
            self.rebalance.wanted[self.ghost_class(class)].load(Ordering::Relaxed) * 64 / pages
        };
        let all = (0..self.pages.classes().len() as u8).map(ClassId).chain([ClassId::LARGE]);
        all.map(|class| (score(class), class))
            .filter(|(score, _)| *score >= 64 * 64)
            .max_by_key(|(score, _)| *score)
            .map(|(_, class)| class)
    }

    /// Goes on with the drain under way, or starts one for `receiver`. `false` if there is no donor, or another thread
    /// is at it.
    fn drain_some(&self, receiver: Option<ClassId>, rescue: bool) -> bool {
        let Ok(mut slot) = self.rebalance.drain.try_lock() else { return false };
        if slot.is_none() {
            *slot = self.begin_drain(receiver, rescue);
        }
        let Some(drain) = slot.as_mut() else { return false };
        drain.rescue &= rescue;
        if self.drain_step(drain) {
            *slot = None;
            if let Some(class) = receiver {
                self.rebalance.wanted[self.ghost_class(class)].store(0, Ordering::Relaxed);
            }
        } else if self.clock.coarse_us().saturating_sub(drain.since_us) > DRAIN_MS_MAX * 1_000 {
            self.pages.cancel_drain(drain.page);
            *slot = None;
        }
        true
    }

    fn begin_drain(&self, receiver: Option<ClassId>, rescue: bool) -> Option<Drain> {
        let donor = self.donor(receiver)?;
        let page = self.emptiest_page(donor)?;
        if !self.pages.begin_drain(page, donor) {
            return None;
        }
        failpoint!("page.draining");
        Some(Drain { page, class: donor, next_slot: 0, since_us: self.clock.coarse_us(), rescue })
    }

    /// The class whose sampled slots are least used; one with a single page gives it only if nothing else is there.
    fn donor(&self, receiver: Option<ClassId>) -> Option<ClassId> {
        let _guard = self.pin();
        let all = (0..self.pages.classes().len() as u8).map(ClassId).chain([ClassId::LARGE]);
        all.filter(|class| Some(*class) != receiver)
            .filter_map(|class| {
                let pages = self.pages.class(class).pages.load(Ordering::Relaxed);
                (pages > 0).then(|| (pages > 1, self.coldness(class), pages, class))
            })
            .max_by_key(|(spare, cold, pages, _)| (*spare, *cold, *pages))
            .map(|(.., class)| class)
    }

    /// Of a sample under the hand, how many are unused; the sample ages by it. In 1/64.
    fn coldness(&self, class: ClassId) -> u32 {
        use crate::engine::evict::PagesOf;
        let Some(span) = self.policy(class).clock.claim(SAMPLE, &PagesOf::new(&self.pages, class)) else { return 0 };
        let page = PageId(span.page);
        let mut cold = 0;
        for number in span.first..span.first + span.count {
            if class == ClassId::LARGE && !self.pages.is_head(page, number) {
                continue;
            }
            let Some(slot) = self.slot(self.pages.handle(page, number)) else { continue };
            match (slot.control().state(), slot.frequency()) {
                (Some(State::Live), frequency) if frequency > 0 => slot.set_frequency(frequency - 1),
                _ => cold += 1,
            }
        }
        cold * 64 / span.count.max(1)
    }

    /// The page of a class with the most free slots, from a few looked at.
    fn emptiest_page(&self, class: ClassId) -> Option<PageId> {
        self.pages
            .ids()
            .filter(|page| self.pages.info(*page).has_slots_of(class) && !self.pages.info(*page).is_draining())
            .max_by_key(|page| self.pages.free_in(*page))
    }

    /// Some slots of a draining page. `true` once the page is free.
    fn drain_step(&self, drain: &mut Drain) -> bool {
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
            self.retire_page(drain.page);
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

    /// Copies an entry to another slot of its class; the index decides whether it is still the one.
    fn relocate(&self, slot: Slot<'_>, class: ClassId) -> bool {
        let Some(found) = self.named_by(slot) else { return false };
        if slot.control().run() != self.run && !self.first_read(slot, &found) {
            return false;
        }
        // SAFETY: the caller holds a guard and saw the slot LIVE under it.
        let Some(key) = (unsafe { slot.key() }) else { return false };
        let Some((to, _, generation)) = self.take(class) else { return false };
        let Some(copy) = self.slot(to) else { return false };
        // SAFETY: the caller holds a guard and saw the slot LIVE under it.
        let bytes = unsafe { slot.header() }.extent().end() - crate::arena::frame::FRAME_START;
        // SAFETY: as above; an adopted slot's extent lies within it.
        let from = unsafe { slot.bytes(crate::arena::frame::FRAME_START, bytes) };
        // SAFETY: the new slot is WRITING and ours.
        unsafe { copy.bytes_mut(crate::arena::frame::FRAME_START, bytes) }.copy_from_slice(from);
        // The hand may have lowered it since the caller looked.
        copy.set_frequency(slot.frequency().saturating_sub(1));
        let queued = slot.control().is_queued();
        copy.publish(self.run, queued);
        let word = IndexWord::new(self.hash(key), generation, to);
        // Relaxed: gauges, raised first, since whoever unlinks the copy lowers them.
        self.pages.class(class).live.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(1, Ordering::Relaxed);
        if !self.index.swap(&self.region, &found, word) {
            self.pages.class(class).live.fetch_sub(1, Ordering::Relaxed);
            self.entries.fetch_sub(1, Ordering::Relaxed);
            copy.abandon(self.run);
            self.pages.give_slot(to);
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
        self.pages.make_dirty(&self.region, page);
        self.pages.await_grace();
        self.limbo.add(Handle::from_offset(self.pages.layout().page_start(page)));
    }

    /// One step towards a free page among those on their way; `false` if there is none.
    fn hasten_page(&self) -> bool {
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
        self.pages.free(&self.region, page);
        true
    }

    fn zero(&self, page: PageId) {
        let layout = self.pages.layout();
        // SAFETY: the caller owns the page: none of its slots is anybody's, and no index word leads into it.
        unsafe { self.region.zero(layout.page_start(page), layout.page_bytes) };
    }

    /// Frees `count` pages in a row, for one value; evicts what is in them. Bounded.
    pub(super) fn make_run(&self, count: u32) -> bool {
        let pages = self.pages.layout().pages;
        let usable = |page: &PageId| {
            matches!(
                self.pages.info(*page).kind(),
                PageKind::Free | PageKind::Data | PageKind::Large | PageKind::RunHead | PageKind::RunTail
            )
        };
        // Round and round, so that what was stored last is not what goes next. Relaxed: a hint.
        let first = self.rebalance.next_run.load(Ordering::Relaxed) % pages;
        for part in [first..pages, 0..pages] {
            let mut run = 0;
            for page in part.map(PageId) {
                let begins_within = run == 0 && self.pages.info(page).kind() == PageKind::RunTail;
                run = if usable(&page) && !begins_within { run + 1 } else { 0 };
                if run == count {
                    self.rebalance.next_run.store(page.0 + 1, Ordering::Relaxed);
                    return self.empty_pages(page.0 + 1 - count, count);
                }
            }
        }
        false
    }

    fn empty_pages(&self, head: u32, count: u32) -> bool {
        for number in head..head + count {
            let page = PageId(number);
            let mut backoff = Backoff::default();
            for round in 0..URGENT_ROUNDS {
                let info = self.pages.info(page);
                match info.kind() {
                    PageKind::Free => break,
                    PageKind::Dirty => {
                        self.hasten_page();
                    }
                    PageKind::RunHead => self.evict_run(page),
                    PageKind::RunTail => {}
                    _ if round == 0 && !self.pages.begin_drain(page, info.class()) && !info.is_draining() => {
                        return false;
                    }
                    _ => {
                        let mut drain = Drain { page, class: info.class(), next_slot: 0, since_us: 0, rescue: false };
                        while !self.drain_step(&mut drain) && drain.next_slot != 0 {}
                    }
                }
                if round + 1 == URGENT_ROUNDS {
                    self.pages.cancel_drain(page);
                    return false;
                }
                // A thread that lost its processor inside a guard holds up every grace period: let it have this one.
                backoff.wait();
            }
        }
        true
    }

    /// Evicts one large value where no class has a page to give, so that its run becomes free. `false` if there is none.
    fn evict_some_run(&self) -> bool {
        let guard = self.pin();
        let state = self.pages.class(ClassId::LARGE);
        // Relaxed: gauges. One that waits for readers is as good as one evicted now.
        if state.limbo.load(Ordering::Relaxed) == 0 && self.evict(&guard, ClassId::LARGE, 1) == 0 {
            return false;
        }
        self.reclaim(&guard, ClassId::LARGE);
        self.launch_grace(&guard);
        self.domain.help(&guard);
        true
    }

    /// Takes the value that fills a run out of the index.
    fn evict_run(&self, head: PageId) {
        let guard = self.pin();
        let handle = Handle::from_offset(self.pages.layout().page_start(head));
        if self.slot(handle).is_some_and(|slot| slot.control().state() == Some(State::Live)) {
            self.unlink(handle, ClassId::LARGE, Some(Part::Main));
        }
        self.reclaim(&guard, ClassId::LARGE);
        self.launch_grace(&guard);
        self.domain.help(&guard);
    }
}
