//! Rebalance: pages move from where they are used least to the class that needs them most.
//!
//! ```text
//!   receiver   most ghost hits per page: what was evicted there is asked for again
//!   donor      a hand over all pages of the arena: a sample of the page's slots is aged as the clock does, and a page
//!              whose sample is mostly unused goes; so idle classes age like busy ones
//!   drain      a few pages at a time, each in steps of bounded work
//! ```
//!
//! Steps are taken by housekeeping or by inserts that found no room. A drain gives up after [`DRAIN_MS_MAX`], because of
//! a pin say, and another page is tried.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::slot::State;
use crate::engine::drain::{Drain, Then};
use crate::engine::large::Look;
use crate::engine::{Engine, PAGES_SPARE};
use crate::sync::failpoint::failpoint;
use crate::sync::{AtomicU32, GaugeU64, Mutex, Ordering};

/// A drain that takes longer is given up.
const DRAIN_MS_MAX: u64 = 1_000;
/// Drains under way at once, so that their grace periods overlap; fewer in an arena of few pages.
const DRAINS_MAX: usize = 4;
const PAGES_PER_DRAIN: u32 = 16;
/// A grace period older than this waits for a reader that takes its time: nobody spins for it.
const GRACE_YOUNG_US: u64 = 10_000;
/// Slots of a page that stand for all of it.
const SAMPLE: u32 = 128;
/// Pages that the hand looks at for one donor; the coldest of them goes if none is cold enough.
const LOOKED_AT_MAX: u32 = 16;
/// Of 64: a page with fewer used slots than this in its sample is cold.
const COLD_BELOW: u32 = 24;
/// Ghost hits per page that are worth a page; fewer where a page has few slots.
const HITS_PER_PAGE_MIN: u64 = 2;
const HITS_PER_PAGE_MAX: u64 = 24;
const SLOTS_PER_HIT: u64 = 8;
/// A donor's class may want pages at most half as much as the receiver.
const WANT_RATIO: u64 = 2;
/// Ghost hits after which all counts are halved: what was wanted long ago fades.
const FADE_AFTER: u64 = 1 << 14;
/// Attempts of an insert to finish a drain by itself.
#[cfg(not(loom))]
pub(super) const URGENT_ROUNDS: u32 = 64;
#[cfg(loom)]
pub(super) const URGENT_ROUNDS: u32 = 2;

/// Who wants pages, and the drains under way.
#[derive(Debug)]
pub(crate) struct Rebalance {
    wanted: Box<[GaugeU64]>,
    wanted_by_all: GaugeU64,
    /// The next page that the hand looks at.
    hand: AtomicU32,
    pub(super) drains: Mutex<Vec<Drain>>,
    /// Where the next run of pages is looked for.
    pub(super) next_run: AtomicU32,
}

impl Rebalance {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            wanted: (0..classes).map(|_| GaugeU64::new(0)).collect(),
            wanted_by_all: GaugeU64::new(0),
            hand: AtomicU32::new(0),
            drains: Mutex::new(Vec::with_capacity(DRAINS_MAX)),
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

    /// One step of housekeeping: keeps the spare pages, and moves pages if somebody wants them. `false` if there is
    /// nothing to do, or nothing can be done now.
    pub(crate) fn rebalance_step(&self) -> bool {
        if self.clean_dirty_page() {
            return true;
        }
        let receiver = self.receiver();
        if let Some(class) = receiver
            && self.pages.free_pages() > PAGES_SPARE
            && !self.has_room(class)
        {
            self.rebalance.halve(self.ghost_class(class));
            return self.assign_page(class);
        }
        let draining = self.drain_some(receiver, true);
        let coming = self.pages.coming_pages() > 0 && self.hasten_page();
        (draining || coming) && self.grace_is_young()
    }

    fn grace_is_young(&self) -> bool {
        let now = self.clock.fine_us();
        self.limbo.waiting_since_us().is_none_or(|since| now.saturating_sub(since) < GRACE_YOUNG_US)
    }

    /// Ghost hits per page of a class, in 1/16.
    fn want(&self, class: ClassId) -> u64 {
        let pages = u64::from(self.pages.class(class).pages.load(Ordering::Relaxed).max(1));
        self.rebalance.wanted[self.ghost_class(class)].load(Ordering::Relaxed) * 16 / pages
    }

    /// The class with the most ghost hits per page, if that is worth a page.
    fn receiver(&self) -> Option<ClassId> {
        let all = (0..self.pages.classes().len() as u8).map(ClassId).chain([ClassId::LARGE]);
        let worth = |class| {
            let slots = u64::from(self.pages.classes().slots_per_page(class));
            (slots / SLOTS_PER_HIT).clamp(HITS_PER_PAGE_MIN, HITS_PER_PAGE_MAX) * 16
        };
        all.map(|class| (self.want(class), class))
            .filter(|(want, class)| *want >= worth(*class))
            .max_by_key(|(want, _)| *want)
            .map(|(_, class)| class)
    }

    /// Whether half a page of slots was not used yet.
    fn has_room(&self, class: ClassId) -> bool {
        self.pages.class(class).fresh() > u64::from(self.pages.classes().slots_per_page(class)) / 2
    }

    /// Goes on with the drains under way, and starts one if pages are wanted. `false` if there is none, or another thread
    /// is at it.
    pub(super) fn drain_some(&self, receiver: Option<ClassId>, rescue: bool) -> bool {
        let Some(mut under_way) = crate::sync::try_lock(&self.rebalance.drains) else { return false };
        if self.begins_drain(receiver, rescue, under_way.len())
            && let Some(drain) = self.begin_drain(receiver, rescue)
        {
            under_way.push(drain);
        }
        let any = !under_way.is_empty();
        under_way.retain_mut(|drain| {
            drain.rescue &= rescue;
            let late = self.clock.coarse_us().saturating_sub(drain.since_us) > DRAIN_MS_MAX * 1_000;
            if self.drain_step(drain) {
                return false;
            }
            if late {
                self.pages.cancel_drain(drain.page);
            }
            !late
        });
        any
    }

    /// Whether one more page is to be drained. An insert in need waits for one, housekeeping works ahead.
    fn begins_drain(&self, receiver: Option<ClassId>, rescue: bool, under_way: usize) -> bool {
        if !rescue {
            return under_way == 0;
        }
        let at_once = (self.pages.layout().pages / PAGES_PER_DRAIN).clamp(1, DRAINS_MAX as u32);
        let ahead = PAGES_SPARE + if receiver.is_some() { at_once } else { 0 };
        let coming = under_way as u32 + self.pages.coming_pages();
        coming < at_once && self.pages.free_pages() + coming < ahead
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
            let Some(Look::At(slot, control)) = self.look_at(page, class, number) else { continue };
            if control.state() == Some(State::Live) && slot.frequency() > 0 {
                slot.set_frequency(slot.frequency().saturating_sub(1));
                used += 1;
            }
        }
        used * 64 / seen.max(1)
    }
}
