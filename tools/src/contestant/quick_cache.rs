//! quick_cache: boxed keys, values behind an `Arc`, weighed by bytes where the capacity is in bytes.

use super::{Capacity, Contestant, hasher};
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use std::sync::Arc;

/// quick_cache as its documentation sets it up.
pub(super) struct QuickCache(Cache<Box<[u8]>, Arc<[u8]>, Weight, ahash::RandomState>);

impl QuickCache {
    pub(super) fn open(capacity: Capacity) -> Self {
        let (items, weight, weigher) = match capacity {
            Capacity::Entries { entries, .. } | Capacity::Population { entries, .. } => (entries, entries, Weight::One),
            Capacity::Bytes { bytes, overhead } => (bytes / 512, bytes, Weight::Bytes { overhead }),
        };
        Self(Cache::with(items.max(1) as usize, weight, weigher, hasher(), DefaultLifecycle::default()))
    }
}

impl Contestant for QuickCache {
    #[inline]
    fn get(&self, key: &[u8], read: impl FnOnce(&[u8])) -> bool {
        match self.0.get(key) {
            Some(value) => {
                read(&value);
                true
            }
            None => false,
        }
    }

    #[inline]
    fn fill(&self, key: &[u8], value: &[u8]) -> bool {
        self.0.insert(key.into(), value.into());
        true
    }

    fn holds(&self, key: &[u8]) -> bool {
        self.0.contains_key(key)
    }

    fn entries(&self) -> u64 {
        self.0.len() as u64
    }
}

#[derive(Clone, Copy)]
enum Weight {
    One,
    Bytes { overhead: u64 },
}

impl Weighter<Box<[u8]>, Arc<[u8]>> for Weight {
    fn weight(&self, key: &Box<[u8]>, value: &Arc<[u8]>) -> u64 {
        match self {
            Self::One => 1,
            Self::Bytes { overhead } => (key.len() + value.len()) as u64 + overhead,
        }
    }
}
