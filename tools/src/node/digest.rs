//! What a node holds, in a number: two nodes that hold the same give the same, whatever the order of their entries.
//!
//! ```text
//!   entry    hash(key, value, stamp, origin), 64 bits         the same in all processes of one build
//!   digest   the sum of all entries', and their count
//!   sample   an entry's number for each of some keys: which ones differ, where digests do
//! ```

use super::line::{Digest, Sample};
use crate::value;
use ahash::RandomState;
use also_cache::{Cache, Version};

/// The digest of all entries.
pub(super) fn digest(cache: &Cache) -> Digest {
    let mut digest = Digest { entries: 0, checksum: 0, wrong: 0 };
    for (key, held) in cache.iter() {
        digest.entries += 1;
        digest.checksum =
            digest.checksum.wrapping_add(number(&key, held.as_ref(), held.version().expect("an entry has one")));
        let is_wrong = value::key_number(&key).is_some_and(|number| value::check(held.as_ref(), number).is_err());
        digest.wrong += u64::from(is_wrong);
    }
    digest
}

/// The numbers of every `step`th key below `keys`.
pub(super) fn sample(cache: &Cache, keys: u64, step: u64) -> Sample {
    let copy = |key: u64| {
        let key = value::key(key);
        cache.get(key).map_or(0, |held| number(&key, &held, held.version()))
    };
    Sample { step, copies: (0..keys).step_by(step.max(1) as usize).map(copy).collect() }
}

/// Never 0, which stands for an absent entry.
fn number(key: &[u8], value: &[u8], version: Version) -> u64 {
    let state = RandomState::with_seeds(1, 2, 3, 4);
    state.hash_one((key, value, version.stamp(), version.origin())).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(order: impl Iterator<Item = u64>) -> Cache {
        let cache = Cache::builder().capacity(4 << 20).open().expect("an anonymous cache opens");
        let mut buffer = Vec::new();
        for number in order {
            value::write(&mut buffer, number, 1, 64);
            cache.insert(value::key(number), &buffer).expect("there is room");
        }
        cache
    }

    #[test]
    fn a_digest_sees_every_value_and_the_sample_says_which() {
        let cache = filled(0..100);
        let before = digest(&cache);
        assert_eq!((before.entries, before.wrong), (100, 0));
        assert_eq!(digest(&cache), before);
        let sampled = sample(&cache, 100, 7);
        cache.insert(value::key(14), "no value of that key").expect("there is room");
        let after = digest(&cache);
        assert_eq!((after.entries, after.wrong), (100, 1));
        assert_ne!(after.checksum, before.checksum);
        let differ = sampled.copies.iter().zip(sample(&cache, 100, 7).copies).filter(|(old, new)| *old != new).count();
        assert_eq!(differ, 1);
        cache.remove(value::key(14)).expect("it is removed");
        assert_eq!(sample(&cache, 100, 7).copies[2], 0);
    }
}
