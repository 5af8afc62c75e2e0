//! A batch on its way to a socket: bytes that were copied, and frames that still lie in the arena.
//!
//! ```text
//!   bytes   | header | record, small frame | record |            | record, small frame |
//!   parts   |<------------- Copied --------------->|<- Pinned ->|<------ Copied ------>|
//!                                                   in the arena
//! ```
//!
//! Parts are in the order of the wire. A pin lasts as long as the batch: whoever could write only a part of it copies the
//! rest out and clears it.

#![forbid(unsafe_code)]

use crate::replication::store::PinnedFrame;
use crate::sync::Arc;
use std::ops::Range;

/// One piece of a batch.
#[derive(Debug)]
pub(crate) enum Part {
    /// A range of the batch's own bytes.
    Copied(Range<usize>),
    /// A whole frame in the arena.
    Pinned(PinnedFrame),
    /// A part of a frame in the arena that goes out in several batches.
    Chunk(Arc<PinnedFrame>, Range<usize>),
}

/// One batch. Reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Transmit {
    bytes: Vec<u8>,
    parts: Vec<Part>,
    /// Where the copied bytes begin that belong to no part yet.
    open: usize,
    /// Bytes in pinned parts.
    pinned_bytes: usize,
}

impl Transmit {
    /// Bytes of the whole batch.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.pinned_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many slices it takes.
    pub(crate) fn slice_count(&self) -> usize {
        self.parts.len() + usize::from(self.open < self.bytes.len())
    }

    /// The pieces, in the order of the wire.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let last = &self.bytes[self.open..];
        let parts = self.parts.iter().map(|part| match part {
            Part::Copied(range) => &self.bytes[range.clone()],
            Part::Pinned(frame) => frame.bytes(),
            Part::Chunk(frame, range) => &frame.bytes()[range.clone()],
        });
        parts.chain((!last.is_empty()).then_some(last))
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
        self.parts.clear();
        self.open = 0;
        self.pinned_bytes = 0;
    }

    /// The copied bytes, to append to.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes in a frame that stays where it is.
    pub(crate) fn pin(&mut self, frame: PinnedFrame) {
        self.pinned_bytes += frame.bytes().len();
        self.close_copied();
        self.parts.push(Part::Pinned(frame));
    }

    /// Takes in a part of a frame that stays where it is.
    pub(crate) fn chunk(&mut self, frame: Arc<PinnedFrame>, range: Range<usize>) {
        self.pinned_bytes += range.len();
        self.close_copied();
        self.parts.push(Part::Chunk(frame, range));
    }

    fn close_copied(&mut self) {
        if self.open < self.bytes.len() {
            self.parts.push(Part::Copied(self.open..self.bytes.len()));
            self.open = self.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_partial_write_is_what_was_not_written() {
        let mut transmit = Transmit::default();
        transmit.bytes().extend_from_slice(b"one");
        transmit.close_copied();
        transmit.bytes().extend_from_slice(b"two");
        assert_eq!((transmit.len(), transmit.slice_count()), (6, 2));
        for written in 0..=6 {
            let mut rest = Vec::new();
            transmit.copy_rest(written, &mut rest);
            assert_eq!(rest, b"onetwo"[written..]);
        }
        transmit.clear();
        assert!(transmit.is_empty() && transmit.slices().next().is_none());
    }
}
