//! Two workloads: one whose entries all fit, one that evicts and moves pages; and the words of the ledger that they keep.

use crate::support::Random;
use crate::support::ledger::{self, Ledger, Next};
use also_cache::{Builder, Cache};
use std::path::{Path, PathBuf};

pub(crate) const EVICTIONS: usize = 2;
pub(crate) const ARMED: usize = 3;
pub(crate) const MOVES: usize = 4;

/// Which workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scenario {
    /// Everything fits: nothing may be lost.
    Roomy,
    /// Several times the capacity, sizes that drift: evictions, page moves, growth.
    Full,
    /// As `Roomy`, with keys that are there from the beginning: neither evictions nor growth.
    Clustered,
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Roomy => "roomy",
            Self::Full => "full",
            Self::Clustered => "clustered",
        }
    }

    pub(crate) fn of(name: &str) -> Self {
        let all = [Self::Roomy, Self::Full, Self::Clustered];
        all.into_iter().find(|scenario| scenario.name() == name).expect("one of ours")
    }

    pub(crate) fn keys(self) -> u64 {
        match self {
            Self::Roomy | Self::Full => 30_000,
            Self::Clustered => 6_000,
        }
    }

    pub(crate) fn capacity(self) -> u64 {
        match self {
            Self::Roomy | Self::Clustered => 64 << 20,
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
            (Self::Roomy | Self::Clustered, 0) if key.is_multiple_of(3000) => within(random, 140_000, 300_000),
            (Self::Roomy | Self::Clustered, rest) if rest % 250 == 1 => within(random, 13_000, 40_000),
            (Self::Roomy | Self::Clustered, rest) if rest % 20 == 2 => within(random, 500, 4_000),
            (Self::Roomy | Self::Clustered, _) => within(random, 24, 400),
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

/// One write of a key by its one writer. `false` once the cache is closed.
pub(crate) fn write(
    cache: &Cache,
    ledger: &Ledger,
    scenario: Scenario,
    key: u64,
    random: &mut Random,
    written: u64,
) -> bool {
    let next = match random.next() % 100 {
        0..15 => Next::Remove,
        _ => Next::Insert(scenario.value_bytes(key, random, written)),
    };
    ledger::write(cache, ledger, key, next)
}
