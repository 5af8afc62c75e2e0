//! Many reads at once: prefetched batches, one guard for a loop, and a walk over everything.

#![forbid(unsafe_code)]

use crate::cache::calls::Cache;
use crate::cache::value::PinnedValue;
use crate::engine::counters::Counter;
use crate::sync::epoch::Guard;
use crate::types::key::{Key, KeyspaceId};
use std::fmt;

/// An entry of a walk, apart from the cache.
type KeyAndValue = (Box<[u8]>, PinnedValue);

/// Keys whose buckets and slots are fetched together.
const BATCH: usize = 16;

impl Cache {
    /// Reads many keys, calling `visit` with the place of each and its value, in the order of `keys`.
    ///
    /// Buckets and slots of 16 keys at a time are prefetched, so that their cache misses overlap. Allocates nothing; one
    /// guard is held per batch.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("a", "1")?;
    /// cache.insert("c", "3")?;
    /// let mut found = Vec::new();
    /// cache.get_many(&["a", "b", "c"], |at, value| found.push((at, value.map(<[u8]>::to_vec))));
    /// assert_eq!(found, [(0, Some(b"1".to_vec())), (1, None), (2, Some(b"3".to_vec()))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K], mut visit: impl FnMut(usize, Option<&[u8]>)) {
        let engine = self.engine();
        let mut hits = 0;
        for (number, batch) in keys.chunks(BATCH).enumerate() {
            let guard = engine.pin();
            let mut sought = [None; BATCH];
            for (sought, key) in sought.iter_mut().zip(batch) {
                *sought = Key::new(KeyspaceId::RAW, key.as_ref()).map(|key| engine.seek(key));
            }
            let aimed = sought.map(|sought| sought.map(|sought| engine.aim(sought)));
            for (at, aimed) in aimed[..batch.len()].iter().enumerate() {
                let hit = aimed.as_ref().and_then(|aimed| engine.get(&guard, aimed));
                hits += u64::from(hit.is_some());
                visit(number * BATCH + at, hit.as_ref().map(|hit| engine.value(&guard, hit)));
            }
        }
        engine.counters().add_some(Counter::Hits, hits);
        engine.counters().add_some(Counter::Misses, keys.len() as u64 - hits);
    }

    /// One guard for many reads in a hot loop.
    ///
    /// While it lives nothing that is retired can be reused: keep it for a loop, not for a connection.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "v")?;
    /// let reader = cache.reader();
    /// assert_eq!(reader.get("k"), Some(b"v".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reader(&self) -> Reader<'_> {
        Reader { cache: self, guard: self.engine().pin() }
    }

    /// Every entry that a read can see: key and value, kept apart from the cache. An entry present throughout is seen at
    /// least once; one that moves meanwhile may be seen twice.
    ///
    /// Walks the index bucket by bucket and holds a guard per bucket group only.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "v")?;
    /// let all: Vec<_> = cache.iter().collect();
    /// assert_eq!(&*all[0].0, b"k");
    /// assert_eq!(&*all[0].1, b"v");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (Box<[u8]>, PinnedValue)> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let (entries, bucket) = self.entries_from(next)?;
            next = bucket;
            Some(entries)
        })
        .flatten()
    }

    /// The entries of the next buckets that have any, and where to go on; `None` at the end.
    fn entries_from(&self, first: u32) -> Option<(Vec<KeyAndValue>, u32)> {
        let mut entries = Vec::new();
        let mut bucket = first;
        while entries.is_empty() {
            let guard = self.engine().pin();
            bucket = self.engine().for_each_in(&guard, bucket, |hit| {
                entries.push((self.hit_key(hit, &guard), PinnedValue::of(&self.handle, &guard, hit)));
            })?;
        }
        Some((entries, bucket))
    }
}

/// One pin for many reads. Made by [`Cache::reader`].
pub struct Reader<'c> {
    cache: &'c Cache,
    guard: Guard,
}

impl Reader<'_> {
    /// Reads a value in place, good for as long as the reader.
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        let key = Key::new(KeyspaceId::RAW, key.as_ref())?;
        let engine = self.cache.engine();
        let hit = engine.get(&self.guard, &engine.aim(engine.seek(key)));
        self.cache.count(hit.is_some());
        Some(engine.value(&self.guard, &hit?))
    }

    /// Lets go and pins anew, so that what was retired meanwhile can be reused. Without effect while the thread holds a
    /// value or another reader of the same cache.
    pub fn refresh(&mut self) {
        self.guard.repin();
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}
