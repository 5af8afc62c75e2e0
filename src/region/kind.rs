//! What a region is made of, as plain values: for decisions above and for reports.

use std::fmt;

/// What keeps the bytes of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegionKind {
    /// An allocation: gone with the process, no huge pages, no advice to the kernel.
    Heap,
    /// Memory without a file: gone with the process.
    Anonymous,
    /// A locked file: survives the process, and on a disk the machine.
    File {
        /// Which file it is, however it is called.
        identity: FileIdentity,
        /// What it lies on.
        file_system: FileSystem,
    },
}

/// Which file: a copy, or another file under the same name, differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileIdentity {
    /// The device that holds it.
    pub(crate) device: u64,
    /// Its number there.
    pub(crate) inode: u64,
}

/// A file as the kernel reports it at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    /// Bytes from start to end, holes included.
    pub(crate) length: u64,
    /// Bytes that are backed by memory or disk, in all of the file.
    pub(crate) backed: u64,
    /// Names that lead to it; 0 once it is deleted, and then no restart will find it.
    pub(crate) links: u64,
}

/// What a file lies on, as far as it changes how it is backed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// Shared memory with a size limit. Huge pages if mounted with `huge=`, or by collapse.
    Tmpfs,
    /// Memory from the pool of huge pages, of this size in bytes.
    Hugetlbfs {
        /// Bytes of one page: lengths are multiples of it.
        page: u64,
    },
    /// Memory without a limit and without swap.
    Ramfs,
    /// Anything else: a store may wait for writeback, for hundreds of milliseconds.
    Disk {
        /// The name, where the magic number is a known one, else `unknown`.
        name: &'static str,
        /// The magic number that `statfs` reports.
        magic: u64,
    },
}

impl FileSystem {
    /// By the magic number and block size of `statfs` (man 2 statfs).
    pub(crate) fn of(magic: u64, block: u64) -> Self {
        let name = match magic {
            0x0102_1994 => return Self::Tmpfs,
            0x9584_58f6 => return Self::Hugetlbfs { page: block },
            0x8584_58f6 => return Self::Ramfs,
            0xef53 => "ext4",
            0x5846_5342 => "xfs",
            0x9123_683e => "btrfs",
            0x2fc1_2fc1 => "zfs",
            0xf2f5_2010 => "f2fs",
            0x794c_7630 => "overlay",
            0x6573_5546 => "fuse",
            0x6969 => "nfs",
            0x0102_1997 => "9p",
            _ => "unknown",
        };
        Self::Disk { name, magic }
    }

    /// Whether pages are written back to something slower than memory.
    pub(crate) fn on_disk(self) -> bool {
        matches!(self, Self::Disk { .. })
    }

    /// Lengths and holes are multiples of this.
    pub(crate) fn granule(self) -> u64 {
        match self {
            Self::Hugetlbfs { page } => page.max(PAGE),
            Self::Tmpfs | Self::Ramfs | Self::Disk { .. } => PAGE,
        }
    }
}

/// The small page: what the kernel maps, backs and protects by.
pub(crate) const PAGE: u64 = 4096;

/// The huge page: what one entry of the second page table level covers.
pub(crate) const HUGE_PAGE: u64 = 2 << 20;

impl fmt::Display for FileSystem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tmpfs => formatter.write_str("tmpfs"),
            Self::Hugetlbfs { page } => write!(formatter, "hugetlbfs with pages of {page} bytes"),
            Self::Ramfs => formatter.write_str("ramfs"),
            Self::Disk { name, magic } => write!(formatter, "{name} ({magic:#x})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_file_systems_in_memory_are_not_on_disk() {
        assert_eq!(FileSystem::of(0x0102_1994, 4096), FileSystem::Tmpfs);
        assert_eq!(FileSystem::of(0x9584_58f6, HUGE_PAGE).granule(), HUGE_PAGE);
        assert!(!FileSystem::of(0x8584_58f6, 4096).on_disk());
        assert!(FileSystem::of(0xef53, 4096).on_disk());
        assert_eq!(FileSystem::of(7, 4096).to_string(), "unknown (0x7)");
    }
}
