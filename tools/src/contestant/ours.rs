//! also-cache, read in place.

use super::{Capacity, Contestant};
use crate::failure::Result;
use also_cache::{Builder, Cache, Place, Stats};

/// How the builder is asked for the same engine with values on the heap. `None` until the library has that form.
pub(super) const VALUES_ON_HEAP: Option<fn(Builder) -> Builder> = None;

/// An anonymous arena.
pub(super) struct Ours(Cache);

impl Ours {
    pub(super) fn open(capacity: Capacity, adjust: Option<fn(Builder) -> Builder>) -> Result<Self> {
        let mut builder = Cache::builder().capacity(capacity.arena_bytes());
        if let Capacity::Entries { entries, .. } = capacity {
            builder = builder.entries_max(entries);
        }
        if let Some(adjust) = adjust {
            builder = adjust(builder);
        }
        Ok(Self(builder.open()?))
    }
}

impl Contestant for Ours {
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
        self.0.insert(key, value).is_ok()
    }

    fn entries(&self) -> u64 {
        self.0.len()
    }

    fn holds(&self, key: &[u8]) -> bool {
        self.0.explain(key).is_ok_and(|found| matches!(found.place, Place::Probation | Place::Main))
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.0.stats())
    }
}
