//! What an insert may ask for.

#![forbid(unsafe_code)]

use crate::types::version::Version;
use std::time::Duration;

/// Options of one insert; each unset one takes the cache's default.
///
/// ```
/// use also_cache::{Cache, InsertOptions};
/// use std::time::Duration;
///
/// let cache = Cache::builder().capacity(1 << 20).open()?;
/// let row_version = 7;
/// cache.insert_with("k", "v", InsertOptions::new().ttl(Duration::from_secs(60)).version(row_version))?;
/// assert!(cache.insert_with("k", "older", InsertOptions::new().version(6)).is_err());
/// assert_eq!(cache.get("k").as_deref(), Some(b"v".as_slice()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct InsertOptions {
    pub(super) ttl: Option<Duration>,
    pub(super) version: Option<InsertVersion>,
    pub(super) cost: u8,
}

/// A version given with an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertVersion {
    /// The database's row version: between two of them the larger one is newer.
    Row(u64),
    /// A version that an insert returned, here or on another node.
    Given(Version),
}

impl From<u64> for InsertVersion {
    fn from(row: u64) -> Self {
        Self::Row(row)
    }
}

impl From<Version> for InsertVersion {
    fn from(version: Version) -> Self {
        Self::Given(version)
    }
}

impl InsertOptions {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the entry lives, from 1 ms to 68 years. Default: the builder's.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The entry's version: a row version of the database, or a [`Version`]. An older one never replaces a newer one.
    #[must_use]
    pub fn version(mut self, version: impl Into<InsertVersion>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// How costly the value was to make, 0 to 2: as many hits the entry starts with. Default 0.
    #[must_use]
    pub fn cost(mut self, cost: u8) -> Self {
        self.cost = cost.min(2);
        self
    }
}
