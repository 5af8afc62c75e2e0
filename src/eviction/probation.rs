//! The probation ring of one class: a lossy bounded FIFO of slot numbers for any number of threads, 4 bytes a cell.
//!
//! ```text
//!            head (next to leave)              tail (next to enter)         positions only grow, 64 bits
//!              v                                 v
//!   ... | 0 | 17 | 4 | 0 | 9 | 31 | 2 | 8 | 12 | 0 | ...                    cell = number + 1; 0 is empty
//!
//!   cell of a position = position mod capacity, capacity = 0 or a power of two
//!
//!  bit 63                        12 11    6 5      0
//!      +---------------------------+-------+--------+
//!      | positions from here on: 52| before|  now   |   Shape: the capacity is 2^(now - 1), or 0 if now is 0;
//!      +---------------------------+-------+--------+   positions below use 2^(before - 1)
//!
//!   chunk 0: CHUNK cells | chunk 1: CHUNK | chunk 2: 2 CHUNK | chunk 3: 4 CHUNK | ...    allocated when first needed
//! ```
//!
//! Invariants:
//! - A number changes hands only by a swap of its cell, so each number pushed comes out exactly once: popped, or
//!   displaced by a later push, which then owns it. Positions say where to look, never who owns.
//! - Nobody waits: a thread stopped between taking a position and its swap leaves an empty cell, which is skipped. Its
//!   number, once stored behind `head`, comes out when the ring has come round: late, not lost.
//! - Order is kept but for such numbers. Growth moves nothing: positions taken before it keep their cells.
//! - Chunks are never freed before the ring is: a stopped thread may still be about to store into one.

#![forbid(unsafe_code)]

use crate::sync::{AtomicU32, AtomicU64, OnceLock, Ordering, bite};
use crate::types::limits::{RING_CELLS_MAX, RING_CHUNK_CELLS, RING_SKIPS_MAX};
use std::ops::Range;

/// See the module. 0 cells until [`Probation::reserve`].
#[derive(Debug)]
pub(crate) struct Probation {
    tail: Padded,
    head: Padded,
    shape: AtomicU64,
    /// A bit per chunk that some thread has set out to allocate, and one for the directory.
    claimed: AtomicU32,
    /// Boxed, so that a class which is never used costs three lines.
    directory: OnceLock<Box<Directory>>,
}

type Directory = [OnceLock<Box<[AtomicU32]>>; CHUNKS];

impl Default for Probation {
    fn default() -> Self {
        Self {
            tail: Padded(AtomicU64::new(0)),
            head: Padded(AtomicU64::new(0)),
            shape: AtomicU64::new(0),
            claimed: AtomicU32::new(0),
            directory: OnceLock::new(),
        }
    }
}

impl Probation {
    /// Enters a number. What is returned leaves the ring at the same time and is the caller's, as if popped: the number
    /// that stood in the cell, or the one given if the ring has no cells.
    pub(crate) fn push(&self, number: u32) -> Option<u32> {
        debug_assert!(number < u32::MAX, "slot number {number} has no cell value");
        // Acquire: pairs with the release in `reserve`, so that the cells of the chunk are seen initialised.
        if Shape(self.shape.load(Ordering::Acquire)).capacity() == 0 {
            return Some(number);
        }
        // Release pairs with the acquire in `next_head`: who meets this position also sees the shape that gives it a cell.
        let publish = if bite("eviction.tail-relaxed") { Ordering::Relaxed } else { Ordering::Release };
        let position = self.tail.0.fetch_add(1, publish);
        let cell = self.cell(position);
        if bite("eviction.push-store-instead-of-swap") {
            let displaced = cell.load(Ordering::Acquire);
            cell.store(number + 1, Ordering::Release);
            return displaced.checked_sub(1);
        }
        // Release publishes what the pusher did to the slot to whoever swaps the number out, here or in `pop`; acquire
        // does the same for the number displaced.
        cell.swap(number + 1, Ordering::AcqRel).checked_sub(1)
    }

