//! A cache of entries of one size made of the shipping structures, and the plain S3-FIFO beside which it is measured.
//!
//! ```text
//!   key --(table instead of the index)--> slot --> frequency, part            slots are an array, freed ones come
//!    |                                                                        first in, first out; promotion flips a
//!    +-- absent: Ghost, Share::admit, Probation, Clock + Search for a victim  bit; the reserve is not part of the size
//! ```

#![forbid(unsafe_code)]

use crate::eviction::ClassPolicy;
use crate::eviction::clock::{ClassPage, ClassPages};
use crate::eviction::ghost::Ghost;
use crate::eviction::policy::{self, Filling, Part, Search, Verdict};
use crate::types::key::KeyHash;
use std::collections::VecDeque;

/// What the engine keeps in a slot's control word and frequency byte.
#[derive(Clone, Copy)]
struct Slot {
    key: u32,
    frequency: u8,
    part: Part,
}

/// One class whose pages hold [`SLOTS_PER_PAGE`] slots, the last one fewer.
struct Simulated {
    policy: ClassPolicy,
    ghost: Ghost,
    slots: Vec<Slot>,
    free: VecDeque<u32>,
    slot_of: Vec<u32>,
    entries_max: u32,
    main: u32,
    ring: u32,
    was_full: bool,
}

impl Simulated {
    fn new(keys: usize, entries_max: u32) -> Self {
        let total = entries_max + (entries_max / 50).max(2);
        let policy = ClassPolicy::default();
        let ghost = Ghost::new(6 * entries_max as usize, 1);
        ghost.fit(u64::MAX);
        policy.probation.reserve(policy.share.ring_cells(entries_max));
        Self {
            policy,
            ghost,
            slots: vec![Slot { key: NONE, frequency: 0, part: Part::Main }; total as usize],
            free: (0..total).collect(),
            slot_of: vec![NONE; keys],
            entries_max,
            main: 0,
            ring: 0,
            was_full: false,
        }
    }

    /// A get, followed by an insert if it missed. Whether it was a hit.
    fn access(&mut self, key: u32) -> bool {
        let slot = self.slot_of[key as usize];
        if slot != NONE {
            let slot = &mut self.slots[slot as usize];
            slot.frequency = (slot.frequency + 1).min(3);
            return true;
        }
        let found = self.ghost.take(0, hash(key));
        let live = self.main + self.ring;
        if let Some(table) = found {
            self.policy.share.learn(table, live);
            self.policy.probation.reserve(self.policy.share.ring_cells(self.entries_max));
        }
        let filling = Filling { used: u64::from(live), capacity: u64::from(self.entries_max) };
        while self.main + self.ring >= self.entries_max {
            self.was_full = true;
            self.evict_one();
        }
        let part = self.policy.share.admit(found, (!self.was_full).then_some(filling));
        self.link(key, part);
        false
    }

    fn link(&mut self, key: u32, part: Part) {
        let slot = self.free.pop_front().expect("an entry was evicted before");
        self.slots[slot as usize] = Slot { key, frequency: 0, part };
        self.slot_of[key as usize] = slot;
        match part {
            Part::Main => self.main += 1,
            Part::Ring => {
                self.ring += 1;
                if let Some(displaced) = self.policy.probation.push(slot) {
                    self.leave_ring(displaced);
                }
            }
        }
    }

    fn evict_one(&mut self) {
        if self.policy.share.ring_surplus(self.policy.probation.len(), self.main) == 0 {
            self.evict_from_main();
        } else if let Some(slot) = self.policy.probation.pop() {
            self.leave_ring(slot);
        }
    }

    fn leave_ring(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        if policy::is_promoted(entry.frequency) {
            (entry.frequency, entry.part) = (0, Part::Main);
            self.ring -= 1;
            self.main += 1;
        } else {
            self.unlink(slot);
        }
    }

