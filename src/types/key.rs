//! A key is a key space and 1 to 1024 bytes; both take part in the hash and in every comparison.
//!
//! ```text
//!  bit 63    48 47           32 31                    0
//!      +-------+---------------+-----------------------+
//!      |  tag  |  fingerprint  |  bucket, stripe       |   KeyHash, 64 bits of aHash
//!      +-------+---------------+-----------------------+
//! ```
//!
//! aHash serves the local index alone and is not stable between its versions or processors: the seeds and three known
//! answers stand in the file, and a file that answers otherwise is opened cold.

#![forbid(unsafe_code)]

use crate::types::limits::KEY_BYTES_MAX;
use std::fmt;
use std::hash::{BuildHasher, Hasher as _};

/// A key space, 0 for raw keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(crate) struct KeyspaceId(pub(crate) u16);

impl KeyspaceId {
    /// The key space of calls that name none.
    pub(crate) const RAW: Self = Self(0);
}

/// A key whose length has been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Key<'a> {
    /// A key of 1 to [`KEY_BYTES_MAX`] bytes, or `None`.
    #[inline]
    pub(crate) fn new(keyspace: KeyspaceId, bytes: &'a [u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX {
            return None;
        }
        Some(Self { keyspace, bytes })
    }

    /// The hash that all nodes agree on, whatever their processor: XXH3-64 of the bytes, seeded with the key space.
    #[inline]
    pub(crate) fn wire_hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(self.bytes, u64::from(self.keyspace.0))
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}:{})", self.keyspace.0, self.bytes.escape_ascii())
    }
}

/// The hash of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    /// From 64 bits of a test or a model.
    #[cfg(any(test, loom))]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// All 64 bits.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// What a bucket word keeps of it.
    #[inline]
    pub(crate) fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// What a ghost keeps of it.
    #[inline]
    pub(crate) fn fingerprint(self) -> u16 {
        (self.0 >> 32) as u16
    }
}

/// The seeded hash of one cache. Costs about 2 ns for 20 bytes, allocates nothing.
#[derive(Clone)]
pub(crate) struct KeyHasher {
    seeds: [u64; 4],
    state: ahash::RandomState,
}

impl KeyHasher {
    pub(crate) fn new(seeds: [u64; 4]) -> Self {
        let [a, b, c, d] = seeds;
        Self { seeds, state: ahash::RandomState::with_seeds(a, b, c, d) }
    }

    pub(crate) fn seeds(&self) -> [u64; 4] {
        self.seeds
    }

    #[inline]
    pub(crate) fn hash(&self, key: Key<'_>) -> KeyHash {
        let mut hasher = self.state.build_hasher();
        hasher.write(key.bytes);
        hasher.write_u16(key.keyspace.0);
        KeyHash(hasher.finish())
    }

    /// What this build answers for three fixed keys: a short one, a medium one, one longer than any block.
    pub(crate) fn known_answers(&self) -> [u64; 3] {
        const LONG: [u8; 100] = [0x5a; 100];
        [b"a".as_slice(), b"also-cache known answer", &LONG]
            .map(|bytes| self.hash(Key { keyspace: KeyspaceId(7), bytes }).bits())
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher(aHash)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_1024_bytes() {
        assert!(Key::new(KeyspaceId::RAW, b"").is_none());
        assert!(Key::new(KeyspaceId::RAW, &[0; 1]).is_some());
        assert!(Key::new(KeyspaceId::RAW, &[0; 1024]).is_some());
        assert!(Key::new(KeyspaceId::RAW, &[0; 1025]).is_none());
    }

    #[test]
    fn the_wire_hash_is_specified() {
        // XXH3-64 of "also-cache" with seeds 0 and 7, as the reference implementation gives it.
        let hash = |space| Key { keyspace: KeyspaceId(space), bytes: b"also-cache" }.wire_hash();
        assert_eq!(hash(0), 0x1d39_b92d_3822_754b);
        assert_ne!(hash(7), hash(0));
    }

    #[test]
    fn the_key_space_and_the_seeds_change_the_hash() {
        let hasher = KeyHasher::new([1, 2, 3, 4]);
        let raw = hasher.hash(Key { keyspace: KeyspaceId(0), bytes: b"k" });
        assert_ne!(raw, hasher.hash(Key { keyspace: KeyspaceId(1), bytes: b"k" }));
        assert_ne!(hasher.known_answers(), KeyHasher::new([1, 2, 3, 5]).known_answers());
        assert_eq!(hasher.known_answers(), KeyHasher::new([1, 2, 3, 4]).known_answers());
    }
}
