//! Doors for `loom-tests/tests/index.rs`: a tiny index, an oracle of slots, and the shortest journeys through both.
//!
//! ```text
//!   byte 0      64        128              512                1024
//!        | count | splits  | pages of 128 B | overflow buckets  |      slot i: handle of offset 4096 + 16 i
//! ```
//!
//! The oracle is plain data that no execution changes: slot i holds key `keys[i]`. A key is its own hash.

use crate::index::{BUCKET_BYTES, Dropped, Found, Geometry, Index, KeyCheck, Slots};
use crate::region::Region;
use crate::types::handle::{Generation, Handle, IndexWord};
use crate::types::key::KeyHash;
use std::sync::{Mutex, PoisonError};

const PAGE_BYTES: u64 = 2 * BUCKET_BYTES;
const PAGES: u32 = 2;
const PAGES_AT: u64 = 128;
const OVERFLOW_AT: u64 = 512;
const OVERFLOW_END: u64 = 1024;
const SLOTS_AT: u64 = 4096;
/// A region with an index of one or two buckets, and what the slots hold.
pub struct Model {
    region: Region,
    index: Index,
    oracle: Oracle,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Got {
    /// The slot.
    pub slot: usize,
    /// Whether the word was a copy whose original had just been forwarded.
    pub through_copy: bool,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The slot that this update took out and now owns.
    pub won: Option<usize>,
    /// How often another thread changed the word first.
    pub lost: usize,
    /// Whether the word that was changed was a copy whose original had just been forwarded.
    pub through_copy: bool,
    /// Whether the key was absent at first and present under the stripe.
    pub raced: bool,
}

impl Model {
    /// An index of so many buckets, slot i holding key `keys[i]`.
    pub fn new(buckets: u32, keys: &[u64]) -> Self {
        let region = Region::heap(OVERFLOW_END);
        let geometry = Geometry {
            page_bytes: PAGE_BYTES,
            pages_max: PAGES,
            buckets_initial: buckets,
            count_at: 0,
            splits_at: 64,
            run: 1,
        };
        let index = Index::new(geometry);
        for page in 0..PAGES {
            assert!(index.add_page(PAGES_AT + u64::from(page) * PAGE_BYTES));
        }
        index.format(region.view());
        let oracle = Oracle { keys: keys.to_vec(), dropped: Mutex::default(), overflow: Mutex::new(OVERFLOW_AT) };
        Self { region, index, oracle }
    }

    fn word(&self, slot: usize) -> IndexWord {
        let handle = Handle::from_offset(SLOTS_AT + slot as u64 * Handle::UNIT);
        IndexWord::new(KeyHash::from_bits(self.oracle.keys[slot]), Generation(0), handle)
    }

    fn find(&self, key: u64) -> Option<Found> {
        self.index.find(self.region.view(), KeyHash::from_bits(key), &HasKey { oracle: &self.oracle, key })
    }

    /// The slot of a key.
    pub fn get(&self, key: u64) -> Option<Got> {
        let got = |found: Found| Got { slot: slot_of(found.word), through_copy: found.word.is_tentative() };
        self.find(key).map(got)
    }

    /// Whether the slot is named, whatever its key.
    pub fn is_named(&self, slot: usize) -> bool {
        let word = self.word(slot);
        let hash = KeyHash::from_bits(self.oracle.keys[slot]);
        self.index.is_named(self.region.view(), hash, word.handle(), word.generation())
    }

    /// Replaces or links the key of a slot by this slot; `None` if the stripe could not be had.
    pub fn insert(&self, slot: usize) -> Option<Changed> {
        let key = self.oracle.keys[slot];
        let hash = KeyHash::from_bits(key);
        let mut lost = 0;
        let mut absent = false;
        loop {
            if let Some(found) = self.find(key) {
                match self.change(&found, Some(slot)) {
                    Some(done) => return Some(Changed { lost, raced: absent, ..done }),
                    None => lost += 1,
                }
                continue;
            }
            absent = true;
            let stripe = self.index.lock(hash)?;
            if self.find(key).is_none() {
                let linked = self.index.link(self.region.view(), &stripe, hash, self.word(slot), &self.oracle);
                assert!(linked.is_ok(), "the chain is full");
                return Some(Changed { won: None, lost, through_copy: false, raced: false });
            }
        }
    }

    /// Replaces the key of a slot by this slot if it is present.
    pub fn replace(&self, slot: usize) -> Changed {
        self.update(self.oracle.keys[slot], Some(slot))
    }

    /// Removes a key if it is present.
    pub fn remove(&self, key: u64) -> Changed {
        self.update(key, None)
    }

    fn update(&self, key: u64, slot: Option<usize>) -> Changed {
        let mut lost = 0;
        while let Some(found) = self.find(key) {
            if let Some(done) = self.change(&found, slot) {
                return Changed { lost, ..done };
            }
            lost += 1;
        }
        Changed { won: None, lost, through_copy: false, raced: false }
    }

    fn change(&self, found: &Found, slot: Option<usize>) -> Option<Changed> {
        let won = match slot {
            Some(slot) => self.index.swap(self.region.view(), found, self.word(slot)),
            None => self.index.unlink(self.region.view(), found),
        };
        let through_copy = found.word.is_tentative();
        won.then(|| Changed { won: Some(slot_of(found.word)), lost: 0, through_copy, raced: false })
    }

    /// Splits the next bucket in line.
    pub fn split(&self) -> bool {
        self.index.split(self.region.view(), &self.oracle)
    }

    /// Number of buckets.
    pub fn buckets(&self) -> u32 {
        self.index.buckets(self.region.view())
    }

    /// The slots that a walk meets, in its order.
    pub fn walk(&self) -> Vec<usize> {
        let mut slots = Vec::new();
        self.index.for_each(self.region.view(), |word| slots.push(slot_of(word)));
        slots
    }

    /// The slots that the index unlinked by itself.
    pub fn dropped(&self) -> Vec<usize> {
        self.oracle.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the slots hold. Std mutexes, never held across a modelled operation.
struct Oracle {
    keys: Vec<u64>,
    dropped: Mutex<Vec<usize>>,
    overflow: Mutex<u64>,
}

struct HasKey<'a> {
    oracle: &'a Oracle,
    key: u64,
}

fn slot_of(word: IndexWord) -> usize {
    ((word.handle().offset() - SLOTS_AT) / Handle::UNIT) as usize
}

impl KeyCheck for HasKey<'_> {
    type Seen = ();

    fn check(&self, word: IndexWord) -> Option<()> {
        (self.oracle.keys[slot_of(word)] == self.key).then_some(())
    }
}

impl Slots for Oracle {
    fn hash_of(&self, word: IndexWord) -> Option<KeyHash> {
        self.keys.get(slot_of(word)).copied().map(KeyHash::from_bits)
    }

    fn dropped(&self, word: IndexWord, _why: Dropped) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(slot_of(word));
    }

    fn take_overflow(&self, _home: u32) -> Option<u64> {
        let mut next = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = *next;
        *next += BUCKET_BYTES;
        (offset < OVERFLOW_END).then_some(offset)
    }

    // Given back buckets are not used again: every reader of the model might still be inside.
    fn give_overflow(&self, _offset: u64) {}

    fn take_page(&self, _number: u32) -> Option<u64> {
        None
    }
}
