//! Version floors: what may have been newer than what comes now, for keys that are absent.
//!
//! ```text
//!   wire hash of a key, 64 bits:  | range: top bits |          ranges = capacity / 2 KiB, rounded down to a power of two
//!
//!   first page:   0                   4096                                  further pages
//!                 +-------------------+--------+--------+--- ... ---+       +--------+--- ...
//!                 | cluster header    | floor 0| floor 1|           |       | floor n|
//!                 +-------------------+--------+--------+--- ... ---+       +--------+--- ...
//! ```
//!
//! A floor is raised before an entry that carries a write's stamp is unlinked. A version that begins at or before the floor
//! of its range never becomes the entry of an absent key: something newer may have been there. Compare floors with absent
//! keys only. What was read from the database and is clean needs none; no such entry exists yet.
//!
//! # Invariants
//!
//! - A floor never falls.
//! - Who finds a key absent because an entry was unlinked, and then reads the floor, sees it raised for that entry.

#![forbid(unsafe_code)]

use crate::arena::cluster_header::{CLUSTER_HEADER_BYTES, field};
use crate::region::View;
use crate::sync::Ordering;
use crate::types::version::Stamp;

/// Bytes of capacity that one floor stands for.
const CAPACITY_PER_RANGE: u64 = 2 << 10;
const FLOOR_BYTES: u64 = 8;

/// Where the floors lie.
#[derive(Debug)]
pub(crate) struct Floors {
    pages: Box<[u64]>,
    page_bytes: u64,
    ranges: u32,
}

impl Floors {
    /// Floors of an arena of this capacity; a power of two.
    pub(crate) fn ranges_for(capacity: u64) -> u32 {
        let wanted = (capacity / CAPACITY_PER_RANGE).clamp(1, 1 << 31);
        1 << wanted.ilog2()
    }

    /// Pages that header and floors take.
    pub(crate) fn pages_for(ranges: u32, page_bytes: u64) -> u32 {
        (CLUSTER_HEADER_BYTES + u64::from(ranges) * FLOOR_BYTES).div_ceil(page_bytes) as u32
    }

    /// Floors in pages that begin there, the first one with the header.
    pub(crate) fn new(pages: Box<[u64]>, page_bytes: u64, ranges: u32) -> Self {
        assert!(ranges.is_power_of_two(), "{ranges} ranges are not a power of two");
        assert!(
            pages.len() as u64 >= u64::from(Self::pages_for(ranges, page_bytes)),
            "too few pages for {ranges} floors"
        );
        Self { pages, page_bytes, ranges }
    }

    /// Where the cluster header begins.
    pub(crate) fn header_at(&self) -> u64 {
        self.pages[0]
    }

    pub(crate) fn ranges(&self) -> u32 {
        self.ranges
    }

    /// The range of a key, by its wire hash.
    #[inline]
    pub(crate) fn range_of(&self, wire_hash: u64) -> u32 {
        let bits = self.ranges.trailing_zeros();
        wire_hash.checked_shr(u64::BITS - bits).unwrap_or(0) as u32
    }

    fn at(&self, range: u32) -> u64 {
        let offset = CLUSTER_HEADER_BYTES + u64::from(range & (self.ranges - 1)) * FLOOR_BYTES;
        self.pages[(offset / self.page_bytes) as usize] + offset % self.page_bytes
    }

    /// The floor of a range, and that of a join that is not complete: until then nobody here knows what was evicted
    /// elsewhere before.
    pub(crate) fn get(&self, region: View<'_>, range: u32) -> Stamp {
        let join = region.word(self.header_at() + field::JOIN_FLOOR).load(Ordering::Acquire);
        self.of_range(region, range).max(Stamp(join))
    }

    /// The floor of a range alone: for what comes from a donor, who compared it with its own floors.
    pub(crate) fn of_range(&self, region: View<'_>, range: u32) -> Stamp {
        // Acquire: the caller found a key absent before; the entry's floor was raised (below) before it was unlinked.
        let own = region.word(self.at(range)).load(Ordering::Acquire);
        let all = region.word(self.header_at() + field::FLOOR_OF_ALL).load(Ordering::Acquire);
        Stamp(own.max(all))
    }

    /// Raises the floor of a range.
    pub(crate) fn raise(&self, region: View<'_>, range: u32, stamp: Stamp) {
        let floor = region.word(self.at(range));
        // Release: pairs with the Acquire in `get`, through the unlinking exchange that comes after it.
        if floor.load(Ordering::Relaxed) < stamp.0 {
            floor.fetch_max(stamp.0, Ordering::Release);
        }
    }

    /// Raises all floors: nobody knows which key was there.
    pub(crate) fn raise_all(&self, region: View<'_>, stamp: Stamp) {
        // Release: as above.
        region.word(self.header_at() + field::FLOOR_OF_ALL).fetch_max(stamp.0, Ordering::Release);
    }

    /// Starts to load the floor of a key.
    #[inline]
    pub(crate) fn prefetch(&self, region: View<'_>, wire_hash: u64) {
        region.prefetch_to_write(self.at(self.range_of(wire_hash)));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::region::Region;

    #[test]
    fn floors_rise_by_range_and_never_fall() {
        let region = Region::heap(4 * 16384);
        let floors = Floors::new(Box::new([16384, 49152]), 16384, 2048);
        let wide = u64::MAX;
        assert_eq!((floors.range_of(0), floors.range_of(wide)), (0, 2047));
        for (range, stamp) in [(0, 7), (2047, 9), (0, 5)] {
            floors.raise(region.view(), range, Stamp(stamp));
        }
        assert_eq!(floors.get(region.view(), 0), Stamp(7));
        assert_eq!(floors.get(region.view(), 2047), Stamp(9));
        assert_eq!(floors.get(region.view(), 1), Stamp::ZERO);
        floors.raise_all(region.view(), Stamp(8));
        assert_eq!(floors.get(region.view(), 0), Stamp(8));
        assert_eq!(floors.get(region.view(), 2047), Stamp(9));
    }

    #[test]
    fn ranges_follow_the_capacity() {
        assert_eq!(Floors::ranges_for(1 << 20), 512);
        assert_eq!(Floors::ranges_for((1 << 30) + 12345), 1 << 19);
        assert_eq!(Floors::pages_for(512, 16 << 10), 1);
        assert_eq!(Floors::pages_for(1 << 19, 2 << 20), 3);
    }

    #[test]
    fn one_range_takes_every_key() {
        let floors = Floors::new(Box::new([0]), 16384, 1);
        assert_eq!((floors.range_of(0), floors.range_of(u64::MAX)), (0, 0));
    }
}
