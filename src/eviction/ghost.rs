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
//!   to are met: at one window of cells in the table a line sees 16 writes per window, none in two with e^-32. So only as
//!   many lines are used as there are entries for. A class whose window is a small part of a table that is nearly idle
//!   still gets there, and then recognises for one window in four keys that it evicted up to five windows ago.
//! - A class that stops evicting keeps its ghosts until other classes write over them.

#![forbid(unsafe_code)]

use crate::sync::{AtomicU32, AtomicU64, Ordering, bite, zeroed};
use crate::types::key::KeyHash;
use std::ops::RangeInclusive;

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
    lines: u32,
    /// Lines in use, from the first on: about as many as the entries need, so that all are met again and again.
    used: AtomicU32,
    clocks: Box<[[AtomicU64; 2]]>,
}

impl Ghost {
    /// A table of at most so many bytes, at least one line, for classes 0 to `classes - 1`.
    pub(crate) fn new(bytes: usize, classes: usize) -> Self {
        assert!(classes <= CLASSES_MAX, "{classes} classes do not fit a cell's 7 bits");
        let lines = (bytes / LINE_BYTES).clamp(1, u32::MAX as usize);
        let used = AtomicU32::new(1);
        // Not an aligned type: the allocator would write all of it to align it.
        let cells = zeroed::<AtomicU32>((lines + 1) * CELLS_PER_LINE);
        let first = cells.as_ptr().align_offset(LINE_BYTES).min(CELLS_PER_LINE);
        let clocks = (0..classes).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]).collect();
        Self { cells, first, lines: lines as u32, used, clocks }
    }

    /// Takes more lines into use, two to four cells for each of so many entries. What was remembered is forgotten then, which is
    /// little: entries grow in number before the first is evicted.
    pub(crate) fn fit(&self, entries: u64) {
        let wanted = entries.saturating_mul(CELLS_PER_ENTRY).div_ceil(CELLS_PER_LINE as u64);
        let used = self.used.load(Ordering::Relaxed);
        if wanted > u64::from(used) && used < self.lines {
            let wanted = wanted.min(u64::from(self.lines)).next_power_of_two().min(u64::from(self.lines));
            self.used.fetch_max(wanted as u32, Ordering::Relaxed);
        }
    }

    /// Starts to load the line of a key.
    #[inline]
    pub(crate) fn prefetch(&self, hash: KeyHash) {
        crate::sync::prefetch_to_write(self.line(hash));
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
        let cells = read(line);
        let ranks = self.ranks_of_own(class, fresh, &cells);
        let place = if has_foreign(fresh, &cells) | has_erased(&ranks) {
            self.place_among_others(class, fresh, line)
        } else {
            place_of(highest(&ranks))
        };
        // A concurrent insert into the same cell loses one of the two ghosts.
        line[place].store(fresh.0, Ordering::Relaxed);
    }

    /// Where to write in a line with cells of other classes, or with some that are to be erased.
    #[inline(never)]
    fn place_among_others(&self, class: usize, fresh: Cell, line: &Line) -> usize {
        let cells = read(line);
        let mut ranks = self.ranks_of_own(class, fresh, &cells);
        for (at, (rank, bits)) in ranks.iter_mut().zip(cells).enumerate() {
            if bits != 0 && Cell(bits).class() != class {
                *rank = rank_of(i32::from(self.age(Cell(bits))), at);
            }
        }
        for (cell, (rank, bits)) in line.iter().zip(ranks.iter().zip(cells)) {
            if ERASED.contains(rank) {
                // A lost race leaves a younger cell: as well.
                let _ = cell.compare_exchange(bits, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        place_of(highest(&ranks))
    }

    /// Takes the ghost of a key out, and says which table it was in. Of two callers at most one gets it.
    pub(crate) fn take(&self, class: usize, hash: KeyHash) -> Option<Table> {
        let line = self.line(hash);
        let cells = read(line);
        let mut same = with_key(Cell::new(class, Table::Ring, hash, 0), &cells);
        while same != 0 {
            let at = same.trailing_zeros() as usize % CELLS_PER_LINE;
            same &= same - 1;
            let found = Cell(cells[at]);
            if bite("eviction.ghost-take-without-cas") {
                line[at].store(0, Ordering::Relaxed);
                return Some(found.table());
            }
            let won = line[at].compare_exchange(found.0, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
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

    /// How soon each cell of a line is to be written over, as if all were of this class.
    #[inline(always)]
    fn ranks_of_own(&self, class: usize, fresh: Cell, cells: &[u32; CELLS_PER_LINE]) -> [i16; CELLS_PER_LINE] {
        let [ring, main] = [Table::Ring, Table::Main].map(|table| u32::from(self.tick(class, table)));
        let mut ranks = [0; CELLS_PER_LINE];
        for (at, (rank, bits)) in ranks.iter_mut().zip(cells).enumerate() {
            // All ones for a cell of table M.
            let in_main = ((bits << (u32::BITS - 1 - Cell::TABLE_SHIFT)) as i32 >> 31) as u32;
            let age = (ring ^ ((ring ^ main) & in_main)).wrapping_sub(*bits) & 0xff;
            let age = if *bits == 0 { EMPTY } else { age as i32 };
            *rank = rank_of(if (bits ^ fresh.0) & Cell::KEY_MASK == 0 { SAME_KEY } else { age }, at);
        }
        ranks
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
        let line = ((low * u64::from(self.used.load(Ordering::Relaxed))) >> 32) as usize;
        &self.cells[self.first..].as_chunks().0[line]
    }
}

/// The cells of a cache line.
type Line = [AtomicU32; CELLS_PER_LINE];

#[inline(always)]
fn read(line: &Line) -> [u32; CELLS_PER_LINE] {
    std::array::from_fn(|at| line[at].load(Ordering::Relaxed))
}

// What follows is written for all cells of a line at once: loops without branches. Ranks have 16 bits, of which the
// plainest processors can take the highest.

/// An age with the place below it: of equal ones the first place is the highest.
#[inline(always)]
fn rank_of(age: i32, place: usize) -> i16 {
    (age << PLACE_BITS) as i16 | (CELLS_PER_LINE - 1 - place) as i16
}

#[inline(always)]
fn place_of(rank: i16) -> usize {
    CELLS_PER_LINE - 1 - (rank as usize & (CELLS_PER_LINE - 1))
}

#[inline(always)]
fn highest(ranks: &[i16; CELLS_PER_LINE]) -> i16 {
    ranks.iter().fold(0, |highest, rank| highest.max(*rank))
}

/// Whether a cell is of another class.
#[inline(always)]
fn has_foreign(fresh: Cell, cells: &[u32; CELLS_PER_LINE]) -> bool {
    let mut foreign = 0;
    for bits in cells {
        let other = (bits ^ fresh.0) & Cell::CLASS_MASK << Cell::CLASS_SHIFT;
        foreign |= if *bits == 0 { 0 } else { other };
    }
    foreign != 0
}

/// Whether a cell is so old that it has to go before it looks young again.
#[inline(always)]
fn has_erased(ranks: &[i16; CELLS_PER_LINE]) -> bool {
    let mut erased = 0;
    for rank in ranks {
        erased |= -i16::from(*rank >= *ERASED.start()) & -i16::from(*rank <= *ERASED.end());
    }
    erased != 0
}

/// Which cells have the key of this one, a bit each.
#[inline(always)]
fn with_key(sought: Cell, cells: &[u32; CELLS_PER_LINE]) -> u32 {
    let mut same = 0;
    for (at, bits) in cells.iter().enumerate() {
        same |= u32::from((bits ^ sought.0) & Cell::KEY_MASK == 0) << at;
    }
    same
}

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
const CELLS_PER_ENTRY: u64 = 2;
const LINE_BYTES: usize = CELLS_PER_LINE * 4;
/// What 7 bits hold beside 0.
pub(crate) const CLASSES_MAX: usize = 127;
const TICKS_PER_WINDOW: u64 = 64;
const FRACTION_BITS: u32 = 24;
/// Ranks of ages from 192 on, which are erased before they wrap.
const ERASED: RangeInclusive<i16> = 192 << PLACE_BITS..=(EMPTY << PLACE_BITS) as i16 - 1;
/// Preferences above every age.
const EMPTY: i32 = 256;
const SAME_KEY: i32 = 257;
const PLACE_BITS: u32 = CELLS_PER_LINE.ilog2();

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// With all of its lines in use.
    fn whole(bytes: usize, classes: usize) -> Ghost {
        let ghost = Ghost::new(bytes, classes);
        ghost.fit(u64::MAX);
        ghost
    }

    fn hash(number: u64) -> KeyHash {
        KeyHash::from_bits(
            (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9),
        )
    }

    #[test]
    fn a_ghost_is_taken_once_and_only_by_its_class() {
        let ghost = whole(4096, 3);
        ghost.insert(1, Table::Main, hash(7), 100);
        ghost.insert(1, Table::Ring, hash(8), 100);
        assert_eq!(ghost.take(0, hash(7)), None);
        assert_eq!(ghost.take(1, hash(7)), Some(Table::Main));
        assert_eq!(ghost.take(1, hash(7)), None);
        assert_eq!(ghost.take(1, hash(8)), Some(Table::Ring));
    }

    #[test]
    fn a_key_evicted_again_keeps_one_ghost() {
        let ghost = whole(64, 1);
        for _ in 0..20 {
            ghost.insert(0, Table::Ring, hash(1), 100);
        }
        ghost.insert(0, Table::Main, hash(1), 100);
        assert_eq!((ghost.take(0, hash(1)), ghost.take(0, hash(1))), (Some(Table::Main), None));
    }

    #[test]
    fn a_window_is_measured_in_evictions_of_its_own_class_and_table() {
        for window in [1u32, 10, 63, 64, 1000] {
            let ghost = whole(1 << 20, 2);
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
        let (ghost, window) = (whole(8 * 1000, 1), 1000);
        for key in 0..5000 {
            ghost.insert(0, Table::Ring, hash(key), window);
        }
        let kept = (4000..5000).filter(|&key| ghost.take(0, hash(key)).is_some()).count();
        assert!(kept >= 960, "{kept} of 1000 ghosts kept in twice as many cells");
        let stale = (0..3950).filter(|&key| ghost.take(0, hash(key)).is_some()).count();
        assert!(stale <= 5, "{stale} ghosts from before the window");
    }

    #[test]
    fn a_large_table_forgets_what_a_small_cache_evicted_windows_ago() {
        const WINDOW: u64 = 100;
        let ghost = Ghost::new(1 << 20, 1);
        ghost.fit(WINDOW);
        for window in [4, 9, 20] {
            for key in 0..window * WINDOW {
                ghost.insert(0, Table::Ring, hash(key), WINDOW as u32);
            }
            let remembered = (0..(window - 2) * WINDOW).filter(|key| ghost.take(0, hash(*key)).is_some()).count();
            assert_eq!(remembered, 0, "of {window} windows");
        }
    }

    #[test]
    fn the_largest_class_fits_a_cell() {
        let ghost = whole(0, CLASSES_MAX);
        ghost.insert(CLASSES_MAX - 1, Table::Main, hash(3), u32::MAX);
        assert_eq!(ghost.take(CLASSES_MAX - 1, hash(3)), Some(Table::Main));
        assert_eq!(ghost.heap_bytes(), 2 * 64 + CLASSES_MAX * 16);
    }
}
