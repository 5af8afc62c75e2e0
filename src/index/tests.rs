//! Tests of the whole index on a heap region: here against a map and at its bounds; after deaths and damage, and under
//! threads, in the files below.
//!
//! ```text
//!   byte 0      64        4096             ...                        ...
//!        | count | splits  | index pages    | overflow buckets          |     slot i: handle of offset 16 (i + 1)
//! ```
//!
//! A slot is a number; which key it holds stands beside the region. A key is mixed into its hash.

mod deaths;
mod threads;

use super::*;
use crate::index::growth::SPLITS_PER_CALL;
use crate::region::Region;
use crate::sync::AtomicU64;
use crate::types::handle::{Generation, Handle};
use std::collections::BTreeMap;
use std::sync::Mutex;

const PAGE_BYTES: u64 = 1024;
const PAGES_MAX: u32 = 256;
const PAGES_AT: u64 = 4096;
const OVERFLOW_AT: u64 = PAGES_AT + PAGE_BYTES * PAGES_MAX as u64;
const OVERFLOW_MAX: u64 = 4096;
const REGION_BYTES: u64 = OVERFLOW_AT + OVERFLOW_MAX * BUCKET_BYTES;

/// Slots with their keys, a supply of pages and of overflow buckets, and what the index dropped.
struct World {
    region: Region,
    index: Index,
    keys: Vec<AtomicU64>,
    next_slot: AtomicU64,
    overflow: Mutex<Vec<u64>>,
    reuse_overflow: bool,
    dropped: Mutex<Vec<(usize, Dropped)>>,
}

fn mix(key: u64) -> KeyHash {
    let mixed = (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    KeyHash::from_bits((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9))
}

fn geometry(buckets_initial: u32) -> Geometry {
    Geometry { page_bytes: PAGE_BYTES, pages_max: PAGES_MAX, buckets_initial, count_at: 0, splits_at: 64, run: 1 }
}

impl World {
    fn new(buckets: u32, slots: usize) -> Self {
        let world = Self {
            region: Region::heap(REGION_BYTES),
            index: Index::new(geometry(buckets)),
            keys: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            next_slot: AtomicU64::new(0),
            overflow: Mutex::new((0..OVERFLOW_MAX).rev().map(|at| OVERFLOW_AT + at * BUCKET_BYTES).collect()),
            reuse_overflow: true,
            dropped: Mutex::default(),
        };
        while world.index.table.capacity() < u64::from(buckets) {
            assert!(world.index.add_page(world.take_page(world.index.pages()).expect("pages are numbered")));
        }
        world.index.format(world.region.view());
        world
    }

    /// Forgets everything on the heap, as a restart does.
    fn restart(&mut self, buckets: u32) {
        let pages = self.index.pages();
        self.index = Index::new(geometry(buckets));
        for page in 0..pages {
            assert!(self.index.add_page(PAGES_AT + u64::from(page) * PAGE_BYTES));
        }
    }

    fn slot(&self, key: u64) -> usize {
        let slot = self.next_slot.fetch_add(1, Ordering::Relaxed) as usize;
        self.keys[slot].store(key, Ordering::Relaxed);
        slot
    }

    fn word(&self, slot: usize) -> IndexWord {
        let key = self.keys[slot].load(Ordering::Relaxed);
        IndexWord::new(mix(key), Generation(7), Handle::from_offset((slot as u64 + 1) * Handle::UNIT))
    }

    fn find(&self, key: u64) -> Option<Found> {
        self.index.find(self.region.view(), mix(key), &HasKey(self, key))
    }

    fn get(&self, key: u64) -> Option<usize> {
        self.find(key).map(|found| slot_of(found.word))
    }

    /// Replaces or links; the slot that was replaced, or `Err` if the slot could not be linked.
    fn insert(&self, slot: usize) -> Result<Option<usize>, Full> {
        let key = self.keys[slot].load(Ordering::Relaxed);
        loop {
            if let Some(found) = self.find(key) {
                if self.index.swap(self.region.view(), &found, self.word(slot)) {
                    return Ok(Some(slot_of(found.word)));
                }
                continue;
            }
            let Some(stripe) = self.index.lock(mix(key)) else { continue };
            if self.find(key).is_none() {
                return self.index.link(self.region.view(), &stripe, mix(key), self.word(slot), self).map(|()| None);
            }
        }
    }

    fn remove(&self, key: u64) -> Option<usize> {
        while let Some(found) = self.find(key) {
            if self.index.unlink(self.region.view(), &found) {
                return Some(slot_of(found.word));
            }
        }
        None
    }

    fn walk(&self) -> Vec<usize> {
        let mut slots = Vec::new();
        self.index.for_each(self.region.view(), |word| slots.push(slot_of(word)));
        slots.sort_unstable();
        slots
    }
}

struct HasKey<'a>(&'a World, u64);

fn slot_of(word: IndexWord) -> usize {
    // A damaged word may name no slot at all; what comes out then is no slot either.
    (word.handle().offset() / Handle::UNIT).wrapping_sub(1) as usize
}

impl KeyCheck for HasKey<'_> {
    type Seen = ();

    fn check(&self, word: IndexWord) -> Option<()> {
        self.0.hash_of(word)?;
        (self.0.keys[slot_of(word)].load(Ordering::Relaxed) == self.1).then_some(())
    }
}

