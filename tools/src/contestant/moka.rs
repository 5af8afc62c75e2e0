//! moka: boxed keys, values behind an `Arc`, weighed by bytes where the capacity is in bytes.

use super::{Capacity, Contestant, hasher};
use moka::sync::Cache;
use std::sync::Arc;

/// `moka::sync` as its documentation sets it up.
pub(super) struct Moka(Cache<Box<[u8]>, Arc<[u8]>, ahash::RandomState>);

impl Moka {
    pub(super) fn open(capacity: Capacity) -> Self {
        let builder = Cache::<Box<[u8]>, Arc<[u8]>>::builder();
        let builder = match capacity {
            Capacity::Entries { entries, .. } | Capacity::Population { entries, .. } => builder.max_capacity(entries),
            Capacity::Bytes { bytes, overhead } => {
                let weight = move |length: usize| u32::try_from(length as u64 + overhead).unwrap_or(u32::MAX);
                builder.max_capacity(bytes).weigher(move |key, value: &Arc<[u8]>| weight(key.len() + value.len()))
            }
        };
        Self(builder.build_with_hasher(hasher()))
    }
}

impl Contestant for Moka {
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
        self.0.entry_count()
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}
