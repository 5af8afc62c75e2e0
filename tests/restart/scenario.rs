//! Two workloads: one whose entries all fit, one that evicts and moves pages. Values describe themselves.

use crate::ledger::{Ledger, Mark};
use also_cache::{Builder, Cache, InsertError};
use std::path::{Path, PathBuf};

/// Which workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scenario {
    /// Everything fits: nothing may be lost.
    Roomy,
    /// Several times the capacity, sizes that drift: evictions, page moves, growth.
    Full,
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Roomy => "roomy",
            Self::Full => "full",
        }
    }

    pub(crate) fn of(name: &str) -> Self {
        if name == "roomy" { Self::Roomy } else { Self::Full }
    }

    pub(crate) fn keys(self) -> u64 {
        match self {
            Self::Roomy => 30_000,
            Self::Full => 30_000,
        }
    }

    pub(crate) fn capacity(self) -> u64 {
        match self {
            Self::Roomy => 64 << 20,
            Self::Full => 4 << 20,
        }
    }

    pub(crate) fn builder(self, folder: &Path) -> Builder {
        Cache::builder().capacity(self.capacity()).file(self.arena(folder)).crash_loop_guard(false)
    }

    pub(crate) fn arena(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.arena", self.name()))
    }

    pub(crate) fn ledger(self, folder: &Path) -> Ledger {
        Ledger::open(&folder.join(format!("{}.ledger", self.name())), self.keys())
    }

    /// Bytes of the next value of a key. Every thousandth key takes a run of pages, some more take blocks.
    fn value_bytes(self, key: u64, random: &mut Random, written: u64) -> usize {
        let within = |random: &mut Random, low: u64, high: u64| (low + random.next() % (high - low)) as usize;
        match (self, key % 1000) {
            (Self::Roomy, 0) if key.is_multiple_of(3000) => within(random, 140_000, 300_000),
            (Self::Roomy, rest) if rest % 250 == 1 => within(random, 13_000, 40_000),
            (Self::Roomy, rest) if rest % 20 == 2 => within(random, 500, 4_000),
            (Self::Roomy, _) => within(random, 24, 400),
            (Self::Full, 0) => within(random, 17_000, 60_000),
            (Self::Full, rest) if rest % 200 == 1 => within(random, 1_200, 14_000),
            (Self::Full, _) => {
                // Sizes drift, so that classes come and go and pages move.
                let drift = (written / 4_000 % 8) * 90;
                within(random, 24 + drift, 160 + drift)
            }
        }
    }
}

/// A generator that needs no crate: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub(crate) fn key_bytes(key: u64) -> [u8; 20] {
    let mut bytes = *b"restart:............";
    bytes[8..16].copy_from_slice(&key.to_le_bytes());
    bytes
}

/// A value that says whose it is: key, sequence, length, and bytes that follow from them.
pub(crate) fn value(key: u64, sequence: u64, bytes: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    for word in [key, sequence, bytes as u64] {
        value.extend_from_slice(&word.to_le_bytes());
    }
    let mut random = Random(key << 32 ^ sequence);
    while value.len() < bytes {
        value.extend_from_slice(&random.next().to_le_bytes());
    }
    value.truncate(bytes.max(24));
    value
}

/// The sequence of a value, if each of its bytes is right.
pub(crate) fn sequence_of(key: u64, found: &[u8]) -> Result<u64, String> {
    let word = |at: usize| found.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let (Some(of), Some(sequence), Some(bytes)) = (word(0), word(8), word(16)) else {
        return Err(format!("key {key}: a value of {} bytes", found.len()));
    };
    if of != key || bytes != found.len() as u64 || found != value(key, sequence, found.len()).as_slice() {
        return Err(format!("key {key}: torn or foreign value: key {of}, sequence {sequence}, {bytes} bytes"));
    }
    Ok(sequence)
}

/// One write of a key by its one writer. `false` once the cache is closed.
pub(crate) fn write(
    cache: &Cache,
    ledger: &Ledger,
    scenario: Scenario,
    key: u64,
    random: &mut Random,
    written: u64,
) -> bool {
    let sequence = ledger.begun(key).sequence.max(ledger.done(key).sequence) + 1;
    if random.next() % 100 < 15 {
        let mark = Mark { sequence, absent: true };
        ledger.begin(key, mark);
        if cache.remove(key_bytes(key)).is_err() {
            return false;
        }
        ledger.finish(key, mark);
        return true;
    }
    let bytes = scenario.value_bytes(key, random, written);
    ledger.begin(key, Mark { sequence, absent: false });
    let absent = match cache.insert(key_bytes(key), value(key, sequence, bytes)) {
        Ok(_) => false,
        Err(InsertError::Closed) => return false,
        Err(InsertError::Busy { .. }) => true,
        Err(error) => panic!("key {key}, {bytes} bytes: {error}"),
    };
    ledger.finish(key, Mark { sequence, absent });
    true
}

/// Whether a value of this sequence may be what a key holds.
pub(crate) fn may_be(ledger: &Ledger, key: u64, sequence: u64) -> Result<(), String> {
    let (begun, done) = (ledger.begun(key), ledger.done(key));
    let acknowledged = !done.absent && sequence == done.sequence;
    let in_flight = !begun.absent && begun != done && sequence == begun.sequence;
    if acknowledged || in_flight {
        return Ok(());
    }
    Err(format!("key {key}: sequence {sequence} came back; acknowledged {done:?}, begun {begun:?}"))
}
