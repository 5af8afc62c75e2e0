//! Doors for `loom-tests`: one slot, one table of pages, one limbo, each with the shortest journeys through it.
//!
//! The payload of a slot is a tracked cell: whoever believes to own a slot writes it, so loom reports two owners, or an
//! owner that the last one's accesses are not ordered before.

use crate::arena::classes::{ClassId, Classes};
use crate::arena::layout::{Layout, PageId};
use crate::arena::page::{PageKind, Pages};
use crate::arena::reclaim::{Limbo, TAKE_MAX};
use crate::arena::slot::{Run, Slot, State};
use crate::region::Region;
use crate::sync::Ordering;
use crate::sync::epoch::{Domain, Guard};
use crate::types::handle::Handle;

const SLOT_AT: u64 = 4096;
const WORD_AT: u64 = 0;
const PAYLOAD_AT: u64 = 32;

fn read(slot: Slot<'_>) -> u8 {
    // SAFETY: that this is allowed is what the models are about; the cell is tracked.
    let bytes = unsafe { slot.bytes(PAYLOAD_AT, 1) };
    bytes[0]
}

fn write(slot: Slot<'_>, value: u8) {
    // SAFETY: as for `read`.
    let bytes = unsafe { slot.bytes_mut(PAYLOAD_AT, 1) };
    bytes[0] = value;
}

/// What a control word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `F`ree, `W`riting, `L`ive or `R`etired.
    pub state: char,
    /// The run of the last change.
    pub run: u16,
    /// Pins.
    pub pins: u32,
}

/// One slot.
pub struct OneSlot {
    region: Region,
}

impl OneSlot {
    /// A slot that is FREE of a run.
    pub fn free(run: u16) -> Self {
        let region = Region::heap(SLOT_AT + 4096);
        region.view().make_slot(SLOT_AT);
        let one = Self { region };
        assert!(one.reset(run));
        one
    }

    /// A slot that holds a value, LIVE since a run.
    pub fn live(run: u16, value: u8) -> Self {
        let one = Self::free(run);
        assert!(one.take(run));
        one.write(value);
        one.publish(run);
        one
    }

    fn slot(&self) -> Slot<'_> {
        Slot::at(self.region.view(), Handle::from_offset(SLOT_AT)).expect("it lies in the region")
    }

    /// What the control word says.
    pub fn seen(&self) -> Seen {
        let control = self.slot().control();
        let state = match control.state() {
            Some(State::Free) => 'F',
            Some(State::Writing) => 'W',
            Some(State::Live) => 'L',
            Some(State::Retired) => 'R',
            None => '?',
        };
        Seen { state, run: control.run().0, pins: control.pins() }
    }

    /// FREE to WRITING.
    pub fn take(&self, run: u16) -> bool {
        self.slot().take(Run(run)).is_some()
    }

    /// WRITING to LIVE.
    pub fn publish(&self, run: u16) {
        self.slot().publish(Run(run), false);
    }

    /// LIVE to RETIRED.
    pub fn retire(&self, run: u16) -> bool {
        self.slot().retire(Run(run)).is_some()
    }

    /// RETIRED to FREE.
    pub fn release(&self, run: u16) -> bool {
        self.slot().release(Run(run))
    }

    /// One more pin.
    pub fn pin(&self, run: u16) -> bool {
        self.slot().pin(Run(run))
    }

    /// One pin less.
    pub fn unpin(&self) -> bool {
        self.slot().unpin()
    }

    /// LIVE of an old run to LIVE of this one.
    pub fn adopt(&self, run: u16) -> bool {
        let slot = self.slot();
        slot.adopt(slot.control(), Run(run))
    }

    /// Anything else of an old run to FREE of this one.
    pub fn reset(&self, run: u16) -> bool {
        let slot = self.slot();
        slot.reset(slot.control(), Run(run))
    }

    /// The payload.
    pub fn read(&self) -> u8 {
        read(self.slot())
    }

    /// Writes the payload.
    pub fn write(&self, value: u8) {
        write(self.slot(), value);
    }
}

/// A slot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// Its page.
    pub page: u32,
    /// Its number there.
    pub slot: u32,
    /// The class that the page is of.
    pub class: u8,
    at: u64,
}

/// Pages of 256 bytes: four slots of class 0, or three of class 1.
pub struct PageTable {
    region: Region,
    pages: Pages,
}

impl PageTable {
    /// So many free pages.
    pub fn new(pages: u32) -> Self {
        let layout = Layout::with_pages(256, pages);
        let region = Region::heap(layout.len());
        let table = Self { region, pages: Pages::new(layout, Classes::new(layout.page_bytes)) };
        for page in table.pages.ids() {
            table.pages.load(table.region.view(), page);
            let start = layout.page_start(page);
            for at in [0, 64, 128, 192, 80, 160] {
                table.region.view().make_slot(start + at);
            }
            table.pages.note_expiry(table.region.view(), page, 1);
            table.pages.set_ordinal(table.region.view(), page, 0);
        }
        table
    }

