//! Fingerprints of what was evicted: one lossy table for all classes, of a fixed size, 4 bytes a cell.
//!
//! ```text
//!  bit 31             16 15   14           8 7          0
//!      +----------------+-------+-----------+------------+
//!      | fingerprint 16 | table | class + 1 |   tick 8   |   cell, one u32; 0 is empty
//!      +----------------+-------+-----------+------------+
//!
//!   hash   | tag 16 | fingerprint 16 |   low 32   |        line = low 32 * lines / 2^32
//!   line   | cell | cell | ...  16 of them, 64 bytes |     a key's cell is anywhere in its line
//!
//!   clock of a class and table, one u64:   ticks 40 | fraction 24        64 ticks = one window of its own evictions
//!
//!   age of a cell    0 ............. 63 | 64 ............. 191 | 192 ......... 255 | 256 = 0
//!                    a ghost            | expired, reused first| erased on sight   | wrapped
//! ```
//!
//! Why own clocks: an eviction of class A must not age the ghosts of class B, or a busy class would erase the memory of
//! a quiet one. Each eviction moves its clock by 64 / window ticks, so ages of all classes compare, in windows.
//!
//! What can go wrong, all of it harmless (an entry enters main that should have entered the ring, or the reverse):
//! - Another key of the class has the same line and fingerprint: a lookup is wrong with at most 16 / 65,536 = 0.024 %.
//! - A cell that nobody met for four windows of its class looks young again for one. Lines that the class still writes
//!   to are met: at one window of cells in the table a line sees 16 writes per window, none in two with e^-32. Only a
//!   class whose window is a small part of a table that is nearly idle gets there, and it then recognises for one
//!   window in four keys that it evicted up to five windows ago.
//! - A class that stops evicting keeps its ghosts until other classes write over them.

#![forbid(unsafe_code)]

use crate::sync::{AtomicU32, AtomicU64, Ordering, bite, zeroed};
use crate::types::key::KeyHash;

/// Where an entry stood when it was evicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Table {
    /// From the ring: a hit says that the ring is too small.
    Ring,
    /// From main: a hit says that main is too small.
    Main,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ghost {
    /// A line more than there are, so that the first can begin with a cache line.
    cells: Box<[AtomicU32]>,
    first: usize,
    lines: usize,
    clocks: Box<[[AtomicU64; 2]]>,
}

