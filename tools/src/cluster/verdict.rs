//! The verdict: whether all nodes hold the same, and what was shown on the way.

use super::board::{Board, Seat, Totals};
use super::done::Done;
use crate::node::Sample;
use crate::size::{count, duration};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) converged: bool,
    nodes: usize,
    /// Entries of each node at the end.
    entries: Vec<u64>,
    checksums: Vec<u64>,
    /// From the stop of the load to equal digests.
    settled_ms: Option<f64>,
    #[serde(flatten)]
    compared: Compared,
    #[serde(flatten)]
    totals: Totals,
    /// Wrong values among those that were there at the end.
    wrong_at_rest: u64,
    faults: Vec<Done>,
    /// Of keys that differ: what each node knows of them.
    explained: Vec<Explained>,
    problem: Option<String>,
}

/// Copies compared key by key, where digests differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Compared {
    /// Keys that were looked at.
    keys_compared: u64,
    /// Keys of which two nodes hold different values.
    keys_conflicting: u64,
    /// Keys that some nodes hold, and others do not.
    keys_missing: u64,
    /// Some of them.
    #[serde(skip)]
    pub(super) examples: Vec<u64>,
}

/// What a node knows of a key.
#[derive(Clone, Debug, Serialize)]
struct Explained {
    node: String,
    key: u64,
    text: String,
}

impl Compared {
    pub(super) fn of(samples: &[&Sample]) -> Self {
        let keys = samples.iter().map(|sample| sample.copies.len()).min().unwrap_or(0);
        let mut compared = Self { keys_compared: keys as u64, ..Self::default() };
        for key in 0..keys {
            let mut held = samples.iter().map(|sample| sample.copies[key]).filter(|copy| *copy != 0);
            let Some(first) = held.next() else { continue };
            let rest: Vec<u64> = held.collect();
            let (conflicts, misses) = (rest.iter().any(|copy| *copy != first), rest.len() + 1 < samples.len());
            compared.keys_conflicting += u64::from(conflicts);
            compared.keys_missing += u64::from(misses);
            if (conflicts || misses) && compared.examples.len() < EXAMPLES_MAX {
                compared.examples.push(key as u64 * samples[0].step);
            }
        }
        compared
    }

    /// Whether no two nodes differ, and each key that one of them misses may be one that it says it left out: a cache may
    /// always miss, and says why.
    pub(super) fn agrees(&self, totals: &Totals) -> bool {
        self.keys_compared > 0 && self.keys_conflicting == 0 && self.keys_missing <= totals.reasons_to_miss()
    }
}

impl Verdict {
    pub(super) fn new(board: &Board, settled: Option<Duration>, compared: Compared, faults: Vec<Done>) -> Self {
        let digests = board.digests().unwrap_or_default();
        let totals = board.totals();
        let mut verdict = Self {
            converged: settled.is_some() || compared.agrees(&totals),
            nodes: board.seats.len(),
            entries: digests.iter().map(|digest| digest.entries).collect(),
            checksums: digests.iter().map(|digest| digest.checksum).collect(),
            settled_ms: settled.map(|settled| settled.as_secs_f64() * 1e3),
            compared,
            totals,
            wrong_at_rest: digests.iter().map(|digest| digest.wrong).sum(),
            faults,
            explained: board.seats.iter().flat_map(Explained::of).collect(),
            problem: None,
        };
        verdict.problem = verdict.find_problem();
        verdict
    }

