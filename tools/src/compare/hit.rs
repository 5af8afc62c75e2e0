//! Lookups of keys that are all resident: what a read costs and how it scales.

use super::run::{Drawn, THREADS, timed, touch};
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
            let worker = |thread| Drawn::new(self.entries, thread);
            let step = |keys: &mut Drawn| {
                contestant.get(&value::key(keys.next()), touch);
            };
            let rate = timed(threads, self.span, worker, step);
            figures.push((format!("M gets/s, {threads} thread{}", if threads > 1 { "s" } else { "" }), rate / 1e6));
        }
        let mut sample = Drawn::new(self.entries, 99);
        let hits = (0..SAMPLED).filter(|_| contestant.get(&value::key(sample.next()), touch)).count();
        figures.push(("hit %".to_owned(), 100.0 * hits as f64 / SAMPLED as f64));
        figures
    }
}

const SAMPLED: usize = 100_000;
