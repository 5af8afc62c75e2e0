//! One cell of `compare`: a workload on one contestant, in this process, and the timed loops that workloads share.

use super::workload::Workload;
use super::{aside, drift, hit, overhead, waste};
use crate::contestant::Kind;
use crate::failure::Result;
use crate::random::{Random, Zipf, mix};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// What the cell is about.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(super) workload: Workload,
    pub(super) contestant: Kind,
    pub(super) quick: bool,
    pub(super) round: u16,
}

/// What came out: figures by name, so that the report needs to know none of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) workload: String,
    pub(crate) contestant: String,
    pub(crate) round: u16,
    pub(crate) figures: Vec<(String, f64)>,
}

/// Measures in this process.
pub(crate) fn measure(question: &Question) -> Result<Sample> {
    let span = Duration::from_millis(if question.quick { 200 } else { 1000 });
    let kind = question.contestant;
    let figures = match question.workload {
        Workload::Hit { entries, value_bytes } => hit::measure(kind, entries, value_bytes, span)?,
        Workload::Aside { entries, value_bytes, writes_percent } => {
            aside::measure(kind, aside::Mix { entries, value_bytes, writes_percent: Some(writes_percent) }, span)?
        }
        Workload::Churn { entries, value_bytes } => {
            aside::measure(kind, aside::Mix { entries, value_bytes, writes_percent: None }, span)?
        }
        Workload::Drift { capacity } => drift::measure(kind, capacity)?,
        Workload::Overhead { capacity, value_bytes } => overhead::measure(kind, capacity, value_bytes)?,
        Workload::Waste { capacity, longest } => waste::measure(capacity, longest)?,
    };
    let contestant = kind.name().to_owned();
    Ok(Sample { workload: question.workload.name(), contestant, round: question.round, figures })
}

/// Key numbers drawn beforehand by zipf 0.99, so that drawing one costs the measured loop a load.
pub(super) struct Drawn {
    numbers: Vec<u32>,
    at: usize,
}

impl Drawn {
    /// A stream over the key numbers below `keys`, which repeats after a million.
    pub(super) fn new(keys: u64, seed: u64) -> Self {
        let (zipf, mut random) = (Zipf::new(keys, 0.99), Random::new(seed));
        let numbers = (0..DRAWN).map(|_| (mix(zipf.next(&mut random)) % keys) as u32).collect();
        Self { numbers, at: 0 }
    }

    /// The next number.
    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.at = (self.at + 1) & (DRAWN - 1);
        u64::from(self.numbers[self.at])
    }

    /// How many have been drawn, since the last time round.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.at
    }
}

/// Runs `step` on several threads for `span`, all starting together, and returns all steps per second.
///
/// `worker` makes the state of a thread; `step` does one operation with it.
pub(super) fn timed<W: Send>(
    threads: u64,
    span: Duration,
    worker: impl Fn(u64) -> W,
    step: impl Fn(&mut W) + Sync,
) -> f64 {
    let start = Barrier::new(threads as usize);
    let mut workers: Vec<W> = (0..threads).map(worker).collect();
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let spawned: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                scope.spawn(|| {
                    start.wait();
                    rate(span, || step(worker))
                })
            })
            .collect();
        spawned
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    rates.iter().sum()
}

fn rate(span: Duration, mut step: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut steps = 0_u64;
    loop {
        (0..STEPS_PER_LOOK).for_each(|_| step());
        steps += STEPS_PER_LOOK;
        let took = started.elapsed();
        if took >= span {
            return steps as f64 / took.as_secs_f64();
        }
    }
}

/// Nanoseconds of calls, to three digits, up to a minute.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds and three digits are within what it allows")
}

/// Touches a value as a user would at least: its first and its last eight bytes.
#[inline]
pub(super) fn touch(bytes: &[u8]) {
    let ends = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>());
    std::hint::black_box(
        ends.0.zip(ends.1).map(|(first, last)| u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last)),
    );
}

/// Thread counts of the throughput figures.
pub(super) const THREADS: [u64; 2] = [1, 2];

/// A power of two.
const DRAWN: usize = 1 << 20;
const STEPS_PER_LOOK: u64 = 256;
