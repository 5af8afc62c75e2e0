//! Allocate: from a size to a slot that is WRITING, without waiting for anybody.
//!
//! ```text
//!   stash, or free bits -> ours                           the usual way: no lock, no guard
//!   unprepared slots of the class -> free bits            new pages, and pages of an old run
//!   free page -> the class                                two stay spare for classes that have none
//!   grace periods -> free bits; evict                     a full arena
//!   next larger classes                                   one slot may be wasted, no request is
//!   Busy                                                  a guard is held somewhere for long
//! ```

use crate::arena::classes::ClassId;
use crate::arena::page::PageKind;
use crate::arena::slot::State;
use crate::engine::insert::Refusal;
use crate::engine::retire::TOGETHER_MAX;
use crate::engine::{Engine, PAGES_SPARE};
use crate::eviction::policy::Filling;
use crate::sync::Ordering;
use crate::sync::epoch::Guard;
use crate::types::handle::{Generation, Handle};

/// Attempts to find a slot in a full class; each moves the epoch on if nobody holds it.
#[cfg(not(loom))]
const ROUNDS_MAX: u32 = 48;
#[cfg(loom)]
const ROUNDS_MAX: u32 = 2;
/// Rounds after which the processor is offered to others: at most four times.
const YIELD_EVERY: u32 = 12;
/// Larger classes that are tried.
const CLASSES_ABOVE: u8 = 6;
/// Share of a class's slots kept free or on the way to it: 2 %.
const RESERVE_DIVISOR: u64 = 50;
const RESERVE_MIN: u64 = 2;
/// Retired slots of a class from which on inserts see to their release.
const TEND_FROM: u64 = 32;
/// Entries that one look after a class evicts for its reserve: twice as many as a stash holds, so that the reserve fills.
const EVICTED_AHEAD_MAX: u64 = 2 * TOGETHER_MAX as u64;
/// Of the looks after a class that takes one slot at a time, one in so many moves the epoch on.
const HELP_EVERY: u32 = 8;

/// A slot that is WRITING now, and the caller's.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) handle: Handle,
    pub(super) class: ClassId,
    pub(super) generation: Generation,
    /// Whether whoever took it sees to it afterwards that more become free.
    pub(super) tends: bool,
}

impl Engine {
    /// A slot for so many bytes, headers included. Lets go of the guard if room has to be made, which takes grace periods,
    /// and comes back with a new one.
    pub(super) fn allocate(&self, guard: Guard, bytes: u64) -> Result<(Guard, Taken), Refusal> {
        let class = self.pages.classes().of(bytes);
        if let Some(class) = class
            && let Some(taken) = self.take(&guard, class)
        {
            return Ok((guard, taken));
        }
        drop(guard);
        let taken = match class {
            Some(class) => self.allocate_slowly(class).ok_or(Refusal::Busy)?,
            None => self.allocate_large(bytes)?,
        };
        Ok((self.pin(), taken))
    }

    /// A free slot of a class, if there is one at hand. A page keeps its class while the guard is there.
    #[inline]
    pub(super) fn take(&self, _guard: &Guard, class: ClassId) -> Option<Taken> {
        while let Some(free) = self.pages.take_slot(self.region.view(), class) {
            // A free bit whose control word says otherwise is damage from outside: the slot is left alone.
            if let Some(generation) = self.slot(free.handle).and_then(|slot| slot.take(self.run)) {
                return Some(Taken { handle: free.handle, class, generation, tends: free.was_claimed });
            }
        }
        None
    }

    #[cold]
    fn allocate_slowly(&self, class: ClassId) -> Option<Taken> {
        for round in 0..ROUNDS_MAX {
            if round % YIELD_EVERY == YIELD_EVERY - 1 {
                // Whoever holds a guard may only be waiting for this processor.
                crate::sync::yield_now();
            }
            if self.prepare_step(class)
                && let Some(taken) = self.take(&self.pin(), class)
            {
                return Some(taken);
            }
            if self.limbo.has_due()
                && self.free_due(class)
                && let Some(taken) = self.take(&self.pin(), class)
            {
                return Some(taken);
            }
            if self.assign_page(class) {
                continue;
            }
            self.make_room(class);
            if let Some(taken) = self.take(&self.pin(), class) {
                return Some(taken);
            }
        }
        self.rebalance.starved(self.ghost_class(class));
        // The spare pages are for this moment.
        if self.assign_spare(class)
            && let Some(taken) = self.prepare_and_take(class)
        {
            return Some(taken);
        }
        (class.0 + 1..=class.0.saturating_add(CLASSES_ABOVE))
            .map(ClassId)
            .filter(|above| self.pages.classes().contains(*above))
            .find_map(|above| self.take(&self.pin(), above).or_else(|| self.prepare_and_take(above)))
    }

    fn assign_spare(&self, class: ClassId) -> bool {
        class != ClassId::LARGE && self.pages.assign(self.region.view(), PageKind::Data, class, 0).is_some()
    }

    fn free_due(&self, class: ClassId) -> bool {
        let guard = self.pin();
        self.reclaim(&guard, class) > 0
    }

    fn prepare_and_take(&self, class: ClassId) -> Option<Taken> {
        if self.prepare_step(class) { self.take(&self.pin(), class) } else { None }
    }

    /// One more page for a class; without pages it may have a spare one.
    pub(super) fn assign_page(&self, class: ClassId) -> bool {
        let pages = self.pages.class(class).pages.load(Ordering::Relaxed);
        let spare = if pages == 0 { 0 } else { PAGES_SPARE };
        let kind = if class == ClassId::LARGE { PageKind::Large } else { PageKind::Data };
        loop {
            if self.pages.assign(self.region.view(), kind, class, spare).is_some() {
                let slots =
                    self.pages.class(class).pages.load(Ordering::Relaxed) * self.pages.classes().slots_per_page(class);
                let policy = self.policy(class);
                policy.probation.reserve(policy.share.ring_cells(slots));
                return true;
            }
            if !self.clean_dirty_page() {
                break;
            }
        }
        self.mark_filled();
        pages == 0 && self.take_page_from_donor(class)
    }

