//! What is known of each node: its process, what it said last, what its earlier processes had done.

use super::process::{Heard, Process};
use super::schedule::{NodeIndex, name};
use crate::node::{Digest, Figures, Line, Sample, Started};
use std::net::SocketAddr;

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Running,
    Paused,
    Killed,
}

/// One node.
pub(super) struct Seat {
    pub(super) name: String,
    /// Where it listens.
    pub(super) listen: SocketAddr,
    pub(super) process: Option<Process>,
    /// Which of its processes, from 1.
    pub(super) life: u32,
    pub(super) state: State,
    pub(super) started: Option<Started>,
    /// When it said that it was complete for the first time, in milliseconds of its process.
    pub(super) complete_ms: Option<u64>,
    pub(super) figures: Option<Figures>,
    pub(super) digest: Option<Digest>,
    pub(super) sample: Option<Sample>,
    /// What it knows of keys that differ.
    pub(super) explained: Vec<(u64, String)>,
    /// What the earlier processes had done, as they said last.
    past: Totals,
}

/// What was done, over all nodes and processes.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Totals {
    pub(super) reads: u64,
    pub(super) hits: u64,
    pub(super) writes: u64,
    pub(super) removes: u64,
    pub(super) refused: u64,
    pub(super) wrong: u64,
    pub(super) applied: u64,
    pub(super) left_out: u64,
    pub(super) evicted: u64,
}

/// All nodes.
pub(super) struct Board {
    pub(super) seats: Vec<Seat>,
}

/// What is to be told of a line.
pub(super) enum News {
    Nothing,
    Event {
        node: NodeIndex,
        text: String,
    },
    /// A process ended that nobody had killed.
    Ended(NodeIndex),
}

impl Board {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        Self { seats: addresses.iter().enumerate().map(|(node, listen)| Seat::new(name(node), *listen)).collect() }
    }

    /// Takes what a process said.
    pub(super) fn take(&mut self, heard: Heard) -> News {
        let seat = &mut self.seats[heard.node];
        if heard.life != seat.life || seat.process.is_none() {
            return News::Nothing;
        }
        let Some(said) = heard.said else { return News::Ended(heard.node) };
        match said.line {
            Line::Started(started) => {
                seat.started = Some(started);
                seat.state = State::Running;
            }
            Line::Event { event, text } => {
                if event == "readiness" && text.ends_with("complete") {
                    seat.complete_ms.get_or_insert(said.at_ms);
                }
                return News::Event { node: heard.node, text };
            }
            Line::Stats(figures) => seat.figures = Some(*figures),
            Line::Digest(digest) => seat.digest = Some(digest),
            Line::Sample(sample) => seat.sample = Some(sample),
            Line::Explained { key, text } => seat.explained.push((key, text)),
            Line::Left(_) => {}
        }
        News::Nothing
    }

    /// Whether each node has all that the others have, and is connected to all of them.
    pub(super) fn is_complete(&self) -> bool {
        let others = self.seats.len() - 1;
        self.seats.iter().all(|seat| {
            let whole = |figures: &Figures| figures.readiness == "complete" && figures.connected() == others;
            seat.state == State::Running && seat.figures.as_ref().is_some_and(whole)
        })
    }

    /// The digests, once all are there.
    pub(super) fn digests(&self) -> Option<Vec<&Digest>> {
        self.seats.iter().map(|seat| seat.digest.as_ref()).collect()
    }

    /// The samples, once all are there.
    pub(super) fn samples(&self) -> Option<Vec<&Sample>> {
        self.seats.iter().map(|seat| seat.sample.as_ref()).collect()
    }

    pub(super) fn totals(&self) -> Totals {
        self.seats.iter().map(Seat::totals).fold(Totals::default(), Totals::plus)
    }
}

impl Seat {
    fn new(name: String, listen: SocketAddr) -> Self {
        Self {
            name,
            listen,
            process: None,
            life: 0,
            state: State::Starting,
            started: None,
            complete_ms: None,
            figures: None,
            digest: None,
            sample: None,
            explained: Vec::new(),
            past: Totals::default(),
        }
    }

    /// Its process is gone: what it had done is kept, what it knew is not.
    pub(super) fn forget(&mut self) {
        self.past = self.totals();
        (self.figures, self.started, self.complete_ms) = (None, None, None);
    }

    fn totals(&self) -> Totals {
        self.figures.as_ref().map_or(self.past, |figures| self.past.plus(Totals::of(figures)))
    }

    /// Its figures, unless it has stopped since.
    pub(super) fn current(&self) -> Option<&Figures> {
        self.figures.as_ref().filter(|_| self.state == State::Running)
    }

    /// Its state in a word.
    pub(super) fn word(&self) -> &str {
        match (self.state, &self.figures) {
            (State::Starting, _) => "starting",
            (State::Paused, _) => "stopped",
            (State::Killed, _) => "killed",
            (State::Running, None) => "joining",
            (State::Running, Some(figures)) => &figures.readiness,
        }
    }
}

impl Totals {
    fn of(figures: &Figures) -> Self {
        Self {
            reads: figures.reads,
            hits: figures.hits,
            writes: figures.writes,
            removes: figures.removes,
            refused: figures.refused,
            wrong: figures.wrong,
            applied: figures.applied,
            left_out: figures.left_out,
            evicted: figures.evicted,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            hits: self.hits + other.hits,
            writes: self.writes + other.writes,
            removes: self.removes + other.removes,
            refused: self.refused + other.refused,
            wrong: self.wrong + other.wrong,
            applied: self.applied + other.applied,
            left_out: self.left_out + other.left_out,
            evicted: self.evicted + other.evicted,
        }
    }

    /// Reasons that were counted for a key to be absent on one node alone.
    pub(super) fn reasons_to_miss(&self) -> u64 {
        self.evicted + self.left_out + self.refused
    }

    /// Hits in percent of the reads.
    pub(super) fn hit_percent(&self) -> f64 {
        100.0 * self.hits as f64 / self.reads.max(1) as f64
    }
}
