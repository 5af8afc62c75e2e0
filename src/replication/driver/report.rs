//! What the thread is asked, what it says, and how it ends.
//!
//! ```text
//!   Wait      -> waits; the peers are asked to acknowledge at once
//!   Seeds     -> the node and membership              Unresolved -> an event
//!   Leave     -> the node sends what is unsent and waits for acknowledgements -> departure -> promises are kept
//!                -> membership says goodbye -> connections close -> the thread ends, LEAVE_LINGER_MS later at the latest
//!   the cache is closed, and a change comes: the same, unasked
//!
//!   said:  status, then waits, then events: who is told of something finds it in the status
//! ```

#![forbid(unsafe_code)]

use crate::replication::driver::connection::Connection;
use crate::replication::driver::happening::Happening;
use crate::replication::driver::net::Net;
use crate::replication::driver::shared::{Command, Known, Status};
use crate::replication::driver::waits::{Goal, Progress};
use crate::replication::node::api::{CloseReason, ConnectionId, Departure, NodeEvent};
use crate::replication::session::time::Micros;
use crate::sync::promise::Promise;
use crate::types::limits::{LEAVE_LINGER_MS, STATUS_INTERVAL_MS};
use std::time::Duration;

/// A leave under way.
#[derive(Debug)]
pub(super) struct Leaving {
    until: Micros,
    promises: Vec<Promise<Departure>>,
    /// Set once the node has left: when the thread ends whatever is still open.
    end: Option<Micros>,
}

impl Leaving {
    pub(super) fn deadline(&self) -> Option<Micros> {
        self.end
    }
}

/// Commands that are taken before the connections have their turn.
const COMMANDS_PER_TURN: usize = 1_024;

impl Net {
    /// Does what was asked for.
    pub(super) fn take_commands(&mut self, now: Micros) {
        for _ in 0..COMMANDS_PER_TURN {
            let Some(command) = self.shared.next_command() else { return };
            match command {
                Command::Wait { goal, timeout, promise } => {
                    if matches!(goal, Goal::Replicated { .. }) {
                        self.node.ask_acknowledgements(now);
                    }
                    self.waits.add(goal, later(now, timeout), promise);
                }
                Command::Seeds(addresses) => self.take_seeds(now, &addresses),
                Command::Unresolved { seed, reason } => {
                    if self.told_names.may_tell(now, &seed) {
                        self.happened(Happening::Unresolved { seed, reason });
                    }
                }
                Command::Leave { timeout, promise } => self.leave(now, later(now, timeout), promise),
            }
        }
        // The rest has its turn in the next round.
        self.shared.alarm.wake();
    }

    fn leave(&mut self, now: Micros, until: Micros, promise: Promise<Departure>) {
        if self.leaving.as_ref().is_some_and(|leaving| leaving.end.is_some()) {
            // It has left: the promise is dropped, which says so.
            return;
        }
        let sooner = self.leaving.as_ref().is_none_or(|leaving| until < leaving.until);
        let leaving = self.leaving.get_or_insert_with(|| Leaving { until, promises: Vec::new(), end: None });
        leaving.promises.push(promise);
        if sooner {
            leaving.until = until;
            self.node.leave(now, until);
        }
    }

    /// Says what is to be said at the end of a round.
    pub(super) fn report(&mut self, now: Micros) {
        while let Some(event) = self.node.poll_event() {
            if let NodeEvent::Refused { address, by_peer, reason } = &event {
                let why = reason.split(':').next().unwrap_or_default();
                if !self.told_refusals.may_tell(now, &format!("{} {by_peer} {why}", address.ip())) {
                    continue;
                }
            }
            self.happened(Happening::Node(event));
        }
        let applied = self.node.applied();
        self.shared.applied.publish(&applied);
        let happened = std::mem::take(&mut self.happened);
        if !happened.is_empty() || now >= self.status_due {
            self.status_due = now.plus(STATUS_INTERVAL_MS * 1_000);
            let status = self.status(now);
            let has_left = self.node.departure().is_some();
            self.shared.set_status(if has_left { status.at_the_end() } else { status });
        }
        if !self.waits.is_empty() {
            let progress = self.progress();
            self.waits.look(now, &progress, &applied);
        }
        happened.into_iter().for_each(|event| self.shared.log.write(event));
        self.depart(now);
    }

    /// Notes something for the end of the round.
    pub(super) fn happened(&mut self, happening: Happening) {
        happening.log();
        self.happened.push(happening);
    }

    fn status(&self, now: Micros) -> Status {
        let connected = self.node.members(now);
        let is_connected = |name: &str| connected.iter().any(|member| member.name == name);
        let known = self.known_members().into_iter().filter(|member| !is_connected(&member.name));
        let known = known.map(|member| Known {
            name: member.name.to_string(),
            incarnation: member.incarnation,
            address: member.address,
        });
        Status {
            readiness: self.node.readiness(),
            known: known.collect(),
            connected,
            advertised: self.advertised,
            clock_bound_us: self.node.clock_bound_us(),
            membership: self.gossip.membership.counters(),
            admission: self.admission.counters(),
            protocol: self.node.counters().named(),
            refusals: self.refusals.iter().map(|(name, count)| (*name, *count)).collect(),
            heap_bytes: self.node.heap_bytes() + self.connections.values().map(Connection::heap_bytes).sum::<usize>(),
        }
    }

    /// How far the members are with this node's changes.
    fn progress(&self) -> Progress {
        let stream = self.store.stream();
        let acknowledged = self.node.acknowledged();
        let is_connected = |name: &str| acknowledged.iter().any(|peer| peer.name == name);
        let away = self.gossip.membership.members().filter(|member| !is_connected(&member.name)).count();
        let confirmed = acknowledged.iter().map(|peer| peer.vector.get(stream).unwrap_or_default()).collect();
        Progress::new(confirmed, acknowledged.len() + away)
    }

    /// Takes the steps of a leave that are due.
    fn depart(&mut self, now: Micros) {
        let Some(departure) = self.node.departure() else { return };
        // By itself, too: its cache is closed.
        let leaving = self.leaving.get_or_insert_with(|| Leaving { until: now, promises: Vec::new(), end: None });
        leaving.promises.drain(..).for_each(|promise| promise.keep(departure.clone()));
        if leaving.end.is_none() {
            leaving.end = Some(now.plus(LEAVE_LINGER_MS * 1_000));
            self.stop_listening();
            self.gossip.membership.leave(now.0);
            self.send_datagrams(now);
            let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
            ids.into_iter().for_each(|id| self.close(now, id, CloseReason::Leaving));
        }
    }

    /// Whether nothing is left to be done.
    pub(super) fn has_left(&self) -> bool {
        let end = self.leaving.as_ref().and_then(Leaving::deadline);
        end.is_some_and(|end| self.connections.is_empty() || self.now() >= end)
    }
}

/// A moment so much later.
fn later(now: Micros, by: Duration) -> Micros {
    now.plus(u64::try_from(by.as_micros()).unwrap_or(u64::MAX))
}
