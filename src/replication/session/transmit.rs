//! A batch on its way to a socket: bytes that were copied, and frames that still lie in the arena.
//!
//! ```text
//!   bytes    | header | record, small frame | record || record, small frame |
//!   pins                                              ^ at: a frame in the arena, sent here
//!   slices   |<--------------- 1 ------------------->||<--- 2, pinned --->||<------ 3 ------->|
//! ```
//!
//! A pin lasts as long as the batch: whoever could write only a part of it copies the rest out and clears it.

#![forbid(unsafe_code)]

use crate::replication::store::PinnedFrame;
use crate::sync::Arc;
use crate::types::limits::{BATCH_BYTES, BATCH_SLICES};
use std::ops::Range;

/// One batch. Reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Transmit {
    bytes: Vec<u8>,
    pins: Pins,
}

/// Frames that are sent from where they lie, each at a place among the copied bytes. The places rise.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    list: Vec<(usize, Part)>,
    bytes: usize,
}

/// What is sent from where it lies.
#[derive(Debug)]
pub(crate) enum Part {
    /// A whole frame.
    Pinned(PinnedFrame),
    /// A part of a frame that goes out in several batches.
    Chunk(Arc<PinnedFrame>, Range<usize>),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Pinned(frame) => frame.bytes(),
            Self::Chunk(frame, range) => &frame.bytes()[range.clone()],
        }
    }
}

impl Pins {
    /// Takes in a frame that is sent once the first `at` copied bytes were.
    pub(crate) fn push(&mut self, at: usize, part: Part) {
        self.bytes += part.bytes().len();
        self.list.push((at, part));
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

impl Transmit {
    /// Bytes of the whole batch.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.pins.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it takes no more: as many bytes or slices as one write has.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= BATCH_BYTES || has_slices_enough(self.pins.len())
    }

    /// The pieces, in the order of the wire; none is empty.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.pins.list.iter().map(|(at, _)| *at));
        let pinned =
            begins.zip(&self.pins.list).flat_map(|(begin, (at, part))| [&self.bytes[begin..*at], part.bytes()]);
        let last = self.pins.list.last().map_or(0, |(at, _)| *at);
        pinned.chain([&self.bytes[last..]]).filter(|slice| !slice.is_empty())
    }

    /// Appends what a partial write has left, from a byte of the batch on.
    pub(crate) fn copy_rest(&self, written: usize, into: &mut Vec<u8>) {
        let mut skip = written;
        for slice in self.slices() {
            let from = skip.min(slice.len());
            skip -= from;
            into.extend_from_slice(&slice[from..]);
        }
    }

    /// Lets go of every pin; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.pins.list.clear();
        self.pins.bytes = 0;
    }

    /// The copied bytes, to append to.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The copied bytes and the pins, both to append to.
    pub(crate) fn parts(&mut self) -> (&mut Vec<u8>, &mut Pins) {
        (&mut self.bytes, &mut self.pins)
    }

    /// Takes in a part of a frame behind the copied bytes.
    pub(crate) fn chunk(&mut self, frame: &Arc<PinnedFrame>, range: Range<usize>) {
        self.pins.push(self.bytes.len(), Part::Chunk(Arc::clone(frame), range));
    }
}

/// Whether so many pins leave no room for one more among the slices of one write: each has copied bytes before it.
pub(crate) fn has_slices_enough(pins: usize) -> bool {
    2 * pins + 3 > BATCH_SLICES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_partial_write_is_what_was_not_written() {
        let mut transmit = Transmit::default();
        transmit.bytes().extend_from_slice(b"onetwo");
        assert_eq!((transmit.len(), transmit.slices().count()), (6, 1));
        for written in 0..=6 {
            let mut rest = Vec::new();
            transmit.copy_rest(written, &mut rest);
            assert_eq!(rest, b"onetwo"[written..]);
        }
        transmit.clear();
        assert!(transmit.is_empty() && transmit.slices().next().is_none());
    }

    #[test]
    fn a_batch_of_pins_alone_has_at_most_as_many_slices_as_one_write() {
        let most = (0..).find(|pins| has_slices_enough(*pins)).expect("some number is enough");
        assert!(2 * most < BATCH_SLICES && most > BATCH_SLICES / 4);
    }
}
