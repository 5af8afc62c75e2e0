//! The cache and its calls.

#![forbid(unsafe_code)]

use crate::arena::frame::FrameKind;
use crate::cache::builder::{Builder, is_valid_ttl};
use crate::cache::error::{InsertError, OpenError};
use crate::cache::housekeeping::{Housekeeper, Pace};
use crate::cache::loads::Loads;
use crate::cache::options::{InsertOptions, InsertVersion};
use crate::cache::reservation::Reservation;
use crate::engine::Engine;
use crate::engine::changes::Ordering;
use crate::engine::counters::Counter;
use crate::engine::insert::{Entry, Refusal, Source};
use crate::engine::recovery::Recovery;
use crate::eviction::expiry::TimeToLive;
use crate::sync::AtomicBool;
use crate::types::key::{Key, KeyspaceId};
use crate::types::limits::{KEY_BYTES_MAX, TTL_SECONDS_MAX};
use crate::types::version::Version;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A cache: cheap to clone, `Send` and `Sync`; all clones are one cache.
///
/// Reads are lock-free, copy nothing and, once an entry is hot, write no memory that other threads see. Keys are 1 to
/// 1024 bytes, values 0 to `value_bytes_max`. An empty value is a value.
///
/// ```
/// use also_cache::Cache;
///
/// let cache = Cache::builder().capacity(16 << 20).open()?;
/// cache.insert("user:1", "Ada")?;
/// assert_eq!(cache.get("user:1").as_deref(), Some(b"Ada".as_slice()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Cache {
    pub(super) handle: Arc<Handle>,
}

/// What all clones of a cache share. The housekeeper is stopped before the engine goes.
pub(super) struct Handle {
    pub(super) engine: Arc<Engine>,
    pub(super) recovery: Recovery,
    /// As asked for.
    pub(super) capacity: u64,
    pub(super) housekeeper: Option<Housekeeper>,
    pub(super) in_cluster: AtomicBool,
    pub(super) loads: Loads,
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.housekeeper.take());
        self.engine.note_end();
    }
}

