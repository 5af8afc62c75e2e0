//! A look at a region: base and length in registers, checks and atomics around them.
//!
//! A view is copied, not borrowed: the compiler can not know that an atomic access leaves a borrowed region's base and
//! length as they are, and would load both anew behind each.
//!
//! # Invariants
//!
//! - `base` is valid for reads and writes of `len` bytes for as long as the region is borrowed, and aligned to 4096;
//!   `len` is a multiple of 64.
//! - Bytes reached by `word`, `line`, `control` and `byte` are only ever accessed as atomics of that one size.
//! - Bytes reached by `payload` are written by their one owner alone, and by nobody from publication to reuse.

use super::mapped::Region;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Where the bytes of a borrowed region are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'r> {
    base: NonNull<u8>,
    len: u64,
    region: PhantomData<&'r Region>,
}

impl<'r> View<'r> {
    #[inline(always)]
    pub(super) fn new(region: &'r Region) -> Self {
        Self { base: region.base, len: region.len, region: PhantomData }
    }

    /// Length in bytes.
    #[inline(always)]
    pub(crate) fn len(self) -> u64 {
        self.len
    }

    /// The address of an offset; the one place where an offset becomes a pointer.
    #[inline]
    pub(super) fn at(self, offset: u64, bytes: u64) -> NonNull<u8> {
        if offset > self.len || bytes > self.len - offset {
            outside(offset, bytes, self.len);
        }
        // SAFETY: the assertion keeps the result inside the mapping.
        unsafe { self.base.add(offset as usize) }
    }

    /// An aligned u64 as an atomic.
    #[inline]
    pub(crate) fn word(self, offset: u64) -> &'r AtomicU64 {
        debug_assert!(offset.is_multiple_of(8));
        // Offset and length are multiples of 8, so that a word which begins inside ends there.
        if offset >= self.len {
            outside(offset, 8, self.len);
        }
        // SAFETY: inside the mapping.
        let pointer = unsafe { self.base.add(offset as usize) }.cast::<u64>();
        // SAFETY: inside the mapping, aligned (base to 4096, offset to 8), only accessed as this atomic.
        unsafe { AtomicU64::from_ptr(pointer.as_ptr()) }
    }

    /// The eight words of a line; one check for all.
    #[inline(always)]
    pub(crate) fn line(self, offset: u64) -> Line<'r> {
        debug_assert!(offset.is_multiple_of(64));
        // As in `word`.
        if offset >= self.len {
            outside(offset, 64, self.len);
        }
        // SAFETY: inside the mapping.
        let pointer = unsafe { self.base.add(offset as usize) }.cast::<[AtomicU64; 8]>();
        // SAFETY: inside the mapping, aligned, only accessed as these atomics.
        Line(unsafe { pointer.as_ref() })
    }

    /// An aligned u32 as an atomic.
    #[inline]
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "slots are reached by the forms without a check, once that is done")
    )]
    pub(crate) fn control(self, offset: u64) -> &'r AtomicU32 {
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
    pub(crate) fn byte(self, offset: u64) -> &'r AtomicU8 {
        let pointer = self.at(offset, 1);
        // SAFETY: inside the mapping, only accessed as this atomic.
        unsafe { AtomicU8::from_ptr(pointer.as_ptr()) }
    }

    /// As [`View::control`], without the check.
    ///
    /// # Safety
    ///
    /// - The word lies in the region.
    #[inline(always)]
    pub(crate) unsafe fn control_unchecked(self, offset: u64) -> &'r AtomicU32 {
        debug_assert!(offset.is_multiple_of(4) && offset + 4 <= self.len);
        // SAFETY: inside the mapping by the caller's promise.
        let pointer = unsafe { self.base.add(offset as usize) }.cast::<u32>();
        // SAFETY: aligned, only accessed as this atomic.
        unsafe { AtomicU32::from_ptr(pointer.as_ptr()) }
    }

    /// As [`View::byte`], without the check.
    ///
    /// # Safety
    ///
    /// - The byte lies in the region.
    #[inline(always)]
    pub(crate) unsafe fn byte_unchecked(self, offset: u64) -> &'r AtomicU8 {
        debug_assert!(offset < self.len);
        // SAFETY: inside the mapping by the caller's promise.
        let pointer = unsafe { self.base.add(offset as usize) };
        // SAFETY: only accessed as this atomic.
        unsafe { AtomicU8::from_ptr(pointer.as_ptr()) }
    }

    /// As [`View::payload`], without the check.
    ///
    /// # Safety
    ///
    /// - As for [`View::payload`], and the bytes lie in the region.
    #[inline(always)]
    pub(crate) unsafe fn payload_unchecked(self, slot: u64, start: u64, len: u64) -> &'r [u8] {
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
    pub(crate) unsafe fn payload(self, slot: u64, start: u64, len: u64) -> &'r [u8] {
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
    pub(crate) unsafe fn payload_mut(self, slot: u64, start: u64, len: u64) -> &'r mut [u8] {
        let pointer = self.at(slot + start, len);
        // SAFETY: inside the mapping; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(pointer.as_ptr(), len as usize) }
    }

    /// Writes zeros.
    ///
    /// # Safety
    ///
    /// - The caller owns these bytes: nobody else reads or writes them until it publishes them anew.
    pub(crate) unsafe fn zero(self, offset: u64, len: u64) {
        let pointer = self.at(offset, len);
        // SAFETY: inside the mapping; exclusive by the caller's promise.
        unsafe { pointer.as_ptr().write_bytes(0, len as usize) };
    }

    /// Asks the processor to fetch the line of an offset that will be written. Any offset is harmless.
    #[inline]
    pub(crate) fn prefetch_to_write(self, offset: u64) {
        crate::sync::prefetch_line_to_write(self.base.as_ptr().wrapping_add(offset as usize));
    }

    /// Asks the processor to fetch the line of an offset. Any offset is harmless.
    #[inline]
    pub(crate) fn prefetch(self, offset: u64) {
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
