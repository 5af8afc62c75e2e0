//! Settings, checked once, and the open that follows.

#![forbid(unsafe_code)]

use crate::cache::calls::Cache;
use crate::cache::error::OpenError;
use crate::cache::loads::Loads;
use crate::engine::Settings;
use crate::engine::flights::Bounds;
use crate::engine::open::{self, Request};
use crate::eviction::expiry::TimeToLive;
use crate::types::clock::ManualClock;
use crate::types::limits::{
    CAPACITY_MAX, CAPACITY_MIN, LOAD_WAIT_DEFAULT_MS, LOAD_WAITERS_DEFAULT, LOADS_DEFAULT, LOADS_LIMIT,
    NEGATIVE_TTL_DEFAULT_MS, TTL_SECONDS_MAX, VALUE_BYTES_DEFAULT, VALUE_BYTES_LIMIT,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Settings of a cache. Made by [`Cache::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    capacity: u64,
    file: Option<PathBuf>,
    time_to_live: Option<Duration>,
    ttl_jitter_percent: u32,
    value_bytes_max: u64,
    entries_max: Option<u64>,
    background: bool,
    clock: Option<ManualClock>,
    hash_seed: Option<u64>,
    crash_loop_guard: bool,
    standalone: bool,
    negative_time_to_live: Duration,
    loads_max: usize,
    load_waiters_max: usize,
    load_wait: Duration,
    #[cfg(feature = "values-on-heap")]
    heap_bytes_max: Option<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            capacity: 64 << 20,
            file: None,
            time_to_live: None,
            ttl_jitter_percent: 0,
            value_bytes_max: VALUE_BYTES_DEFAULT,
            entries_max: None,
            background: true,
            clock: None,
            hash_seed: None,
            crash_loop_guard: true,
            standalone: false,
            negative_time_to_live: Duration::from_millis(NEGATIVE_TTL_DEFAULT_MS),
            loads_max: LOADS_DEFAULT,
            load_waiters_max: LOAD_WAITERS_DEFAULT,
            load_wait: Duration::from_millis(LOAD_WAIT_DEFAULT_MS),
            #[cfg(feature = "values-on-heap")]
            heap_bytes_max: None,
        }
    }
}

impl Builder {
    /// Memory in bytes, everything included, also what lives on the heap beside the arena. 1 MiB to 256 GiB; default
    /// 64 MiB.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// The arena's file, made if absent, mode 0600. On tmpfs it survives the process and not the machine; on a disk it
    /// works and stalls at times, which is warned about. Default: none, an anonymous arena that ends with the process.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().to_owned());
        self
    }

    /// How long entries live unless their insert says otherwise, 1 ms to 68 years. Default: until evicted.
    pub fn time_to_live(mut self, ttl: Duration) -> Self {
        self.time_to_live = Some(ttl);
        self
    }

    /// By how many percent each time to live is shortened at most, differently per key, so that what was loaded together
    /// does not expire together. 0 to 50, more counts as 50; default 0.
    pub fn ttl_jitter_percent(mut self, percent: u32) -> Self {
        self.ttl_jitter_percent = percent.min(50);
        self
    }

    /// The largest value in bytes, 1 to 64 MiB. Default 1 MiB.
    pub fn value_bytes_max(mut self, bytes: u64) -> Self {
        self.value_bytes_max = bytes;
        self
    }

    /// The most entries, besides the bytes. Default: as many as fit.
    pub fn entries_max(mut self, entries: u64) -> Self {
        self.entries_max = Some(entries);
        self
    }

    /// Whether one thread does the housekeeping: expiry, settling after a restart, pages between classes. It ends with
    /// the last handle, be that a [`Cache`] or a [`crate::PinnedValue`]: dropping it waits for the step under way. Without
    /// it inserts do what they need, and [`Cache::maintain`] the rest. Default `true`.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// A clock moved by hand, for tests.
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The seed of the key hash of a new arena, for reproducible runs. Default: random.
    pub fn hash_seed(mut self, seed: u64) -> Self {
        self.hash_seed = Some(seed);
        self
    }

    /// Whether three lives in a row that were each cut down within 10 seconds make the next one start cold at half the
    /// capacity: pages that a killed process leaves on a memory file system must not kill the next one, and the one
    /// after that. Switch it off where processes are killed on purpose. Default `true`.
    pub fn crash_loop_guard(mut self, guard: bool) -> Self {
        self.crash_loop_guard = guard;
        self
    }

    /// Whether an arena that was in a cluster is served as it is, and is in none from now on. Without it such an arena
    /// opens held: reads miss what it holds until [`crate::Cluster`] has confirmed it, since others may have changed it
    /// meanwhile. Default `false`.
    pub fn standalone(mut self, standalone: bool) -> Self {
        self.standalone = standalone;
        self
    }

    /// How long it is remembered that the database has nothing for a key. 1 ms to 68 years; default 10 s.
    pub fn negative_time_to_live(mut self, ttl: Duration) -> Self {
        self.negative_time_to_live = ttl;
        self
    }

    /// The most loads at one time, 1 to 4,096. Others wait for their turn, as long as [`Builder::load_wait`] says. Default 1,024.
    pub fn loads_max(mut self, loads: usize) -> Self {
        self.loads_max = loads.clamp(1, LOADS_LIMIT);
        self
    }

    /// The most callers that wait for one load; one more loads alone. Default 4,096.
    pub fn load_waiters_max(mut self, waiters: usize) -> Self {
        self.load_waiters_max = waiters;
        self
    }

    /// How long a call waits for another one's load, or for its turn, before it loads alone. Default 5 s.
    pub fn load_wait(mut self, wait: Duration) -> Self {
        self.load_wait = wait;
        self
    }

    /// Values on the heap, each an allocation of exactly its length; slots hold their addresses. For `also-cache compare`
    /// alone, which tells by it what the arena is worth. The capacity counts arena bytes only; `bytes_max` bounds the
    /// slots of all entries and their values together. Without a file.
    #[doc(hidden)]
    #[cfg(feature = "values-on-heap")]
    pub fn values_on_heap(mut self, bytes_max: u64) -> Self {
        self.heap_bytes_max = Some(bytes_max);
        self
    }

    /// Opens the cache: makes the arena, or serves the one that is there.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which names the setting, its value and its bounds, or what was met on the way. Content that can
    /// not be trusted is no error: the cache starts cold and [`Cache::recovery`] says why.
    ///
    /// # Complexity
    ///
    /// Independent of the number of entries: one pass over the page descriptors, 64 bytes per page. A new file is backed
    /// by memory first, about 0.1 s per GiB. Another capacity than the file's moves entries when it is smaller.
    pub fn open(self) -> Result<Cache, OpenError> {
        self.check()?;
        let settings = Settings {
            value_bytes_max: self.value_bytes_max,
            entries_max: self.entries_max,
            ttl: self.time_to_live.map_or(TimeToLive::NEVER, TimeToLive::from_duration),
            ttl_jitter_percent: self.ttl_jitter_percent,
            standalone: self.standalone,
            #[cfg(feature = "values-on-heap")]
            heap_bytes_max: self.heap_bytes_max,
        };
        let request = Request {
            capacity: self.capacity,
            file: self.file,
            settings,
            clock: self.clock,
            seed: self.hash_seed,
            crash_loop_guard: self.crash_loop_guard,
        };
        let (engine, recovery) = open::open(&request)?;
        tracing::info!(%recovery, capacity = request.capacity, "cache opened");
        let bounds = Bounds { loads: self.loads_max, waiters: self.load_waiters_max, wait: self.load_wait };
        let negative_ttl = TimeToLive::from_duration(self.negative_time_to_live);
        Cache::start(engine, recovery, self.background, Loads::new(bounds, negative_ttl))
    }

    fn check(&self) -> Result<(), OpenError> {
        if !(CAPACITY_MIN..=CAPACITY_MAX).contains(&self.capacity) {
            return Err(OpenError::Capacity { bytes: self.capacity, min: CAPACITY_MIN, max: CAPACITY_MAX });
        }
        if !(1..=VALUE_BYTES_LIMIT).contains(&self.value_bytes_max) {
            return Err(OpenError::ValueBytesMax { bytes: self.value_bytes_max, max: VALUE_BYTES_LIMIT });
        }
        if self.entries_max == Some(0) {
            return Err(OpenError::EntriesMax);
        }
        #[cfg(feature = "values-on-heap")]
        if let (Some(_), Some(path)) = (self.heap_bytes_max, &self.file) {
            return Err(OpenError::ValuesOnHeap { path: path.clone() });
        }
        match self.time_to_live.into_iter().chain([self.negative_time_to_live]).find(|ttl| !is_valid_ttl(*ttl)) {
            Some(ttl) => Err(OpenError::TimeToLive { seconds: ttl.as_secs_f64(), max_seconds: TTL_SECONDS_MAX }),
            None => Ok(()),
        }
    }
}

/// 1 ms to 68 years.
pub(super) fn is_valid_ttl(ttl: Duration) -> bool {
    ttl >= Duration::from_millis(1) && ttl <= Duration::from_secs(TTL_SECONDS_MAX)
}
