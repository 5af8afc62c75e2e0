//! Bytes of one connection that the kernel did not take yet.
//!
//! ```text
//!   batch:   | copied | pinned slot | copied | pinned slot |
//!            |<---- taken by the kernel ---->|
//!                                      |<-- rest: copied here, the pins go -->|
//!
//!   spill:   | sent ........ | to be sent ................. |      nothing new is asked for until it is empty
//! ```
//!
//! Invariant: it holds the rest of one batch at most, so it is bounded by one batch.

#![forbid(unsafe_code)]

use std::io::{self, Write};

/// Room that is kept while nothing is to be sent.
const IDLE_BYTES_MAX: usize = 16 << 10;

/// The rest of a batch.
#[derive(Debug, Default)]
pub(super) struct Spill {
    bytes: Vec<u8>,
    sent: usize,
}

impl Spill {
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Where more bytes are appended.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        self.compact();
        &mut self.bytes
    }

    /// Writes what is there, once. `Ok(0)` if there is nothing.
    pub(super) fn write_to(&mut self, into: &mut impl Write) -> io::Result<usize> {
        if self.is_empty() {
            return Ok(0);
        }
        let taken = into.write(&self.bytes[self.sent..])?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.sent += taken;
        self.compact();
        Ok(taken)
    }

    /// Bytes of heap that are held.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives room back that a quiet connection has no use for.
    pub(super) fn rest(&mut self) {
        if self.is_empty() && self.bytes.capacity() > IDLE_BYTES_MAX {
            *self = Self::default();
        }
    }

    fn compact(&mut self) {
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time.
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_the_kernel_leaves_goes_out_in_order() {
        let (mut spill, mut slow) = (Spill::default(), Slow(Vec::new()));
        spill.tail().extend_from_slice(b"one");
        spill.tail().extend_from_slice(b"two, three");
        while !spill.is_empty() {
            assert!(spill.write_to(&mut slow).expect("it takes some") > 0);
        }
        assert_eq!(slow.0, b"onetwo, three");
        assert_eq!(spill.write_to(&mut slow).expect("nothing is there"), 0);
    }

    #[test]
    fn a_quiet_connection_keeps_no_room() {
        let mut spill = Spill::default();
        spill.tail().extend_from_slice(&[7; 100_000]);
        spill.rest();
        assert!(!spill.is_empty(), "what is to be sent stays");
        while !spill.is_empty() {
            spill.write_to(&mut io::sink()).expect("it takes all");
        }
        spill.rest();
        assert_eq!(spill.bytes.capacity(), 0);
    }
}
