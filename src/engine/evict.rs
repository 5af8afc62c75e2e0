//! Evict: who goes, from the ring or under the hand, and how it leaves.
//!
//! ```text
//!   ring longer than its share?  pop some:  used -> main, frequency 0  not used -> unlink, ghost R
//!   else the hand, over spans of slots:     used -> one less, pass     not used -> unlink, ghost M
//!   expired or cleared entries go at once and leave no ghost; up to 16 victims are taken out together
//! ```

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::Pages;
use crate::arena::slot::{Control, Slot, State};
use crate::engine::Engine;
use crate::engine::counters::Counter;
use crate::engine::large::Look;
use crate::engine::retire::TOGETHER_MAX;
use crate::engine::unlink::Victims;
use crate::eviction::clock::{ClassPage, ClassPages, Span};
use crate::eviction::policy::{Part, Search, Verdict, is_promoted};
use crate::index::Found;
use crate::sync::backoff::Backoff;
use crate::sync::epoch::Guard;
use crate::sync::failpoint::failpoint;
use crate::types::handle::Handle;
use crate::types::key::KeyHash;

/// Slots that the hand claims at once.
#[cfg(not(loom))]
const SPAN: u32 = 16;
#[cfg(loom)]
const SPAN: u32 = 2;
const _: () = assert!(SPAN as usize <= TOGETHER_MAX);
/// Slots that one call looks at, about, so that an insert's share of the work is bounded.
#[cfg(not(loom))]
const LOOKED_AT_MAX: u32 = 1024;
#[cfg(loom)]
const LOOKED_AT_MAX: u32 = 4;

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
        let (mut evicted, mut looked_at) = (0, 0);
        while evicted < want && looked_at < LOOKED_AT_MAX {
            let left = want - evicted;
            let from_ring = self.ring_surplus(class).min(left).min(TOGETHER_MAX as u32);
            if from_ring > 0 {
                evicted += self.evict_from_ring(class, from_ring);
                looked_at += from_ring;
            } else {
                let Some(count) = self.evict_under_hand(class, left, &mut search) else { break };
                evicted += count;
                looked_at += SPAN;
            }
        }
        if evicted == 0
            && let Some(handle) = search.least()
        {
            evicted += u32::from(self.unlink(handle, class, Some(Part::Main)));
        }
        // The hand met nothing of the main part, as when that is in runs of pages: the ring has to give.
        for _ in 0..LOOKED_AT_MAX {
            if evicted > 0 || self.policy(class).probation.len() == 0 {
                break;
            }
            evicted += self.evict_from_ring(class, 1);
        }
        evicted
    }

    /// How many victims the ring of a class gives before it is main's turn.
    fn ring_surplus(&self, class: ClassId) -> u32 {
        let policy = self.policy(class);
        let ring = policy.probation.len();
        policy.share.ring_surplus(ring, self.occupied(class).saturating_sub(ring))
    }

    /// Lets up to so many numbers leave the ring, at most [`TOGETHER_MAX`]; returns how many entries were evicted.
    fn evict_from_ring(&self, class: ClassId, count: u32) -> u32 {
        let mut numbers = [0; TOGETHER_MAX];
        let taken = self.policy(class).probation.pop_some(&mut numbers[..count as usize]);
        // All of them on their way before the first is looked at.
        for number in &numbers[..taken] {
            if let Some((page, slot)) = self.place_of(*number, class) {
                self.region.view().prefetch_to_write(self.pages.handle_in(page, class, slot).offset());
            }
        }
        let mut victims = Victims::of(class, Some(Part::Ring));
        for number in &numbers[..taken] {
            match self.numbered(*number, class) {
                Some(Look::At(slot, control)) if self.leaves_arena(slot, control) => victims.push(slot.handle()),
                Some(Look::At(..)) | None => {}
                Some(Look::Later) => self.put_back(*number, class),
            }
        }
        self.unlink_all(&victims)
    }

    /// A number about which nothing could be learnt goes behind all others; what that displaces goes to main. Where nothing
    /// can be learnt of that either, it goes behind all others, until the wait is over.
    fn put_back(&self, number: u32, class: ClassId) {
        let (mut number, mut backoff) = (number, Backoff::default());
        while let Some(displaced) = self.policy(class).probation.push(number) {
            match self.numbered(displaced, class) {
                Some(Look::At(slot, control)) if control.is(State::Live, self.run) => {
                    return self.unqueue(slot.handle());
                }
                Some(Look::Later) if backoff.wait() => number = displaced,
                Some(_) | None => return,
            }
        }
    }

    /// Decides about an entry that left the ring: `false` if it goes to main, or is none any more.
    fn leaves_arena(&self, slot: Slot<'_>, control: Control) -> bool {
        if !control.is(State::Live, self.run) || !control.is_queued() {
            return false;
        }
        failpoint!("evict.chosen");
        if is_promoted(slot.frequency()) && !self.is_dead(slot) {
            self.unqueue(slot.handle());
            slot.set_frequency(0);
            return false;
        }
        true
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
        let mut victims = Victims::of(class, Some(Part::Main));
        for number in span.first..span.first + span.count {
            let Some(Look::At(slot, control)) = self.look_at(page, class, number) else { continue };
            if control.state() != Some(State::Live) || (control.is_queued() && control.run() == self.run) {
                continue;
            }
            let frequency = if self.is_dead(slot) { 0 } else { slot.frequency() };
            match search.offer(slot.handle(), frequency) {
                Verdict::Pass(lower) => slot.set_frequency(lower),
                Verdict::Evict(victim) => {
                    failpoint!("evict.chosen");
                    *search = Search::new();
                    victims.push(victim);
                }
            }
            if victims.len() == want {
                clock.give_back(&span, number + 1 - span.first);
                break;
            }
        }
        Some(self.unlink_all(&victims))
    }

    fn prefetch_span(&self, page: PageId, span: &Span) {
        for number in span.first..span.first + span.count {
            self.region.view().prefetch(self.pages.handle(page, number).offset());
        }
    }

    /// Whether an entry is of no use any more, to reads or to what comes later: expired or cleared.
    pub(super) fn is_dead(&self, slot: Slot<'_>) -> bool {
        // SAFETY: callers hold a guard and have seen the slot LIVE under it.
        let header = unsafe { slot.header() };
        !self.is_after_clear(header.keyspace(), header.stamp()) || self.is_expired(header)
    }

    /// Enters a fresh entry into the ring; what that displaces leaves it.
    pub(super) fn push_to_ring(&self, handle: Handle, class: ClassId) {
        let Some(number) = self.number(handle, class) else { return };
        let probation = &self.policy(class).probation;
        if probation.len() >= probation.capacity() {
            probation.reserve(self.policy(class).share.ring_cells(self.occupied(class)).max(16));
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
        match self.numbered(number, class) {
            Some(Look::At(slot, control)) if control.is(State::Live, self.run) => {
                if self.has_slots(class) && !self.is_dead(slot) {
                    self.unqueue(slot.handle());
                } else if self.leaves_arena(slot, control) {
                    self.unlink(slot.handle(), class, Some(Part::Ring));
                }
            }
            Some(Look::At(..)) | None => {}
            Some(Look::Later) => self.put_back(number, class),
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

    /// Where the slot of a number lies, if its page is of the class.
    fn place_of(&self, number: u32, class: ClassId) -> Option<(PageId, u32)> {
        let bits = self.slot_bits(class);
        let (page, number) = (PageId(number >> bits), number & ((1 << bits) - 1));
        if page.0 >= self.pages.layout().pages {
            return None;
        }
        let info = self.pages.info(page);
        (info.has_slots_of(class) || info.is_run_of(class)).then_some((page, number))
    }

    fn numbered(&self, number: u32, class: ClassId) -> Option<Look<'_>> {
        let (page, number) = self.place_of(number, class)?;
        self.look_at(page, class, number)
    }

    /// Evicts one entry because there are too many: of this class, else of the one with the most.
    pub(super) fn evict_entry(&self, guard: &Guard, class: ClassId) {
        if self.evict(guard, class, 1) > 0 {
            return;
        }
        let largest = (0..self.policies.len() as u8 - 1)
            .map(ClassId)
            .chain([ClassId::LARGE])
            .max_by_key(|class| self.counters.entries_of(*class));
        if let Some(largest) = largest {
            self.evict(guard, largest, 1);
        }
    }

    /// Evicts the entry of a key, for tests and models.
    #[cfg(any(test, loom))]
    pub(crate) fn evict_key(&self, _guard: &Guard, sought: &crate::engine::get::Sought<'_>) -> bool {
        let check = crate::engine::get::HasKey { engine: self, key: sought.key };
        let found = self.index.find(self.region.view(), sought.hash, &check);
        let class = found.and_then(|found| self.pages.class_of(found.word.handle()));
        let (Some(found), Some(class)) = (found, class) else { return false };
        self.unlink(found.word.handle(), class, Some(Part::Main))
    }

    /// Takes the coldest entry out of a chain that has no room. `false` if there is none to take. The caller holds a guard
    /// and the stripe.
    pub(super) fn evict_from_chain(&self, hash: KeyHash) -> bool {
        let candidates = self.index.chain(self.region.view(), hash);
        let frequency = |found: &Found| self.slot(found.word.handle()).map_or(0, |slot| slot.frequency());
        let Some(coldest) = candidates.as_slice().iter().min_by_key(|found| frequency(found)) else { return false };
        if let Some(slot) = self.slot(coldest.word.handle()) {
            self.before_unlink(slot);
        }
        if self.index.unlink(self.region.view(), coldest) {
            self.counters.add(Counter::EvictedBucket);
            self.retire_unlinked(coldest.word);
        }
        true
    }
}
