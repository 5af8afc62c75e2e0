//! Which datagrams of a sender have been seen: each is taken once.
//!
//! ```text
//!   sender (a node's name, hashed), incarnation:
//!
//!     highest - 127                                  highest
//!     +---+---+---+---+--- . . . ---+---+---+---+---+---+
//!     | 1 | 0 | 1 | 1 |             | 1 | 1 | 0 | 1 | 1 |        one bit a counter: seen
//!     +---+---+---+---+--- . . . ---+---+---+---+---+---+
//!   below: too old     0: taken, late     1: replayed     above: taken, the window moves on
//! ```
//!
//! A life of a node that is new here is taken as it comes, unless a later life of that node has spoken in the last minute:
//! then it is a recording. After that minute it may be a node whose clock went back.
//!
//! Bound: [`SENDERS_MAX`] lives. With more, the one heard longest ago is forgotten, and its recordings would be taken
//! again, each once; what they say is about a life that is over.

#![forbid(unsafe_code)]

use super::datagram::DatagramRefusal;
use crate::sync::bite;
use crate::types::limits::SENDERS_MAX;
use crate::types::stream::Incarnation;

/// The windows of all senders.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<Window>);

#[derive(Debug)]
struct Window {
    sender: u64,
    incarnation: Incarnation,
    highest: u64,
    /// Bit 0 is `highest`, bit n the counter n below.
    seen: u128,
    heard_us: u64,
}

impl Windows {
    /// Notes a datagram, whose seal was found to be right.
    pub(super) fn note(
        &mut self,
        now_us: u64,
        sender: u64,
        incarnation: Incarnation,
        counter: u64,
    ) -> Result<(), DatagramRefusal> {
        if bite("security.replay-window-ignored") {
            return Ok(());
        }
        let known = self.0.iter_mut().find(|window| window.sender == sender && window.incarnation == incarnation);
        if let Some(window) = known {
            window.note(counter)?;
            window.heard_us = now_us;
            return Ok(());
        }
        let of_later_life = |window: &Window| {
            let recent = window.heard_us.saturating_add(FORMER_LIFE_US) > now_us;
            window.sender == sender && window.incarnation > incarnation && recent
        };
        if self.0.iter().any(of_later_life) {
            return Err(DatagramRefusal::FormerLife);
        }
        if self.0.len() >= SENDERS_MAX {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, window)| window.heard_us).map(|(at, _)| at);
            oldest.map(|at| self.0.swap_remove(at));
        }
        self.0.push(Window { sender, incarnation, highest: counter, seen: 1, heard_us: now_us });
        Ok(())
    }
}

impl Window {
    fn note(&mut self, counter: u64) -> Result<(), DatagramRefusal> {
        if let Some(ahead) = counter.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            let moved = u32::try_from(ahead).ok().and_then(|ahead| self.seen.checked_shl(ahead)).unwrap_or(0);
            self.seen = moved | 1;
            self.highest = counter;
            return Ok(());
        }
        let bit = u32::try_from(self.highest - counter).ok().and_then(|behind| 1u128.checked_shl(behind));
        let bit = bit.ok_or(DatagramRefusal::TooOld)?;
        if self.seen & bit != 0 {
            return Err(DatagramRefusal::Replayed);
        }
        self.seen |= bit;
        Ok(())
    }
}

/// How long after its last word a later life keeps an earlier one from being taken for new. Microseconds.
const FORMER_LIFE_US: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn note(windows: &mut Windows, sender: u64, incarnation: u64, counter: u64) -> Result<(), DatagramRefusal> {
        windows.note(counter, sender, Incarnation(incarnation), counter)
    }

    #[test]
    fn each_counter_is_taken_once_in_any_order() {
        let mut windows = Windows::default();
        for counter in [1_000, 1_003, 1_001, 1_002, 1_130, 1_129] {
            assert_eq!(note(&mut windows, 1, 1, counter), Ok(()));
            assert_eq!(note(&mut windows, 1, 1, counter), Err(DatagramRefusal::Replayed));
        }
        assert_eq!(note(&mut windows, 1, 1, 1_002), Err(DatagramRefusal::TooOld));
        assert_eq!(note(&mut windows, 1, 1, 1_003), Err(DatagramRefusal::Replayed));
        assert_eq!(note(&mut windows, 1, 1, 1_004), Ok(()));
        assert_eq!(note(&mut windows, 1, 1, u64::MAX), Ok(()));
        assert_eq!(note(&mut windows, 1, 1, 1_131), Err(DatagramRefusal::TooOld));
        assert_eq!(note(&mut windows, 1, 1, u64::MAX - 127), Ok(()));
        assert_eq!(note(&mut windows, 1, 1, u64::MAX - 128), Err(DatagramRefusal::TooOld));
    }

    #[test]
    fn an_earlier_life_is_no_newcomer_while_a_later_one_speaks() {
        let mut windows = Windows::default();
        assert_eq!(windows.note(0, 1, Incarnation(5), 7), Ok(()));
        assert_eq!(windows.note(1, 1, Incarnation(9), 1), Ok(()));
        assert_eq!(windows.note(2, 1, Incarnation(8), 1), Err(DatagramRefusal::FormerLife));
        assert_eq!(windows.note(2, 1, Incarnation(5), 8), Ok(()), "one that was known before goes on");
        assert_eq!(windows.note(2, 2, Incarnation(1), 1), Ok(()), "another node");
        assert_eq!(windows.note(FORMER_LIFE_US + 1, 1, Incarnation(8), 1), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_longest_silent_goes() {
        let mut windows = Windows::default();
        for sender in 0..=SENDERS_MAX as u64 {
            assert_eq!(windows.note(sender, sender, Incarnation(1), 1), Ok(()));
        }
        assert_eq!(windows.0.len(), SENDERS_MAX);
        assert_eq!(windows.note(99, 1, Incarnation(1), 1), Err(DatagramRefusal::Replayed));
        assert_eq!(windows.note(99, 0, Incarnation(1), 1), Ok(()), "forgotten");
    }
}
