//! A slot's states: who takes, publishes, retires, pins and releases it.
//!
//! ```text
//!            take              publish            retire             release
//!   FREE -----------> WRITING ---------> LIVE -----------> RETIRED -----------> FREE
//!    ^                   |                 |  ^ |             |  ^                (no pins, grace over)
//!    +---- abandon ------+                 |  +-+ pin/unpin   |  |
//!                                          |  requeue         +--+ pin/unpin
//!                 in an old run:  LIVE, named by the index -> LIVE of this run (adopt)
//!                                 LIVE, not named          -> RETIRED of this run (retire)
//!                                 FREE, WRITING, RETIRED   -> FREE of this run (reset)
//! ```
//!
//! # Invariants
//!
//! - Every change is one compare-and-swap on the whole word; who loses it does nothing.
//! - Pins and queue of an old run count for nothing: the process that held them is gone.
//! - From LIVE to FREE the bytes from the frame on do not change.

use crate::arena::control::PIN;
pub(crate) use crate::arena::control::{Control, Run, State};
use crate::arena::frame::HEADER_BYTES;
use crate::region::View;
use crate::sync::{AtomicU32, Ordering};
use crate::types::handle::{Generation, Handle};
use crate::types::limits::PINS_PER_SLOT_MAX;
use std::fmt;

/// A slot in a region.
///
/// # Invariants
///
/// - The header lies in the region: checked when the slot is made.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'r> {
    pub(super) region: View<'r>,
    pub(super) offset: u64,
}

impl<'r> Slot<'r> {
    /// The slot of a handle; `None` if it does not lie in the region with room for a header.
    #[inline]
    pub(crate) fn at(region: View<'r>, handle: Handle) -> Option<Self> {
        let offset = handle.offset();
        (offset + HEADER_BYTES <= region.len()).then_some(Self { region, offset })
    }

    #[inline]
    pub(crate) fn handle(self) -> Handle {
        Handle::from_offset(self.offset)
    }

    #[inline]
    fn word(self) -> &'r AtomicU32 {
        // SAFETY: by the invariant of the type.
        unsafe { self.region.control_unchecked(self.offset) }
    }

    /// The control word. Acquire: pairs with the Release of whoever changed it, so that what was written before a
    /// publication or a release is seen.
    #[inline]
    pub(crate) fn control(self) -> Control {
        Control(self.word().load(Ordering::Acquire))
    }

    /// One change. Release: what the caller wrote before is seen by whoever reads the new word; Acquire: and the other
    /// way round.
    #[inline]
    fn change(self, from: Control, to: Control) -> bool {
        self.word().compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// FREE to WRITING, by the one who holds the slot's bit. The generation moves on, the frequency starts anew.
    pub(crate) fn take(self, run: Run) -> Option<Generation> {
        let from = self.control();
        if !from.is(State::Free, run) || !self.change(from, Control::new(State::Writing, run)) {
            return None;
        }
        let generation = Generation(self.generation_byte().load(Ordering::Relaxed)).next();
        // Relaxed: seen by others only through the publication.
        self.generation_byte().store(generation.0, Ordering::Relaxed);
        self.frequency_byte().store(0, Ordering::Relaxed);
        Some(generation)
    }

    /// Anything to WRITING, for blocks whose owner found arbitrary bytes where the control word is to be.
    pub(crate) fn take_unformatted(self, run: Run) -> Generation {
        let generation = Generation(self.generation_byte().load(Ordering::Relaxed)).next();
        self.generation_byte().store(generation.0, Ordering::Relaxed);
        self.frequency_byte().store(0, Ordering::Relaxed);
        // Release: whoever looks at the word next sees an owned slot. The owner of the blocks is alone.
        self.word().store(Control::new(State::Writing, run).0, Ordering::Release);
        generation
    }

    /// WRITING to LIVE. The index links it only afterwards.
    pub(crate) fn publish(self, run: Run, queued: bool) {
        let to = Control::new(State::Live, run).with_queue(queued);
        let ordering = if crate::sync::bite("slot.publish-relaxed") { Ordering::Relaxed } else { Ordering::Release };
        // Release: pairs with the Acquire of `control`. A plain store: a WRITING slot has one owner.
        self.word().store(to.0, ordering);
    }

    /// WRITING back to FREE: nobody has seen it.
    pub(crate) fn abandon(self, run: Run) {
        // Release: pairs with the Acquire in `take` of the next owner.
        self.word().store(Control::new(State::Free, run).0, Ordering::Release);
    }

    /// LIVE to RETIRED, by the one who took it out of the index; pins stay. Returns what it was; `None` if somebody
    /// did so before.
    pub(crate) fn retire(self, run: Run) -> Option<Control> {
        loop {
            let from = self.control();
            if from.state() != Some(State::Live) {
                return None;
            }
            let kept =
                if from.run() == run { from.with_state(State::Retired) } else { Control::new(State::Retired, run) };
            if crate::sync::bite("slot.retire-store") {
                self.word().store(kept.with_queue(false).0, Ordering::Release);
                return Some(from);
            }
            if self.change(from, kept.with_queue(false)) {
                return Some(from);
            }
        }
    }

    /// RETIRED to FREE once the grace period is over. `false` while pinned.
    pub(crate) fn release(self, run: Run) -> bool {
        let from = self.control();
        let pinned = from.pins() > 0 && !crate::sync::bite("slot.release-pinned");
        if !from.is(State::Retired, run) || pinned {
            return false;
        }
        self.change(from, Control::new(State::Free, run))
    }

    /// One more pin on a LIVE or RETIRED slot of this run that the caller's guard protects. `false` at the bound.
    pub(crate) fn pin(self, run: Run) -> bool {
        loop {
            let from = self.control();
            let known = from.is(State::Live, run) || from.is(State::Retired, run);
            if !known || from.pins() == PINS_PER_SLOT_MAX {
                return false;
            }
            if self.change(from, Control(from.0 + PIN)) {
                return true;
            }
        }
    }

    /// One pin less. `true` if that was the last one of a retired slot.
    pub(crate) fn unpin(self) -> bool {
        loop {
            let from = self.control();
            assert!(from.pins() > 0, "unpin of a slot without pins: {from:?} at {:#x}", self.offset);
            let to = Control(from.0 - PIN);
            if self.change(from, to) {
                return to.pins() == 0 && to.state() == Some(State::Retired);
            }
        }
    }

    /// LIVE of an old run to LIVE of this one, after its checksum was found right. `false` if it was changed meanwhile,
    /// which only somebody who adopted or retired it can have done.
    pub(crate) fn adopt(self, from: Control, run: Run) -> bool {
        let to = Control::new(State::Live, run);
        if crate::sync::bite("slot.adopt-store") {
            self.word().store(to.0, Ordering::Release);
            return true;
        }
        from.run() != run && from.state() == Some(State::Live) && self.change(from, to)
    }

    /// FREE, WRITING, RETIRED or nonsense of an old run to FREE of this one.
    pub(crate) fn reset(self, from: Control, run: Run) -> bool {
        from.run() != run && from.state() != Some(State::Live) && self.change(from, Control::new(State::Free, run))
    }

    /// Anything to FREE of this run: bytes that nobody owns, where no entry begins.
    pub(crate) fn void(self, from: Control, run: Run) -> bool {
        self.change(from, Control::new(State::Free, run))
    }

    /// Marks a LIVE slot as waiting in the ring or not. `false` if it is not LIVE or changed meanwhile.
    pub(crate) fn requeue(self, from: Control, queued: bool) -> bool {
        from.state() == Some(State::Live) && self.change(from, from.with_queue(queued))
    }

    #[inline(always)]
    fn frequency_byte(self) -> &'r crate::sync::AtomicU8 {
        // SAFETY: by the invariant of the type.
        unsafe { self.region.byte_unchecked(self.offset + 4) }
    }

    #[inline(always)]
    fn generation_byte(self) -> &'r crate::sync::AtomicU8 {
        // SAFETY: by the invariant of the type.
        unsafe { self.region.byte_unchecked(self.offset + 5) }
    }

    /// Relaxed: written before publication, read after the index word was acquired.
    #[inline]
    pub(crate) fn generation(self) -> Generation {
        Generation(self.generation_byte().load(Ordering::Relaxed))
    }

    /// How often it was hit, 0 to 3. Relaxed: a lost update costs a little precision.
    #[inline]
    pub(crate) fn frequency(self) -> u8 {
        self.frequency_byte().load(Ordering::Relaxed)
    }

    /// Relaxed: as above.
    #[inline]
    pub(crate) fn set_frequency(self, frequency: u8) {
        self.frequency_byte().store(frequency, Ordering::Relaxed);
    }

    /// One more hit; writes nothing once the count is full.
    #[inline]
    pub(crate) fn touch(self) {
        let frequency = self.frequency();
        if frequency < FREQUENCY_MAX {
            self.set_frequency(frequency + 1);
        }
    }
}

