//! Cache-aside with eviction, and churn: throughput first, then the latency of each call on two threads.
//!
//! Latency has a pass of its own, because reading the clock twice per call costs as much as a hit.

use super::run::{Drawn, THREADS, latencies, timed, touch};
use crate::contestant::{self, Capacity, Contestant, Journey, Kind};
use crate::failure::Result;
use crate::value;
use hdrhistogram::Histogram;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Sizes and proportions.
#[derive(Clone, Copy)]
pub(super) struct Mix {
    /// Entries that fit.
    pub(super) entries: u64,
    pub(super) value_bytes: u64,
    /// Writes among all operations; `None` is churn: inserts of keys never seen.
    pub(super) writes_percent: Option<u64>,
}

/// Throughput on one thread and on two, p99.9 of both calls, hit ratio, refusals.
pub(super) fn measure(kind: Kind, mix: Mix, span: Duration) -> Result<Vec<(String, f64)>> {
    let capacity = Capacity::Population { entries: mix.entries, value_bytes: mix.value_bytes };
    contestant::enter(kind, capacity, Aside { mix, span })
}

struct Aside {
    mix: Mix,
    span: Duration,
}

impl Journey for Aside {
    type Outcome = Vec<(String, f64)>;

    fn run<C: Contestant>(self, contestant: &C) -> Self::Outcome {
        let shared = Shared::default();
        let mut buffer = Vec::new();
        for number in 0..self.mix.entries * 2 {
            self.fill(contestant, number, &mut buffer, &shared);
        }
        shared.fills.fetch_add(self.mix.entries * 2, Ordering::Relaxed);
        let mut figures = Vec::new();
        for threads in THREADS {
            let worker = |thread| self.worker(thread);
            let rate = timed(threads, self.span, worker, |walk| self.step(contestant, walk, &shared, &mut Untimed));
            figures.push((format!("M ops/s, {threads} thread{}", if threads > 1 { "s" } else { "" }), rate / 1e6));
        }
        self.latency(contestant, &shared, &mut figures);
        if self.mix.writes_percent.is_some() {
            let (reads, hits) = (shared.reads.load(Ordering::Relaxed), shared.hits.load(Ordering::Relaxed));
            figures.push(("hit %".to_owned(), 100.0 * hits as f64 / reads.max(1) as f64));
        }
        let (fills, refused) = (shared.fills.load(Ordering::Relaxed), shared.refused.load(Ordering::Relaxed));
        figures.push(("refused per 10,000".to_owned(), 10_000.0 * refused as f64 / fills.max(1) as f64));
        figures
    }
}

impl Aside {
    fn latency<C: Contestant>(&self, contestant: &C, shared: &Shared, figures: &mut Vec<(String, f64)>) {
        let sums = Mutex::new((latencies(), latencies()));
        let worker = |thread| (self.worker(thread + 7), Timed { gets: latencies(), fills: latencies(), into: &sums });
        timed(2, self.span, worker, |(walk, timed)| self.step(contestant, walk, shared, timed));
        let (gets, fills) = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (name, histogram) in [("get", gets), ("insert", fills)] {
            if !histogram.is_empty() {
                for (quantile, value) in [("p99.9", 0.999), ("p99.99", 0.9999)] {
                    let us = histogram.value_at_quantile(value) as f64 / 1000.0;
                    figures.push((format!("{name} {quantile}, us"), us));
                }
            }
        }
    }

    fn worker(&self, thread: u64) -> Walk {
        let keys = self.mix.entries * KEYS_PER_ENTRY;
        // Churn keys begin above all others, each thread in a range of its own.
        let fresh = (thread + 1) << 40;
        Walk { keys: Drawn::new(keys, thread), fresh, buffer: Vec::new(), tally: Tally::default() }
    }

    #[inline]
    fn step<C: Contestant>(&self, contestant: &C, walk: &mut Walk, shared: &Shared, clock: &mut impl Clock) {
        let Some(writes_percent) = self.mix.writes_percent else {
            walk.fresh += 1;
            let (number, mut buffer) = (walk.fresh, std::mem::take(&mut walk.buffer));
            clock.fill(|| self.fill(contestant, number, &mut buffer, shared));
            walk.buffer = buffer;
            walk.count(false, false, walk.fresh, shared);
            return;
        };
        let number = walk.keys.next();
        let mut buffer = std::mem::take(&mut walk.buffer);
        // The position decides, not the key: every key is written at times.
        let writes = (walk.keys.position() as u64).wrapping_mul(61) % 100 < writes_percent;
        let hit = !writes && clock.get(|| contestant.get(&value::key(number), touch));
        if !hit {
            clock.fill(|| self.fill(contestant, number, &mut buffer, shared));
        }
        walk.buffer = buffer;
        walk.count(!writes, hit, walk.keys.position() as u64, shared);
    }

    #[inline]
    fn fill<C: Contestant>(&self, contestant: &C, number: u64, buffer: &mut Vec<u8>, shared: &Shared) {
        value::write(buffer, number, 0, self.mix.value_bytes as usize);
        if !contestant.fill(&value::key(number), buffer) {
            shared.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A thread's place in its keys.
struct Walk {
    keys: Drawn,
    fresh: u64,
    buffer: Vec<u8>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    reads: u64,
    hits: u64,
    fills: u64,
}

impl Walk {
    #[inline]
    fn count(&mut self, read: bool, hit: bool, step: u64, shared: &Shared) {
        self.tally.reads += u64::from(read);
        self.tally.hits += u64::from(hit);
        self.tally.fills += u64::from(!hit);
        if step.is_multiple_of(STEPS_PER_SUM) {
            let tally = std::mem::take(&mut self.tally);
            shared.reads.fetch_add(tally.reads, Ordering::Relaxed);
            shared.hits.fetch_add(tally.hits, Ordering::Relaxed);
            shared.fills.fetch_add(tally.fills, Ordering::Relaxed);
        }
    }
}

/// Sums over all threads. Relaxed: read when the threads have ended.
#[derive(Default)]
struct Shared {
    reads: AtomicU64,
    hits: AtomicU64,
    fills: AtomicU64,
    refused: AtomicU64,
}

trait Clock {
    fn get(&mut self, call: impl FnOnce() -> bool) -> bool;
    fn fill(&mut self, call: impl FnOnce());
}

struct Untimed;

impl Clock for Untimed {
    #[inline]
    fn get(&mut self, call: impl FnOnce() -> bool) -> bool {
        call()
    }

    #[inline]
    fn fill(&mut self, call: impl FnOnce()) {
        call();
    }
}

struct Timed<'a> {
    gets: Histogram<u64>,
    fills: Histogram<u64>,
    into: &'a Mutex<(Histogram<u64>, Histogram<u64>)>,
}

impl Clock for Timed<'_> {
    fn get(&mut self, call: impl FnOnce() -> bool) -> bool {
        let started = Instant::now();
        let hit = call();
        self.gets.saturating_record(started.elapsed().as_nanos() as u64);
        hit
    }

    fn fill(&mut self, call: impl FnOnce()) {
        let started = Instant::now();
        call();
        self.fills.saturating_record(started.elapsed().as_nanos() as u64);
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let mut sums = self.into.lock().unwrap_or_else(PoisonError::into_inner);
        sums.0.add(&self.gets).expect("the same bounds");
        sums.1.add(&self.fills).expect("the same bounds");
    }
}

const KEYS_PER_ENTRY: u64 = 10;
const STEPS_PER_SUM: u64 = 1024;
