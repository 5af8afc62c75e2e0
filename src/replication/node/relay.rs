//! Relay rings: what others changed, kept for those who can not, or no longer, get it from them.
//!
//! ```text
//!   ring of a stream    block          block          block            blocks of one size, from one budget
//!                     | r r r r r .. | r r r r r .. | r r r   |
//!                       ^ start                             ^ end      every change between the two is here
//!
//!   record  0          8       16      20      22      24         26       28        36
//!           | position | stamp | width | order | origin | key    | key    | row     | key |
//!           | u64      | u64   | u32   | op    | u16    | space  | bytes  | u64     |     |
//! ```
//!
//! Where the budget is used up, the oldest block of the ring that has most of them goes. Nothing is allocated per change.

#![forbid(unsafe_code)]

use crate::arena::change::{Change, Operation, Read};
use crate::types::key::KeyspaceId;
use crate::types::limits::KEY_BYTES_MAX;
use crate::types::stream::{Position, StreamId};
use crate::types::version::{Order, Span, Stamp, Version};
use std::collections::{BTreeMap, VecDeque};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a block where the budget allows: the budget has at least so many blocks.
const BLOCK_BYTES_MAX: usize = 16 << 10;
const BLOCKS_MIN: usize = 8;
/// A block has room for the longest record.
const BLOCK_BYTES_MIN: usize = 2 << 10;

const _: () = assert!(size_of::<RecordBytes>() == 36 && size_of::<RecordBytes>() + KEY_BYTES_MAX <= BLOCK_BYTES_MIN);

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RecordBytes {
    position: U64,
    stamp: U64,
    span: U32,
    operation: u8,
    /// 1 ordered by the database, 2 has a row version.
    flags: u8,
    origin: U16,
    keyspace: U16,
    key_bytes: U16,
    row: U64,
}

const BY_DATABASE: u8 = 1;
const HAS_ROW: u8 = 2;

/// The rings of all streams that this node hears.
#[derive(Debug)]
pub(crate) struct Relays {
    rings: BTreeMap<StreamId, Ring>,
    blocks: usize,
    blocks_max: usize,
    block_bytes: usize,
    free: Vec<Box<[u8]>>,
}

/// Where a reader goes on; the default is anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Hint {
    pub(crate) block: u64,
    pub(crate) offset: usize,
}

/// What is kept of one change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed<'a> {
    pub(crate) operation: Operation,
    pub(crate) version: Version,
    pub(crate) keyspace: KeyspaceId,
    /// Empty for clears.
    pub(crate) key: &'a [u8],
}

#[derive(Debug)]
struct Ring {
    start: Position,
    end: Position,
    blocks: VecDeque<Block>,
    /// Number of the first block; numbers are not used again.
    base: u64,
    /// What belongs to changes before `end`: blocks before this number, and so many bytes of the last of them.
    settled: (u64, usize),
}

#[derive(Debug)]
struct Block {
    /// Of its first record.
    first: Position,
    used: usize,
    bytes: Box<[u8]>,
}

