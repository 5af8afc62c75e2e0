//! Where everything lies: page size, page count and offsets, all from the capacity.
//!
//! ```text
//!  0        4096     8192                        data_start                                     end
//!  +--------+--------+---------------------------+--------+--------+--------+-- ... --+--------+
//!  | A      | B      | descriptors, 64 B a page  | page 0 | page 1 | page 2 |         | page P |
//!  +--------+--------+---------------------------+--------+--------+--------+-- ... --+--------+
//!                     backed for P pages, sparse   aligned to the page size
//!                     up to 16 x P of creation
//! ```
//!
//! Invariant: `data_start` and the page size never change after creation, so a handle stays valid when the file grows.

use crate::types::handle::Handle;
use crate::types::limits::{CAPACITY_MIN, PAGE_BYTES_MAX, PAGE_BYTES_MIN};

/// One superblock.
pub(crate) const SUPERBLOCK_BYTES: u64 = 4096;
/// Where the page descriptors begin, behind superblocks A and B.
pub(crate) const DESCRIPTORS_START: u64 = 2 * SUPERBLOCK_BYTES;
/// One page descriptor: a cache line, so that no two pages share one.
pub(crate) const DESCRIPTOR_BYTES: u64 = 64;
/// How many times its first page count an arena can grow to.
pub(crate) const GROWTH_FACTOR: u64 = 16;
/// Share of the capacity that goes to the file: 15/16. The rest is for rings, ghosts and tables on the heap.
const FILE_SHARE: (u64, u64) = (15, 16);
/// Pages that a capacity is divided into, before rounding.
const PAGES_WANTED: u64 = 512;

/// The fewest pages of an arena: below, an index and a class hardly fit.
const PAGES_MIN: u32 = 8;

/// The number of a page, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PageId(pub(crate) u32);

/// The shape of one arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub(crate) page_bytes: u64,
    pub(crate) pages: u32,
    pub(crate) pages_max: u32,
    pub(crate) data_start: u64,
}

impl Layout {
    /// The shape of a new arena of `capacity` bytes, heap structures included. At least [`CAPACITY_MIN`].
    pub(crate) fn for_capacity(capacity: u64) -> Self {
        let capacity = capacity.max(CAPACITY_MIN);
        let page_bytes = (capacity / PAGES_WANTED).next_power_of_two().clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX);
        Self::with_pages(page_bytes, Self::pages_within(capacity, page_bytes))
    }

    /// The same page size at another capacity, as far as the descriptor table reaches.
    pub(crate) fn resized(&self, capacity: u64) -> Self {
        let pages = Self::pages_within(capacity.max(CAPACITY_MIN), self.page_bytes).clamp(PAGES_MIN, self.pages_max);
        Self { pages, ..*self }
    }

    /// A shape of `pages` pages. The descriptor table has room for [`GROWTH_FACTOR`] times as many.
    pub(crate) fn with_pages(page_bytes: u64, pages: u32) -> Self {
        let pages_max = pages.saturating_mul(GROWTH_FACTOR as u32);
        let descriptors_end = DESCRIPTORS_START + u64::from(pages_max) * DESCRIPTOR_BYTES;
        Self { page_bytes, pages, pages_max, data_start: descriptors_end.next_multiple_of(page_bytes) }
    }

    /// Pages of this size that fit a capacity.
    pub(crate) fn pages_within(capacity: u64, page_bytes: u64) -> u32 {
        let file_bytes = capacity / FILE_SHARE.1 * FILE_SHARE.0;
        let pages = (file_bytes - DESCRIPTORS_START) / (page_bytes + DESCRIPTOR_BYTES);
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// Length of the region in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.data_start + u64::from(self.pages) * self.page_bytes
    }

    /// The part of the descriptor table that no page uses yet: it needs no memory.
    pub(crate) fn hole(&self) -> std::ops::Range<u64> {
        let used = DESCRIPTORS_START + u64::from(self.pages) * DESCRIPTOR_BYTES;
        used.next_multiple_of(SUPERBLOCK_BYTES).min(self.data_start)..self.data_start
    }

    /// Bytes that have to be backed by memory.
    pub(crate) fn backed_bytes(&self) -> u64 {
        let hole = self.hole();
        self.len() - (hole.end - hole.start)
    }

    /// Where a page begins.
    #[inline]
    pub(crate) fn page_start(&self, page: PageId) -> u64 {
        self.data_start + u64::from(page.0) * self.page_bytes
    }

    /// Where the descriptor of a page begins.
    pub(crate) fn descriptor(&self, page: PageId) -> u64 {
        DESCRIPTORS_START + u64::from(page.0) * DESCRIPTOR_BYTES
    }

    /// The page that holds an offset, if any does.
    #[inline]
    pub(crate) fn page_of(&self, offset: u64) -> Option<PageId> {
        let page = offset.checked_sub(self.data_start)? >> self.page_bytes.trailing_zeros();
        (page < u64::from(self.pages)).then_some(PageId(page as u32))
    }

    /// The page of a handle, if it lies in one.
    #[inline]
    pub(crate) fn page_of_handle(&self, handle: Handle) -> Option<PageId> {
        self.page_of(handle.offset())
    }

    /// Whether such a shape can have been made by us. For numbers read from a file.
    pub(crate) fn is_sound(&self) -> bool {
        let again = Self::with_pages(self.page_bytes.max(1), self.pages_max / GROWTH_FACTOR as u32);
        self.page_bytes.is_power_of_two()
            && (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&self.page_bytes)
            && (1..=self.pages_max).contains(&self.pages)
            && u64::from(self.pages_max) * self.page_bytes < Handle::END * Handle::UNIT * GROWTH_FACTOR
            && self.len() < Handle::END * Handle::UNIT
            && again.pages_max == self.pages_max
            && again.data_start == self.data_start
    }
}

const _: () = assert!(PAGE_BYTES_MIN.is_power_of_two() && PAGE_BYTES_MAX.is_power_of_two());
const _: () = assert!(DESCRIPTORS_START.is_multiple_of(DESCRIPTOR_BYTES));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backed_bytes_stay_within_fifteen_sixteenths() {
        for capacity in [1 << 20, 5 << 20, 16 << 20, 100 << 20, 1 << 30, 10 << 30_u64] {
            let layout = Layout::for_capacity(capacity);
            assert!(layout.is_sound(), "{layout:?}");
            assert!(layout.backed_bytes() <= capacity / 16 * 15 + layout.page_bytes, "{capacity}: {layout:?}");
            assert!(layout.backed_bytes() >= capacity / 16 * 15 - 2 * layout.page_bytes, "{capacity}: {layout:?}");
        }
    }

    #[test]
    fn a_resized_layout_keeps_every_offset() {
        let layout = Layout::for_capacity(64 << 20);
        let larger = layout.resized(128 << 20);
        assert!(larger.is_sound());
        assert_eq!(larger.data_start, layout.data_start);
        assert!(larger.pages > layout.pages);
    }

    #[test]
    fn an_offset_knows_its_page() {
        let layout = Layout::for_capacity(16 << 20);
        assert_eq!(layout.page_of(layout.data_start), Some(PageId(0)));
        assert_eq!(layout.page_of(layout.data_start - 1), None);
        assert_eq!(layout.page_of(layout.page_start(PageId(3)) + 5), Some(PageId(3)));
        assert_eq!(layout.page_of(layout.len()), None);
    }
}
