//! S3-FIFO as published, for the goal that is stated relative to it: unit sizes, no values, no concurrency.
//!
//! ```text
//!   new key ----> small (10 %) --- freq >= 2 ---> main (90 %) --- freq = 0 ---> gone
//!     |             |                              ^   |  freq > 0: once more, freq - 1
//!     |             +-- freq < 2 --> ghost         |   +----+
//!     +---- in ghost (0.9 of the capacity) --------+
//! ```
//!
//! Source: J. Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023), algorithm 1 and the defaults of
//! its authors' libCacheSim (promotion at two accesses after the first, frequency capped at 3).

use std::collections::{HashMap, VecDeque};

/// The state of the policy.
pub(crate) struct Reference {
    capacity: usize,
    small_capacity: usize,
    frequency: HashMap<u64, u8, ahash::RandomState>,
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    ghost: Ghost,
}

impl Reference {
    /// Room for `capacity` keys, at least 2.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(2);
        Self {
            capacity,
            small_capacity: (capacity / 10).max(1),
            frequency: HashMap::with_hasher(hasher()),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: Ghost::new(capacity * 9 / 10),
        }
    }

    /// An access: whether the key is resident.
    pub(crate) fn touch(&mut self, key: u64) -> bool {
        let Some(frequency) = self.frequency.get_mut(&key) else {
            return false;
        };
        *frequency = (*frequency + 1).min(FREQUENCY_MAX);
        true
    }

    /// Takes a key that missed. One that is resident stays where it is.
    pub(crate) fn admit(&mut self, key: u64) {
        if self.frequency.contains_key(&key) {
            return;
        }
        let returning = self.ghost.take(key);
        while self.frequency.len() >= self.capacity {
            self.evict();
        }
        self.frequency.insert(key, 0);
        if returning { self.main.push_back(key) } else { self.small.push_back(key) }
    }

    /// Whether a key is resident, which is no access.
    pub(crate) fn holds(&self, key: u64) -> bool {
        self.frequency.contains_key(&key)
    }

    /// Keys resident now.
    pub(crate) fn len(&self) -> usize {
        self.frequency.len()
    }

    fn evict(&mut self) {
        if self.small.len() > self.small_capacity || self.main.is_empty() {
            self.evict_from_small();
        } else {
            self.evict_from_main();
        }
    }

    fn evict_from_small(&mut self) {
        while let Some(key) = self.small.pop_front() {
            let frequency = self.frequency.get_mut(&key).expect("a queued key has a frequency");
            if *frequency < PROMOTED_FROM {
                self.frequency.remove(&key);
                self.ghost.put(key);
                return;
            }
            *frequency = 0;
            self.main.push_back(key);
        }
    }

    fn evict_from_main(&mut self) {
        while let Some(key) = self.main.pop_front() {
            let frequency = self.frequency.get_mut(&key).expect("a queued key has a frequency");
            if *frequency == 0 {
                self.frequency.remove(&key);
                return;
            }
            *frequency -= 1;
            self.main.push_back(key);
        }
    }
}

const FREQUENCY_MAX: u8 = 3;
const PROMOTED_FROM: u8 = 2;

/// Keys that left lately, oldest first. A key taken out leaves its place in the queue, known by its old ticket.
struct Ghost {
    capacity: usize,
    tickets: HashMap<u64, u64, ahash::RandomState>,
    queue: VecDeque<(u64, u64)>,
    next_ticket: u64,
}

impl Ghost {
    fn new(capacity: usize) -> Self {
        Self { capacity, tickets: HashMap::with_hasher(hasher()), queue: VecDeque::new(), next_ticket: 0 }
    }

    fn put(&mut self, key: u64) {
        self.next_ticket += 1;
        self.tickets.insert(key, self.next_ticket);
        self.queue.push_back((key, self.next_ticket));
        while self.tickets.len() > self.capacity {
            let (oldest, ticket) = self.queue.pop_front().expect("as many places as tickets, or more");
            if self.tickets.get(&oldest) == Some(&ticket) {
                self.tickets.remove(&oldest);
            }
        }
    }

    fn take(&mut self, key: u64) -> bool {
        self.tickets.remove(&key).is_some()
    }
}

fn hasher() -> ahash::RandomState {
    ahash::RandomState::with_seeds(1, 2, 3, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(policy: &mut Reference, keys: impl IntoIterator<Item = u64>) -> usize {
        keys.into_iter()
            .filter(|key| {
                let hit = policy.touch(*key);
                policy.admit(*key);
                hit
            })
            .count()
    }

    #[test]
    fn a_scan_does_not_push_out_what_is_used_often() {
        let mut policy = Reference::new(100);
        for _ in 0..4 {
            replay(&mut policy, 0..50);
        }
        replay(&mut policy, 1_000..10_000);
        assert!(replay(&mut policy, 0..50) >= 45, "the hot half survives");
        assert_eq!(policy.len(), 100);
    }

    #[test]
    fn a_key_that_comes_back_soon_enters_main() {
        let mut policy = Reference::new(10);
        replay(&mut policy, 0..12);
        replay(&mut policy, [0]);
        assert!(policy.main.contains(&0));
    }
}
