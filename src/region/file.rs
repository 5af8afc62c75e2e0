//! From a path to a region, in two steps, so that the layer above can look at the superblock in between.
//!
//! ```text
//!   OpenedFile::open(path)      created 0600 if absent, a regular file, locked, still the one under that name
//!        |  read_at             is it ours? warm or cold? which geometry?
//!        |  truncate            only here: nobody maps it, we hold the lock
//!        v
//!   opened.map(len, holes)      grown, mapped, backed; an error sets the length back
//!        v
//!   Region                      keeps the file, and so the lock, until drop
//! ```
//!
//! # Invariants
//!
//! - The lock is held from `open` until after the mapping is gone.
//! - A file is never shorter than what is mapped of it, as far as it is up to holders of the lock.

use super::backing::{self, alignment_for, io_error, is_full, solid_ranges};
use super::error::RegionError;
use super::kind::{FileIdentity, FileState, FileSystem};
use super::mapped::{Backing, Region};
use super::memory::{MemoryProbe, free_on_mount};
use super::reservation::Reservation;
use memmap2::Advice;
use rustix::fs::OFlags;
use std::fs::{File, FileType, Metadata, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How often a file that is replaced under its name while we open it is opened again.
const ATTEMPTS: u32 = 8;

/// A locked regular file that is not mapped.
#[derive(Debug)]
pub(crate) struct OpenedFile {
    locked: LockedFile,
    identity: FileIdentity,
    file_system: FileSystem,
    is_new: bool,
}

impl OpenedFile {
    /// Opens and locks a file; creates it, readable and writable by its owner alone, if it is absent.
    pub(crate) fn open(path: &Path) -> Result<Self, RegionError> {
        for _ in 0..ATTEMPTS {
            let locked = LockedFile::open(path)?;
            let met = locked.file.metadata().map_err(|source| io_error("fstat", path, source))?;
            refuse_other_than_regular(path, met.file_type())?;
            let identity = identity_of(&met);
            if std::fs::metadata(path).is_ok_and(|named| identity_of(&named) == identity) {
                warn_of_other_writers(path, &met);
                let mount = rustix::fs::fstatfs(&locked.file);
                let mount = mount.map_err(|error| io_error("fstatfs", path, error.into()))?;
                let file_system = FileSystem::of(mount.f_type as u64 & 0xffff_ffff, mount.f_bsize as u64);
                return Ok(Self { locked, identity, file_system, is_new: met.len() == 0 });
            }
        }
        Err(RegionError::Replaced { path: path.to_owned(), attempts: ATTEMPTS })
    }

    /// Whether the file was empty: just created, or left by one who was killed right after creating it.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Which file it is.
    pub(crate) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// What it lies on.
    #[cfg(test)]
    pub(crate) fn file_system(&self) -> FileSystem {
        self.file_system
    }

    /// Length, backed bytes and names at this moment.
    pub(crate) fn state(&self) -> Result<FileState, RegionError> {
        self.locked.state()
    }

    /// Fills the buffer from an offset, as far as the file goes; tells how many bytes that were.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, RegionError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.locked.file.read_at(&mut buffer[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(io_error("reading", &self.locked.path, source)),
            }
        }
        Ok(filled)
    }

    /// Sets the length. Bytes behind it are gone and their space is free; grown bytes are zero and not backed.
    pub(crate) fn truncate(&self, len: u64) -> Result<(), RegionError> {
        self.locked.file.set_len(len).map_err(|source| io_error("truncating", &self.locked.path, source))
    }

    /// Refuses if a file of this length could not be backed, what this one has already counted in.
    pub(crate) fn check_room(&self, len: u64, holes: &[Range<u64>]) -> Result<(), RegionError> {
        self.require_room(&solid_ranges(len, holes, self.file_system.granule()), &MemoryProbe::default())
    }

    /// Writes bytes at an offset, in a file that is not mapped yet.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), RegionError> {
        let written = self.locked.file.write_all_at(bytes, offset);
        written.map_err(|source| io_error("writing", &self.locked.path, source))
    }

    /// Maps the first `len` bytes, grown to that if they are fewer, all backed but for the holes.
    ///
    /// A longer file keeps its length. Pages in holes are backed by `Region::populate` before their first use.
    ///
    /// # Errors
    ///
    /// The lock is given back. A file that had been grown has its earlier length again.
    pub(crate) fn map(self, len: u64, holes: &[Range<u64>]) -> Result<Region, RegionError> {
        self.map_within(len, holes, &MemoryProbe::default())
    }

    /// As `map`, within the limits that a probe finds.
    pub(crate) fn map_within(self, len: u64, holes: &[Range<u64>], probe: &MemoryProbe) -> Result<Region, RegionError> {
        let granule = self.file_system.granule();
        if len == 0 || !len.is_multiple_of(granule) || len > isize::MAX as u64 {
            return Err(RegionError::Length { length: len, granule });
        }
        if let FileSystem::Disk { name, .. } = self.file_system {
            let path = self.locked.path.display();
            tracing::warn!(%path, file_system = name, "arena on disk: stores stall while pages are written back");
        }
        let solid = solid_ranges(len, holes, granule);
        self.require_room(&solid, probe)?;
        let before = self.state()?.length;
        let mapped = self.grow(before, len).and_then(|()| self.place_and_back(len, &solid));
        match mapped {
            Ok(reservation) => Ok(Region::new(Backing::File(Box::new(MappedFile {
                reservation,
                locked: self.locked,
                identity: self.identity,
                file_system: self.file_system,
            })))),
            Err(error) => {
                if before < len
                    && let Err(failed) = self.truncate(before)
                {
                    tracing::warn!(error = %failed, "the length of an arena that could not be mapped stays grown");
                }
                Err(error)
            }
        }
    }

    fn require_room(&self, solid: &[Range<u64>], probe: &MemoryProbe) -> Result<(), RegionError> {
        // The pool of huge pages is memory that no limit counts as free, and that is taken with an error, not a kill.
        if matches!(self.file_system, FileSystem::Hugetlbfs { .. }) {
            return Ok(());
        }
        let (file, path) = (&self.locked.file, &self.locked.path);
        let needed = backing::missing(file, solid).map_err(|source| io_error("counting blocks", path, source))?;
        if needed == 0 {
            return Ok(());
        }
        probe.require_on_mount(file, path, needed)?;
        probe.require(needed)
    }

    fn grow(&self, before: u64, len: u64) -> Result<(), RegionError> {
        if before >= len {
            return Ok(());
        }
        let (file, path) = (&self.locked.file, &self.locked.path);
        file.set_len(len).map_err(|source| match is_full(&source) {
            true => no_space(file, path, len - before),
            false => io_error("growing", path, source),
        })
    }

    fn place_and_back(&self, len: u64, solid: &[Range<u64>]) -> Result<Reservation, RegionError> {
        let (file, path) = (&self.locked.file, &self.locked.path);
        let failed = |source| RegionError::Map { length: len, source };
        let alignment = alignment_for(len, self.file_system.granule());
        let mut reservation = Reservation::new(len, alignment).map_err(failed)?;
        reservation.place(file).map_err(|source| match self.file_system {
            FileSystem::Hugetlbfs { .. } if is_full(&source) => no_space(file, path, len),
            _ => failed(source),
        })?;
        exclude_from_core_dumps(&reservation, len);
        if matches!(self.file_system, FileSystem::Tmpfs) {
            advise_huge_pages(&reservation, len);
        }
        backing::back(file, path, self.file_system, &reservation, solid)?;
        Ok(reservation)
    }
}

