//! Evict: who goes, from the ring or under the hand, and how it leaves.
//!
//! ```text
//!   ring longer than its share?  pop:  used -> main, frequency 0       not used -> unlink, ghost R
//!   else the hand, over spans of slots:  used -> one less, pass        not used -> unlink, ghost M
//!   expired or cleared entries go at once and leave no ghost
//! ```

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::Pages;
use crate::arena::slot::{Control, Slot, State};
use crate::engine::Engine;
use crate::engine::statistics::Counter;
use crate::eviction::clock::{ClassPage, ClassPages, Span};
use crate::eviction::policy::{Part, Search, Verdict, ghost_window, is_promoted};
use crate::index::Found;
use crate::sync::Ordering;
use crate::sync::epoch::Guard;
use crate::sync::failpoint::failpoint;
use crate::types::handle::Handle;
use crate::types::key::KeyHash;

/// Slots that the hand claims at once.
#[cfg(not(loom))]
const SPAN: u32 = 16;
#[cfg(loom)]
const SPAN: u32 = 2;
/// How far before its turn the slot of an entry in the ring is loaded, and its bucket.
const SLOT_AHEAD: u64 = 12;
const BUCKET_AHEAD: u64 = 4;
/// Steps of one call: pops and spans, so that an insert's share of the work is bounded.
#[cfg(not(loom))]
const STEPS_MAX: u32 = 64;
#[cfg(loom)]
const STEPS_MAX: u32 = 4;

/// The pages of one class, for the hand.
struct PagesOf<'p> {
    pages: &'p Pages,
    class: ClassId,
}

impl<'p> PagesOf<'p> {
    fn new(pages: &'p Pages, class: ClassId) -> Self {
        Self { pages, class }
    }
}

impl ClassPages for PagesOf<'_> {
    fn at_or_after(&self, page: u32) -> Option<ClassPage> {
        let all = self.pages.layout().pages;
        let start = if page < all { page } else { 0 };
        (start..all).chain(0..start).map(PageId).find_map(|page| {
            let info = self.pages.info(page);
            let slots = if info.is_run_of(self.class) { 1 } else { self.pages.slots_in(info) };
            let ours = info.has_slots_of(self.class) || info.is_run_of(self.class);
            ours.then_some(ClassPage { page: page.0, slots })
        })
    }
}

impl Engine {
    /// Evicts up to `want` entries of a class; returns how many.
    pub(super) fn evict(&self, _guard: &Guard, class: ClassId, want: u32) -> u32 {
        let mut search = Search::new();
        let mut evicted = 0;
        for _ in 0..STEPS_MAX {
            if evicted >= want {
                break;
            }
            evicted += match self.victim_part(class) {
                Part::Ring => u32::from(self.evict_from_ring(class)),
                Part::Main => match self.evict_under_hand(class, want - evicted, &mut search) {
                    Some(count) => count,
                    None => break,
                },
            };
        }
        if evicted == 0
            && let Some(handle) = search.least()
        {
            evicted += u32::from(self.unlink(handle, class, Some(Part::Main)));
        }
        // The hand met nothing of the main part, as when that is in runs of pages: the ring has to give.
        for _ in 0..STEPS_MAX {
            if evicted > 0 || self.policy(class).probation.len() == 0 {
                break;
            }
            evicted += u32::from(self.evict_from_ring(class));
        }
        evicted
    }

    fn victim_part(&self, class: ClassId) -> Part {
        let policy = self.policy(class);
        let ring = policy.probation.len();
        let occupied = self.pages.occupied(class).min(u64::from(u32::MAX)) as u32;
        policy.share.victim_part(ring, occupied.saturating_sub(ring))
    }

    fn evict_from_ring(&self, class: ClassId) -> bool {
        let probation = &self.policy(class).probation;
        let Some(number) = probation.pop() else { return false };
        self.prefetch_leaving(class);
        self.leave_ring(number, class)
    }

