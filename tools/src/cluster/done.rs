//! A fault that was done, and what came of it.

use super::board::Seat;
use super::schedule::Fault;
use crate::size::{count, duration};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A fault that was done, and what came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Done {
    /// `kill`, `pause` or `partition`.
    pub(super) kind: &'static str,
    pub(super) whom: String,
    pub(super) at_s: f64,
    pub(super) lasted_s: f64,
    /// Of a kill: whether the restart found the arena warm, and in its own words.
    pub(super) warm: Option<bool>,
    pub(super) recovery: Option<String>,
    /// Of a kill: from the start of the process to its being complete.
    pub(super) complete_after_ms: Option<u64>,
    /// Of a partition; of the bytes those that had left their sender's buffers.
    pub(super) datagrams_dropped: Option<u64>,
    pub(super) bytes_held: Option<u64>,
}

impl Done {
    pub(super) fn new(fault: Fault, at: Duration) -> Self {
        Self { kind: fault.option(), whom: fault.to_string(), at_s: at.as_secs_f64(), ..Self::default() }
    }

    /// Its begin or its end, and what the network had lost by then.
    pub(super) fn note(&mut self, at: Duration, begins: bool, (datagrams, bytes): (u64, u64)) {
        let is_cut = self.kind == "partition";
        if begins {
            (self.datagrams_dropped, self.bytes_held) = (is_cut.then_some(datagrams), is_cut.then_some(bytes));
        } else {
            self.lasted_s = at.as_secs_f64() - self.at_s;
            let since = |now: u64, before: Option<u64>| before.map(|before| now.saturating_sub(before));
            self.datagrams_dropped = since(datagrams, self.datagrams_dropped);
            self.bytes_held = since(bytes, self.bytes_held);
        }
    }

    /// How the node of a kill came back.
    pub(super) fn came_back(&mut self, seat: &Seat) {
        self.warm = Some(seat.started.as_ref().is_some_and(|started| started.warm));
        self.recovery = seat.started.as_ref().map(|started| started.recovery.clone());
        self.complete_after_ms = seat.complete_ms;
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whom, at_s, lasted_s, .. } = self;
        match self.kind {
            "kill" => {
                write!(f, "{whom} killed at {at_s:.1} s, started again {lasted_s:.1} s later: ")?;
                match self.warm {
                    Some(true) => f.write_str("warm")?,
                    _ => f.write_str(self.recovery.as_deref().unwrap_or("it did not come up"))?,
                }
                match self.complete_after_ms {
                    Some(ms) => write!(f, ", complete {} later", duration(Duration::from_millis(ms))),
                    None => Ok(()),
                }
            }
            "pause" => write!(f, "{whom} stopped at {at_s:.1} s for {lasted_s:.1} s"),
            _ => {
                let datagrams = count(self.datagrams_dropped.unwrap_or(0));
                write!(
                    f,
                    "{whom} cut at {at_s:.1} s for {lasted_s:.1} s: {datagrams} datagrams dropped, connections held"
                )
            }
        }
    }
}