/// The largest frequency: two bits.
pub(crate) const FREQUENCY_MAX: u8 = 3;

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot(@{:#x}, {:?})", self.offset, self.control())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::region::Region;

    const RUN: Run = Run(7);

    fn slot(region: View<'_>) -> Slot<'_> {
        let slot = Slot::at(region, Handle::from_offset(4096)).expect("inside");
        assert!(slot.reset(slot.control(), RUN));
        slot
    }

    #[test]
    fn a_slot_lives_once_around() {
        let region = Region::heap(8192);
        let slot = slot(region.view());
        let generation = slot.take(RUN).expect("free");
        assert!(slot.take(RUN).is_none());
        slot.publish(RUN, true);
        assert!(slot.control().is_queued());
        assert!(slot.retire(RUN).is_some() && slot.retire(RUN).is_none());
        assert!(slot.release(RUN));
        assert_eq!(slot.take(RUN), Some(generation.next()));
    }

    #[test]
    fn a_pinned_slot_is_not_released() {
        let region = Region::heap(8192);
        let slot = slot(region.view());
        slot.take(RUN).expect("free");
        slot.publish(RUN, false);
        assert!(slot.pin(RUN) && slot.retire(RUN).is_some() && slot.pin(RUN));
        assert!(!slot.release(RUN));
        assert!(!slot.unpin());
        assert!(slot.unpin());
        assert!(slot.release(RUN));
    }

    #[test]
    fn pins_of_an_old_run_are_void() {
        let region = Region::heap(8192);
        let slot = slot(region.view());
        slot.take(RUN).expect("free");
        slot.publish(RUN, true);
        assert!(slot.pin(RUN));
        let next = Run(8);
        assert!(!slot.pin(next));
        assert!(slot.adopt(slot.control(), next) && slot.control().pins() == 0 && !slot.control().is_queued());
        assert!(slot.pin(next));
    }

    #[test]
    fn pins_have_a_bound() {
        let region = Region::heap(8192);
        let slot = slot(region.view());
        slot.take(RUN).expect("free");
        slot.publish(RUN, false);
        for _ in 0..PINS_PER_SLOT_MAX {
            assert!(slot.pin(RUN));
        }
        assert!(!slot.pin(RUN));
        assert_eq!(slot.control().run(), RUN);
    }
}
