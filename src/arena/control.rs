//! A slot's control word.
//!
//! ```text
//!  bit 31     16 15       7 6      4   3     2     0
//!      +--------+----------+--------+-------+-------+
//!      | run 16 | pins 9   | kind 3 | queue | state |   Control, one AtomicU32
//!      +--------+----------+--------+-------+-------+
//! ```

use crate::types::limits::PINS_PER_SLOT_MAX;
use std::fmt;

/// The number of an open, from 1; 16 bits in each control word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run(pub(crate) u16);

/// What a slot is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Free = 0,
    Writing = 1,
    Live = 2,
    Retired = 3,
}

/// The bits of a control word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Control(pub(super) u32);

const STATE_MASK: u32 = 7;
const QUEUE: u32 = 1 << 3;
pub(super) const PIN: u32 = 1 << 7;
const PINS_MASK: u32 = PINS_PER_SLOT_MAX << 7;
const RUN_SHIFT: u32 = 16;

const _: () = assert!(PINS_MASK < 1 << RUN_SHIFT && PINS_MASK & QUEUE == 0);

impl Control {
    pub(super) fn new(state: State, run: Run) -> Self {
        Self(state as u32 | (u32::from(run.0) << RUN_SHIFT))
    }

    /// From the bits in a file.
    #[cfg(not(loom))]
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The state; `None` for bits that we never write.
    #[inline]
    pub(crate) fn state(self) -> Option<State> {
        match self.0 & STATE_MASK {
            0 => Some(State::Free),
            1 => Some(State::Writing),
            2 => Some(State::Live),
            3 => Some(State::Retired),
            _ => None,
        }
    }

    /// Whether it is in this state and of this run.
    #[inline]
    pub(crate) fn is(self, state: State, run: Run) -> bool {
        self.0 & STATE_MASK == state as u32 && self.run() == run
    }

    /// Whether it is of this run and holds bytes that a reader under a guard may see: LIVE, or RETIRED meanwhile.
    #[inline]
    pub(crate) fn is_readable(self, run: Run) -> bool {
        // The two differ in the lowest bit alone, in which FREE and WRITING differ too.
        const HIGH: u32 = STATE_MASK & !1;
        const _: () = assert!(State::Live as u32 & HIGH == State::Retired as u32 & HIGH);
        const _: () = assert!(State::Free as u32 & HIGH == 0 && State::Writing as u32 & HIGH == 0);
        self.0 & (0xffff << RUN_SHIFT | HIGH) == u32::from(run.0) << RUN_SHIFT | State::Live as u32
    }

    #[inline]
    pub(crate) fn run(self) -> Run {
        Run((self.0 >> RUN_SHIFT) as u16)
    }

    /// Whether the entry waits in the probation ring.
    #[inline]
    pub(crate) fn is_queued(self) -> bool {
        self.0 & QUEUE != 0
    }

    #[inline]
    pub(crate) fn pins(self) -> u32 {
        (self.0 & PINS_MASK) >> 7
    }

    pub(super) fn with_state(self, state: State) -> Self {
        Self((self.0 & !STATE_MASK) | state as u32)
    }

    pub(super) fn with_queue(self, queued: bool) -> Self {
        Self(if queued { self.0 | QUEUE } else { self.0 & !QUEUE })
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state() {
            Some(state) => write!(f, "{state:?}")?,
            None => write!(f, "state {}", self.0 & STATE_MASK)?,
        }
        let queued = if self.is_queued() { ", queued" } else { "" };
        write!(f, "(run {}, {} pins{queued})", self.run().0, self.pins())
    }
}
