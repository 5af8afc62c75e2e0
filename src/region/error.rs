//! What can go wrong between a path or a length and a region.
//!
//! Nothing here is a panic: files, mounts and limits are met as they are. Whatever the error, no mapping is left
//! behind and the lock is given back.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no region, or why an operation on one was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RegionError {
    /// Somebody else, in this process or another, has the file open as an arena. Nothing changed. Wait until the other
    /// is gone, or give each instance a path of its own.
    #[error("{path} is in use: its lock is held", path = path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },

    /// The path leads to something that can not be an arena. Nothing changed. Choose another path.
    #[error("{path} is {found}, not a regular file", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What was met, with its article.
        found: &'static str,
    },

    /// The file can not be opened for reading and writing. Nothing changed. Look at the permissions of the file and of
    /// its folder, and whether the mount is writable.
    #[error("{path} can not be opened", path = path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },

    /// Between opening and locking, another file took the name, several times in a row. Nothing changed. Find out who
    /// deletes and creates it.
    #[error("{path} was replaced {attempts} times while it was being opened", path = path.display())]
    Replaced {
        /// The path.
        path: PathBuf,
        /// How often it was tried.
        attempts: u32,
    },

    /// The bytes would not fit, by what the machine reports before anything is taken. Nothing changed. Lower the
    /// capacity, or raise the limit that is named.
    #[error("{needed} bytes needed, {available} available by {limited_by}")]
    NotEnoughMemory {
        /// Bytes that are not backed yet.
        needed: u64,
        /// Bytes that may be taken.
        available: u64,
        /// The tightest limit.
        limited_by: MemoryLimit,
    },

    /// The file system ran out of room while the file was being backed. A file that had been grown is back at its
    /// earlier length; its earlier content is intact. Free space there, or lower the capacity.
    #[error("{path}: no space to back {needed} bytes, {available} available", path = path.display())]
    NoSpace {
        /// Bytes that were not backed when it began.
        needed: u64,
        /// Bytes that the file system reports as free after it failed.
        available: u64,
        /// The file.
        path: PathBuf,
    },

    /// The length can not be mapped. Nothing changed. Round it up to the granule, at least one.
    #[error("a region of {length} bytes is not a positive multiple of {granule}, or exceeds the address space")]
    Length {
        /// The wanted length in bytes.
        length: u64,
        /// Bytes of one page of this kind of region.
        granule: u64,
    },

    /// The kernel gave no address range. Nothing changed, apart from a file's length, which is set back. Look at
    /// `vm.overcommit_memory`, `vm.max_map_count` and `ulimit -v`.
    #[error("{length} bytes can not be mapped")]
    Map {
        /// The wanted length in bytes.
        length: u64,
        /// What the kernel said.
        source: io::Error,
    },

    /// A range is not inside of the region, or not of whole pages of the named size. Nothing changed.
    #[error("{start:#x}..{end:#x} is not a range of whole pages of {granule} bytes in a region of {length:#x}")]
    Range {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Bytes of a page that the operation works by.
        granule: u64,
        /// The length of the region.
        length: u64,
    },

    /// The kernel made no huge page of the range. The bytes are intact and stay on small pages. `EAGAIN` and `EBUSY`
    /// pass; for any other cause stop asking.
    #[error("no huge pages for {start:#x}..{end:#x}")]
    NoHugePages {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// What the kernel said.
        source: io::Error,
    },

    /// This kind of region can not do it. Nothing changed.
    #[error("{what} is not possible on a heap region")]
    Unsupported {
        /// The operation.
        what: &'static str,
    },

    /// Any other refusal of the kernel. The bytes of the file are intact.
    #[error("{action} failed on {path}", path = path.as_deref().unwrap_or("an anonymous region".as_ref()).display())]
    Io {
        /// The call.
        action: &'static str,
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Which limit is the tightest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    /// `memory.max` of this control group (version 2), less what it uses.
    CgroupV2(PathBuf),
    /// `memory.limit_in_bytes` of this control group (version 1), less what it uses.
    CgroupV1(PathBuf),
    /// `MemAvailable` of the whole machine.
    MemAvailable,
    /// Free space of the mount that holds this file.
    Mount(PathBuf),
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CgroupV2(folder) => write!(formatter, "memory.max of the control group {}", folder.display()),
            Self::CgroupV1(folder) => {
                write!(formatter, "memory.limit_in_bytes of the control group {}", folder.display())
            }
            Self::MemAvailable => formatter.write_str("MemAvailable of the machine"),
            Self::Mount(path) => write!(formatter, "the free space of the mount of {}", path.display()),
        }
    }
}