impl Ghost {
    /// A table of at most so many bytes, at least one line, for classes 0 to `classes - 1`.
    pub(crate) fn new(bytes: usize, classes: usize) -> Self {
        assert!(classes <= CLASSES_MAX, "{classes} classes do not fit a cell's 7 bits");
        let lines = (bytes / LINE_BYTES).clamp(1, u32::MAX as usize);
        // Not an aligned type: the allocator would write all of it to align it.
        let cells = zeroed::<AtomicU32>((lines + 1) * CELLS_PER_LINE);
        let first = cells.as_ptr().align_offset(LINE_BYTES).min(CELLS_PER_LINE);
        Self { cells, first, lines, clocks: (0..classes).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]).collect() }
    }

    /// Starts to load the line of a key.
    #[inline]
    pub(crate) fn prefetch(&self, hash: KeyHash) {
        crate::sync::prefetch(self.line(hash));
    }

    /// Remembers an evicted entry for `window` evictions from this table of its class.
    ///
    /// Takes the key's old cell, else an empty one, else the oldest in windows of its own class: expired ones go first.
    pub(crate) fn insert(&self, class: usize, table: Table, hash: KeyHash, window: u32) {
        let step = (TICKS_PER_WINDOW << FRACTION_BITS) / u64::from(window.max(1));
        // Relaxed, as everything in this file: cells and clocks are hints, each whole in one word, publishing nothing.
        let clock = self.clocks[class][table as usize].fetch_add(step, Ordering::Relaxed) + step;
        let fresh = Cell::new(class, table, hash, clock);
        let line = self.line(hash);
        let cells = std::array::from_fn(|at| line[at].load(Ordering::Relaxed));
        let (mut ages, foreign) = self.ages_of_own(class, fresh, &cells);
        let mut erased = false;
        for (age, bits) in ages.iter_mut().zip(cells) {
            if foreign && bits != 0 && Cell(bits).class() != class {
                *age = u32::from(self.age(Cell(bits)));
            }
            erased |= (ERASED_FROM..EMPTY).contains(age);
        }
        if erased {
            for (cell, (age, bits)) in line.iter().zip(ages.iter().zip(cells)) {
                if (ERASED_FROM..EMPTY).contains(age) {
                    // A lost race leaves a younger cell: as well.
                    let _ = cell.compare_exchange(bits, 0, Ordering::Relaxed, Ordering::Relaxed);
                }
            }
        }
        // The first of the oldest: its place, counted from the end, stands below its age.
        let ranked = ages.iter().zip((0..CELLS_PER_LINE as u32).rev()).map(|(age, place)| age << PLACE_BITS | place);
        let victim = ranked.fold(0, u32::max) as usize;
        let place = CELLS_PER_LINE - 1 - (victim & (CELLS_PER_LINE - 1));
        // A concurrent insert into the same cell loses one of the two ghosts.
        line[place].store(fresh.0, Ordering::Relaxed);
    }

    /// Takes the ghost of a key out, and says which table it was in. Of two callers at most one gets it.
    pub(crate) fn take(&self, class: usize, hash: KeyHash) -> Option<Table> {
        let sought = Cell::new(class, Table::Ring, hash, 0);
        for cell in self.line(hash) {
            let bits = cell.load(Ordering::Relaxed);
            let found = Cell(bits);
            if !found.same_key(sought) {
                continue;
            }
            if bite("eviction.ghost-take-without-cas") {
                cell.store(0, Ordering::Relaxed);
                return Some(found.table());
            }
            let won = cell.compare_exchange(bits, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            if won && i64::from(self.age(found)) < TICKS_PER_WINDOW as i64 {
                return Some(found.table());
            }
        }
        None
    }

    /// Bytes of heap behind the table.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val::<[AtomicU32]>(&self.cells) + size_of_val::<[[AtomicU64; 2]]>(&self.clocks)
    }

    /// Ticks since the cell was written, modulo 256.
    fn age(&self, cell: Cell) -> u8 {
        if cell.class() >= self.clocks.len() {
            return u8::MAX;
        }
        self.tick(cell.class(), cell.table()).wrapping_sub(cell.tick())
    }

    /// The ages of a line's cells as if all were of this class, and whether any is not. Without branches: the cells of a
    /// line are compared together.
    #[inline]
    fn ages_of_own(&self, class: usize, fresh: Cell, cells: &[u32; CELLS_PER_LINE]) -> ([u32; CELLS_PER_LINE], bool) {
        let [ring, main] = [Table::Ring, Table::Main].map(|table| u32::from(self.tick(class, table)));
        let mut foreign = 0;
        let ages = cells.map(|bits| {
            let in_main = 0_u32.wrapping_sub(bits >> Cell::TABLE_SHIFT & 1);
            let age = (ring ^ ((ring ^ main) & in_main)).wrapping_sub(bits) & 0xff;
            foreign |=
                (bits ^ fresh.0) & Cell::CLASS_MASK << Cell::CLASS_SHIFT & 0_u32.wrapping_sub(u32::from(bits != 0));
            let age = if bits == 0 { EMPTY } else { age };
            if (bits ^ fresh.0) & Cell::KEY_MASK == 0 { SAME_KEY } else { age }
        });
        (ages, foreign != 0)
    }

    /// The time of a class and table, modulo 256.
    #[inline]
    fn tick(&self, class: usize, table: Table) -> u8 {
        (self.clocks[class][table as usize].load(Ordering::Relaxed) >> FRACTION_BITS) as u8
    }

    /// The line of a key, by hash bits that the fingerprint does not contain.
    #[inline]
    fn line(&self, hash: KeyHash) -> &Line {
        let low = hash.bits() & u64::from(u32::MAX);
        let line = ((low * self.lines as u64) >> 32) as usize;
        &self.cells[self.first..].as_chunks().0[line]
    }
}

/// The cells of a cache line.
type Line = [AtomicU32; CELLS_PER_LINE];

/// One ghost.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell(u32);

impl Cell {
    const TABLE_SHIFT: u32 = 15;
    const CLASS_SHIFT: u32 = 8;
    const CLASS_MASK: u32 = 0x7f;
    /// Fingerprint and class.
    const KEY_MASK: u32 = 0xffff_7f00;