    /// Gives a free page to a class.
    pub fn assign(&self, class: u8) -> Option<u32> {
        self.pages.assign(self.region.view(), PageKind::Data, ClassId(class), 0).map(|page| page.0)
    }

    /// Claims the next slots of a page that nobody has looked at: first and count.
    pub fn claim(&self, page: u32, class: u8) -> Option<(u32, u32)> {
        let claimed = self.pages.claim_unprepared_in(PageId(page), ClassId(class));
        claimed.map(|(_, first, count)| (first, count))
    }

    /// Claims and gives everything.
    pub fn prepare(&self, page: u32, class: u8) {
        while let Some((first, count)) = self.claim(page, class) {
            for slot in first..first + count {
                self.give(page, slot);
            }
        }
    }

    /// Takes a free slot and writes to it.
    pub fn take(&self, class: u8) -> Option<Taken> {
        let handle = self.pages.take_slot(self.region.view(), ClassId(class))?.handle;
        let (page, slot) = self.pages.slot_number(handle).expect("it lies in a page");
        let taken = Taken { page: page.0, slot, class: self.class(page.0), at: handle.offset() };
        self.hold(taken.at);
        Some(taken)
    }

    /// Writes to a slot that was taken, and gives it back.
    pub fn give_back(&self, taken: Taken) {
        self.hold(taken.at);
        self.give(taken.page, taken.slot);
    }

    /// Gives a slot.
    pub fn give(&self, page: u32, slot: u32) {
        self.pages.give_slot(self.pages.handle(PageId(page), slot));
    }

    fn hold(&self, at: u64) {
        write(Slot::at(self.region.view(), Handle::from_offset(at)).expect("it lies in the region"), 1);
    }

    /// The class that a page is of.
    pub fn class(&self, page: u32) -> u8 {
        self.pages.info(PageId(page)).class().0
    }

    /// Starts a drain.
    pub fn begin_drain(&self, page: u32, class: u8) -> bool {
        self.pages.begin_drain(PageId(page), ClassId(class))
    }

    /// Ends a drain.
    pub fn cancel_drain(&self, page: u32) {
        self.pages.cancel_drain(PageId(page));
    }

    /// Takes all slots of a draining page of class 0 and writes to them.
    pub fn own_all(&self, page: u32) -> bool {
        let owned = self.pages.own_all(PageId(page));
        if owned {
            for slot in 0..4 {
                self.hold(self.pages.handle(PageId(page), slot).offset());
            }
        }
        owned
    }

    /// Hands an owned page to another class.
    pub fn move_to(&self, page: u32, class: u8) {
        self.pages.make_dirty(self.region.view(), PageId(page));
        self.pages.free(self.region.view(), PageId(page));
        assert_eq!(self.assign(class), Some(page));
    }

    /// Gives back what stashes hold of a page.
    pub fn empty_stashes(&self, page: u32, class: u8) {
        self.pages.empty_stashes(PageId(page), ClassId(class));
    }

    /// Free slots of a class, as its gauge and its stashes say.
    pub fn free(&self, class: u8) -> u64 {
        self.pages.free_slots(ClassId(class))
    }
}

/// One slot that one word names, and a limbo.
pub struct Graveyard {
    one: OneSlot,
    domain: Domain,
    limbo: Limbo,
}

impl Graveyard {
    /// A slot with value 1, named.
    pub fn new() -> Self {
        let one = OneSlot::live(1, 1);
        one.region.view().word(WORD_AT).store(1, Ordering::Relaxed);
        Self { one, domain: Domain::new(), limbo: Limbo::new(1) }
    }

    /// Pins the calling thread.
    pub fn pin(&self) -> Pinned {
        Pinned(self.domain.pin())
    }

    /// The value twice, if the word names it, under this guard.
    pub fn read(&self, _guard: &Pinned) -> Option<(u8, u8)> {
        // Acquire: as the index reads words.
        let named = self.one.region.view().word(WORD_AT).load(Ordering::Acquire) == 1;
        named.then(|| (self.one.read(), self.one.read()))
    }

    /// Takes the slot out of the word and into limbo.
    pub fn unlink(&self) {
        // AcqRel: as the index exchanges words.
        let word = self.one.region.view().word(WORD_AT);
        assert!(word.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        assert!(self.one.retire(1));
        assert_eq!(self.limbo.add(&[Handle::from_offset(SLOT_AT)]), 0);
    }

    /// Starts a grace period unless one is under way.
    pub fn launch(&self) -> bool {
        let guard = self.domain.pin();
        self.limbo.launch(&self.domain, &guard, 0)
    }

    /// Frees the slot if its grace period is over; then takes and writes it.
    pub fn reuse(&self) -> bool {
        let mut due = [None; TAKE_MAX];
        if self.limbo.take(&mut due) == 0 {
            return false;
        }
        assert!(self.one.release(1), "nobody pins");
        assert!(self.one.take(1));
        self.one.write(2);
        true
    }
}

impl Default for Graveyard {
    fn default() -> Self {
        Self::new()
    }
}

/// A guard.
pub struct Pinned(#[expect(dead_code, reason = "held, not looked at")] Guard);
