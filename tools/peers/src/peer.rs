//! The heavy peers, each set up as its documentation proposes.

use crate::Question;
use crate::value::KEY_BYTES;
use std::sync::Arc;
use std::time::Duration;

/// A key, stored whole.
type Key = [u8; KEY_BYTES];

/// A cache under measurement.
pub(crate) trait Peer: Sync {
    /// Looks a key up and, on a hit, hands the value to `read`. Returns whether it hit.
    fn get(&self, key: &Key, read: impl FnOnce(&[u8])) -> bool;

    /// Stores a value. Returns whether it was taken.
    fn fill(&self, key: &Key, value: &[u8]) -> bool;

    /// Entries resident now, 0 where the cache does not tell.
    fn entries(&self) -> u64;
}

/// foyer in memory, LFU (w-TinyLFU), its best policy on most traces.
pub(crate) struct Foyer(foyer_memory::Cache<Key, Arc<[u8]>, ahash::RandomState>);

impl Foyer {
    pub(crate) fn open(question: &Question) -> Self {
        let capacity = question.bytes.unwrap_or(question.entries) as usize;
        let (in_bytes, overhead) = (question.bytes.is_some(), question.overhead as usize);
        let weigh = move |key: &Key, value: &Arc<[u8]>| if in_bytes { key.len() + value.len() + overhead } else { 1 };
        let builder = foyer_memory::CacheBuilder::new(capacity)
            .with_shards((question.entries as usize / 64).clamp(1, 8))
            .with_eviction_config(foyer_memory::LfuConfig::default())
            .with_hash_builder(hasher())
            .with_weighter(weigh);
        Self(builder.build())
    }
}

impl Peer for Foyer {
    fn get(&self, key: &Key, read: impl FnOnce(&[u8])) -> bool {
        match self.0.get(key) {
            Some(entry) => {
                read(entry.value());
                true
            }
            None => false,
        }
    }

    fn fill(&self, key: &Key, value: &[u8]) -> bool {
        drop(self.0.insert(*key, value.into()));
        true
    }

    fn entries(&self) -> u64 {
        self.0.entries() as u64
    }
}

/// TinyUFO. It keeps no keys, and weights of 16 bits: bytes are counted in units of 16.
pub(crate) struct TinyUfo {
    cache: tinyufo::TinyUfo<Key, Arc<[u8]>>,
    overhead: Option<u64>,
}

impl TinyUfo {
    pub(crate) fn open(question: &Question) -> Self {
        let limit = question.bytes.map_or(question.entries, |bytes| bytes / WEIGHT_UNIT_BYTES);
        let cache = tinyufo::TinyUfo::new(limit as usize, question.entries as usize);
        Self { cache, overhead: question.bytes.map(|_| question.overhead) }
    }

    fn weight(&self, value: &[u8]) -> u16 {
        let bytes = |overhead| (value.len() + KEY_BYTES) as u64 + overhead;
        self.overhead
            .map_or(1, |overhead| u16::try_from(bytes(overhead).div_ceil(WEIGHT_UNIT_BYTES)).unwrap_or(u16::MAX))
    }
}

impl Peer for TinyUfo {
    fn get(&self, key: &Key, read: impl FnOnce(&[u8])) -> bool {
        match self.cache.get(key) {
            Some(value) => {
                read(&value);
                true
            }
            None => false,
        }
    }

    fn fill(&self, key: &Key, value: &[u8]) -> bool {
        drop(self.cache.put(*key, value.into(), self.weight(value)));
        true
    }

    fn entries(&self) -> u64 {
        0
    }
}

/// segcache with S3-FIFO over segments; it knows bytes only, and gets what the others count: keys, values, overhead.
pub(crate) struct Segcache(segcache::Segcache);

impl Segcache {
    pub(crate) fn open(question: &Question) -> Result<Self, std::io::Error> {
        let mean = (question.value_bytes.0 + question.value_bytes.1) / 2 + KEY_BYTES as u64;
        let bytes = question.bytes.unwrap_or(question.entries * mean);
        let segment = (bytes / 64).next_power_of_two().clamp(64 << 10, 1 << 20);
        let items = (bytes / mean).max(1024);
        let hash_power = (items * 8 / 7).next_power_of_two().trailing_zeros() + 1;
        let cache = segcache::Segcache::builder()
            .heap_size(bytes as usize)
            .segment_size(segment as i32)
            .hash_power(hash_power as u8)
            .eviction(segcache::Policy::S3Fifo { admission_ratio: 0.1 })
            .build()?;
        Ok(Self(cache))
    }
}

impl Peer for Segcache {
    fn get(&self, key: &Key, read: impl FnOnce(&[u8])) -> bool {
        match self.0.get(key) {
            Some(item) => {
                if let segcache::Value::Bytes(bytes) = item.value() {
                    read(bytes);
                }
                true
            }
            None => false,
        }
    }

    fn fill(&self, key: &Key, value: &[u8]) -> bool {
        self.0.insert(key, value, None, Duration::ZERO).is_ok()
    }

    fn entries(&self) -> u64 {
        0
    }
}

fn hasher() -> ahash::RandomState {
    ahash::RandomState::with_seeds(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344)
}

const WEIGHT_UNIT_BYTES: u64 = 16;
