//! What an open found, and why it started cold if it did.

#![forbid(unsafe_code)]

use std::fmt;

/// How a cache came up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// There was no arena: a new one was made.
    Created,
    /// The arena of an earlier life is served.
    Warm {
        /// The number of this life, from 1.
        run: u16,
        /// Entries that the last life left, as it last noted them; exact after a clean close.
        entries: u64,
        /// Whether the last life ended with `close`.
        sealed: bool,
        /// Pages before and now, if the capacity changed.
        resized: Option<(u32, u32)>,
    },
    /// There was a file, but its content could not be trusted or used: it was emptied.
    Cold {
        /// Why.
        reason: ColdReason,
    },
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Warm { run, entries, sealed, resized } => {
                let end = if *sealed { "a clean close" } else { "a sudden end" };
                write!(f, "warm after {end}: run {run}, about {entries} entries")?;
                if let Some((before, now)) = resized {
                    write!(f, ", resized from {before} to {now} pages")?;
                }
                Ok(())
            }
            Self::Cold { reason } => write!(f, "cold: {reason}"),
        }
    }
}

/// Why an existing arena was not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColdReason {
    /// Neither superblock is whole.
    #[error("both superblocks are damaged")]
    SuperblockDamaged,
    /// Another version of the format.
    #[error("layout version {found}, this build reads {expected}")]
    LayoutVersion {
        /// In the file.
        found: u32,
        /// In this build.
        expected: u32,
    },
    /// Built with other structs.
    #[error("the format's structs differ: ABI {found:08x}, this build has {expected:08x}")]
    AbiChanged {
        /// In the file.
        found: u32,
        /// In this build.
        expected: u32,
    },
    /// Page size, page count or offsets do not fit together.
    #[error("page size and page count do not fit together")]
    Geometry,
    /// The file is shorter than its arena.
    #[error("file of {found} bytes, its arena has {expected}")]
    Truncated {
        /// Bytes found.
        found: u64,
        /// Bytes that the superblock tells.
        expected: u64,
    },
    /// The file was copied or moved: another device or inode than the one that wrote it.
    #[error("the file was copied: it is inode {found}, its arena was written as inode {expected}")]
    Copied {
        /// The inode of the file.
        found: u64,
        /// The inode noted in it.
        expected: u64,
    },
    /// The machine was restarted and the arena was not closed before.
    #[error("the machine was restarted and the last life did not end with a close")]
    Rebooted,
    /// The hash of keys answers differently than when the file was written.
    #[error("the hash function answers differently in this build")]
    HashChanged,
    /// The index can not be used.
    #[error("index: {0}")]
    Index(String),
    /// The last stamps lie far ahead of the clock: damage, or a clock that was set back by days. Times to live would be
    /// wrong.
    #[error("the last stamps are {ahead_us} us ahead of the clock")]
    Clock {
        /// By how much, in microseconds.
        ahead_us: u64,
    },
    /// Something was cleared after the last stamp that was given out: damage.
    #[error("the stamps of the last clear are damaged")]
    Clears,
    /// 65,535 opens: control words can not tell lives apart any more.
    #[error("all {0} run numbers are used")]
    RunsExhausted(u32),
    /// Several lives ended within seconds: perhaps the memory was too much for the limit. Half the size is used.
    #[error("{lives} lives in a row ended within seconds; started at half size")]
    CrashLoop {
        /// How many.
        lives: u32,
    },
    /// The wanted capacity is not within the range that the file's page size allows.
    #[error("capacity of {wanted} bytes is out of range for pages of {page_bytes} bytes")]
    Resize {
        /// Bytes wanted.
        wanted: u64,
        /// Page size of the file.
        page_bytes: u64,
    },
}
