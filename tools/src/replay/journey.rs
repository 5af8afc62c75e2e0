//! One cell of `replay`: a trace through one contestant of one capacity.
//!
//! Threads take runs of accesses from a common cursor, so the order of the trace is kept but for what really overlaps.

use super::trace::Source;
use crate::contestant::{self, Capacity, Contestant, Journey, Kind};
use crate::failure::Result;
use crate::machine;
use crate::value;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What the cell is about.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) source: Source,
    /// The capacity as the table prints it.
    pub(crate) label: String,
    pub(crate) contestant: Kind,
    pub(crate) capacity: Capacity,
    /// Shortest and longest value.
    pub(crate) value_bytes: (u64, u64),
    /// Whether lengths are spread evenly by their logarithm.
    pub(crate) by_logarithm: bool,
    pub(crate) threads: u16,
    /// Accesses of the trace, whose numbers come attached: four bytes each.
    pub(crate) accesses: u64,
}

impl Question {
    /// Entries that the cache may hold, where the capacity is in entries.
    pub(crate) fn entries_max(&self) -> Option<u64> {
        match self.capacity {
            Capacity::Entries { entries, .. } => Some(entries),
            Capacity::Bytes { .. } | Capacity::Population { .. } => None,
        }
    }

    /// As the progress bar prints it.
    pub(crate) fn title(&self) -> String {
        format!("{} at {}: {}", self.source.name(), self.label, self.contestant.name())
    }
}

/// What came out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) trace: String,
    pub(crate) capacity: String,
    pub(crate) contestant: String,
    pub(crate) threads: u16,
    pub(crate) accesses: u64,
    pub(crate) hits: u64,
    /// Hits whose bytes were all checked; 0 for the simulation.
    pub(crate) checked: u64,
    /// Hits with a wrong value.
    pub(crate) wrong: u64,
    /// Fills that the cache refused.
    pub(crate) refused: u64,
    pub(crate) entries: u64,
    /// Entries that it may hold, where the capacity is in entries.
    pub(crate) entries_max: Option<u64>,
    pub(crate) seconds: f64,
    /// Memory taken since just before the cache was opened, at the end.
    pub(crate) resident_bytes: u64,
}

impl Outcome {
    /// Hits in percent of the accesses.
    pub(crate) fn hit_percent(&self) -> f64 {
        100.0 * self.hits as f64 / self.accesses as f64
    }

    /// Entries held over entries allowed, where that is bounded.
    pub(crate) fn fullness(&self) -> Option<f64> {
        Some(self.entries as f64 / self.entries_max? as f64)
    }

    /// Accesses per second, in millions.
    pub(crate) fn millions_per_second(&self) -> f64 {
        self.accesses as f64 / self.seconds / 1e6
    }
}

/// Replays and measures in this process. The trace comes decoded, so that no decoder's memory is counted or reused.
pub(crate) fn measure(question: &Question, trace: &mut dyn Read) -> Result<Outcome> {
    let mut bytes = Vec::with_capacity(question.accesses as usize * 4 + 1);
    trace.read_to_end(&mut bytes)?;
    let (accesses, _) = bytes.as_chunks::<4>();
    let before = machine::resident().now;
    let tally = contestant::enter(question.contestant, question.capacity, Replay { question, accesses, before })?;
    Ok(Outcome {
        trace: question.source.name(),
        capacity: question.label.clone(),
        contestant: question.contestant.name().to_owned(),
        threads: question.threads,
        accesses: accesses.len() as u64,
        entries_max: question.entries_max(),
        ..tally
    })
}

struct Replay<'a> {
    question: &'a Question,
    accesses: &'a [[u8; 4]],
    before: u64,
}

impl Journey for Replay<'_> {
    type Outcome = Outcome;

    fn run<C: Contestant>(self, contestant: &C) -> Outcome {
        let cursor = AtomicUsize::new(0);
        let started = Instant::now();
        let tallies: Vec<Tally> = std::thread::scope(|scope| {
            let walk = || self.walk(contestant, &cursor);
            let threads: Vec<_> = (1..self.question.threads).map(|_| scope.spawn(walk)).collect();
            let mine = walk();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Tally>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            std::iter::once(mine).chain(threads.into_iter().map(join)).collect()
        });
        let seconds = started.elapsed().as_secs_f64();
        contestant.settle();
        let sum = |field: fn(&Tally) -> u64| tallies.iter().map(field).sum();
        Outcome {
            trace: String::new(),
            capacity: String::new(),
            contestant: String::new(),
            threads: 0,
            accesses: 0,
            hits: sum(|tally| tally.hits),
            checked: sum(|tally| tally.checked),
            wrong: sum(|tally| tally.wrong),
            refused: sum(|tally| tally.refused),
            entries: contestant.entries(),
            entries_max: None,
            seconds,
            resident_bytes: machine::resident().now.saturating_sub(self.before),
        }
    }
}

impl Replay<'_> {
    fn walk<C: Contestant>(&self, contestant: &C, cursor: &AtomicUsize) -> Tally {
        let mut tally = Tally::default();
        let mut buffer = Vec::new();
        loop {
            // Relaxed: the cursor hands out positions and publishes nothing.
            let from = cursor.fetch_add(RUN_ACCESSES, Ordering::Relaxed);
            let Some(rest) = self.accesses.get(from..).filter(|rest| !rest.is_empty()) else {
                return tally;
            };
            for number in &rest[..rest.len().min(RUN_ACCESSES)] {
                self.access(contestant, u64::from(u32::from_le_bytes(*number)), &mut buffer, &mut tally);
            }
        }
    }

    #[inline]
    fn access<C: Contestant>(&self, contestant: &C, number: u64, buffer: &mut Vec<u8>, tally: &mut Tally) {
        let key = value::key(number);
        let mut right = None;
        if contestant.get(&key, |bytes| right = Some(value::check(bytes, number).is_ok())) {
            tally.hits += 1;
            tally.checked += u64::from(right.is_some());
            tally.wrong += u64::from(right != Some(true) && C::STORES_VALUES);
            return;
        }
        if C::STORES_VALUES {
            let (shortest, longest) = self.question.value_bytes;
            let length = match self.question.by_logarithm {
                true => value::length_by_logarithm(number, shortest, longest),
                false => value::length(number, 0, shortest, longest),
            };
            value::write(buffer, number, 0, length);
        }
        tally.refused += u64::from(!contestant.fill(&key, buffer));
    }
}

#[derive(Default)]
struct Tally {
    hits: u64,
    checked: u64,
    wrong: u64,
    refused: u64,
}

/// Accesses taken from the common cursor at a time.
const RUN_ACCESSES: usize = 64;
