//! The words of a record: a change without its origin, sealed by a checksum.
//!
//! ```text
//!            word 0      1      2       3 ..                       7
//!          +---------+------+-------+---------+-------+--------------+
//!   cell 0 | control | seal | stamp | [width] | [row] | key, zeros   |    64 bytes, one cache line
//!          +---------+------+-------+---------+-------+--------------+
//!   cell 1 |    -    | key, zeros                                    |    word 0 is not the record's
//!          +---------+-----------------------------------------------+
//!
//!  bit 63            32 31         16 15            6 5         3  2        1     0
//!      +---------------+-------------+---------------+-----------+-------+-----+-------+
//!      | checksum 32   | key space   | key bytes - 1 | operation | by db | row | width |   seal
//!      +---------------+-------------+---------------+-----------+-------+-----+-------+
//! ```
//!
//! The checksum is over position, shape (the low half of the seal) and all words behind it. It tells a record that its
//! writer has finished from one that it has not, and from one into which a writer wrote that slept for a whole lap.

use super::control::{CELLS_MAX, Control};
use crate::arena::change::{Change, NewChange, Operation};
use crate::region::{Line, View};
use crate::sync::{AtomicU64, Ordering};
use crate::types::key::KeyspaceId;
use crate::types::limits::KEY_BYTES_MAX;
use crate::types::stream::{Origin, Position};
use crate::types::version::{Order, Span, Stamp, Version};

/// A cell: a cache line, so that two writers never write to one line.
pub(crate) const CELL_BYTES: u64 = 64;
/// Words of a cell that belong to its record.
const CELL_WORDS: usize = CELL_BYTES as usize / 8 - 1;
/// Cells of the longest record: seal, stamp, width, row version and the longest key.
pub(crate) const RECORD_CELLS_MAX: u64 = (4 + KEY_BYTES_MAX / 8).div_ceil(CELL_WORDS) as u64;

const _: () = assert!(RECORD_CELLS_MAX <= CELLS_MAX);
const _: () = assert!(KEY_BYTES_MAX.is_multiple_of(8) && KEY_BYTES_MAX <= 1 << KEY_BITS);

const WIDTH: u32 = 1;
const ROW: u32 = 1 << 1;
const BY_DATABASE: u32 = 1 << 2;
const OPERATION_SHIFT: u32 = 3;
const OPERATION_BITS: u32 = 3;
const KEY_SHIFT: u32 = OPERATION_SHIFT + OPERATION_BITS;
const KEY_BITS: u32 = 10;
const KEYSPACE_SHIFT: u32 = KEY_SHIFT + KEY_BITS;

const _: () = assert!(KEYSPACE_SHIFT + u16::BITS == u32::BITS);

/// Which words a record has: the low half of its seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    operation: Operation,
    keyspace: KeyspaceId,
    key_bytes: usize,
    by_database: bool,
    has_row: bool,
    has_width: bool,
}

impl Shape {
    /// # Panics
    ///
    /// If an operation that has a key comes without one, with one that is too long, or the other way round.
    pub(super) fn of(change: &NewChange<'_>) -> Self {
        let lengths = if change.operation.has_key() { 1..=KEY_BYTES_MAX } else { 0..=0 };
        assert!(lengths.contains(&change.key.len()), "{:?} of a key of {} bytes", change.operation, change.key.len());
        Self {
            operation: change.operation,
            keyspace: change.keyspace,
            key_bytes: change.key.len(),
            by_database: change.version.order == Order::Database,
            has_row: change.version.row.is_some(),
            has_width: !change.version.span.is_instant(),
        }
    }

    /// From the bits of a file; `None` for those that we never write.
    fn parse(bits: u32) -> Option<Self> {
        let field = |shift: u32, width: u32| (bits >> shift) & ((1 << width) - 1);
        let operation = Operation::from_bits(field(OPERATION_SHIFT, OPERATION_BITS) as u8)?;
        let key_bytes = if operation.has_key() { field(KEY_SHIFT, KEY_BITS) as usize + 1 } else { 0 };
        let shape = Self {
            operation,
            keyspace: KeyspaceId((bits >> KEYSPACE_SHIFT) as u16),
            key_bytes,
            by_database: bits & BY_DATABASE != 0,
            has_row: bits & ROW != 0,
            has_width: bits & WIDTH != 0,
        };
        (shape.bits() == bits).then_some(shape)
    }