    fn new(class: usize, table: Table, hash: KeyHash, clock: u64) -> Self {
        let tick = (clock >> FRACTION_BITS) as u8;
        Self(
            (u32::from(hash.fingerprint()) << 16)
                | ((table as u32) << Self::TABLE_SHIFT)
                | ((class as u32 + 1) << Self::CLASS_SHIFT)
                | u32::from(tick),
        )
    }

    fn same_key(self, other: Self) -> bool {
        (self.0 ^ other.0) & Self::KEY_MASK == 0
    }

    fn class(self) -> usize {
        (((self.0 >> Self::CLASS_SHIFT) & Self::CLASS_MASK) as usize).wrapping_sub(1)
    }

    fn table(self) -> Table {
        if self.0 & (1 << Self::TABLE_SHIFT) == 0 { Table::Ring } else { Table::Main }
    }

    fn tick(self) -> u8 {
        self.0 as u8
    }
}

const CELLS_PER_LINE: usize = 16;
const LINE_BYTES: usize = CELLS_PER_LINE * 4;
/// What 7 bits hold beside 0.
pub(crate) const CLASSES_MAX: usize = 127;
const TICKS_PER_WINDOW: u64 = 64;
const FRACTION_BITS: u32 = 24;
/// Ages from here on are erased before they wrap.
const ERASED_FROM: u32 = 192;
/// Preferences above every age.
const EMPTY: u32 = 256;
const SAME_KEY: u32 = 257;
const PLACE_BITS: u32 = CELLS_PER_LINE.ilog2();

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn hash(number: u64) -> KeyHash {
        KeyHash::from_bits(
            (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9),
        )
    }

    #[test]
    fn a_ghost_is_taken_once_and_only_by_its_class() {
        let ghost = Ghost::new(4096, 3);
        ghost.insert(1, Table::Main, hash(7), 100);
        ghost.insert(1, Table::Ring, hash(8), 100);
        assert_eq!(ghost.take(0, hash(7)), None);
        assert_eq!(ghost.take(1, hash(7)), Some(Table::Main));
        assert_eq!(ghost.take(1, hash(7)), None);
        assert_eq!(ghost.take(1, hash(8)), Some(Table::Ring));
    }

    #[test]
    fn a_key_evicted_again_keeps_one_ghost() {
        let ghost = Ghost::new(64, 1);
        for _ in 0..20 {
            ghost.insert(0, Table::Ring, hash(1), 100);
        }
        ghost.insert(0, Table::Main, hash(1), 100);
        assert_eq!((ghost.take(0, hash(1)), ghost.take(0, hash(1))), (Some(Table::Main), None));
    }

    #[test]
    fn a_window_is_measured_in_evictions_of_its_own_class_and_table() {
        for window in [1u32, 10, 63, 64, 1000] {
            let ghost = Ghost::new(1 << 20, 2);
            ghost.insert(0, Table::Ring, hash(0), window);
            ghost.insert(0, Table::Main, hash(1), window);
            ghost.insert(1, Table::Ring, hash(2), window);
            for other in 0..u64::from(window) + window as u64 / 32 + 1 {
                ghost.insert(0, Table::Ring, hash(1000 + other), window);
            }
            assert_eq!(ghost.take(0, hash(0)), None, "window {window}");
            assert_eq!(ghost.take(0, hash(1)), Some(Table::Main), "window {window}");
            assert_eq!(ghost.take(1, hash(2)), Some(Table::Ring), "window {window}");
        }
    }

    #[test]
    fn nearly_a_whole_window_is_remembered() {
        let (ghost, window) = (Ghost::new(8 * 1000, 1), 1000);
        for key in 0..5000 {
            ghost.insert(0, Table::Ring, hash(key), window);
        }
        let kept = (4000..5000).filter(|&key| ghost.take(0, hash(key)).is_some()).count();
        assert!(kept >= 960, "{kept} of 1000 ghosts kept in twice as many cells");
        let stale = (0..3950).filter(|&key| ghost.take(0, hash(key)).is_some()).count();
        assert!(stale <= 5, "{stale} ghosts from before the window");
    }

    #[test]
    fn the_largest_class_fits_a_cell() {
        let ghost = Ghost::new(0, CLASSES_MAX);
        ghost.insert(CLASSES_MAX - 1, Table::Main, hash(3), u32::MAX);
        assert_eq!(ghost.take(CLASSES_MAX - 1, hash(3)), Some(Table::Main));
        assert_eq!(ghost.heap_bytes(), 2 * 64 + CLASSES_MAX * 16);
    }
}