    /// One step towards a free slot in a full class.
    pub(super) fn make_room(&self, class: ClassId) {
        let guard = self.pin();
        if self.reclaim(&guard, class) > 0 {
            return;
        }
        // Relaxed: a gauge.
        if self.pages.class(class).limbo.load(Ordering::Relaxed) < RESERVE_MIN {
            self.evict(&guard, class, RESERVE_MIN as u32);
        }
        self.launch_grace(&guard);
        self.domain.help(&guard);
    }

    /// What an insert does for the next ones: lets what is due become free, and evicts ahead in a full class. Every insert
    /// asks; the one that claimed slots for its stash does it for all that will use them.
    #[inline]
    pub(super) fn keep_reserve(&self, class: ClassId, tends: bool) {
        #[cfg(feature = "values-on-heap")]
        self.keep_heap_within(class);
        if !tends {
            return;
        }
        // Relaxed: a gauge.
        let waiting = self.pages.class(class).limbo.load(Ordering::Relaxed);
        if waiting >= TEND_FROM || self.pages.free_pages() <= PAGES_SPARE {
            self.refill_reserve(class);
        }
    }

    /// Slots of a class that are to be free or on the way to it.
    fn reserve(&self, class: ClassId) -> u64 {
        // Relaxed: a gauge.
        let pages = u64::from(self.pages.class(class).pages.load(Ordering::Relaxed));
        (pages * u64::from(self.pages.classes().slots_per_page(class)) / RESERVE_DIVISOR).max(RESERVE_MIN)
    }

    /// Whether a class has more free slots than it keeps for the next inserts, as after it got a page: nothing has to go.
    pub(super) fn has_slots(&self, class: ClassId) -> bool {
        let state = self.pages.class(class);
        self.pages.free_slots(class) + state.fresh() > self.reserve(class) && !self.has_all_entries()
    }

    /// Whether there are as many entries as may be.
    pub(super) fn has_all_entries(&self) -> bool {
        self.settings.entries_max.is_some_and(|max| self.entries() >= max)
    }

    #[inline(never)]
    fn refill_reserve(&self, class: ClassId) {
        let state = self.pages.class(class);
        let reserve = self.reserve(class);
        let free = self.pages.free_slots(class);
        // Relaxed: gauges. What waits is half of the reserve at most: a reader may hold it up, as after a page was drained.
        let waiting = state.limbo.load(Ordering::Relaxed).min((reserve / 2).max(TEND_FROM));
        let coming = free + state.fresh() + waiting;
        let full = self.pages.free_pages() <= PAGES_SPARE;
        if full && coming < reserve {
            self.mark_filled();
            let guard = self.pin();
            self.evict(&guard, class, (reserve - coming).min(EVICTED_AHEAD_MAX) as u32);
        }
        let waiting = state.limbo.load(Ordering::Relaxed);
        let helps = self.pages.takes_many(class) || state.is_turn(HELP_EVERY);
        if free < reserve / 2 || waiting >= TEND_FROM {
            self.tend_limbo(class, free < RESERVE_MIN || helps);
        }
        if full && self.pages.free_pages() < PAGES_SPARE && !self.housekept && helps {
            self.rebalance_step();
        }
    }

    /// Frees what is due; with `helps` sees to it that more will be: a grace period is launched, and the epoch helped on.
    fn tend_limbo(&self, class: ClassId, helps: bool) {
        if self.limbo.has_due() {
            let guard = self.pin();
            self.reclaim(&guard, class);
        }
        if helps {
            let guard = self.pin();
            self.launch_grace(&guard);
            self.domain.help(&guard);
        }
    }

    /// How far the arena is filled, until it was full for the first time.
    pub(super) fn filling(&self) -> Option<Filling> {
        // Relaxed: a hint for the policy.
        if self.filled.load(Ordering::Relaxed) {
            return None;
        }
        #[cfg(feature = "values-on-heap")]
        if let Some(filling) = self.heap_filling() {
            return Some(filling);
        }
        Some(match self.settings.entries_max {
            Some(max) => Filling { used: self.entries(), capacity: max },
            None => {
                let pages = u64::from(self.pages.layout().pages.saturating_sub(PAGES_SPARE));
                let free = u64::from(self.pages.free_pages().saturating_sub(PAGES_SPARE));
                Filling { used: pages - free.min(pages), capacity: pages }
            }
        })
    }

    /// From now on new entries go through probation.
    pub(super) fn mark_filled(&self) {
        // Relaxed: a hint for the policy.
        if !self.filled.load(Ordering::Relaxed) {
            self.filled.store(true, Ordering::Relaxed);
        }
    }

    /// Gives back a slot that was never linked, with so many bytes in use. Evictors, drains and sweeps look at every LIVE
    /// slot: one that was LIVE waits for them.
    pub(super) fn release_unlinked(&self, handle: Handle, class: ClassId, bytes: u64) {
        let Some(slot) = self.slot(handle) else { return };
        if slot.control().state() == Some(State::Live) && !crate::sync::bite("insert.frees-at-once") {
            return self.retire_orphan(slot);
        }
        slot.abandon(self.run);
        if class == ClassId::LARGE {
            self.give_large(handle, self.pages.blocks_for(bytes));
        } else {
            self.pages.give_slot(handle);
        }
    }
}
