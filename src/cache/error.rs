//! Why a cache could not be opened, or an entry not be stored.

#![forbid(unsafe_code)]

use crate::engine::close::CloseFailure;
use crate::engine::open::OpenFailure;
use crate::region::{MemoryLimit, RegionError};
use crate::types::limits::CLOSE_WAIT_MAX_MS;
use crate::types::version::Version;
use std::path::PathBuf;

/// Why a cache could not be opened, or not be sealed by its `close`. Nothing was changed unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The capacity is out of range. Set one within the bounds.
    #[error("capacity of {bytes} bytes is outside of {min} to {max}")]
    Capacity {
        /// What was asked for.
        bytes: u64,
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// The largest value is out of range. Set one within the bounds.
    #[error("value_bytes_max of {bytes} is outside of 1 to {max}")]
    ValueBytesMax {
        /// What was asked for.
        bytes: u64,
        /// The largest.
        max: u64,
    },
    /// The time to live is zero or beyond 68 years. Set one within the bounds, or none.
    #[error("time to live of {seconds} s is outside of 1 ms to {max_seconds} s")]
    TimeToLive {
        /// What was asked for.
        seconds: f64,
        /// The largest.
        max_seconds: u64,
    },
    /// At least one entry must be allowed.
    #[error("entries_max of 0: a cache without entries")]
    EntriesMax,
    /// Values on the heap end with the process, and so would what a file says of them. Leave the file out.
    #[doc(hidden)]
    #[cfg(feature = "values-on-heap")]
    #[error("values on the heap need an arena without a file, not {path}")]
    ValuesOnHeap {
        /// The file.
        path: PathBuf,
    },
    /// Another handle, in this process or another, has the file open. Close that one, or choose another file.
    #[error("{path} is in use by another cache")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file has content, but no arena's. It was not touched; choose another file or remove it.
    #[error("{path} has content, but is no arena; it was not touched")]
    NotAnArena {
        /// The file.
        path: PathBuf,
    },
    /// There is not enough memory. Lower the capacity, or raise the limit that is named.
    #[error("{needed} bytes are needed, {available} are available by {limited_by}")]
    NotEnoughMemory {
        /// Bytes that the arena needs besides what its file has already.
        needed: u64,
        /// Bytes there are.
        available: u64,
        /// What limits them.
        limited_by: String,
    },
    /// The file could not be opened, backed or mapped.
    #[error("{0}")]
    File(String),
    /// The cache is closed, but its file was not sealed: a thread stayed inside a write, or inside another close. The
    /// arena is as good as after a kill; `close` on a clone tries again.
    #[error("closed, but not sealed: {inside} threads were still inside a write or a close after {waited_ms} ms")]
    NotSealed {
        /// Threads that were inside.
        inside: u32,
        /// How long they were waited for.
        waited_ms: u64,
    },
    /// The background thread could not be started.
    #[error("the background thread could not be started: {0}")]
    Thread(std::io::Error),
}

impl From<OpenFailure> for OpenError {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::NotAnArena { path } => Self::NotAnArena { path },
            OpenFailure::Region(error) => error.into(),
        }
    }
}

impl From<CloseFailure> for OpenError {
    fn from(failure: CloseFailure) -> Self {
        match failure {
            CloseFailure::Inside(inside) => Self::NotSealed { inside, waited_ms: CLOSE_WAIT_MAX_MS },
            CloseFailure::Region(error) => error.into(),
        }
    }
}

impl From<RegionError> for OpenError {
    fn from(error: RegionError) -> Self {
        match error {
            RegionError::Locked { path } => Self::Locked { path },
            RegionError::NotEnoughMemory { needed, available, limited_by } => {
                Self::NotEnoughMemory { needed, available, limited_by: limit_name(&limited_by) }
            }
            other => Self::File(chain(&other)),
        }
    }
}

fn limit_name(limit: &MemoryLimit) -> String {
    limit.to_string()
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Why an entry was not stored. But for `Superseded`, `Key`, `TimeToLive`, `VersionAhead` and `Closed`, the key is
/// absent afterwards: an older value never stays behind a write that was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// Keys have 1 to 1024 bytes. Nothing was changed.
    #[error("key of {bytes} bytes is outside of 1 to {limit}")]
    Key {
        /// The key's length.
        bytes: usize,
        /// The longest.
        limit: usize,
    },
    /// The value is larger than `value_bytes_max`, or than half of this arena with its key and header. The key is absent
    /// now; raise `value_bytes_max` or the capacity, whichever the limit comes from, or split the value.
    #[error("value of {bytes} bytes exceeds {limit}, the largest that this key can have here")]
    ValueTooLarge {
        /// The value's length.
        bytes: u64,
        /// The largest: the smaller one of the two bounds.
        limit: u64,
    },
    /// No slot could be had without waiting: a guard is held somewhere for long, or pins hold the class. The key is
    /// absent now; `Stats::epoch_lag_ms` and `pinned_bytes` say why.
    #[error("no slot for {bytes} bytes can be had without waiting")]
    Busy {
        /// Bytes that were needed.
        bytes: u64,
    },
    /// A newer version is stored, and stays.
    #[error("superseded: version {current} is newer")]
    Superseded {
        /// The version that stays.
        current: Version,
    },
    /// The key is absent, and a newer version of it may have been there and gone: it stays absent. Load it again.
    #[error("version {given} may be older than one that was there; the key stays absent")]
    BelowFloor {
        /// The version that was refused.
        given: Version,
    },
    /// The order of this version and the stored one can not be known. The key is absent now: load it again.
    #[error("nobody knows which is newer, {given} or the stored {current}; both are dropped")]
    Unordered {
        /// The version of this insert.
        given: Version,
        /// The version that was stored.
        current: Version,
    },
    /// Zero, or beyond 68 years. Nothing was changed.
    #[error("time to live of {seconds} s is outside of 1 ms to {max_seconds} s")]
    TimeToLive {
        /// What was asked for.
        seconds: f64,
        /// The largest.
        max_seconds: u64,
    },
    /// The given version is further ahead than clocks may differ. Nothing was changed.
    #[error("version {ahead_us} us ahead of the clock, at most {limit_us} are accepted")]
    VersionAhead {
        /// How far it is ahead.
        ahead_us: u64,
        /// The most that is accepted.
        limit_us: u64,
    },
    /// The cache was closed. Nothing was changed.
    #[error("the cache was closed")]
    Closed,
}