impl Relays {
    /// Rings within a budget; a small one is raised to eight of the smallest blocks.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let block_bytes = (bytes_max / BLOCKS_MIN).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        let blocks_max = (bytes_max / block_bytes).max(BLOCKS_MIN);
        Self { rings: BTreeMap::new(), blocks: 0, blocks_max, block_bytes, free: Vec::new() }
    }

    /// Bytes that are held, about.
    pub(crate) fn bytes(&self) -> usize {
        let of_ring = |ring: &Ring| size_of::<(StreamId, Ring)>() + ring.blocks.capacity() * size_of::<Block>();
        self.bytes_of_blocks() + self.rings.values().map(of_ring).sum::<usize>()
    }

    /// What the budget is for.
    fn bytes_of_blocks(&self) -> usize {
        (self.blocks + self.free.len()) * self.block_bytes
    }

    /// A stream that is not followed any more.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        if let Some(ring) = self.rings.remove(&stream) {
            self.blocks -= ring.blocks.len();
            self.free.extend(ring.blocks.into_iter().map(|block| block.bytes));
        }
    }

    /// How many streams are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rings.len()
    }

    /// What is here of a stream.
    pub(crate) fn range(&self, stream: StreamId) -> Option<(Position, Position)> {
        self.rings.get(&stream).map(|ring| (ring.start, ring.end))
    }

    /// Changes from `first` on are about to be pushed. If the ring does not end there, it begins anew.
    pub(crate) fn begin(&mut self, stream: StreamId, first: Position) {
        let ring = self.rings.entry(stream).or_insert_with(|| Ring::new(first));
        let is_next = ring.end == first && ring.start <= ring.end;
        // What was pushed behind the end belongs to a frame that was not right.
        let keep = if is_next { ring.settled } else { (0, 0) };
        let kept = keep.0.saturating_sub(ring.base) as usize;
        let gone = ring.blocks.len().saturating_sub(kept);
        self.free.extend(ring.blocks.drain(kept.min(ring.blocks.len())..).map(|block| block.bytes));
        self.blocks -= gone;
        match ring.blocks.back_mut() {
            Some(block) => block.used = keep.1,
            None => (ring.base, ring.start) = (ring.base + gone as u64, first),
        }
        ring.end = first;
    }

    /// Behind what is kept of a stream.
    pub(crate) fn end(&self, stream: StreamId) -> Position {
        self.rings.get(&stream).map_or(Position(0), |ring| ring.end)
    }

    /// Everything before `next` has been pushed.
    pub(crate) fn settle(&mut self, stream: StreamId, next: Position) {
        if let Some(ring) = self.rings.get_mut(&stream) {
            ring.end = next;
            ring.settled = (ring.base + ring.blocks.len() as u64, ring.blocks.back().map_or(0, |block| block.used));
        }
    }

    /// Keeps a change.
    pub(crate) fn push(&mut self, stream: StreamId, at: Position, change: &Relayed<'_>) {
        let record = RecordBytes::new(at, change);
        let bytes = size_of::<RecordBytes>() + change.key.len();
        let has_room = |ring: &Ring| ring.blocks.back().is_some_and(|block| block.used + bytes <= block.bytes.len());
        if self.rings.get(&stream).is_some_and(|ring| !has_room(ring)) {
            let block = self.take_block(stream, at);
            if let Some(ring) = self.rings.get_mut(&stream) {
                ring.blocks.push_back(Block { first: at, used: 0, bytes: block });
                self.blocks += 1;
            }
        }
        if let Some(block) = self.rings.get_mut(&stream).and_then(|ring| ring.blocks.back_mut()) {
            let (head, key) = block.bytes[block.used..][..bytes].split_at_mut(size_of::<RecordBytes>());
            head.copy_from_slice(record.as_bytes());
            key.copy_from_slice(change.key);
            block.used += bytes;
        }
    }

    /// A free block: one that was given back, a new one, or the oldest of the ring with most. It may be taken from the very
    /// ring that it is for, in the middle of a frame: what is kept of that one then begins with the change at `at`.
    fn take_block(&mut self, stream: StreamId, at: Position) -> Box<[u8]> {
        if let Some(block) = self.free.pop() {
            return block;
        }
        let length = |(of, ring): &(&StreamId, &mut Ring)| (ring.blocks.len(), **of != stream);
        let longest = self.rings.iter_mut().filter(|_| self.blocks >= self.blocks_max).max_by_key(length);
        let oldest = longest.and_then(|(of, ring)| ring.drop_oldest(if *of == stream { at } else { ring.end }));
        self.blocks -= usize::from(oldest.is_some());
        oldest.unwrap_or_else(|| vec![0; self.block_bytes].into_boxed_slice())
    }

    /// Reads the change at a position, as from the ring of its origin. The hint is where the last read of the same reader
    /// came to.
    pub(crate) fn read(&self, stream: StreamId, at: Position, hint: &mut Hint, into: &mut Change) -> Read<Position> {
        let Some(ring) = self.rings.get(&stream).filter(|ring| ring.start <= at && at <= ring.end) else {
            return Read::Lost;
        };
        if at == ring.end {
            return Read::NotYet;
        }
        let Some((found, here)) = ring.locate(at, *hint) else { return Read::Nothing { next: ring.end } };
        if found.at() > at {
            *hint = here;
            return Read::Nothing { next: found.at().min(ring.end) };
        }
        found.read(ring.key_at(here), into);
        *hint = Hint { offset: here.offset + size_of::<RecordBytes>() + into.key.len(), ..here };
        let next = ring.locate(Position(at.0 + 1), *hint).map_or(ring.end, |(next, _)| next.at());
        Read::Change { next: next.min(ring.end) }
    }
}

