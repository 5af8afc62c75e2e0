//! Our two other forms of lookup: one reader for many, and sixteen keys at a time.

use crate::Lookup;
use crate::support::contestants::{Contestant, arena, touched};
use crate::support::{KEY_BYTES, key};
use also_cache::Cache;

/// also-cache, one reader for the whole walk.
pub(crate) struct Reader(Cache);

/// also-cache, sixteen keys at a time.
pub(crate) struct Many(Cache);

impl Contestant for Reader {
    const NAME: &'static str = "also-cache reader";

    fn open(entries: u64, value_bytes: u64) -> Self {
        Self(arena(entries, value_bytes))
    }

    fn get(&self, number: u32) -> bool {
        self.0.reader().get(key(number)).is_some_and(touched)
    }

    fn fill(&self, number: u32, value: &[u8]) {
        let _ = self.0.insert(key(number), value);
    }
}

impl Lookup for Reader {
    fn walk(&self, numbers: &[u32], from: usize, count: u64) -> u64 {
        let (reader, mask) = (self.0.reader(), numbers.len() - 1);
        let hit = |at: usize| match reader.get(key(numbers[(from + at) & mask])) {
            Some(value) => u64::from(touched(value)),
            None => 0,
        };
        (0..count as usize).map(hit).sum()
    }
}

impl Contestant for Many {
    const NAME: &'static str = "also-cache get_many 16";

    fn open(entries: u64, value_bytes: u64) -> Self {
        Self(arena(entries, value_bytes))
    }

    fn get(&self, number: u32) -> bool {
        self.0.read(key(number), touched).is_some()
    }

    fn fill(&self, number: u32, value: &[u8]) {
        let _ = self.0.insert(key(number), value);
    }
}

impl Lookup for Many {
    fn walk(&self, numbers: &[u32], from: usize, count: u64) -> u64 {
        let mask = numbers.len() - 1;
        let mut keys = [[0; KEY_BYTES]; BATCH];
        let mut hits = 0;
        for start in (0..count as usize).step_by(BATCH) {
            let batch = &mut keys[..BATCH.min(count as usize - start)];
            for (at, place) in batch.iter_mut().enumerate() {
                *place = key(numbers[(from + start + at) & mask]);
            }
            self.0.get_many(batch, |_, value| hits += u64::from(value.is_some_and(touched)));
        }
        hits
    }
}

const BATCH: usize = 16;