    /// What did not hold.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    fn find_problem(&self) -> Option<String> {
        if !self.converged {
            return Some("the nodes did not come to hold the same".to_owned());
        }
        let wrong = self.totals.wrong + self.wrong_at_rest;
        if wrong > 0 {
            return Some(format!("{wrong} values were wrong"));
        }
        if self.entries.iter().all(|entries| *entries == 0) {
            return Some("no node holds anything, so nothing was shown".to_owned());
        }
        let cold = self.faults.iter().find(|done| done.warm == Some(false));
        if let Some(done) = cold {
            let recovery = done.recovery.as_deref().unwrap_or("it did not come up");
            return Some(format!("{} did not come back warm: {recovery}", done.whom));
        }
        let whole = self.faults.iter().find(|done| done.datagrams_dropped == Some(0) && done.bytes_held == Some(0));
        whole.map(|done| format!("the partition of {} cut nothing", done.whom))
    }

    fn held(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.entries.iter().map(|entries| count(*entries)).collect();
        let compared = &self.compared;
        match self.settled_ms {
            Some(ms) => {
                let (entries, nodes) = (count(self.entries.first().copied().unwrap_or(0)), self.nodes);
                let who = if nodes == 1 { "1 node holds".to_owned() } else { format!("{nodes} nodes hold the same") };
                let after = duration(Duration::from_secs_f64(ms / 1e3));
                writeln!(f, "{who} {entries} entries, {after} after the load stopped")
            }
            None if self.converged => writeln!(
                f,
                "no key differs; {} missing somewhere: {} evicted, {} below a floor, {} refused",
                count(compared.keys_missing),
                count(self.totals.evicted),
                count(self.totals.left_out),
                count(self.totals.refused)
            ),
            None => writeln!(
                f,
                "{} entries; of {} keys compared {} differ, {} are missing somewhere",
                all.join(", "),
                count(compared.keys_compared),
                count(compared.keys_conflicting),
                count(compared.keys_missing)
            ),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<10}", if self.converged { "converged" } else { "APART" })?;
        self.held(f)?;
        for (index, done) in self.faults.iter().enumerate() {
            let title = if index == 0 { "faults" } else { "" };
            writeln!(f, "  {title:<10}{done}")?;
        }
        for (index, Explained { node, key, text }) in self.explained.iter().enumerate() {
            // The place and the version: the rest is in the JSON.
            let text: Vec<&str> = text.split("; ").take(2).filter(|part| !part.starts_with("hash")).collect();
            let title = if index == 0 { "differ" } else { "" };
            writeln!(f, "  {title:<10}key {key} on {node}: {}", text.join("; "))?;
        }
        let totals = &self.totals;
        let hits = totals.hit_percent();
        writeln!(f, "  {:<10}{}, {hits:.1} % hit, {} wrong", "reads", count(totals.reads), count(totals.wrong))?;
        let (writes, removes, refused) = (count(totals.writes), count(totals.removes), count(totals.refused));
        writeln!(f, "  {:<10}{writes}, and {removes} removes; {refused} refused", "writes")?;
        writeln!(f, "  {:<10}{} changes of others", "applied", count(totals.applied))?;
        match &self.problem {
            None => write!(f, "\n  Everything held."),
            Some(problem) => write!(f, "\n  DID NOT HOLD: {problem}."),
        }
    }
}

impl Explained {
    fn of(seat: &Seat) -> impl Iterator<Item = Self> + '_ {
        seat.explained.iter().map(|(key, text)| Self { node: seat.name.clone(), key: *key, text: text.clone() })
    }
}

const EXAMPLES_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_differ_are_told_from_copies_that_are_missing() {
        let sample = |copies: &[u64]| Sample { step: 1, copies: copies.to_vec() };
        let samples = [sample(&[1, 2, 3, 0, 5]), sample(&[1, 2, 0, 0, 6]), sample(&[1, 9, 3, 0, 0])];
        let compared = Compared::of(&samples.iter().collect::<Vec<_>>());
        let expected = Compared { keys_compared: 5, keys_conflicting: 2, keys_missing: 2, examples: vec![1, 2, 4] };
        assert_eq!(compared, expected);
        assert_eq!(Compared::of(&[]), Compared::default());
    }

    #[test]
    fn a_key_that_is_missing_needs_a_reason() {
        let compared = |conflicting, missing| Compared {
            keys_compared: 9,
            keys_conflicting: conflicting,
            keys_missing: missing,
            examples: Vec::new(),
        };
        let reasons = Totals { evicted: 1, left_out: 1, ..Totals::default() };
        assert!(compared(0, 2).agrees(&reasons));
        assert!(!compared(0, 3).agrees(&reasons));
        assert!(!compared(1, 0).agrees(&reasons));
        assert!(!Compared::default().agrees(&reasons));
    }
}
