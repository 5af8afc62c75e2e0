//! A piece of address space at the alignment that huge pages need, and what is mapped into it.
//!
//! The kernel puts mappings anywhere, and memory that is not aligned to 2 MiB never gets huge pages. So more is reserved
//! than is wanted, and a file is placed at the aligned address inside:
//!
//! ```text
//!   reserved   |........|======================================|.....|    private, without swap, untouched
//!              ^        ^ aligned: the base                    ^ base + len
//!                       |<--- the file, or the reservation --->|
//! ```
//!
//! # Invariants
//!
//! - `start + len` stays inside of `raw`, whose range belongs to this value alone until drop.
//! - Dropping `raw` unmaps the whole reservation, a file placed in it included.

use super::kind::PAGE;
use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::File;
use std::io;
use std::ptr::NonNull;

/// Mapped address space of one region.
#[derive(Debug)]
pub(super) struct Reservation {
    raw: MmapRaw,
    start: usize,
    len: usize,
}

impl Reservation {
    /// Zeroed private memory of `len` bytes at a multiple of `alignment`, a power of two. Nothing is backed yet.
    pub(super) fn new(len: u64, alignment: u64) -> io::Result<Self> {
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let slack = if alignment > PAGE { alignment } else { 0 };
        let total = len.checked_add(slack).and_then(|total| usize::try_from(total).ok()).ok_or_else(too_large)?;
        let raw = MmapRaw::from(MmapOptions::new().len(total).no_reserve_swap().map_anon()?);
        let start = raw.as_ptr().align_offset(alignment as usize);
        Ok(Self { raw, start, len: len as usize })
    }

    /// Puts the first bytes of a file over the reserved memory, shared with all who map the file.
    pub(super) fn place(&mut self, file: &File) -> io::Result<()> {
        let read_write = ProtFlags::READ | ProtFlags::WRITE;
        // Without NORESERVE hugetlbfs would set pages aside for the holes too.
        let shared = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: replaces only pages of our own reservation (the invariant), to which no pointer was given out yet.
        let placed = unsafe { rustix::mm::mmap(self.base().as_ptr().cast(), self.len, read_write, shared, file, 0)? };
        debug_assert_eq!(placed.cast(), self.base().as_ptr());
        Ok(())
    }

    /// The address of the first byte.
    pub(super) fn base(&self) -> NonNull<u8> {
        let base = self.raw.as_mut_ptr().wrapping_add(self.start);
        NonNull::new(base).expect("a mapping does not begin at address zero")
    }

    /// Bytes from the base on.
    pub(super) fn len(&self) -> u64 {
        self.len as u64
    }

    /// Advice that changes no content, for `len` bytes from `offset`.
    pub(super) fn advise(&self, advice: Advice, offset: u64, len: u64) -> io::Result<()> {
        self.raw.advise_range(advice, self.inside(offset, len), len as usize)
    }

    /// Gives the pages of a range back.
    ///
    /// # Safety
    ///
    /// - Nobody accesses these bytes meanwhile, nor holds a reference to them: they become zero.
    pub(super) unsafe fn discard(&self, advice: UncheckedAdvice, offset: u64, len: u64) -> io::Result<()> {
        let inside = self.inside(offset, len);
        // SAFETY: inside of our own reservation; the caller gives the bytes up.
        unsafe { self.raw.unchecked_advise_range(advice, inside, len as usize) }
    }

    /// Writes all dirty pages to the file and waits for it.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.raw.flush_range(self.start, self.len)
    }

    /// Where a range of the region lies in `raw`.
    fn inside(&self, offset: u64, len: u64) -> usize {
        assert!(
            offset <= self.len as u64 && len <= self.len as u64 - offset,
            "{len} bytes at {offset:#x} are outside of a reservation of {:#x}",
            self.len
        );
        self.start + offset as usize
    }
}
