//! Bytes per entry beyond key and value: resident memory of a full cache, divided by what it holds.
//!
//! Everything counts: index, links, ghosts, rings, allocator rounding, slots kept in reserve; class waste and the padding
//! of keys count too, and stand apart as well.

use crate::contestant::{self, Capacity, Contestant, Journey, Kind};
use crate::failure::Result;
use crate::machine;
use crate::value::{self, KEY_BYTES};

/// Bytes per entry and entries held.
pub(super) fn measure(kind: Kind, bytes: u64, value_bytes: u64) -> Result<Vec<(String, f64)>> {
    let before = machine::resident().now;
    contestant::enter(kind, Capacity::Bytes { bytes, overhead: 0 }, Full { bytes, value_bytes, before })
}

struct Full {
    bytes: u64,
    value_bytes: u64,
    before: u64,
}

impl Journey for Full {
    type Outcome = Vec<(String, f64)>;

    fn run<C: Contestant>(self, contestant: &C) -> Self::Outcome {
        let mut buffer = Vec::new();
        let entry = self.value_bytes + KEY_BYTES as u64;
        for number in 0..2 * self.bytes / entry {
            value::write(&mut buffer, number, 0, self.value_bytes as usize);
            contestant.fill(&value::key(number), &buffer);
        }
        contestant.settle();
        let entries = contestant.entries().max(1) as f64;
        let resident = machine::resident().now.saturating_sub(self.before) as f64;
        let overhead = resident / entries - entry as f64;
        let mut figures = vec![("overhead, bytes per entry".to_owned(), overhead)];
        // Where there are classes: a slot is header, key, padding, value, and what the class leaves unused.
        let slot_bytes =
            contestant.stats().and_then(|stats| stats.classes.iter().max_by_key(|class| class.live).copied());
        if let Some(unused) = slot_bytes.map(|class| class.slot_bytes as f64 - (HEADER_BYTES + entry) as f64) {
            figures.push(("of it padding, class waste".to_owned(), unused));
            figures.push(("overhead without these".to_owned(), overhead - unused));
        }
        figures.push(("entries per MiB resident".to_owned(), entries / (resident / 1_048_576.0).max(1e-9)));
        figures
    }
}

const HEADER_BYTES: u64 = 32;