/// A file that is mapped and locked.
///
/// Field order is drop order: unmapped first, unlocked after.
#[derive(Debug)]
pub(super) struct MappedFile {
    pub(super) reservation: Reservation,
    pub(super) locked: LockedFile,
    pub(super) identity: FileIdentity,
    pub(super) file_system: FileSystem,
}

/// A file whose lock is ours until drop.
#[derive(Debug)]
pub(super) struct LockedFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    process: u32,
}

impl LockedFile {
    fn open(path: &Path) -> Result<Self, RegionError> {
        if let Ok(met) = std::fs::metadata(path) {
            refuse_other_than_regular(path, met.file_type())?;
        }
        // Not blocking: should a pipe or a device take the name just now, opening it must not wait.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = options.open(path).map_err(|source| RegionError::Open { path: path.to_owned(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path: path.to_owned(), process: std::process::id() }),
            Err(TryLockError::WouldBlock) => Err(RegionError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io_error("locking", path, source)),
        }
    }

    pub(super) fn state(&self) -> Result<FileState, RegionError> {
        let met = self.file.metadata().map_err(|source| io_error("fstat", &self.path, source))?;
        Ok(FileState { length: met.len(), backed: met.blocks().saturating_mul(512), links: met.nlink() })
    }
}

impl Drop for LockedFile {
    /// Unlocks at once, although a child between fork and exec may keep the file open a little longer. In such a child
    /// itself the lock is the parent's and stays.
    fn drop(&mut self) {
        if self.process == std::process::id()
            && let Err(error) = self.file.unlock()
        {
            tracing::warn!(path = %self.path.display(), %error, "unlocking failed; closing the file unlocks it");
        }
    }
}

/// Keeps the bytes out of core dumps. A kernel that can not is no reason to refuse.
pub(super) fn exclude_from_core_dumps(reservation: &Reservation, len: u64) {
    if let Err(error) = reservation.advise(Advice::DontDump, 0, len) {
        tracing::warn!(%error, "core dumps will contain the arena");
    }
}

/// Asks for huge pages. What was got, `Region::huge_page_bytes` tells.
pub(super) fn advise_huge_pages(reservation: &Reservation, len: u64) {
    if let Err(error) = reservation.advise(Advice::HugePage, 0, len) {
        tracing::debug!(%error, "no huge pages for the arena");
    }
}

fn no_space(file: &File, path: &Path, needed: u64) -> RegionError {
    RegionError::NoSpace { needed, available: free_on_mount(file).unwrap_or(0), path: path.to_owned() }
}

fn identity_of(met: &Metadata) -> FileIdentity {
    FileIdentity { device: met.dev(), inode: met.ino() }
}

fn refuse_other_than_regular(path: &Path, met: FileType) -> Result<(), RegionError> {
    let found = match met {
        _ if met.is_file() => return Ok(()),
        _ if met.is_dir() => "a directory",
        _ if met.is_socket() => "a socket",
        _ if met.is_fifo() => "a named pipe",
        _ if met.is_block_device() => "a block device",
        _ if met.is_char_device() => "a character device",
        _ => "something else",
    };
    Err(RegionError::NotAFile { path: path.to_owned(), found })
}

/// Whoever may write the file may truncate it, and a truncated mapping ends the process.
fn warn_of_other_writers(path: &Path, met: &Metadata) {
    const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
    if met.mode() & GROUP_AND_OTHERS_WRITE != 0 {
        let mode = format_args!("{:o}", met.mode() & 0o7777).to_string();
        tracing::warn!(path = %path.display(), mode, "others may write the arena's file");
    }
}