impl Slots for World {
    fn hash_of(&self, word: IndexWord) -> Option<KeyHash> {
        let slot = (word.handle().offset() / Handle::UNIT).checked_sub(1)?;
        self.keys.get(slot as usize).map(|key| mix(key.load(Ordering::Relaxed)))
    }

    fn dropped(&self, word: IndexWord, why: Dropped) {
        self.dropped.lock().expect("no test panics inside").push((slot_of(word.plain()), why));
    }

    fn take_overflow(&self, _home: u32) -> Option<u64> {
        self.overflow.lock().expect("no test panics inside").pop()
    }

    fn give_overflow(&self, offset: u64) {
        if self.reuse_overflow {
            self.overflow.lock().expect("no test panics inside").push(offset);
        }
    }

    fn take_page(&self, number: u32) -> Option<u64> {
        let offset = PAGES_AT + u64::from(number) * PAGE_BYTES;
        for at in (offset..offset + PAGE_BYTES).step_by(8) {
            self.region.view().word(at).store(0xdead_beef_dead_beef, Ordering::Relaxed);
        }
        Some(offset)
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}

#[test]
fn the_index_agrees_with_a_map_while_it_grows() {
    let steps = 60_000;
    let world = World::new(4, steps);
    let mut map = BTreeMap::new();
    let mut random = Random(42);
    let mut refused = 0;
    for step in 0..steps as u64 {
        let key = random.below(1_000 + step / 3);
        if random.below(4) == 0 {
            assert_eq!(world.remove(key), map.remove(&key));
        } else {
            let slot = world.slot(key);
            match world.insert(slot) {
                Ok(replaced) => assert_eq!(replaced, map.insert(key, slot)),
                Err(Full) => refused += 1,
            }
        }
        world.index.grow(world.region.view(), &world, map.len() as u64);
        let probe = random.below(20_000);
        assert_eq!(world.get(probe), map.get(&probe).copied(), "key {probe} at step {step}");
    }
    let counts = world.index.counts();
    assert!(world.index.buckets(world.region.view()) > 1_500, "{counts:?}");
    assert!(counts.overflow_linked > 100 && counts.overflow_unlinked > 50, "{counts:?}");
    // Buckets whose turn to split has not come carry up to twice the average.
    assert!(refused < 20, "{refused} of {steps} inserts refused");
    assert_eq!(counts.dropped, 0);
    assert_eq!(counts.splits, u64::from(world.index.buckets(world.region.view())) - 4);
    let mut slots: Vec<usize> = map.values().copied().collect();
    slots.sort_unstable();
    assert_eq!(world.walk(), slots);
    for (key, slot) in map {
        let word = world.word(slot);
        assert!(world.index.is_named(world.region.view(), mix(key), word.handle(), word.generation()));
        assert!(!world.index.is_named(world.region.view(), mix(key), word.handle(), word.generation().next()));
        assert!(world.index.find_handle(world.region.view(), mix(key), Handle::from_offset(1 << 30)).is_none());
    }
}

#[test]
fn a_full_chain_refuses_and_offers_its_words() {
    let world = World::new(1, 100);
    for key in 0..bucket::CHAIN_WORDS as u64 {
        assert_eq!(world.insert(world.slot(key)), Ok(None));
    }
    let last = world.slot(50);
    assert_eq!(world.insert(last), Err(Full));
    let candidates = world.index.chain(world.region.view(), mix(50));
    assert_eq!(candidates.as_slice().len(), bucket::CHAIN_WORDS);
    assert!(world.index.unlink(world.region.view(), &candidates.as_slice()[9]));
    assert!(!world.index.unlink(world.region.view(), &candidates.as_slice()[9]), "only one can win");
    assert_eq!(world.insert(last), Ok(None));
    assert_eq!(world.get(50), Some(last));
}

#[test]
fn an_empty_overflow_bucket_leaves_the_chain_and_the_one_behind_it_stays() {
    let world = World::new(1, 100);
    for key in 0..21 {
        assert_eq!(world.insert(world.slot(key)), Ok(None));
    }
    let (first, second) = (OVERFLOW_AT, OVERFLOW_AT + BUCKET_BYTES);
    assert!(world.index.is_overflow_linked(world.region.view(), first));
    for key in [0].into_iter().chain(7..14) {
        assert!(world.remove(key).is_some());
    }
    assert_eq!(world.insert(world.slot(30)), Ok(None));
    assert!(!world.index.is_overflow_linked(world.region.view(), first));
    assert!(world.index.is_overflow_linked(world.region.view(), second));
    assert!((14..21).all(|key| world.get(key).is_some()));
    assert_eq!(world.index.counts().overflow_unlinked, 1);
}

#[test]
fn growth_is_put_off_without_a_stripe_or_a_free_split_word() {
    let world = World::new(2, 10);
    let stripe = world.index.lock(KeyHash::from_bits(0)).expect("nobody holds it");
    assert_eq!(world.index.grow(world.region.view(), &world, 1_000), 0);
    drop(stripe);
    for at in 0..8 {
        world.region.view().word(64 + at * 8).store(100, Ordering::Relaxed);
    }
    assert_eq!(world.index.grow(world.region.view(), &world, 1_000), 0);
    world.region.view().word(64).store(0, Ordering::Relaxed);
    assert_eq!(world.index.grow(world.region.view(), &world, 1_000), SPLITS_PER_CALL);
    assert_eq!(world.index.counts().splits_deferred, 2);
    assert_eq!(world.region.view().word(64).load(Ordering::Relaxed), 0, "the split is off the list");
}