impl Cache {
    /// Settings for a new cache.
    ///
    /// ```
    /// use also_cache::Cache;
    /// use std::time::Duration;
    ///
    /// let cache = Cache::builder().capacity(1 << 20).time_to_live(Duration::from_secs(600)).open()?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), also_cache::OpenError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn start(
        mut engine: Engine,
        recovery: Recovery,
        background: bool,
        loads: Loads,
    ) -> Result<Self, OpenError> {
        if background {
            engine.set_housekept();
        }
        engine.plan_memory(matches!(recovery, Recovery::Warm { .. }));
        let engine = Arc::new(engine);
        let housekeeper = if background {
            Some(Housekeeper::start(&engine, loads.flights()).map_err(OpenError::Thread)?)
        } else {
            None
        };
        let capacity = engine.superblock().capacity.get();
        let in_cluster = AtomicBool::new(false);
        Ok(Self { handle: Arc::new(Handle { engine, recovery, capacity, housekeeper, in_cluster, loads }) })
    }

    #[inline]
    pub(super) fn engine(&self) -> &Engine {
        &self.handle.engine
    }

    /// How the cache came up: made anew, warm, or cold with the reason.
    ///
    /// ```
    /// use also_cache::{Cache, Recovery};
    ///
    /// let cache = Cache::builder().capacity(1 << 20).open()?;
    /// assert_eq!(*cache.recovery(), Recovery::Created);
    /// # Ok::<(), also_cache::OpenError>(())
    /// ```
    pub fn recovery(&self) -> &Recovery {
        &self.handle.recovery
    }

    /// Stores a value, replacing any older one.
    ///
    /// # Errors
    ///
    /// [`InsertError`]. A refused write leaves the key absent, never old.
    ///
    /// # Complexity
    ///
    /// One copy of the value and its checksum. Waits for no reader; evicts at most a few entries. Allocates nothing, but
    /// for one node of the epoch collector per grace period.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// let first = cache.insert("k", "one")?;
    /// let second = cache.insert("k", "two")?;
    /// assert!(second.stamp() > first.stamp());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Version, InsertError> {
        self.insert_raw(key.as_ref(), value.as_ref(), &InsertOptions::new())
    }

    /// Stores a value with a time to live, a version or a cost of its own.
    ///
    /// # Errors
    ///
    /// As [`Cache::insert`]; [`InsertError::Superseded`] if a newer version is stored.
    ///
    /// ```
    /// # use also_cache::{Cache, InsertError, InsertOptions};
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert_with("k", "new", InsertOptions::new().version(2))?;
    /// let late = cache.insert_with("k", "old", InsertOptions::new().version(1));
    /// assert!(matches!(late, Err(InsertError::Superseded { current }) if current.row() == Some(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: InsertOptions,
    ) -> Result<Version, InsertError> {
        self.insert_raw(key.as_ref(), value.as_ref(), &options)
    }

    fn insert_raw(&self, key: &[u8], value: &[u8], options: &InsertOptions) -> Result<Version, InsertError> {
        let key = check_key(key)?;
        let engine = self.engine();
        let ordering = self.check(options)?;
        let sought = engine.seek(key);
        let hash = sought.hash;
        engine.prefetch_to_insert(&sought);
        let ttl = self.ttl(options, hash.bits());
        let Some((_writing, guard)) = engine.begin_write() else { return Err(InsertError::Closed) };
        let version = engine.next_version(&ordering);
        let entry = Entry { version, ttl, kind: FrameKind::Value, cost: options.cost, source: Source::Local };
        match engine.store(guard, &sought, value, &entry) {
            Ok(_) => Ok(version),
            Err(refusal) => self.handle.explain_refusal(refusal, key, version, value.len() as u64, &ordering),
        }
    }

    /// Checks what an insert asks for. That the cache is open is asked again once the write has begun.
    fn check(&self, options: &InsertOptions) -> Result<Ordering, InsertError> {
        if self.engine().is_closed() {
            return Err(InsertError::Closed);
        }
        if let Some(ttl) = options.ttl
            && !is_valid_ttl(ttl)
        {
            return Err(InsertError::TimeToLive { seconds: ttl.as_secs_f64(), max_seconds: TTL_SECONDS_MAX });
        }
        Ok(match options.version {
            None => Ordering::default(),
            Some(InsertVersion::Row(row)) => Ordering { row: Some(row), given: None },
            Some(InsertVersion::Given(version)) => {
                let limit_us = self.engine().given_ahead_max_us();
                self.engine()
                    .check_given(&version)
                    .map_err(|ahead_us| InsertError::VersionAhead { ahead_us, limit_us })?;
                Ordering { row: None, given: Some(version) }
            }
        })
    }

    fn ttl(&self, options: &InsertOptions, hash: u64) -> TimeToLive {
        let settings = self.engine().settings();
        let ttl = options.ttl.map_or(settings.ttl, TimeToLive::from_duration);
        if settings.ttl_jitter_percent == 0 { ttl } else { ttl.with_jitter(settings.ttl_jitter_percent, hash) }
    }

    /// Takes room for a value of `len` bytes, to be filled in place and committed.
    ///
    /// # Errors
    ///
    /// As [`Cache::insert_with`], but what depends on the stored version comes at [`Reservation::commit`].
    ///
    /// ```
    /// # use also_cache::{Cache, InsertOptions};
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// let mut room = cache.reserve("k", 5, InsertOptions::new())?;
    /// room.copy_from_slice(b"hello");
    /// assert!(cache.get("k").is_none());
    /// room.commit()?;
    /// assert_eq!(cache.get("k").as_deref(), Some(b"hello".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reserve(
        &self,
        key: impl AsRef<[u8]>,
        len: usize,
        options: InsertOptions,
    ) -> Result<Reservation<'_>, InsertError> {
        let bytes = key.as_ref();
        let key = check_key(bytes)?;
        let engine = self.engine();
        let ordering = self.check(&options)?;
        let hash = engine.hash(key);
        let ttl = self.ttl(&options, hash.bits());
        let Some((_writing, guard)) = engine.begin_write() else { return Err(InsertError::Closed) };
        // Only which optional fields there are matters here: the stamp is taken at the commit.
        let shape = engine.next_version(&ordering);
        let refused = if len as u64 > engine.settings().value_bytes_max {
            Refusal::TooLarge
        } else {
            match engine.draft(guard, key, len as u64, &shape) {
                Ok((_guard, draft)) => {
                    return Ok(Reservation::new(&self.handle, bytes, KeyspaceId::RAW, ordering, ttl, options, draft));
                }
                Err(refusal) => refusal,
            }
        };
        let entry = Entry { version: shape, ttl, kind: FrameKind::Value, cost: 0, source: Source::Local };
        engine.refused(key, hash, &refused, &entry);
        Err(self.handle.error_of(refused, key, shape, len as u64))
    }

    /// Takes an entry out. `true` if there was one. Never fails for memory.
    ///
    /// # Errors
    ///
    /// [`InsertError::Key`] for a key that can not be stored, [`InsertError::Closed`] after [`Cache::close`].
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "v")?;
    /// assert!(cache.remove("k")? && !cache.remove("k")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, InsertError> {
        let key = check_key(key.as_ref())?;
        let engine = self.engine();
        let Some((_writing, guard)) = engine.begin_write() else { return Err(InsertError::Closed) };
        let (removed, _) = engine.remove_and_tell(guard, &engine.seek(key));
        if removed {
            engine.counters().add(Counter::Removed);
        }
        Ok(removed)
    }

    /// Makes every entry invisible, in O(1); their memory is reused as it is needed, or freed by housekeeping.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "v")?;
    /// cache.clear()?;
    /// assert!(cache.get("k").is_none() && cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InsertError::Closed`] after [`Cache::close`].
    pub fn clear(&self) -> Result<(), InsertError> {
        let Some((_writing, _guard)) = self.engine().begin_write() else { return Err(InsertError::Closed) };
        self.engine().clear_all();
        Ok(())
    }

    /// Entries, expired ones that nobody has met included. An estimate after a warm start until housekeeping has seen
    /// every page ([`crate::Stats::settled`]).
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("a", "1")?;
    /// cache.insert("b", "2")?;
    /// assert_eq!(cache.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.engine().len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Does housekeeping on the calling thread for at most about `budget`: expiry, settling, pages, grace periods.
    /// Returns whether more is waiting.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # use std::time::Duration;
    /// let cache = Cache::builder().capacity(1 << 20).background(false).open()?;
    /// while cache.maintain(Duration::from_millis(1)) {}
    /// # Ok::<(), also_cache::OpenError>(())
    /// ```
    pub fn maintain(&self, budget: Duration) -> bool {
        self.handle.loads.flights().expire(std::time::Instant::now());
        self.engine().maintain(budget) != Pace::Idle
    }

    /// Closes the cache in order: a file is sealed, so that it is warm also after a restart of the machine if it lies on
    /// a disk. Clones and values stay readable; later writes get [`InsertError::Closed`].
    ///
    /// Writes that are under way are waited for, at most [`crate::limits::CLOSE_WAIT_MAX_MS`]. Readers and pins are not,
    /// nor is a [`Reservation`] that is still being filled: its commit is a later write.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotSealed`] if a thread stays inside a write for longer, or what the operating system says when the
    /// file can not be written back. The cache is closed all the same, and the arena as good as after a kill; `close` on
    /// a clone tries again.
    ///
    /// ```
    /// # use also_cache::{Cache, InsertError};
    /// let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "v")?;
    /// let clone = cache.clone();
    /// cache.close()?;
    /// assert!(clone.contains("k"));
    /// assert_eq!(clone.insert("k", "w"), Err(InsertError::Closed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(self) -> Result<(), OpenError> {
        Ok(self.engine().seal()?)
    }
}

/// A raw key, or why it is none.
pub(super) fn check_key(bytes: &[u8]) -> Result<Key<'_>, InsertError> {
    Key::new(KeyspaceId::RAW, bytes).ok_or(InsertError::Key { bytes: bytes.len(), limit: KEY_BYTES_MAX })
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.len())
            .field("recovery", &self.handle.recovery)
            .finish_non_exhaustive()
    }
}
