//! Value sizes that move under a fixed capacity in bytes: what a cache really takes from the machine.
//!
//! ```text
//!   phase    1          2           3           4
//!   values   64-256 B   300-900 B   2-6 KiB     64 B - 6 KiB      three capacities are written in each
//! ```
//!
//! Keys of a phase are new; they are asked for by zipf 0.99 cache-aside, and one access in twenty overwrites.

use crate::contestant::{self, Capacity, Contestant, Journey, Kind};
use crate::failure::Result;
use crate::machine;
use crate::random::{Random, Zipf, mix};
use crate::value;
use also_cache::Stats;

/// At the end of each phase resident memory over capacity, what of it is keys and values, what of its pages is in use; the
/// most resident memory, and the hit ratio.
pub(super) fn measure(kind: Kind, bytes: u64) -> Result<Vec<(String, f64)>> {
    machine::forget_peak();
    let before = machine::resident().now;
    contestant::enter(kind, Capacity::Bytes { bytes, overhead: 0 }, Drift { bytes, before })
}

struct Drift {
    bytes: u64,
    before: u64,
}

impl Journey for Drift {
    type Outcome = Vec<(String, f64)>;

    fn run<C: Contestant>(self, contestant: &C) -> Self::Outcome {
        let mut figures = Vec::new();
        let (mut reads, mut hits) = (0_u64, 0_u64);
        for (phase, sizes) in (0_u64..).zip(PHASES) {
            let (phase_reads, phase_hits) = self.phase(contestant, phase, sizes);
            contestant.settle();
            reads += phase_reads;
            hits += phase_hits;
            let resident = machine::resident().now;
            figures.push((format!("RSS / capacity, phase {}", phase + 1), self.over_capacity(resident)));
            // After the memory was looked at: the census takes some of its own.
            let data = 100.0 * self.resident_data(contestant, phase) as f64 / self.bytes as f64;
            figures.push((format!("keys + values, % of capacity, phase {}", phase + 1), data));
            let shares = contestant.stats().map(|stats| shares(&stats));
            let named = |(name, percent)| (format!("{name}, phase {}", phase + 1), percent);
            figures.extend(shares.into_iter().flatten().map(named));
        }
        figures.push(("RSS / capacity, most".to_owned(), self.over_capacity(machine::resident().peak)));
        figures.push(("hit %".to_owned(), 100.0 * hits as f64 / reads.max(1) as f64));
        figures
    }
}

impl Drift {
    fn phase<C: Contestant>(&self, contestant: &C, phase: u64, sizes: (u64, u64)) -> (u64, u64) {
        let keys = self.keys(sizes);
        let (zipf, mut random) = (Zipf::new(keys, 0.99), Random::new(phase + 1));
        let (mut reads, mut hits, mut written) = (0, 0, 0);
        let mut buffer = Vec::new();
        while written < self.bytes * CAPACITIES_WRITTEN {
            let number = (phase << 40) | (mix(zipf.next(&mut random)) % keys);
            let key = value::key(number);
            let overwrites = random.below(100) < OVERWRITES_PERCENT;
            if !overwrites {
                reads += 1;
                if contestant.get(&key, super::run::touch) {
                    hits += 1;
                    continue;
                }
            }
            let length = value::length(number, 0, sizes.0, sizes.1);
            value::write(&mut buffer, number, 0, length);
            contestant.fill(&key, &buffer);
            written += length as u64;
        }
        (reads, hits)
    }

    fn keys(&self, sizes: (u64, u64)) -> u64 {
        self.bytes * 4 / ((sizes.0 + sizes.1) / 2)
    }

    /// Bytes of all keys and values that are there, of this phase and those before it.
    fn resident_data<C: Contestant>(&self, contestant: &C, last: u64) -> u64 {
        let mut bytes = 0;
        for (phase, sizes) in (0..=last).zip(PHASES) {
            for number in (0..self.keys(sizes)).map(|number| (phase << 40) | number) {
                if contestant.holds(&value::key(number)) {
                    bytes += (value::KEY_BYTES + value::length(number, 0, sizes.0, sizes.1)) as u64;
                }
            }
        }
        bytes
    }

    fn over_capacity(&self, resident: u64) -> f64 {
        resident.saturating_sub(self.before) as f64 / self.bytes as f64
    }
}

/// Of the pages that hold slots how much is slots with an entry; of the capacity how much is such pages, and the index.
fn shares(stats: &Stats) -> [(&'static str, f64); 3] {
    let slots = || stats.classes.iter().filter(|class| !class.is_large);
    let live: u64 = slots().map(|class| class.live * class.slot_bytes).sum();
    let pages: u64 = slots().map(|class| class.pages * stats.page_bytes).sum();
    let percent = |bytes: u64, all: u64| 100.0 * bytes as f64 / all.max(1) as f64;
    [
        ("live slots, % of data pages", percent(live, pages)),
        ("data pages, % of capacity", percent(pages, stats.capacity)),
        ("index pages, % of capacity", percent(stats.pages_index * stats.page_bytes, stats.capacity)),
    ]
}

const PHASES: [(u64, u64); 4] = [(64, 256), (300, 900), (2 << 10, 6 << 10), (64, 6 << 10)];
const CAPACITIES_WRITTEN: u64 = 3;
const OVERWRITES_PERCENT: u64 = 5;
