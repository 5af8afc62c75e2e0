//! What can be asked of the kernel about the pages of a region, and told to it, while the region is in use.
//!
//! ```text
//!   map          backed            ->  mapped                            else each first read is a fault; from a thread
//!   populate     hole or released  ->  backed, content kept              before first use, else SIGBUS is possible
//!   release      backed            ->  not backed, reads as zero         gives memory back when an arena shrinks
//!   collapse     512 small pages   ->  one huge page, content kept       8 ms per 2 MiB, from a background thread
//!   sync_all     memory            ->  disk                              at a clean close
//! ```
//!
//! Nothing here runs on a hot path.

use super::backing::{is_full, populate};
use super::error::RegionError;
#[cfg(test)]
use super::kind::{FileIdentity, FileState};
use super::kind::{FileSystem, HUGE_PAGE, PAGE, RegionKind};
use super::mapped::{Backing, Region};
use super::memory::free_on_mount;
use super::pressure;
use super::reservation::Reservation;
use super::smaps;
use memmap2::{Advice, UncheckedAdvice};
#[cfg(test)]
use rustix::mm::MprotectFlags;
use std::io;
use std::ops::Range;
use std::path::Path;

impl Region {
    /// What the bytes are made of.
    pub(crate) fn kind(&self) -> RegionKind {
        match &self.backing {
            Backing::Heap(_) => RegionKind::Heap,
            Backing::Anonymous(_) => RegionKind::Anonymous,
            Backing::File(mapped) => RegionKind::File { identity: mapped.identity, file_system: mapped.file_system },
        }
    }