    /// Takes the number that has been in the ring longest; `None` if there is none, or if the pushers of
    /// [`RING_SKIPS_MAX`] cells in a row have not stored yet.
    #[cfg(any(test, loom))]
    pub(crate) fn pop(&self) -> Option<u32> {
        let mut number = [0];
        (self.pop_some(&mut number) > 0).then_some(number[0])
    }

    /// Takes the numbers that have been in the ring longest, the oldest first; returns how many. Fewer than there is room
    /// for if the ring has no more, or if pushers have not stored yet; none once [`RING_SKIPS_MAX`] rounds found only such.
    pub(crate) fn pop_some(&self, into: &mut [u32]) -> usize {
        let mut taken = 0;
        for _ in 0..RING_SKIPS_MAX {
            let Some(positions) = self.next_heads(into.len() as u64) else { break };
            for position in positions {
                let cell = self.cell(position);
                // Acquire pairs with the release of the swap in `push` that stored the number; release lets the pusher
                // that finds the cell empty see nothing less than we did.
                let number = if bite("eviction.pop-load-instead-of-swap") {
                    let number = cell.load(Ordering::Acquire);
                    cell.store(0, Ordering::Release);
                    number
                } else {
                    cell.swap(0, Ordering::AcqRel)
                };
                if number != 0 {
                    into[taken] = number - 1;
                    taken += 1;
                }
            }
            if taken > 0 {
                break;
            }
        }
        taken
    }

    /// Takes whatever the cells hold, in no order, so that tests and models can count. Numbers entered meanwhile may stay.
    #[cfg(any(test, loom))]
    pub(crate) fn drain(&self, mut taken: impl FnMut(u32)) {
        // Acquire: pairs with the release in `reserve`. Every number ever stored is below the capacity of some shape.
        let capacity = Shape(self.shape.load(Ordering::Acquire)).capacity();
        for position in 0..u64::from(capacity) {
            // As in `pop`.
            if let Some(number) = self.cell(u64::MAX - position).swap(0, Ordering::AcqRel).checked_sub(1) {
                taken(number);
            }
        }
    }

