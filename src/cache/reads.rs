//! Reads of one key: in place under a guard, by a closure, or pinned.

#![forbid(unsafe_code)]

use crate::cache::calls::Cache;
use crate::cache::value::{PinnedValue, Value};
use crate::engine::counters::Counter;
use crate::engine::get::Hit;
use crate::sync::epoch::Guard;
use crate::types::key::{Key, KeyspaceId};

impl Cache {
    /// Reads a value in place.
    ///
    /// The result borrows the cache and holds an epoch guard: keep it short, and use [`Cache::get_pinned`] across an
    /// await. A key that can not be stored is absent.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "")?;
    /// let value = cache.get("k").expect("an empty value is a value");
    /// assert!(value.is_empty() && value.expires_in().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value<'_>> {
        let key = Key::new(KeyspaceId::RAW, key.as_ref())?;
        let engine = self.engine();
        let aimed = engine.aim(engine.seek(key));
        let guard = engine.pin();
        let hit = engine.get(&guard, &aimed);
        self.count(hit.is_some());
        Some(Value { handle: &self.handle, guard, hit: hit? })
    }

    #[inline]
    pub(super) fn count(&self, hit: bool) {
        self.engine().counters().add_some(if hit { Counter::Hits } else { Counter::Misses }, 1);
    }

    /// Calls `read` with the value, in place. What async code uses: nothing is held afterwards.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "abc")?;
    /// assert_eq!(cache.read("k", |value: &[u8]| value.len()), Some(3));
    /// assert_eq!(cache.read("absent", |value: &[u8]| value.len()), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn read<R>(&self, key: impl AsRef<[u8]>, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.get(key).map(|value| read(&value))
    }

    /// Reads a value that may be kept, sent to other threads and held across an await.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "kept")?;
    /// let kept = cache.get_pinned("k").expect("just stored");
    /// cache.remove("k")?;
    /// assert_eq!(std::thread::spawn(move || kept.len()).join().expect("no panic"), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_pinned(&self, key: impl AsRef<[u8]>) -> Option<PinnedValue> {
        self.get(key).map(|value| value.pin())
    }

    /// Whether a read of the key would find something. Counts as no hit and no miss.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "v")?;
    /// assert!(cache.contains("k") && !cache.contains("other"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        Key::new(KeyspaceId::RAW, key.as_ref()).is_some_and(|key| {
            let engine = self.engine();
            let aimed = engine.aim(engine.seek(key));
            engine.get(&engine.pin(), &aimed).is_some()
        })
    }

    pub(super) fn hit_key(&self, hit: &Hit, guard: &Guard) -> Box<[u8]> {
        self.engine().key(guard, hit).bytes.into()
    }
}
