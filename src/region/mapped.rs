//! The region outside of loom: one base address, a length, and what keeps them mapped.
//!
//! # Invariants
//!
//! - `base` is valid for reads and writes of `len` bytes for as long as the region lives, aligned to 4096.

use super::backing::alignment_for;
use super::error::RegionError;
use super::file::{MappedFile, advise_huge_pages, exclude_from_core_dumps};
use super::kind::{HUGE_PAGE, PAGE};
use super::memory::MemoryProbe;
use super::reservation::Reservation;
use super::view::View;
use std::alloc::Layout;
use std::ptr::NonNull;

/// The bytes of an arena.
#[derive(Debug)]
pub(crate) struct Region {
    pub(super) base: NonNull<u8>,
    pub(super) len: u64,
    pub(super) backing: Backing,
}

/// What keeps the bytes mapped, and gives them back on drop.
#[derive(Debug)]
pub(super) enum Backing {
    Heap(HeapBytes),
    Anonymous(Reservation),
    File(Box<MappedFile>),
}

// SAFETY: the bytes are shared by design; every access goes through atomics or through the payload rules above.
unsafe impl Send for Region {}
// SAFETY: as for Send.
unsafe impl Sync for Region {}

impl Region {
    /// Zeroed bytes on the heap: for tests, Miri-like tools and models.
    ///
    /// # Panics
    ///
    /// If the allocator has no memory.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests and sanitizers; an open maps memory"))]
    pub(crate) fn heap(len: u64) -> Self {
        let bytes = usize::try_from(len).expect("a region fits the address space");
        let layout = Layout::from_size_align(bytes, 4096).expect("a page-aligned length is a valid layout");
        // SAFETY: the layout has a non-zero size: regions hold at least their superblocks.
        let raw = unsafe { std::alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(raw) else { std::alloc::handle_alloc_error(layout) };
        Self::new(Backing::Heap(HeapBytes { base, layout }))
    }

    /// Zeroed memory without a file, backed as it is first touched, and kept out of core dumps.
    ///
    /// `alignment` is a power of two. 2 MiB asks for huge pages; from 4 MiB on the base is aligned to 2 MiB anyway.
    ///
    /// # Errors
    ///
    /// `NotEnoughMemory` before anything is taken; `Length`, `Map`.
    pub(crate) fn anonymous(len: u64, alignment: u64) -> Result<Self, RegionError> {
        Self::anonymous_within(len, alignment, &MemoryProbe::default())
    }

    /// As `anonymous`, within the limits that a probe finds.
    pub(crate) fn anonymous_within(len: u64, alignment: u64, probe: &MemoryProbe) -> Result<Self, RegionError> {
        assert!(alignment.is_power_of_two(), "an alignment of {alignment} is not a power of two");
        if len == 0 || !len.is_multiple_of(PAGE) || len > isize::MAX as u64 {
            return Err(RegionError::Length { length: len, granule: PAGE });
        }
        probe.require(len)?;
        let reservation = Reservation::new(len, alignment_for(len, alignment));
        let reservation = reservation.map_err(|source| RegionError::Map { length: len, source })?;
        exclude_from_core_dumps(&reservation, len);
        if alignment >= HUGE_PAGE {
            advise_huge_pages(&reservation, len);
        }
        Ok(Self::new(Backing::Anonymous(reservation)))
    }

    /// The region over what keeps its bytes.
    pub(super) fn new(backing: Backing) -> Self {
        let (base, len) = match &backing {
            Backing::Heap(bytes) => (bytes.base, bytes.layout.size() as u64),
            Backing::Anonymous(reservation) => (reservation.base(), reservation.len()),
            Backing::File(mapped) => (mapped.reservation.base(), mapped.reservation.len()),
        };
        assert!(len.is_multiple_of(64), "a region of {len} bytes does not end with a line");
        Self { base, len, backing }
    }

    /// Where the bytes are, for a caller that reads or writes them.
    #[inline(always)]
    pub(crate) fn view(&self) -> View<'_> {
        View::new(self)
    }

    /// The address range, for `MADV_*`, `mprotect` and "does this slice point into the mapping".
    pub(crate) fn address_range(&self) -> std::ops::Range<usize> {
        let start = self.base.as_ptr() as usize;
        start..start + self.len as usize
    }
}

/// An allocation of our own.
#[derive(Debug)]
pub(super) struct HeapBytes {
    base: NonNull<u8>,
    layout: Layout,
}

impl Drop for HeapBytes {
    fn drop(&mut self) {
        // SAFETY: allocated in `Region::heap` with this very layout, and the region is gone.
        unsafe { std::alloc::dealloc(self.base.as_ptr(), self.layout) }
    }
}