    fn evict_from_main(&mut self) {
        let mut search = Search::new();
        let pages = Pages { slots: self.slots.len() as u32 };
        loop {
            let span = self.policy.clock.claim(1, &pages).expect("there are pages");
            let slot = span.page / 3 * SLOTS_PER_PAGE + span.first;
            let entry = &mut self.slots[slot as usize];
            if entry.key == NONE || entry.part == Part::Ring {
                continue;
            }
            match search.offer(slot, entry.frequency) {
                Verdict::Pass(frequency) => entry.frequency = frequency,
                Verdict::Evict(victim) => return self.unlink(victim),
            }
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { key, part, .. } = self.slots[slot as usize];
        let live = self.main + self.ring;
        let table = part.ghosts();
        self.ghost.insert(0, table, hash(key), policy::ghost_window(table, live));
        match part {
            Part::Main => self.main -= 1,
            Part::Ring => self.ring -= 1,
        }
        self.slots[slot as usize].key = NONE;
        self.slot_of[key as usize] = NONE;
        self.free.push_back(slot);
    }

    fn hit_percent(mut self, trace: &[u32]) -> f64 {
        let hits = trace.iter().filter(|&&key| self.access(key)).count();
        hits as f64 * 100.0 / trace.len() as f64
    }
}

/// Every third page of the arena is ours.
struct Pages {
    slots: u32,
}

impl ClassPages for Pages {
    fn at_or_after(&self, page: u32) -> Option<ClassPage> {
        let last = (self.slots - 1) / SLOTS_PER_PAGE;
        let ours = page.div_ceil(3);
        let ours = if ours > last { 0 } else { ours };
        let slots = (self.slots - ours * SLOTS_PER_PAGE).min(SLOTS_PER_PAGE);
        Some(ClassPage { page: ours * 3, slots })
    }
}

const SLOTS_PER_PAGE: u32 = 256;
const NONE: u32 = u32::MAX;

/// Any mixing will do: SplitMix64.
fn hash(key: u32) -> KeyHash {
    let mut bits = (u64::from(key) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    KeyHash::from_bits(bits ^ (bits >> 31))
}

/// S3-FIFO as published: 10 % small queue, ghosts of nine tenths, frequencies to 3.
struct S3Fifo {
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    frequency: Vec<u8>,
    present: Vec<bool>,
    ghost: Vec<u64>,
    ghosts: u64,
    entries_max: usize,
}

impl S3Fifo {
    fn new(keys: usize, entries_max: u32) -> Self {
        Self {
            small: VecDeque::new(),
            main: VecDeque::new(),
            frequency: vec![0; keys],
            present: vec![false; keys],
            ghost: vec![0; keys],
            ghosts: 0,
            entries_max: entries_max as usize,
        }
    }

    fn access(&mut self, key: u32) -> bool {
        let at = key as usize;
        if self.present[at] {
            self.frequency[at] = (self.frequency[at] + 1).min(3);
            return true;
        }
        while self.small.len() + self.main.len() >= self.entries_max {
            if self.small.len() >= (self.entries_max / 10).max(1) || self.main.is_empty() {
                let victim = self.small.pop_front().expect("not empty") as usize;
                if self.frequency[victim] > 0 {
                    self.frequency[victim] = 0;
                    self.main.push_back(victim as u32);
                } else {
                    self.ghosts += 1;
                    (self.present[victim], self.ghost[victim]) = (false, self.ghosts);
                }
            } else {
                let victim = self.main.pop_front().expect("not empty") as usize;
                if self.frequency[victim] > 0 {
                    self.frequency[victim] -= 1;
                    self.main.push_back(victim as u32);
                } else {
                    self.present[victim] = false;
                }
            }
        }
        let ghost = std::mem::take(&mut self.ghost[at]);
        let known = ghost != 0 && self.ghosts - ghost < self.entries_max as u64 * 9 / 10;
        (self.present[at], self.frequency[at]) = (true, 0);
        if known { &mut self.main } else { &mut self.small }.push_back(key);
        false
    }

    fn hit_percent(mut self, trace: &[u32]) -> f64 {
        let hits = trace.iter().filter(|&&key| self.access(key)).count();
        hits as f64 * 100.0 / trace.len() as f64
    }
}

/// xorshift, for traces that are the same everywhere.
fn random(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

/// Skewed accesses to 10,000 keys, with a scan of 3,000 keys used once after every 10,000.
fn skewed_with_scans() -> Vec<u32> {
    let (mut state, mut scanned) = (0x1234_5678_9abc_def1, 10_000);
    let mut trace = Vec::new();
    for _ in 0..20 {
        trace.extend((0..10_000).map(|_| (10_000f64.powf(random(&mut state)) - 1.0) as u32));
        trace.extend(scanned..scanned + 3_000);
        scanned += 3_000;
    }
    trace
}

fn compare(trace: &[u32], entries_max: u32) -> (f64, f64) {
    let keys = *trace.iter().max().expect("not empty") as usize + 1;
    (S3Fifo::new(keys, entries_max).hit_percent(trace), Simulated::new(keys, entries_max).hit_percent(trace))
}

#[test]
fn a_loop_larger_than_the_cache_still_hits() {
    let trace: Vec<u32> = (0..20).flat_map(|_| 0..1_000).collect();
    let (s3_fifo, ours) = compare(&trace, 200);
    assert!(s3_fifo < 0.1 && ours > 15.0, "S3-FIFO {s3_fifo:.2} %, ours {ours:.2} %");
}

#[test]
fn skewed_accesses_with_scans_hit_as_often_as_with_s3_fifo() {
    let trace = skewed_with_scans();
    for entries_max in [100, 500, 2_000] {
        let (s3_fifo, ours) = compare(&trace, entries_max);
        assert!(ours > s3_fifo - 0.3, "at {entries_max} entries: S3-FIFO {s3_fifo:.2} %, ours {ours:.2} %");
    }
}