    /// Numbers in the ring, give or take those in motion.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        // Relaxed: an estimate that decisions tolerate.
        let (tail, head) = (self.tail.0.load(Ordering::Relaxed), self.head.0.load(Ordering::Relaxed));
        tail.saturating_sub(head).min(u64::from(self.capacity())) as u32
    }

    /// Cells in use.
    #[inline]
    pub(crate) fn capacity(&self) -> u32 {
        // Relaxed: an estimate; nobody reaches a cell through it.
        Shape(self.shape.load(Ordering::Relaxed)).capacity()
    }

    /// Makes room for at least so many numbers, at most [`RING_CELLS_MAX`]; answers the capacity as it is now. The ring
    /// may stay smaller while another thread grows it, or while numbers from before its last growth are in it.
    ///
    /// Allocates; waits for nobody.
    pub(crate) fn reserve(&self, cells: u32) -> u32 {
        // Acquire: the chunks of this shape are ours to find.
        let old = Shape(self.shape.load(Ordering::Acquire));
        let wanted = cells.clamp(1, RING_CELLS_MAX).next_power_of_two().max(RING_CHUNK_CELLS);
        // Relaxed: at worst the growth waits for the next call.
        let draining = old.capacity_before() != 0 && self.head.0.load(Ordering::Relaxed) < old.from();
        if wanted <= old.capacity() || draining || !self.allocate(old.capacity(), wanted) {
            return old.capacity();
        }
        // Relaxed: positions taken on either side of this are looked for in the wrong cell, and come out late.
        let from = self.tail.0.load(Ordering::Relaxed);
        let new = Shape::new(from, old.capacity(), wanted);
        // Release: publishes the new chunks to every acquire load of the shape.
        let publish = if bite("eviction.shape-relaxed") { Ordering::Relaxed } else { Ordering::Release };
        match self.shape.compare_exchange(old.0, new.0, publish, Ordering::Relaxed) {
            Ok(_) => wanted,
            Err(now) => Shape(now).capacity(),
        }
    }

    /// Bytes of heap behind the ring.
    pub(crate) fn heap_bytes(&self) -> usize {
        let Some(directory) = self.directory.get() else { return 0 };
        let chunks = directory.iter().filter_map(OnceLock::get);
        size_of::<Directory>() + chunks.map(|chunk| size_of_val::<[AtomicU32]>(chunk)).sum::<usize>()
    }

    /// Allocates the chunks between two capacities; false if another thread is at one of them.
    fn allocate(&self, from: u32, to: u32) -> bool {
        if self.directory.get().is_none() {
            if !self.claim(CHUNKS) {
                return false;
            }
            let fresh = self.directory.set(Box::new([const { OnceLock::new() }; CHUNKS])).is_ok();
            debug_assert!(fresh, "the directory was claimed by two threads");
        }
        let Some(directory) = self.directory.get() else { return false };
        let first = if from == 0 { 0 } else { chunk_of(from) };
        for (chunk, cells) in directory.iter().enumerate().take(chunk_of(to - 1) + 1).skip(first) {
            if cells.get().is_some() {
                continue;
            }
            if !self.claim(chunk) {
                return false;
            }
            let fresh = cells.set((0..chunk_cells(chunk)).map(|_| AtomicU32::new(0)).collect()).is_ok();
            debug_assert!(fresh, "chunk {chunk} was claimed by two threads");
        }
        true
    }

    /// Whether it is for this thread to allocate a chunk, or the directory. `OnceLock` makes whoever meets a set under way
    /// wait; thanks to this bit nobody does.
    fn claim(&self, bit: usize) -> bool {
        // Relaxed: the bit only picks who allocates; `OnceLock` and the shape publish.
        self.claimed.fetch_or(1 << bit, Ordering::Relaxed) & (1 << bit) == 0
    }

    /// Takes the positions of the oldest numbers, at most so many; `None` if the ring is empty.
    fn next_heads(&self, most: u64) -> Option<Range<u64>> {
        // Relaxed on the head: positions only say where to look, the swap of the cell decides.
        let mut head = self.head.0.load(Ordering::Relaxed);
        loop {
            // Acquire pairs with the release in `push`: a position below the tail has a cell in the shape that we see.
            let tail = self.tail.0.load(Ordering::Acquire);
            if head >= tail {
                return None;
            }
            // Positions more than a round behind have been displaced.
            let oldest = head.max(tail.saturating_sub(u64::from(self.capacity())));
            assert!(oldest < tail, "position {head} below {tail} in a ring without cells");
            let next = tail.min(oldest + most);
            match self.head.0.compare_exchange_weak(head, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(oldest..next),
                Err(now) => head = now,
            }
        }
    }

    /// The cell of a position. There is one: a position is only taken from a ring with cells.
    #[inline]
    fn cell(&self, position: u64) -> &AtomicU32 {
        // Acquire: pairs with the release in `reserve`, so that the cells of the chunk are seen initialised.
        let shape = Shape(self.shape.load(Ordering::Acquire));
        let at = shape.cell(position);
        let chunk = chunk_of(at);
        let directory = self.directory.get().expect("a shape is published after its directory");
        let cells = directory[chunk].get().expect("a shape is published after its chunks");
        &cells[(at - chunk_start(chunk)) as usize]
    }
}

/// `head` and `tail` on lines of their own: pushers and poppers are different threads.
#[derive(Debug)]
#[repr(align(64))]
struct Padded(AtomicU64);

/// The capacity, the one before it, and the position from which the new one counts.
#[derive(Clone, Copy)]
struct Shape(u64);

impl Shape {
    const LOG_BITS: u32 = 6;
    const FROM_SHIFT: u32 = 2 * Self::LOG_BITS;

    fn new(from: u64, before: u32, now: u32) -> Self {
        let log = |capacity: u32| u64::from(capacity.checked_ilog2().map_or(0, |log| log + 1));
        Self((from << Self::FROM_SHIFT) | (log(before) << Self::LOG_BITS) | log(now))
    }

    fn from(self) -> u64 {
        self.0 >> Self::FROM_SHIFT
    }

    fn capacity(self) -> u32 {
        Self::power(self.0)
    }

    fn capacity_before(self) -> u32 {
        Self::power(self.0 >> Self::LOG_BITS)
    }

    /// 2^(bits - 1), or 0.
    fn power(bits: u64) -> u32 {
        ((1u64 << (bits & 63)) >> 1) as u32
    }

