//! A ring after a death: what a killed process left is brought to its end, or the ring is emptied.
//!
//! ```text
//!   killed                                    what is left                          what becomes of it
//!   after the exchange of the control word    a claim at the head                   the head moves past it, then as below
//!   while the words are written               CLAIMED, its checksum wrong           VOID: the change was not made
//!   before the record is finished             CLAIMED, its checksum right           DONE: the change may have been made
//!   after it                                  DONE or VOID                          stays
//!
//!   base      head - capacity     start                     head
//!     +-----------------|-----------|--------------------------+
//!       overwritten       part of a   looked at one by one; from now on the base is the start
//!                         page
//! ```
//!
//! Nothing is trusted: every control word has to belong to its cell, each record to lead to the next one up to the head,
//! and each that is DONE to have the right checksum. Whatever does not fit is [`Damaged`].

use super::control::{Control, POSITION_MAX, State};
use super::{BASE, CELL_BYTES, Ring, record};
use crate::arena::change::Change;
use crate::region::View;
use crate::sync::{Ordering, bite};
use crate::types::stream::{Origin, Position};

/// What was settled.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Settled {
    /// Records of changes that were made, and are there.
    pub(crate) changes: u64,
    /// Those of them whose writers died before they said so.
    pub(crate) taken_as_made: u64,
    /// Records whose writers died before their change can have been made.
    pub(crate) voided: u64,
    /// Claims that the head had not been moved past.
    pub(crate) passed: u64,
}

/// The ring cannot have been written by us. [`Ring::reset`] makes it usable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Damaged {
    /// Head and base do not belong together, or not to this ring.
    #[error("head {} and base {} of the ring of changes do not fit", head.0, base.0)]
    Header { head: Position, base: Position },
    /// A control word names a position of another cell, one that is not written yet, or no state.
    #[error("cell {cell} of the ring of changes has the control word {control:#018x}")]
    Control { cell: u64, control: u64 },
    /// No record begins where the one before ends, or it straddles a page.
    #[error("no record of the ring of changes begins at {}", at.0)]
    Gap { at: Position },
    /// A record that is DONE is not what was sealed.
    #[error("the record at {} of the ring of changes has a wrong checksum", at.0)]
    Checksum { at: Position },
}

impl Ring {
    /// Brings to an end what a dead process left. Nobody else uses the ring meanwhile.
    ///
    /// # Errors
    ///
    /// If the ring cannot have been written by us: the caller resets it.
    pub(crate) fn settle(&self, region: View<'_>) -> Result<Settled, Damaged> {
        // Relaxed here and below: nobody else is there.
        let head = Position(self.head(region).load(Ordering::Relaxed));
        let base = self.base(region);
        let fits = base <= head && head.0 <= POSITION_MAX.0 - self.capacity() && base.0.is_multiple_of(self.page_cells);
        if !fits {
            return Err(Damaged::Header { head, base });
        }
        (0..self.capacity()).try_for_each(|cell| self.check_control(region, cell, head))?;
        let mut settled = Settled::default();
        let open = self.control(region, head);
        if open.is_of(head) && !bite("ring.settle-passes-nothing") {
            self.pass(region, open);
            settled.passed += 1;
        }
        let end = self.end(region);
        let mut at = self.start_of(end, base);
        region.word(self.header_at + BASE).store(at.0, Ordering::Relaxed);
        let mut change = Change::default();
        while at < end {
            at = self.settle_record(region, at, &mut change, &mut settled)?;
        }
        if at == end { Ok(settled) } else { Err(Damaged::Gap { at: end }) }
    }

    fn control(&self, region: View<'_>, at: Position) -> Control {
        Control(region.word(self.place(at).at).load(Ordering::Relaxed))
    }

    /// Claims look at the control word of every cell, so none may name a position that is not written yet.
    fn check_control(&self, region: View<'_>, cell: u64, head: Position) -> Result<(), Damaged> {
        let control = self.control(region, Position(cell));
        let (at, cells) = (control.position(), control.cells());
        let belongs = at.0 % self.capacity() == cell && at <= head;
        let fits = control.state().is_some() && (1..=self.place(at).room).contains(&cells);
        if control == Control::NONE || (belongs && fits) {
            return Ok(());
        }
        Err(Damaged::Control { cell, control: control.0 })
    }

    /// Settles one record, read into `change`; answers where the next one begins.
    fn settle_record(
        &self,
        region: View<'_>,
        at: Position,
        change: &mut Change,
        settled: &mut Settled,
    ) -> Result<Position, Damaged> {
        let control = self.control(region, at);
        if !control.is_of(at) {
            return Err(Damaged::Gap { at });
        }
        let place = self.place(at);
        let mut is_sealed = || record::load(region, place.at, control, Origin::NONE, change);
        let become_state = |state| region.word(place.at).store(control.with_state(state).0, Ordering::Relaxed);
        match control.state() {
            Some(State::Claimed) if is_sealed() && !bite("ring.settle-voids-all") => {
                become_state(State::Done);
                settled.changes += 1;
                settled.taken_as_made += 1;
            }
            Some(State::Claimed) => {
                become_state(State::Void);
                settled.voided += 1;
            }
            Some(State::Done) if is_sealed() => settled.changes += 1,
            Some(State::Done) => return Err(Damaged::Checksum { at }),
            _ => {}
        }
        Ok(control.next())
    }

    /// Empties the ring, whatever its bytes are. It goes on at the first begin of a page that is not before `at`, which
    /// becomes its base and its end. Nobody else uses the ring meanwhile.
    ///
    /// # Panics
    ///
    /// If that lies within a lap of the last position.
    pub(crate) fn reset(&self, region: View<'_>, at: Position) -> Position {
        let at = Position(at.0.next_multiple_of(self.page_cells));
        assert!(at.0 <= POSITION_MAX.0 - self.capacity(), "a ring can not begin at {at:?}");
        for page in &self.pages {
            for cell in 0..self.page_cells {
                // Relaxed: nobody else is there.
                region.word(page + cell * CELL_BYTES).store(Control::NONE.0, Ordering::Relaxed);
            }
        }
        region.word(self.header_at + BASE).store(at.0, Ordering::Relaxed);
        self.head(region).store(at.0, Ordering::Relaxed);
        at
    }
}