    /// Starts to load what the next evictions from the ring will touch: the slot of one that is far from its turn, and the
    /// bucket and the ghosts of one that is near, whose slot has arrived by now. A victim is three misses, which would
    /// otherwise wait for each other.
    fn prefetch_leaving(&self, class: ClassId) {
        let probation = &self.policy(class).probation;
        if let Some((slot, _)) = probation.peek(SLOT_AHEAD).and_then(|number| self.numbered(number, class)) {
            self.region.view().prefetch(slot.handle().offset());
        }
        if let Some((slot, control)) = probation.peek(BUCKET_AHEAD).and_then(|number| self.numbered(number, class))
            && control.is(State::Live, self.run)
        {
            // SAFETY: the caller of an eviction holds a guard, and the slot is LIVE under it.
            if let Some(key) = unsafe { slot.key() } {
                let hash = self.hash(key);
                let region = self.region.view();
                self.index.prefetch(region, self.index.home(region, hash));
                self.ghost.prefetch(hash);
            }
        }
    }

    /// Decides about a number that left the ring: main, or out. `true` if it was evicted.
    fn leave_ring(&self, number: u32, class: ClassId) -> bool {
        let Some((slot, control)) = self.numbered(number, class) else { return false };
        if !control.is(State::Live, self.run) || !control.is_queued() {
            return false;
        }
        failpoint!("evict.chosen");
        if is_promoted(slot.frequency()) && !self.is_dead(slot) {
            self.unqueue(slot.handle());
            slot.set_frequency(0);
            return false;
        }
        self.unlink(slot.handle(), class, Some(Part::Ring))
    }

    /// Moves the hand over one span, or to the slot behind the last entry that was wanted. `None` if the class has no page.
    fn evict_under_hand(&self, class: ClassId, want: u32, search: &mut Search<Handle>) -> Option<u32> {
        let clock = &self.policy(class).clock;
        let span = clock.claim(SPAN, &PagesOf::new(&self.pages, class))?;
        let page = PageId(span.page);
        let info = self.pages.info(page);
        if !info.has_slots_of(class) && !info.is_run_of(class) {
            return Some(0);
        }
        self.prefetch_span(page, &span);
        let mut evicted = 0;
        for number in span.first..span.first + span.count {
            let Some((slot, control)) = self.looked_at(page, class, number) else { continue };
            if control.state() != Some(State::Live) || (control.is_queued() && control.run() == self.run) {
                continue;
            }
            let frequency = if self.is_dead(slot) { 0 } else { slot.frequency() };
            match search.offer(slot.handle(), frequency) {
                Verdict::Pass(lower) => slot.set_frequency(lower),
                Verdict::Evict(victim) => {
                    failpoint!("evict.chosen");
                    if self.unlink(victim, class, Some(Part::Main)) {
                        *search = Search::new();
                        evicted += 1;
                    }
                }
            }
            if evicted == want {
                clock.give_back(&span, number + 1 - span.first);
                break;
            }
        }
        Some(evicted)
    }

    fn prefetch_span(&self, page: PageId, span: &Span) {
        for number in span.first..span.first + span.count {
            self.region.view().prefetch(self.pages.handle(page, number).offset());
        }
    }

    /// Whether no read can see an entry any more.
    pub(super) fn is_dead(&self, slot: Slot<'_>) -> bool {
        // SAFETY: callers hold a guard and have seen the slot LIVE under it.
        !self.is_visible(unsafe { slot.header() })
    }

    /// Takes the entry of a LIVE slot out of the index and retires it; `part` says which ghost it leaves.
    pub(super) fn unlink(&self, handle: Handle, class: ClassId, part: Option<Part>) -> bool {
        let Some(slot) = self.slot(handle) else { return false };
        if slot.control().state() != Some(State::Live) {
            return false;
        }
        let dead = self.is_dead(slot);
        // SAFETY: callers hold a guard; the slot was LIVE just now, so its bytes stay.
        let Some(key) = (unsafe { slot.key() }) else { return false };
        let hash = self.hash(key);
        // Again where a split has moved the word in between: what left the ring would never be looked at again.
        loop {
            let Some(found) = self.index.find_handle(self.region.view(), hash, handle) else { return false };
            if found.word.generation() != slot.generation() {
                return false;
            }
            if self.index.unlink(self.region.view(), &found) || crate::sync::bite("evict.retires-loser") {
                break;
            }
        }
        failpoint!("evict.unlinked");
        if crate::sync::bite("evict.counts-twice") {
            self.count_out(slot);
        }
        self.retire(handle);
        match part {
            _ if dead => self.counters.add(Counter::Expired),
            Some(part) => self.leave_ghost(hash, class, part),
            None => self.counters.add(Counter::EvictedPage),
        }
        true
    }