impl Ring {
    fn new(first: Position) -> Self {
        Self { start: first, end: first, blocks: VecDeque::new(), base: 0, settled: (0, 0) }
    }

    fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number.checked_sub(self.base)?).ok()?)
    }

    /// The first record at or behind a position, and where it is.
    fn locate(&self, at: Position, hint: Hint) -> Option<(&RecordBytes, Hint)> {
        let hint = match self.block(hint.block) {
            Some(_) if hint != Hint::default() => hint,
            _ => {
                let block = self.blocks.partition_point(|block| block.first <= at).saturating_sub(1);
                Hint { block: self.base + block as u64, offset: 0 }
            }
        };
        self.search(at, hint)
    }

    fn search(&self, at: Position, mut hint: Hint) -> Option<(&RecordBytes, Hint)> {
        while let Some(block) = self.block(hint.block) {
            while let Some(record) = block.record(hint.offset) {
                if record.at() >= at {
                    return Some((record, hint));
                }
                hint.offset += record.bytes();
            }
            hint = Hint { block: hint.block + 1, offset: 0 };
        }
        None
    }

    fn key_at(&self, place: Hint) -> &[u8] {
        let Some((block, record)) =
            self.block(place.block).and_then(|block| Some((block, block.record(place.offset)?)))
        else {
            return &[];
        };
        &block.bytes[place.offset + size_of::<RecordBytes>()..place.offset + record.bytes()]
    }

    /// Lets go of the oldest block. A ring whose last block goes begins where its next change does, at `next`.
    fn drop_oldest(&mut self, next: Position) -> Option<Box<[u8]>> {
        let block = self.blocks.pop_front()?;
        self.base += 1;
        self.start = self.blocks.front().map_or(next, |block| block.first);
        Some(block.bytes)
    }
}

impl Block {
    fn record(&self, offset: usize) -> Option<&RecordBytes> {
        RecordBytes::ref_from_prefix(self.bytes[..self.used].get(offset..)?).ok().map(|(record, _)| record)
    }
}

impl RecordBytes {
    fn new(at: Position, change: &Relayed<'_>) -> Self {
        let version = &change.version;
        let flags = if version.order == Order::Database { BY_DATABASE } else { 0 };
        Self {
            position: U64::new(at.0),
            stamp: U64::new(version.stamp.0),
            span: U32::new(version.span.bits()),
            operation: change.operation as u8,
            flags: flags | if version.row.is_some() { HAS_ROW } else { 0 },
            origin: U16::new(version.origin),
            keyspace: U16::new(change.keyspace.0),
            key_bytes: U16::new(change.key.len() as u16),
            row: U64::new(version.row.unwrap_or(0)),
        }
    }

    fn at(&self) -> Position {
        Position(self.position.get())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + usize::from(self.key_bytes.get())
    }

    fn read(&self, key: &[u8], into: &mut Change) {
        into.operation = Operation::from_bits(self.operation).unwrap_or(Operation::Invalidate);
        into.keyspace = KeyspaceId(self.keyspace.get());
        into.version = Version {
            stamp: Stamp(self.stamp.get()),
            span: Span::from_bits(self.span.get()),
            origin: self.origin.get(),
            order: if self.flags & BY_DATABASE != 0 { Order::Database } else { Order::Cache },
            row: (self.flags & HAS_ROW != 0).then(|| self.row.get()),
        };
        into.key.clear();
        into.key.extend_from_slice(key);
    }
}

#[cfg(test)]
mod tests;
