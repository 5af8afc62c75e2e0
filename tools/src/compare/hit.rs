//! Lookups of keys that are all resident: what a read costs and how it scales.

use super::run::{THREADS, keys_drawn, timed, touch};
use crate::contestant::{self, Capacity, Contestant, Journey, Kind};
use crate::failure::Result;
use crate::value;
use std::time::Duration;

/// Throughput on one thread and on two.
pub(super) fn measure(kind: Kind, entries: u64, value_bytes: u64, span: Duration) -> Result<Vec<(String, f64)>> {
    // A quarter more room, so that no contestant's sharding evicts.
    let capacity = Capacity::Population { entries: entries + entries / 4, value_bytes };
    contestant::enter(kind, capacity, Hits { entries, value_bytes, span })
}

struct Hits {
    entries: u64,
    value_bytes: u64,
    span: Duration,
}

impl Journey for Hits {
    type Outcome = Vec<(String, f64)>;

    fn run<C: Contestant>(self, contestant: &C) -> Self::Outcome {
        let mut buffer = Vec::new();
        for number in 0..self.entries {
            value::write(&mut buffer, number, 0, self.value_bytes as usize);
            contestant.fill(&value::key(number), &buffer);
        }
        contestant.settle();
        let mut figures = Vec::new();
        for threads in THREADS {
            let worker = |thread| Walk { keys: keys_drawn(self.entries, thread), at: 0 };
            let step = |walk: &mut Walk| {
                contestant.get(&value::key(walk.next()), touch);
            };
            let rate = timed(threads, self.span, worker, step);
            figures.push((format!("M gets/s, {threads} thread{}", if threads > 1 { "s" } else { "" }), rate / 1e6));
        }
        let sample = keys_drawn(self.entries, 99);
        let looked_up = &sample[..sample.len().min(100_000)];
        let hits = looked_up.iter().filter(|number| contestant.get(&value::key(u64::from(**number)), touch)).count();
        figures.push(("hit %".to_owned(), 100.0 * hits as f64 / looked_up.len() as f64));
        figures
    }
}

struct Walk {
    keys: Vec<u32>,
    at: usize,
}

impl Walk {
    #[inline]
    fn next(&mut self) -> u64 {
        self.at = (self.at + 1) % self.keys.len();
        u64::from(self.keys[self.at])
    }
}
