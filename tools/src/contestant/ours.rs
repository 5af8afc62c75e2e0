//! also-cache, read in place. Its values stand in the arena, or, to tell what that is worth, each on the heap: the same
//! engine, index and eviction, slots that hold an address and a length, one allocation of exactly its length a value.

use super::{Capacity, Contestant};
use crate::failure::Result;
use also_cache::{Cache, Place, Stats};

/// Where values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    InArena,
    OnHeap,
}

/// An anonymous arena.
pub(super) struct Ours {
    cache: Cache,
    values: Values,
}

impl Ours {
    pub(super) fn open(capacity: Capacity, values: Values) -> Result<Self> {
        let mut builder = Cache::builder().capacity(capacity.arena_bytes());
        if let Capacity::Entries { entries, .. } = capacity {
            builder = builder.entries_max(entries);
        }
        if values == Values::OnHeap {
            builder = builder.values_on_heap(heap_bytes(capacity));
        }
        Ok(Self { cache: builder.open()?, values })
    }
}

/// What slots and values together may take on the heap: what is left to entries, and to the index, in an arena of the same
/// capacity. The index and what the allocator adds come on top, as with every cache that counts its values.
fn heap_bytes(capacity: Capacity) -> u64 {
    match capacity {
        Capacity::Entries { .. } => u64::MAX,
        Capacity::Bytes { .. } | Capacity::Population { .. } => capacity.arena_bytes() / 16 * 15,
    }
}

impl Contestant for Ours {
    #[inline]
    fn get(&self, key: &[u8], read: impl FnOnce(&[u8])) -> bool {
        match self.cache.get(key) {
            Some(value) => {
                read(&value);
                true
            }
            None => false,
        }
    }

    #[inline]
    fn fill(&self, key: &[u8], value: &[u8]) -> bool {
        self.cache.insert(key, value).is_ok()
    }

    fn entries(&self) -> u64 {
        self.cache.len()
    }

    fn holds(&self, key: &[u8]) -> bool {
        self.cache.explain(key).is_ok_and(|found| matches!(found.place, Place::Probation | Place::Main))
    }

    fn stats(&self) -> Option<Stats> {
        // Slots without values say nothing of what values take.
        (self.values == Values::InArena).then(|| self.cache.stats())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{self, check, key};

    #[test]
    fn both_forms_return_the_same_values_and_hold_about_as_much() {
        let capacity = Capacity::Population { entries: 5_000, value_bytes: 256 };
        let held = [Values::InArena, Values::OnHeap].map(|values| {
            let ours = Ours::open(capacity, values).expect("a small cache");
            let mut buffer = Vec::new();
            for number in 0..20_000 {
                value::write(&mut buffer, number, 0, 256);
                ours.fill(&key(number), &buffer);
            }
            let right = |number| ours.get(&key(number), |bytes| assert_eq!(check(bytes, number), Ok(0)));
            assert_eq!((0..20_000).filter(|number| right(*number)).count() as u64, ours.entries());
            ours.entries()
        });
        assert!(held.iter().all(|entries| (4_000..7_000).contains(entries)), "{held:?}");
    }

    #[test]
    fn entries_bound_both_forms_alike() {
        let capacity = Capacity::Entries { entries: 1_000, value_bytes: 64 };
        for values in [Values::InArena, Values::OnHeap] {
            let ours = Ours::open(capacity, values).expect("a small cache");
            (0..5_000).for_each(|number| assert!(ours.fill(&key(number), &[7; 64])));
            assert!((990..=1_010).contains(&ours.entries()), "{values:?}: {} entries", ours.entries());
        }
    }
}