    fn bits(self) -> u32 {
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        (u32::from(self.keyspace.0) << KEYSPACE_SHIFT)
            | (self.key_bytes.saturating_sub(1) as u32) << KEY_SHIFT
            | (self.operation as u32) << OPERATION_SHIFT
            | flag(self.by_database, BY_DATABASE)
            | flag(self.has_row, ROW)
            | flag(self.has_width, WIDTH)
    }

    /// How long the record is.
    pub(super) fn cells(self) -> u64 {
        let words = 2 + usize::from(self.has_width) + usize::from(self.has_row) + self.key_bytes.div_ceil(8);
        words.div_ceil(CELL_WORDS) as u64
    }
}

/// Writes a record whose first cell is at an offset, the seal last.
pub(super) fn write(region: View<'_>, at: u64, position: Position, shape: Shape, change: &NewChange<'_>) {
    let mut words = Words::at(region, at);
    let mut sum = Sum::new(position, shape.bits());
    let seal = words.next();
    // Relaxed, all of them: published by the exchange in `finish`, and what a reader takes too early fails its checks.
    let mut put = |word: u64| {
        sum.add(word);
        words.next().store(word, Ordering::Relaxed);
    };
    put(change.version.stamp.0);
    if shape.has_width {
        put(u64::from(change.version.span.bits()));
    }
    if let Some(row) = change.version.row {
        put(row);
    }
    let (whole, rest) = change.key.as_chunks::<8>();
    whole.iter().for_each(|bytes| put(u64::from_le_bytes(*bytes)));
    if !rest.is_empty() {
        put(last_word(change.key, rest));
    }
    seal.store(sum.seal(shape.bits()), Ordering::Relaxed);
}

/// The bytes of a key behind its last whole word, and zeros.
#[inline]
fn last_word(key: &[u8], rest: &[u8]) -> u64 {
    match key.last_chunk::<8>() {
        // Of the last eight bytes the first are in the word before.
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Reads a record whose first cell is at an offset. `false` if it is not what was sealed for this position; `into` is
/// then anything.
pub(super) fn load(region: View<'_>, at: u64, control: Control, origin: Origin, into: &mut Change) -> bool {
    let mut words = Words::at(region, at);
    // Relaxed, all of them: ordered after the control word, and before the second look at the head by a fence.
    let seal = words.next().load(Ordering::Relaxed);
    let Some(shape) = Shape::parse(seal as u32).filter(|shape| shape.cells() == control.cells()) else {
        return false;
    };
    let mut sum = Sum::new(control.position(), shape.bits());
    let mut take = || {
        let word = words.next().load(Ordering::Relaxed);
        sum.add(word);
        word
    };
    let stamp = Stamp(take());
    let span = Span::from_bits(if shape.has_width { take() } else { 0 } as u32);
    let row = shape.has_row.then(&mut take);
    into.key.clear();
    for _ in 0..shape.key_bytes.div_ceil(8) {
        into.key.extend_from_slice(&take().to_le_bytes());
    }
    into.key.truncate(shape.key_bytes);
    let order = if shape.by_database { Order::Database } else { Order::Cache };
    into.version = Version { stamp, span, origin: origin.0, order, row };
    into.operation = shape.operation;
    into.keyspace = shape.keyspace;
    sum.seal(shape.bits()) == seal || crate::sync::bite("ring.no-checksum")
}

/// The words of a record, one after the other. The caller has checked that its cells lie in one page.
struct Words<'r> {
    region: View<'r>,
    cell: u64,
    line: Line<'r>,
    word: usize,
}

impl<'r> Words<'r> {
    fn at(region: View<'r>, cell: u64) -> Self {
        Self { region, cell, line: region.line(cell), word: 0 }
    }

    #[inline]
    fn next(&mut self) -> &'r AtomicU64 {
        if self.word == CELL_WORDS {
            self.cell += CELL_BYTES;
            self.line = self.region.line(self.cell);
            self.word = 0;
        }
        self.word += 1;
        self.line.word(self.word)
    }
}

/// A checksum over words: each is rotated in and multiplied by 2^64 / golden ratio. Tells torn from whole, not friend
/// from foe.
struct Sum(u64);

impl Sum {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    fn new(position: Position, shape: u32) -> Self {
        let mut sum = Self(position.0);
        sum.add(u64::from(shape));
        sum
    }

    #[inline]
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(Self::FACTOR);
    }

    fn seal(&self, shape: u32) -> u64 {
        ((self.0 ^ (self.0 << 32)) & !u64::from(u32::MAX)) | u64::from(shape)
    }
}