    fn leave_ghost(&self, hash: KeyHash, class: ClassId, part: Part) {
        self.counters.add(match part {
            Part::Ring => Counter::EvictedProbation,
            Part::Main => Counter::EvictedMain,
        });
        let live = self.pages.occupied(class).min(u64::from(u32::MAX)) as u32;
        let table = part.ghosts();
        self.ghost.insert(self.ghost_class(class), table, hash, ghost_window(table, live));
    }

    /// Enters a fresh entry into the ring; what that displaces leaves it.
    pub(super) fn push_to_ring(&self, handle: Handle, class: ClassId) {
        let Some(number) = self.number(handle, class) else { return };
        let probation = &self.policy(class).probation;
        if probation.len() >= probation.capacity() {
            let occupied = self.pages.occupied(class).min(u64::from(u32::MAX)) as u32;
            probation.reserve(self.policy(class).share.ring_cells(occupied).max(16));
        }
        match probation.push(number) {
            None => {}
            Some(displaced) if displaced != number => self.displace(displaced, class),
            // The ring has no cells, or held this number from an earlier life of the slot: main has it.
            Some(_) => self.unqueue(handle),
        }
    }

    /// Decides about a number that had to leave a full ring: nothing goes while the class has room, as after it got a page.
    fn displace(&self, number: u32, class: ClassId) {
        // The number may be of an earlier life of its slot, which somebody may be writing now.
        match self.numbered(number, class).filter(|(_, control)| control.is(State::Live, self.run)) {
            Some((slot, _)) if self.has_slots(class) && !self.is_dead(slot) => self.unqueue(slot.handle()),
            _ => {
                self.leave_ring(number, class);
            }
        }
    }

    /// Hands an entry of the ring to main, also past pins that change its word: what is neither in the ring nor unmarked
    /// would never be looked at again.
    fn unqueue(&self, handle: Handle) {
        let Some(slot) = self.slot(handle) else { return };
        let mut control = slot.control();
        while control.is(State::Live, self.run) && control.is_queued() && !slot.requeue(control, false) {
            control = slot.control();
        }
    }

    fn number(&self, handle: Handle, class: ClassId) -> Option<u32> {
        let (page, slot) = self.pages.slot_number(handle)?;
        let bits = self.slot_bits(class);
        ((u64::from(page.0) + 1) << bits <= u64::from(u32::MAX)).then_some(page.0 << bits | slot)
    }

    /// Bits of a number in the ring that are the slot's within its page.
    #[inline]
    fn slot_bits(&self, class: ClassId) -> u32 {
        u32::BITS - (self.pages.classes().slots_per_page(class) - 1).leading_zeros()
    }

    fn numbered(&self, number: u32, class: ClassId) -> Option<(Slot<'_>, Control)> {
        let bits = self.slot_bits(class);
        let (page, number) = (PageId(number >> bits), number & ((1 << bits) - 1));
        if page.0 >= self.pages.layout().pages {
            return None;
        }
        let info = self.pages.info(page);
        if !info.has_slots_of(class) && !info.is_run_of(class) {
            return None;
        }
        self.looked_at(page, class, number)
    }

    /// Evicts one entry because there are too many: of this class, else of the one with the most.
    pub(super) fn evict_entry(&self, guard: &Guard, class: ClassId) {
        if self.evict(guard, class, 1) > 0 {
            return;
        }
        let largest = (0..self.policies.len() as u8 - 1)
            .map(ClassId)
            .chain([ClassId::LARGE])
            .max_by_key(|class| self.pages.class(*class).live.load(Ordering::Relaxed));
        if let Some(largest) = largest {
            self.evict(guard, largest, 1);
        }
    }

    /// Takes the coldest entry out of a chain that has no room. `false` if there is none to take. The caller holds a guard
    /// and the stripe.
    pub(super) fn evict_from_chain(&self, hash: KeyHash) -> bool {
        let candidates = self.index.chain(self.region.view(), hash);
        let frequency = |found: &Found| self.slot(found.word.handle()).map_or(0, |slot| slot.frequency());
        let Some(coldest) = candidates.as_slice().iter().min_by_key(|found| frequency(found)) else { return false };
        if self.index.unlink(self.region.view(), coldest) {
            self.counters.add(Counter::EvictedBucket);
            self.retire_unlinked(coldest.word);
        }
        true
    }
}
