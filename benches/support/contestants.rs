//! The caches under the benches, each used as its documentation proposes. All hash with the same aHash.

use super::{KEY_BYTES, key, touch};
use also_cache::Cache;
use std::hint::black_box;
use std::sync::Arc;

/// A cache that can be filled and walked through.
pub(crate) trait Contestant: Sync {
    /// As the bench's name says it.
    const NAME: &'static str;

    /// Room for about so many entries of one value size.
    fn open(entries: u64, value_bytes: u64) -> Self;

    /// Looks a key up and touches the value. Returns whether it hit.
    fn get(&self, number: u32) -> bool;

    /// Stores a value.
    fn fill(&self, number: u32, value: &[u8]);
}

/// also-cache, one guard per get.
pub(crate) struct Get(Cache);

/// quick_cache.
pub(crate) struct QuickCache(
    quick_cache::sync::Cache<Box<[u8]>, Arc<[u8]>, quick_cache::UnitWeighter, ahash::RandomState>,
);

/// moka.
pub(crate) struct Moka(moka::sync::Cache<Box<[u8]>, Arc<[u8]>, ahash::RandomState>);

impl Contestant for Get {
    const NAME: &'static str = "also-cache get";

    fn open(entries: u64, value_bytes: u64) -> Self {
        Self(arena(entries, value_bytes))
    }

    #[inline]
    fn get(&self, number: u32) -> bool {
        match self.0.get(key(number)) {
            Some(value) => {
                black_box(touch(&value));
                true
            }
            None => false,
        }
    }

    #[inline]
    fn fill(&self, number: u32, value: &[u8]) {
        // A refusal is part of what is measured; `also-cache compare` counts them.
        let _ = self.0.insert(key(number), value);
    }
}

impl Contestant for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn open(entries: u64, _value_bytes: u64) -> Self {
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        let weighter = quick_cache::UnitWeighter;
        Self(quick_cache::sync::Cache::with(entries as usize, entries, weighter, hasher(), lifecycle))
    }

    #[inline]
    fn get(&self, number: u32) -> bool {
        self.0.get(key(number).as_slice()).is_some_and(|value| touched(&value))
    }

    #[inline]
    fn fill(&self, number: u32, value: &[u8]) {
        self.0.insert(key(number).into(), value.into());
    }
}

impl Contestant for Moka {
    const NAME: &'static str = "moka";

    fn open(entries: u64, _value_bytes: u64) -> Self {
        Self(moka::sync::Cache::builder().max_capacity(entries).build_with_hasher(hasher()))
    }

    #[inline]
    fn get(&self, number: u32) -> bool {
        self.0.get(key(number).as_slice()).is_some_and(|value| touched(&value))
    }

    #[inline]
    fn fill(&self, number: u32, value: &[u8]) {
        self.0.insert(key(number).into(), value.into());
    }
}

/// The hash of every contestant.
pub(crate) fn hasher() -> ahash::RandomState {
    ahash::RandomState::with_seeds(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344)
}

/// An anonymous arena of ours: key, value, 56 bytes around them, class rounding, the share of the heap.
pub(crate) fn arena(entries: u64, value_bytes: u64) -> Cache {
    let entry = value_bytes + KEY_BYTES as u64 + 56;
    let bytes = (entries * (entry + entry / 16) * 17 / 16).max(1 << 20);
    Cache::builder().capacity(bytes).open().expect("an anonymous arena of this size fits the machine of a bench")
}

/// Touches a value that was found.
#[inline]
pub(crate) fn touched(bytes: &[u8]) -> bool {
    black_box(touch(bytes));
    true
}