    /// Which file it is, for a file.
    #[cfg(test)]
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        match self.kind() {
            RegionKind::File { identity, .. } => Some(identity),
            RegionKind::Heap | RegionKind::Anonymous => None,
        }
    }

    /// Whether it is a file in memory, which another life may have left.
    pub(crate) fn is_file_in_memory(&self) -> bool {
        matches!(self.kind(), RegionKind::File { file_system, .. } if !file_system.on_disk())
    }

    /// Whether it is made of small pages that may become huge ones.
    pub(crate) fn may_collapse(&self) -> bool {
        matches!(self.kind(), RegionKind::File { file_system: FileSystem::Tmpfs, .. })
    }

    /// Whether pages can be collapsed without a long wait. The kernel first lets each processor finish with the pages that it
    /// keeps at hand, and holds the lock of the address space meanwhile: where processors are busy with others, for seconds.
    pub(crate) fn is_time_to_collapse(&self) -> bool {
        !pressure::is_busy(Path::new("/proc/pressure/cpu"))
    }

    /// Whether stores may wait for writeback to a disk.
    pub(crate) fn on_disk(&self) -> bool {
        matches!(self.kind(), RegionKind::File { file_system, .. } if file_system.on_disk())
    }

    /// The file at this moment, for a file: whether somebody truncated or deleted it is seen here.
    #[cfg(test)]
    pub(crate) fn file_state(&self) -> Result<Option<FileState>, RegionError> {
        match &self.backing {
            Backing::File(mapped) => mapped.locked.state().map(Some),
            Backing::Heap(_) | Backing::Anonymous(_) => Ok(None),
        }
    }

    /// Bytes that are mapped by huge pages right now, as the kernel counts them; None where it does not tell.
    ///
    /// Walks the page tables of the process: milliseconds for a large region on small pages.
    pub(crate) fn huge_page_bytes(&self) -> Option<u64> {
        match &self.backing {
            Backing::Heap(_) => None,
            Backing::Anonymous(_) | Backing::File(_) => {
                Some(smaps::huge_page_bytes(&smaps::read()?, &self.address_range()))
            }
        }
    }

    /// Enters a backed range into the page table, so that reads of it meet no fault. About 50 us per 2 MiB of small pages.
    pub(crate) fn map_pages(&self, range: Range<u64>) -> Result<(), RegionError> {
        self.check_pages(&range, PAGE)?;
        let Some(reservation) = self.reservation() else { return Ok(()) };
        let mapped = reservation.advise(Advice::PopulateRead, range.start, range.end - range.start);
        mapped.map_err(|source| self.io_error("MADV_POPULATE_READ", source))
    }

    /// Backs a range, so that stores to it can not fail. Content stays.
    #[cfg_attr(not(test), expect(dead_code, reason = "for a smaller capacity at open"))]
    pub(crate) fn populate(&self, range: Range<u64>) -> Result<(), RegionError> {
        self.check_pages(&range, PAGE)?;
        let Some(reservation) = self.reservation() else { return Ok(()) };
        populate(reservation, &range).map_err(|source| match &self.backing {
            Backing::File(mapped) if is_full(&source) => RegionError::NoSpace {
                needed: range.end - range.start,
                available: free_on_mount(&mapped.locked.file).unwrap_or(0),
                path: mapped.locked.path.clone(),
            },
            _ => self.io_error("MADV_POPULATE_WRITE", source),
        })
    }

    /// Gives a range back to the system. It reads as zero afterwards and needs `populate` before it is written again.
    ///
    /// # Safety
    ///
    /// - Nobody accesses these bytes meanwhile, nor holds a reference to them.
    #[cfg_attr(not(test), expect(dead_code, reason = "for a smaller capacity at open"))]
    pub(crate) unsafe fn release(&self, range: Range<u64>) -> Result<(), RegionError> {
        self.check_pages(&range, self.granule())?;
        let (offset, len) = (range.start, range.end - range.start);
        let (reservation, advice) = match &self.backing {
            Backing::Heap(_) => {
                let released = self.view().at(offset, len);
                // SAFETY: inside the allocation; the caller gives the bytes up.
                unsafe { released.write_bytes(0, len as usize) };
                return Ok(());
            }
            Backing::Anonymous(reservation) => (reservation, UncheckedAdvice::DontNeed),
            Backing::File(mapped) => (&mapped.reservation, UncheckedAdvice::Remove),
        };
        // SAFETY: the caller gives the bytes up.
        let discarded = unsafe { reservation.discard(advice, offset, len) };
        discarded.map_err(|source| self.io_error("giving pages back", source))
    }

    /// Makes huge pages of a range that is populated. Content stays, and readers and writers may go on.
    ///
    /// Takes about 8 ms per 2 MiB: for a background thread, a few huge pages at a time.
    pub(crate) fn collapse(&self, range: Range<u64>) -> Result<(), RegionError> {
        if self.reservation().is_none() {
            return Err(RegionError::Unsupported { what: "collapsing to huge pages" });
        }
        self.check_pages(&range, HUGE_PAGE)?;
        let address = self.base.as_ptr().wrapping_add(range.start as usize);
        let len = (range.end - range.start) as usize;
        // SAFETY: inside our own mapping by the check, and the advice changes no content.
        let result = unsafe { libc::madvise(address.cast(), len, libc::MADV_COLLAPSE) };
        if result == 0 {
            return Ok(());
        }
        Err(RegionError::NoHugePages { start: range.start, end: range.end, source: io::Error::last_os_error() })
    }

    /// Writes everything to the disk under a file and waits for it; returns at once for all other regions.
    pub(crate) fn sync_all(&self) -> Result<(), RegionError> {
        let Backing::File(mapped) = &self.backing else { return Ok(()) };
        mapped.reservation.flush().map_err(|source| self.io_error("msync", source))?;
        mapped.locked.file.sync_all().map_err(|source| self.io_error("fsync", source))
    }

    /// Lets every store to the region end the process: shows in a test that a journey writes nothing.
    #[cfg(test)]
    pub(crate) fn protect_read_only(&self) -> Result<(), RegionError> {
        self.protect(MprotectFlags::READ)
    }

    /// Allows stores again.
    #[cfg(test)]
    pub(crate) fn protect_read_write(&self) -> Result<(), RegionError> {
        self.protect(MprotectFlags::READ.union(MprotectFlags::WRITE))
    }

    #[cfg(test)]
    fn protect(&self, flags: MprotectFlags) -> Result<(), RegionError> {
        if self.reservation().is_none() {
            return Err(RegionError::Unsupported { what: "protecting" });
        }
        let address = self.base.as_ptr().cast();
        // SAFETY: exactly our own mapping, which stays readable.
        let protected = unsafe { rustix::mm::mprotect(address, self.len as usize, flags) };
        protected.map_err(|error| self.io_error("mprotect", error.into()))
    }

    /// Address space of our own; a heap region shares its with the allocator.
    fn reservation(&self) -> Option<&Reservation> {
        match &self.backing {
            Backing::Heap(_) => None,
            Backing::Anonymous(reservation) => Some(reservation),
            Backing::File(mapped) => Some(&mapped.reservation),
        }
    }

    fn granule(&self) -> u64 {
        match self.kind() {
            RegionKind::File { file_system, .. } => file_system.granule(),
            RegionKind::Heap | RegionKind::Anonymous => PAGE,
        }
    }

    fn check_pages(&self, range: &Range<u64>, granule: u64) -> Result<(), RegionError> {
        let &Range { start, end } = range;
        let address = self.base.as_ptr() as u64 + start.min(self.len);
        let whole = start.is_multiple_of(granule) && end.is_multiple_of(granule) && address.is_multiple_of(granule);
        if whole && start <= end && end <= self.len {
            return Ok(());
        }
        Err(RegionError::Range { start, end, granule, length: self.len })
    }

    fn io_error(&self, action: &'static str, source: io::Error) -> RegionError {
        let path = match &self.backing {
            Backing::File(mapped) => Some(Path::to_owned(&mapped.locked.path)),
            Backing::Heap(_) | Backing::Anonymous(_) => None,
        };
        RegionError::Io { action, path, source }
    }
}
