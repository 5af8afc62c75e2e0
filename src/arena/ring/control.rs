//! The control word of a ring's cell: which record begins there, how long it is, and whether it is done.
//!
//! ```text
//!  bit 63                                       8 7      3 2      0
//!      +-----------------------------------------+--------+-------+
//!      | position 56                             | cells 5| state |   Control, one AtomicU64
//!      +-----------------------------------------+--------+-------+
//!
//!      claim              finish(made)
//!   ---------> CLAIMED -+------------> DONE
//!      claim            +------------> VOID
//!   ---------> PAD                             and from any of them to a claim of a later position
//! ```
//!
//! # Invariants
//!
//! - Word 0 of a cell is only ever written as a control word, and by an exchange: bytes of a key are never taken for one.
//! - The position only rises, so a word never returns to what it was, and an exchange that succeeds met what was read.

use crate::types::stream::Position;
use std::fmt;

/// What a record is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Its writer is at it, or died.
    Claimed = 1,
    /// Its change was made.
    Done = 2,
    /// Its change was not made.
    Void = 3,
    /// No record: what was left of a page.
    Pad = 4,
}

/// The bits of a control word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Control(pub(super) u64);

const STATE_MASK: u64 = 7;
const CELLS_SHIFT: u32 = 3;
const CELLS_BITS: u32 = 5;
const POSITION_SHIFT: u32 = CELLS_SHIFT + CELLS_BITS;

/// The most cells that one record may have.
pub(super) const CELLS_MAX: u64 = (1 << CELLS_BITS) - 1;

/// The last position: at ten million cells a second, after 228 years.
pub(crate) const POSITION_MAX: Position = Position((1 << (64 - POSITION_SHIFT)) - 1);

impl Control {
    /// Where no record has ever begun.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn new(position: Position, cells: u64, state: State) -> Self {
        debug_assert!(position <= POSITION_MAX && (1..=CELLS_MAX).contains(&cells));
        Self((position.0 << POSITION_SHIFT) | (cells << CELLS_SHIFT) | state as u64)
    }

    /// The state; `None` for [`Control::NONE`] and for bits that we never write.
    #[inline]
    pub(super) fn state(self) -> Option<State> {
        match self.0 & STATE_MASK {
            1 => Some(State::Claimed),
            2 => Some(State::Done),
            3 => Some(State::Void),
            4 => Some(State::Pad),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn position(self) -> Position {
        Position(self.0 >> POSITION_SHIFT)
    }

    #[inline]
    pub(super) fn cells(self) -> u64 {
        (self.0 >> CELLS_SHIFT) & CELLS_MAX
    }

    /// The position behind.
    #[inline]
    pub(super) fn next(self) -> Position {
        Position(self.position().0 + self.cells())
    }

    /// Whether a record begins at this position.
    #[inline]
    pub(super) fn is_of(self, position: Position) -> bool {
        self != Self::NONE && self.position() == position
    }

    pub(super) fn with_state(self, state: State) -> Self {
        Self((self.0 & !STATE_MASK) | state as u64)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state() {
            Some(state) => write!(f, "{state:?}")?,
            None => write!(f, "state {}", self.0 & STATE_MASK)?,
        }
        write!(f, "({} + {})", self.position().0, self.cells())
    }
}
