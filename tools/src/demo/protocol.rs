//! What the child tells its parent: records of 16 bytes, written to a pipe in batches that arrive whole.
//!
//! ```text
//!   byte 0                  7      8          16
//!        +-------------------+------+-----------+
//!        | a, little endian  | kind | b         |     a: 56 bits, b: 64 bits
//!        +-------------------+------+-----------+
//!   kind    1 wrote     2 removing  3 removed   4 refused   5 wrong    6 status            7 operations
//!   a       key number  key number  key number  key number  key number entries             count
//!   b       sequence    sequence    sequence    -           -          evicted so far      -
//!
//!   kind    8 filled    9 opened    10 first hit  11 confirmed  12 ready  13 lap    14 stopped  15 found    16 damaged  17 surveyed  18 withheld
//!   a       -           1: warm     -             -             changes   -         reads       key number  key number  left out     values
//!   b       ns          ns          ns            ns            ns        ns        hits        sequence    -           evicted      -
//! ```
//!
//! Nanoseconds of `first hit`, `confirmed` and `ready` count from before the process was started.
//!
//! A write or removal is acknowledged when its record has reached the pipe, after the call returned. A removal is also
//! announced before the call: killed in between, the key may be there or not, and both are right.

use std::fs::File;
use std::io::Write as _;

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 16;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// An insert returned.
    Wrote { number: u64, sequence: u64 },
    /// A removal is about to be called.
    Removing { number: u64, sequence: u64 },
    /// A removal returned.
    Removed { number: u64, sequence: u64 },
    /// An insert was refused; the key is gone then.
    Refused { number: u64 },
    /// A value read back was wrong.
    Wrong { number: u64 },
    /// How full the cache is.
    Status { entries: u64, evicted: u64 },
    /// So many operations since the last record of this kind.
    Operations { count: u64 },
    /// Every key has been written once, and all other nodes had them after so long.
    Filled { ns: u64 },
    /// The arena was opened, in so long.
    Opened { warm: bool, ns: u64 },
    /// A read found something.
    FirstHit { ns: u64 },
    /// The entries of the earlier life are right.
    Confirmed { ns: u64 },
    /// Nothing is missing, after so many changes of others.
    Ready { changes: u64, ns: u64 },
    /// A single write was on all other nodes after so long.
    Lap { ns: u64 },
    /// It serves no more, and the others have all that it wrote.
    Stopped { reads: u64, hits: u64 },
    /// A key's value is there.
    Found { number: u64, sequence: u64 },
    /// A key's value is there, and has wrong bytes.
    Damaged { number: u64 },
    /// So many values could not be sent since the start, and went as invalidations.
    Withheld { values: u64 },
    /// All keys were looked up. So many changes of others were left out, so many entries evicted, since the start.
    Surveyed { left_out: u64, evicted: u64 },
}

impl Record {
    /// As it goes through the pipe.
    pub(super) fn encode(self) -> [u8; RECORD_BYTES] {
        let (kind, a, b) = match self {
            Self::Wrote { number, sequence } => (1, number, sequence),
            Self::Removing { number, sequence } => (2, number, sequence),
            Self::Removed { number, sequence } => (3, number, sequence),
            Self::Refused { number } => (4, number, 0),
            Self::Wrong { number } => (5, number, 0),
            Self::Status { entries, evicted } => (6, entries, evicted),
            Self::Operations { count } => (7, count, 0),
            Self::Filled { ns } => (8, 0, ns),
            Self::Opened { warm, ns } => (9, u64::from(warm), ns),
            Self::FirstHit { ns } => (10, 0, ns),
            Self::Confirmed { ns } => (11, 0, ns),
            Self::Ready { changes, ns } => (12, changes, ns),
            Self::Lap { ns } => (13, 0, ns),
            Self::Stopped { reads, hits } => (14, reads, hits),
            Self::Found { number, sequence } => (15, number, sequence),
            Self::Damaged { number } => (16, number, 0),
            Self::Surveyed { left_out, evicted } => (17, left_out, evicted),
            Self::Withheld { values } => (18, values, 0),
        };
        debug_assert!(a >> 56 == 0, "{a} does not fit 56 bits");
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&(a | kind << 56).to_le_bytes());
        bytes[8..].copy_from_slice(&b.to_le_bytes());
        bytes
    }

    /// Reads a record, `None` if there is no such kind.
    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let ([a, b], []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let (word, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
        let a = word & ((1 << 56) - 1);
        Some(match word >> 56 {
            1 => Self::Wrote { number: a, sequence: b },
            2 => Self::Removing { number: a, sequence: b },
            3 => Self::Removed { number: a, sequence: b },
            4 => Self::Refused { number: a },
            5 => Self::Wrong { number: a },
            6 => Self::Status { entries: a, evicted: b },
            7 => Self::Operations { count: a },
            8 => Self::Filled { ns: b },
            9 => Self::Opened { warm: a == 1, ns: b },
            10 => Self::FirstHit { ns: b },
            11 => Self::Confirmed { ns: b },
            12 => Self::Ready { changes: a, ns: b },
            13 => Self::Lap { ns: b },
            14 => Self::Stopped { reads: a, hits: b },
            15 => Self::Found { number: a, sequence: b },
            16 => Self::Damaged { number: a },
            17 => Self::Surveyed { left_out: a, evicted: b },
            18 => Self::Withheld { values: a },
            _ => return None,
        })
    }
}

/// One thread's end of the pipe. Batches stay below what a pipe takes in one piece, so threads never mix.
pub(super) struct Sender {
    pipe: File,
    batch: Vec<u8>,
}

impl Sender {
    /// A sender into a pipe that others write to as well.
    pub(super) fn new(pipe: File) -> Self {
        Self { pipe, batch: Vec::with_capacity(BATCH_BYTES) }
    }

    /// Adds a record to the batch and sends the batch if it is full.
    pub(super) fn send(&mut self, record: Record) {
        self.batch.extend_from_slice(&record.encode());
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Sends the batch. Without a parent there is nobody to serve for: the process ends.
    pub(super) fn flush(&mut self) {
        if self.pipe.write_all(&self.batch).is_err() {
            std::process::exit(1);
        }
        self.batch.clear();
    }
}

/// Half of what POSIX promises to write in one piece to a pipe (PIPE_BUF, 4096 on Linux).
const BATCH_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_pipe() {
        for record in [
            Record::Wrote { number: 3, sequence: u64::MAX },
            Record::Removing { number: (1 << 56) - 1, sequence: 1 },
            Record::Removed { number: 0, sequence: 0 },
            Record::Refused { number: 9 },
            Record::Wrong { number: 9 },
            Record::Status { entries: 5, evicted: 6 },
            Record::Operations { count: 77 },
            Record::Filled { ns: 1 },
            Record::Opened { warm: true, ns: 2 },
            Record::FirstHit { ns: 3 },
            Record::Confirmed { ns: 4 },
            Record::Ready { changes: 5, ns: 6 },
            Record::Lap { ns: 7 },
            Record::Stopped { reads: 8, hits: 9 },
            Record::Found { number: 10, sequence: 11 },
            Record::Damaged { number: 12 },
            Record::Surveyed { left_out: 13, evicted: 14 },
            Record::Withheld { values: 15 },
        ] {
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
        assert_eq!(Record::decode(&[0; RECORD_BYTES]), None);
    }
}