    fn cell(self, position: u64) -> u32 {
        let before = self.capacity_before();
        let capacity = if position < self.from() && before != 0 { before } else { self.capacity() };
        (position & u64::from(capacity - 1)) as u32
    }
}

fn chunk_of(cell: u32) -> usize {
    (cell / RING_CHUNK_CELLS).checked_ilog2().map_or(0, |log| log as usize + 1)
}

fn chunk_start(chunk: usize) -> u32 {
    if chunk == 0 { 0 } else { RING_CHUNK_CELLS << (chunk - 1) }
}

fn chunk_cells(chunk: usize) -> u32 {
    if chunk == 0 { RING_CHUNK_CELLS } else { RING_CHUNK_CELLS << (chunk - 1) }
}

const CHUNKS: usize = (RING_CELLS_MAX / RING_CHUNK_CELLS).ilog2() as usize + 1;

const _: () = assert!(CHUNKS < 32, "`claimed` has a bit per chunk and one more");
const _: () = assert!(RING_CHUNK_CELLS.is_power_of_two() && RING_CELLS_MAX.is_power_of_two());

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_leave_in_the_order_in_which_they_came() {
        let ring = Probation::default();
        assert_eq!(ring.push(5), Some(5), "a ring without cells hands the number back");
        assert_eq!((ring.pop(), ring.heap_bytes()), (None, 0));
        assert_eq!(ring.reserve(100), 128);
        for number in 0..100 {
            assert_eq!(ring.push(number), None);
        }
        assert_eq!(ring.len(), 100);
        assert!((0..100).all(|number| ring.pop() == Some(number)));
        assert_eq!((ring.pop(), ring.len()), (None, 0));
    }

    #[test]
    fn a_full_ring_displaces_its_oldest() {
        let ring = Probation::default();
        let capacity = ring.reserve(1);
        for number in 0..capacity {
            assert_eq!(ring.push(number), None);
        }
        assert_eq!(ring.push(900), Some(0));
        assert_eq!(ring.push(901), Some(1));
        assert_eq!((ring.len(), ring.pop()), (capacity, Some(2)));
    }

    #[test]
    fn growth_loses_nothing_and_keeps_the_order() {
        let ring = Probation::default();
        let small = ring.reserve(1);
        for number in 0..small {
            assert_eq!(ring.push(number), None);
        }
        assert_eq!(ring.reserve(small * 8), small * 8);
        assert_eq!(ring.reserve(small * 16), small * 8, "grows again only once the old numbers are out");
        let mut out: Vec<u32> = (small..small * 4).filter_map(|number| ring.push(number)).collect();
        let displaced = out.len();
        while let Some(number) = ring.pop() {
            out.push(number);
        }
        ring.drain(|number| out.push(number));
        assert!(out[displaced..].is_sorted(), "{out:?}");
        assert_eq!(out.iter().copied().collect::<HashSet<u32>>(), (0..small * 4).collect());
        assert_eq!(out.len(), small as usize * 4);
        assert_eq!(ring.reserve(small * 16), small * 16);
    }

    #[test]
    fn threads_pass_every_number_on_exactly_once() {
        let ring = Probation::default();
        ring.reserve(1);
        let per_thread = if cfg!(miri) { 200 } else { 50_000 };
        let mut out = Vec::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3u32)
                .map(|worker| {
                    let ring = &ring;
                    scope.spawn(move || {
                        let mut mine = Vec::new();
                        for step in 0..per_thread {
                            mine.extend(ring.push(worker * per_thread + step));
                            if step % 2 == worker % 2 {
                                mine.extend(ring.pop());
                            }
                            if step % (per_thread / 4) == worker {
                                ring.reserve(ring.capacity() * 2);
                            }
                        }
                        mine
                    })
                })
                .collect();
            for worker in workers {
                out.extend(worker.join().expect("a worker does not panic"));
            }
        });
        ring.drain(|number| out.push(number));
        assert_eq!(out.len(), 3 * per_thread as usize);
        out.sort_unstable();
        assert!(out.iter().enumerate().all(|(at, &number)| at == number as usize));
    }
}
