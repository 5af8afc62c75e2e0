//! The floor: the least that a lookup in an arena can do. No guard, no checks, no eviction, no replacement.
//!
//! ```text
//!   anonymous memory with huge pages:   buckets | slots
//!   bucket  64 bytes = 8 words          word  tag 16 | byte offset of the slot 48, 0 is empty
//!   slot    key 20 | padding 4 | value  each rounded up to 16 bytes
//! ```
//!
//! What our `get` costs beyond this is what safety, eviction and accounting cost.

use crate::Lookup;
use crate::support::contestants::{Contestant, hasher};
use crate::support::{KEY_BYTES, key, touch};
use std::cell::UnsafeCell;
use std::hint::black_box;

/// The floor, one lookup at a time.
pub(crate) struct Floor(Arena);

/// The floor, sixteen keys at a time with prefetches.
pub(crate) struct FloorMany(Arena);

impl Contestant for Floor {
    const NAME: &'static str = "floor";

    fn open(entries: u64, value_bytes: u64) -> Self {
        Self(Arena::new(entries as usize, value_bytes as usize))
    }

    #[inline]
    fn get(&self, number: u32) -> bool {
        let key = key(number);
        self.0.find(&key, self.0.hash(&key))
    }

    fn fill(&self, number: u32, value: &[u8]) {
        self.0.put(number, value);
    }
}

impl Contestant for FloorMany {
    const NAME: &'static str = "floor by 16";

    fn open(entries: u64, value_bytes: u64) -> Self {
        Self(Arena::new(entries as usize, value_bytes as usize))
    }

    fn get(&self, number: u32) -> bool {
        let key = key(number);
        self.0.find(&key, self.0.hash(&key))
    }

    fn fill(&self, number: u32, value: &[u8]) {
        self.0.put(number, value);
    }
}

impl Lookup for Floor {}

impl Lookup for FloorMany {
    fn walk(&self, numbers: &[u32], from: usize, count: u64) -> u64 {
        let mask = numbers.len() - 1;
        let mut keys = [([0; KEY_BYTES], 0); BATCH];
        let mut hits = 0;
        for start in (0..count as usize).step_by(BATCH) {
            let batch = &mut keys[..BATCH.min(count as usize - start)];
            for (at, place) in batch.iter_mut().enumerate() {
                let key = key(numbers[(from + start + at) & mask]);
                *place = (key, self.0.hash(&key));
                self.0.prefetch_bucket(place.1);
            }
            batch.iter().for_each(|(_, hash)| self.0.prefetch_slot(*hash));
            hits += batch.iter().filter(|(key, hash)| self.0.find(key, *hash)).count() as u64;
        }
        hits
    }
}

/// Buckets and slots in one mapping.
///
/// # Invariants
///
/// Filled by one thread before it is shared, never written afterwards: a bench fills, then walks.
struct Arena {
    memory: UnsafeCell<memmap2::MmapMut>,
    hasher: ahash::RandomState,
    bucket_mask: usize,
    stride: usize,
    value_bytes: usize,
    next_slot: UnsafeCell<usize>,
}

// SAFETY: by the invariant of the type nobody writes once there is more than one thread.
unsafe impl Sync for Arena {}

impl Arena {
    fn new(entries: usize, value_bytes: usize) -> Self {
        let buckets = (entries * 10 / 7 / WORDS).next_power_of_two();
        let stride = (VALUE_AT + value_bytes).next_multiple_of(16);
        let slots_at = buckets * BUCKET_BYTES;
        let memory = memmap2::MmapMut::map_anon(slots_at + (entries + 1) * stride).expect("a bench fits the machine");
        // Without huge pages the floor lies higher, which only flatters us: so it is tried, and no failure.
        let _ = memory.advise(memmap2::Advice::HugePage);
        Self {
            memory: UnsafeCell::new(memory),
            hasher: hasher(),
            bucket_mask: buckets - 1,
            stride,
            value_bytes,
            next_slot: UnsafeCell::new(slots_at),
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: by the invariant of the type no write overlaps with a shared use.
        unsafe { &*self.memory.get() }
    }

    #[inline]
    fn hash(&self, key: &[u8; KEY_BYTES]) -> u64 {
        self.hasher.hash_one(key.as_slice())
    }

    #[inline]
    fn find(&self, key: &[u8; KEY_BYTES], hash: u64) -> bool {
        let (bytes, tag) = (self.bytes(), hash >> TAG_SHIFT);
        let mut bucket = hash as usize & self.bucket_mask;
        loop {
            for at in 0..WORDS {
                let word = word(bytes, bucket * BUCKET_BYTES + at * 8);
                if word == 0 {
                    return false;
                }
                if word >> TAG_SHIFT != tag {
                    continue;
                }
                let slot = &bytes[(word & OFFSET_MASK) as usize..][..VALUE_AT + self.value_bytes];
                if slot[..KEY_BYTES] == *key {
                    black_box(touch(&slot[VALUE_AT..]));
                    return true;
                }
            }
            bucket = (bucket + 1) & self.bucket_mask;
        }
    }

    fn put(&self, number: u32, value: &[u8]) {
        let key = key(number);
        let hash = self.hash(&key);
        // SAFETY: by the invariant of the type this is the only thread.
        let memory = unsafe { &mut *self.memory.get() };
        // SAFETY: as above.
        let next = unsafe { &mut *self.next_slot.get() };
        let slot = *next;
        *next += self.stride;
        memory[slot..][..KEY_BYTES].copy_from_slice(&key);
        memory[slot + VALUE_AT..][..value.len()].copy_from_slice(value);
        let entry = (hash >> TAG_SHIFT) << TAG_SHIFT | slot as u64;
        let mut bucket = hash as usize & self.bucket_mask;
        loop {
            for at in (0..WORDS).map(|at| bucket * BUCKET_BYTES + at * 8) {
                if word(memory, at) == 0 {
                    memory[at..at + 8].copy_from_slice(&entry.to_le_bytes());
                    return;
                }
            }
            bucket = (bucket + 1) & self.bucket_mask;
        }
    }

    #[inline]
    fn prefetch_bucket(&self, hash: u64) {
        prefetch(&self.bytes()[(hash as usize & self.bucket_mask) * BUCKET_BYTES]);
    }

    #[inline]
    fn prefetch_slot(&self, hash: u64) {
        let (bytes, bucket) = (self.bytes(), (hash as usize & self.bucket_mask) * BUCKET_BYTES);
        let words = (0..WORDS).map(|at| word(bytes, bucket + at * 8));
        if let Some(found) = words.into_iter().find(|word| word >> TAG_SHIFT == hash >> TAG_SHIFT && *word != 0) {
            let slot = (found & OFFSET_MASK) as usize;
            prefetch(&bytes[slot]);
            prefetch(&bytes[slot + VALUE_AT + self.value_bytes - 1]);
        }
    }
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch of a valid reference; it never faults.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch(_byte: &u8) {}

const BATCH: usize = 16;
const WORDS: usize = 8;
const BUCKET_BYTES: usize = WORDS * 8;
const VALUE_AT: usize = 24;
const TAG_SHIFT: u32 = 48;
const OFFSET_MASK: u64 = (1 << TAG_SHIFT) - 1;
