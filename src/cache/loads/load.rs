//! What a loader may say of what it loads, beside the bytes.

#![forbid(unsafe_code)]

use crate::cache::builder::is_valid_ttl;
use crate::sync::lock;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One load, as its loader sees it: says which version the row has, how long the value lives, or that it is not to be cached.
///
/// A handle, cheap to clone: what is said until the loader is done counts.
///
/// ```
/// # use also_cache::Cache;
/// # use std::time::Duration;
/// # let cache = Cache::builder().capacity(1 << 20).open()?;
/// let row = cache.get_or_load("k", |load| {
///     let (bytes, version) = ("row", 7);
///     load.database_version(version).ttl(Duration::from_secs(60));
///     Ok::<_, std::io::Error>(bytes)
/// })?;
/// assert_eq!(row.version().and_then(|version| version.row()), Some(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Load(Arc<Mutex<Said>>);

/// What was said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) row: Option<u64>,
    pub(super) ttl: Option<Duration>,
    pub(super) cost: u8,
    pub(super) is_not_cached: bool,
}

impl Load {
    /// The database's row version: between two of them the larger one is newer, and nothing else decides. A row that is deleted and
    /// made again must not start anew: take a sequence.
    pub fn database_version(&self, version: u64) -> &Self {
        lock(&self.0).row = Some(version);
        self
    }

    /// How long the value, or that there is none, stays: from 1 ms to 68 years; anything else is passed over. Default: the builder's.
    pub fn ttl(&self, ttl: Duration) -> &Self {
        if is_valid_ttl(ttl) {
            lock(&self.0).ttl = Some(ttl);
        }
        self
    }

    /// How costly the value was to make, 0 to 2: as many hits the entry starts with.
    pub fn cost(&self, cost: u8) -> &Self {
        lock(&self.0).cost = cost.min(2);
        self
    }

    /// The value is this caller's, and of those who wait for it by now.
    pub fn do_not_cache(&self) -> &Self {
        lock(&self.0).is_not_cached = true;
        self
    }

    pub(super) fn said(&self) -> Said {
        *lock(&self.0)
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Load({:?})", self.said())
    }
}
