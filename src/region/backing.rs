//! Backing a file: making sure that no later store meets a page that can not be had.
//!
//! A store to an unbacked page of a full file system is not an error but SIGBUS, and ends the process. So every page
//! outside of the holes is taken before the region is handed out, in a way that reports failure:
//!
//! ```text
//!   0                    hole                                     len         length of the file
//!   | solid, backed now  |  sparse, backed page by page on demand  | solid  |  left alone  |
//!
//!   memory (tmpfs, hugetlbfs, ramfs)   MADV_HUGEPAGE first, then MADV_POPULATE_WRITE: only this order gives huge
//!                                      pages; a file that is complete already is told by its block count
//!   disk                               fallocate, every time: it takes no time where blocks are there already, while
//!                                      a block count there includes the file system's own
//! ```
//!
//! Both leave content as it is. A kernel or file system that lacks the one gets the other.

use super::error::RegionError;
use super::kind::{FileSystem, PAGE};
use super::memory::free_on_mount;
use super::reservation::Reservation;
use memmap2::Advice;
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes per call: a signal or a full file system is noticed in between.
const STEP: u64 = 64 << 20;

/// How often a call that was interrupted, or asked to come again, is repeated.
const TRIES: u32 = 64;

/// The parts of `0..len` that are in no hole. Holes count in whole pages inside of them, in any order.
pub(super) fn solid_ranges(len: u64, holes: &[Range<u64>], granule: u64) -> Vec<Range<u64>> {
    let whole = |hole: &Range<u64>| {
        let start = hole.start.checked_next_multiple_of(granule).unwrap_or(u64::MAX).min(len);
        start..hole.end.min(len) / granule * granule
    };
    let mut holes: Vec<_> = holes.iter().map(whole).filter(|hole| hole.start < hole.end).collect();
    holes.sort_by_key(|hole| hole.start);
    let mut solid = Vec::new();
    let mut at = 0;
    for hole in holes {
        if at < hole.start {
            solid.push(at..hole.start);
        }
        at = at.max(hole.end);
    }
    if at < len {
        solid.push(at..len);
    }
    solid
}

/// Bytes of the solid ranges that are not backed, by the block count of the file.
///
/// Blocks may also lie in holes and behind the wanted length; those are counted exactly and taken off, else a file
/// whose backing was cut short could look complete. On disks the count is an estimate.
pub(super) fn missing(file: &File, solid: &[Range<u64>]) -> io::Result<u64> {
    let met = file.metadata()?;
    let backed = met.blocks().saturating_mul(512);
    let mut elsewhere = 0;
    let mut at = 0;
    for range in solid.iter().cloned().chain(std::iter::once(met.len()..met.len())) {
        elsewhere += data_within(file, at..range.start);
        at = range.end;
    }
    let wanted: u64 = solid.iter().map(|range| range.end - range.start).sum();
    Ok(wanted.saturating_sub(backed.saturating_sub(elsewhere)))
}

/// Bytes of a range that are backed, by the file's own map of its holes.
fn data_within(file: &File, range: Range<u64>) -> u64 {
    let mut sum = 0;
    let mut at = range.start;
    while at < range.end {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            // A file system without a map of its holes: all of it may be data.
            Err(_) => at,
        };
        if start >= range.end {
            break;
        }
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(range.end).clamp(start + 1, range.end);
        sum += end - start;
        at = end;
    }
    sum
}

