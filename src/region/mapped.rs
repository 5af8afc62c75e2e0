//! The region outside of loom: one base address, a length, and what keeps them mapped.
//!
//! # Invariants
//!
//! - `base` is valid for reads and writes of `len` bytes for as long as the region lives, aligned to 4096.
//! - Bytes reached by `word`, `control` and `byte` are only ever accessed as atomics of that one size.
//! - Bytes reached by `payload` are written by their one owner alone, and by nobody from publication to reuse.

use super::backing::alignment_for;
use super::error::RegionError;
use super::file::{MappedFile, advise_huge_pages, exclude_from_core_dumps};
use super::kind::{HUGE_PAGE, PAGE};
use super::memory::MemoryProbe;
use super::reservation::Reservation;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64};
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
        Self { base, len, backing }
    }

    /// Length in bytes.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The address of an offset; the one place where an offset becomes a pointer.
    #[inline]
    pub(super) fn at(&self, offset: u64, bytes: u64) -> NonNull<u8> {
        if offset > self.len || bytes > self.len - offset {
            outside(offset, bytes, self.len);
        }
        // SAFETY: the assertion keeps the result inside the mapping.
        unsafe { self.base.add(offset as usize) }
    }

    /// An aligned u64 as an atomic.
    #[inline]
    pub(crate) fn word(&self, offset: u64) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8));
        let pointer = self.at(offset, 8).cast::<u64>();
        // SAFETY: inside the mapping, aligned (base to 4096, offset to 8), only accessed as this atomic.
        unsafe { AtomicU64::from_ptr(pointer.as_ptr()) }
    }

    /// The eight words of a line; one check for all.
    #[inline(always)]
    pub(crate) fn line(&self, offset: u64) -> Line<'_> {
        debug_assert!(offset.is_multiple_of(64));
        let pointer = self.at(offset, 64).cast::<[AtomicU64; 8]>();
        // SAFETY: inside the mapping, aligned, only accessed as these atomics.
        Line(unsafe { pointer.as_ref() })
    }

    /// An aligned u32 as an atomic.
    #[inline]
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "slots are reached by the forms without a check, once that is done")
    )]
    pub(crate) fn control(&self, offset: u64) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4));
        let pointer = self.at(offset, 4).cast::<u32>();
        // SAFETY: inside the mapping, aligned, only accessed as this atomic.
        unsafe { AtomicU32::from_ptr(pointer.as_ptr()) }
    }

    /// One byte as an atomic.
    #[inline]
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "slots are reached by the forms without a check, once that is done")
    )]
    pub(crate) fn byte(&self, offset: u64) -> &AtomicU8 {
        let pointer = self.at(offset, 1);
        // SAFETY: inside the mapping, only accessed as this atomic.
        unsafe { AtomicU8::from_ptr(pointer.as_ptr()) }
    }

    /// As [`Region::control`], without the check.
    ///
    /// # Safety
    ///
    /// - The word lies in the region.
    #[inline(always)]
    pub(crate) unsafe fn control_unchecked(&self, offset: u64) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4) && offset + 4 <= self.len);
        // SAFETY: inside the mapping by the caller's promise.
        let pointer = unsafe { self.base.add(offset as usize) }.cast::<u32>();
        // SAFETY: aligned, only accessed as this atomic.
        unsafe { AtomicU32::from_ptr(pointer.as_ptr()) }
    }

    /// As [`Region::byte`], without the check.
    ///
    /// # Safety
    ///
    /// - The byte lies in the region.
    #[inline(always)]
    pub(crate) unsafe fn byte_unchecked(&self, offset: u64) -> &AtomicU8 {
        debug_assert!(offset < self.len);
        // SAFETY: inside the mapping by the caller's promise.
        let pointer = unsafe { self.base.add(offset as usize) };
        // SAFETY: only accessed as this atomic.
        unsafe { AtomicU8::from_ptr(pointer.as_ptr()) }
    }

    /// As [`Region::payload`], without the check.
    ///
    /// # Safety
    ///
    /// - As for [`Region::payload`], and the bytes lie in the region.
    #[inline(always)]
    pub(crate) unsafe fn payload_unchecked(&self, slot: u64, start: u64, len: u64) -> &[u8] {
        debug_assert!(slot + start + len <= self.len);
        // SAFETY: inside the mapping by the caller's promise.
        let pointer = unsafe { self.base.add((slot + start) as usize) };
        // SAFETY: not written meanwhile, by the caller's promise.
        unsafe { std::slice::from_raw_parts(pointer.as_ptr(), len as usize) }
    }

    /// Published bytes of a slot: `len` bytes that start `start` bytes into the slot at `slot`.
    ///
    /// # Safety
    ///
    /// - The bytes were published before (or belong to the caller), and nobody writes them while the reference lives:
    ///   the caller holds an epoch guard since before it read the handle, a pin, or exclusive ownership.
    #[inline]
    pub(crate) unsafe fn payload(&self, slot: u64, start: u64, len: u64) -> &[u8] {
        let pointer = self.at(slot + start, len);
        // SAFETY: inside the mapping; not written meanwhile, by the caller's promise.
        unsafe { std::slice::from_raw_parts(pointer.as_ptr(), len as usize) }
    }

    /// Bytes of a slot that the caller owns and has not published.
    ///
    /// # Safety
    ///
    /// - The caller is the only one who accesses these bytes while the reference lives (state WRITING is its own).
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "ownership is by slot, not by region")]
    pub(crate) unsafe fn payload_mut(&self, slot: u64, start: u64, len: u64) -> &mut [u8] {
        let pointer = self.at(slot + start, len);
        // SAFETY: inside the mapping; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(pointer.as_ptr(), len as usize) }
    }

    /// Writes zeros.
    ///
    /// # Safety
    ///
    /// - The caller owns these bytes: nobody else reads or writes them until it publishes them anew.
    pub(crate) unsafe fn zero(&self, offset: u64, len: u64) {
        let pointer = self.at(offset, len);
        // SAFETY: inside the mapping; exclusive by the caller's promise.
        unsafe { pointer.as_ptr().write_bytes(0, len as usize) };
    }

    /// Asks the processor to fetch the line of an offset. Any offset is harmless.
    #[inline]
    pub(crate) fn prefetch(&self, offset: u64) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let pointer = self.base.as_ptr().wrapping_add(offset as usize);
            // SAFETY: a prefetch of any address has no effect but on caches.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = offset;
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

/// Eight words, read one by one.
#[derive(Clone, Copy)]
pub(crate) struct Line<'r>(&'r [AtomicU64; 8]);

impl<'r> Line<'r> {
    /// One of them.
    #[inline(always)]
    pub(crate) fn word(self, at: usize) -> &'r AtomicU64 {
        &self.0[at]
    }
}

#[cold]
#[inline(never)]
fn outside(offset: u64, bytes: u64, len: u64) -> ! {
    panic!("{bytes} bytes at {offset:#x} are outside of a region of {len:#x}");
}