/// Backs the solid ranges of a file that is placed in the reservation.
pub(super) fn back(
    file: &File,
    path: &Path,
    file_system: FileSystem,
    reservation: &Reservation,
    solid: &[Range<u64>],
) -> Result<(), RegionError> {
    let needed = missing(file, solid).map_err(|source| io_error("counting blocks", path, source))?;
    if needed == 0 && !file_system.on_disk() {
        return Ok(());
    }
    let populated = |range: &Range<u64>| populate(reservation, range);
    let allocated = |range: &Range<u64>| allocate(file, range);
    for range in solid {
        let backed = if file_system.on_disk() {
            allocated(range).or_else(|error| if lacks(&error) { populated(range) } else { Err(error) })
        } else {
            populated(range).or_else(|error| if lacks(&error) { allocated(range) } else { Err(error) })
        };
        backed.map_err(|source| {
            if !is_full(&source) {
                return io_error("backing the file", path, source);
            }
            let available = free_on_mount(file).unwrap_or(0);
            RegionError::NoSpace { needed, available, path: path.to_owned() }
        })?;
    }
    Ok(())
}

/// Faults every page of a range in for writing. Content stays.
pub(super) fn populate(reservation: &Reservation, range: &Range<u64>) -> io::Result<()> {
    by_steps(range, |offset, len| reservation.advise(Advice::PopulateWrite, offset, len))
}

fn allocate(file: &File, range: &Range<u64>) -> io::Result<()> {
    by_steps(range, |offset, len| Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len)?))
}

fn by_steps(range: &Range<u64>, mut call: impl FnMut(u64, u64) -> io::Result<()>) -> io::Result<()> {
    let mut offset = range.start;
    let mut tries = 0;
    while offset < range.end {
        let len = STEP.min(range.end - offset);
        match call(offset, len) {
            Ok(()) => (offset, tries) = (offset + len, 0),
            Err(error) if is_transient(&error) && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_transient(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INTR | Errno::AGAIN))
}

/// The call is unknown to this kernel (EINVAL: `MADV_POPULATE_WRITE` before Linux 5.14) or to this file system.
fn lacks(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS))
}

/// EFAULT is how `MADV_POPULATE_WRITE` reports what would have been SIGBUS.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::FAULT | Errno::NOMEM))
}

pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> RegionError {
    RegionError::Io { action, path: Some(path.to_owned()), source }
}

/// The alignment that lets a region of this length have huge pages.
pub(super) fn alignment_for(len: u64, least: u64) -> u64 {
    const LARGE: u64 = 4 << 20;
    let wanted = if len >= LARGE { super::kind::HUGE_PAGE } else { PAGE };
    wanted.max(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
    fn what_is_in_no_hole_is_solid() {
        let pages = |ranges: &[Range<u64>]| -> Vec<_> { ranges.iter().map(|r| r.start * PAGE..r.end * PAGE).collect() };
        assert_eq!(solid_ranges(8 * PAGE, &[], PAGE), pages(&[0..8]));
        assert_eq!(solid_ranges(8 * PAGE, &pages(&[2..4]), PAGE), pages(&[0..2, 4..8]));
        assert_eq!(solid_ranges(8 * PAGE, &pages(&[6..99, 1..3, 2..4]), PAGE), pages(&[0..1, 4..6]));
        assert_eq!(solid_ranges(8 * PAGE, &pages(&[0..8]), PAGE), []);
        assert_eq!(solid_ranges(8 * PAGE, &[1..PAGE * 2 - 1, PAGE..PAGE, u64::MAX..u64::MAX], PAGE), pages(&[0..8]));
        assert_eq!(solid_ranges(8 * PAGE, &[1..PAGE * 2 + 1], PAGE), pages(&[0..1, 2..8]));
    }

    #[test]
    fn blocks_in_holes_do_not_make_up_for_missing_ones() {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a temporary folder");
        let file = File::create_new(folder.path().join("arena")).expect("a file");
        file.set_len(16 * PAGE).expect("a length");
        let solid = [0..4 * PAGE, 8 * PAGE..12 * PAGE];
        assert_eq!(missing(&file, &solid).expect("a count"), 8 * PAGE);
        for page in [0, 5, 6, 13, 15] {
            file.write_all_at(&[1; PAGE as usize], page * PAGE).expect("a page");
        }
        assert_eq!(missing(&file, &solid).expect("a count"), 7 * PAGE);
    }
}
