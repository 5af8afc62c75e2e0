//! Standing: what a node may show to its readers, and whether others can learn from it.
//!
//! ```text
//!   warm arena:  Held ---every member met is covered, or nobody was found---> Complete
//!   no arena:    Joining ---a sync has ended, or this node founds the cluster---> Complete
//!
//!   met   what each connected peer had when it was met: the arena is confirmed once all of it has been applied
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::{ConnectionId, NodeEvent, OnIsolated, Readiness};
use crate::replication::session::time::Micros;
use crate::sync::bite;
use crate::types::stream::Vector;
use std::collections::BTreeMap;

/// A founder waits so long for somebody who has joined before, where others are cold too.
const FOUND_AFTER_US: u64 = 400_000;

/// How far a node has come.
#[derive(Debug)]
pub(super) struct Standing {
    readiness: Readiness,
    /// The arena holds what a former life left.
    warm: bool,
    began: Micros,
    met: BTreeMap<ConnectionId, Vector>,
    /// Reads are held because nobody is heard.
    fenced: bool,
    isolated: bool,
    had_peers: bool,
    synced: bool,
}

impl Standing {
    pub(super) fn new(warm: bool, now: Micros) -> Self {
        let readiness = if warm { Readiness::Held } else { Readiness::Joining };
        Self {
            readiness,
            warm,
            began: now,
            met: BTreeMap::new(),
            fenced: false,
            isolated: false,
            had_peers: false,
            synced: false,
        }
    }

    pub(super) fn readiness(&self) -> Readiness {
        self.readiness
    }

    pub(super) fn is_held(&self) -> bool {
        self.readiness == Readiness::Held
    }

    pub(super) fn is_complete(&self) -> bool {
        self.readiness == Readiness::Complete
    }

    /// Whether it has nothing of the cluster yet.
    pub(super) fn is_cold(&self) -> bool {
        !self.warm && !self.is_complete()
    }

    pub(super) fn meet(&mut self, id: ConnectionId, has: &Vector) {
        self.met.insert(id, has.clone());
        self.had_peers = true;
    }

    pub(super) fn part(&mut self, id: ConnectionId) {
        self.met.remove(&id);
    }

    pub(super) fn synced(&mut self) {
        self.synced = true;
    }
}

impl Node {
    pub(super) fn begin_standing(&mut self, now: Micros) {
        if self.standing.warm && (self.config.serve_unconfirmed || bite("node.serves-unconfirmed")) {
            self.counters.served_unconfirmed += 1;
            self.complete(now);
        }
    }

    /// Whether the node has come further.
    pub(super) fn review_standing(&mut self, now: Micros) {
        match self.standing.readiness {
            Readiness::Complete => {}
            Readiness::Held => {
                let own = self.store.stream();
                let covered = |vector: &Vector| {
                    vector
                        .iter()
                        .all(|(stream, at)| stream == own || self.applied.get(stream).is_some_and(|has| has >= at))
                };
                let confirmed = !self.standing.met.is_empty() && self.standing.met.values().all(covered);
                if confirmed && self.sync.is_none() {
                    self.counters.confirmed += 1;
                    self.tell(NodeEvent::Confirmed { after_us: now.since(self.standing.began) });
                    self.complete(now);
                }
            }
            Readiness::Joining | Readiness::Serving => {
                if self.standing.synced {
                    return self.complete(now);
                }
                self.begin_sync(now);
                if self.sync.is_none() && self.is_founder(now) {
                    self.counters.founded += 1;
                    self.complete(now);
                }
            }
        }
    }

    /// Of cold nodes that have met, the one with the smallest name founds the cluster.
    fn is_founder(&self, now: Micros) -> bool {
        let mut peers =
            self.sessions.values().filter(|session| session.is_established()).filter_map(|s| s.peer.as_ref());
        now.since(self.standing.began) > FOUND_AFTER_US
            && self.book.all_tried()
            && !self.standing.met.is_empty()
            && peers.all(|peer| !peer.is_joined() && self.config.name < peer.name)
    }

    /// The time to look for members is over.
    pub(super) fn find_nobody(&mut self, now: Micros) {
        if self.standing.is_complete() || self.sync.is_some() || !self.standing.met.is_empty() {
            self.timers.set(super::Timer::Alone, now.plus(self.config.timings.alone_us));
            return;
        }
        if self.standing.warm {
            self.counters.served_unconfirmed += 1;
            self.tell(NodeEvent::ServingUnconfirmed);
        } else {
            self.counters.founded += 1;
        }
        self.complete(now);
    }

    fn complete(&mut self, now: Micros) {
        self.standing.readiness = Readiness::Complete;
        self.store.end_join();
        if !self.standing.fenced {
            self.store.serve();
        }
        self.tell(NodeEvent::Readiness(Readiness::Complete));
        self.timers.set_earlier(super::Timer::Tick, now.plus(1_000));
    }

    /// Notices that nobody is heard, and that somebody is again.
    pub(super) fn notice_isolation(&mut self, now: Micros) {
        let silence = self.config.timings.heartbeat_us * self.config.timings.heartbeats_missed;
        let heard =
            self.sessions.values().any(|session| session.is_established() && now.since(session.heard) <= silence);
        if !heard && self.standing.had_peers && !self.standing.isolated {
            self.standing.isolated = true;
            self.counters.isolations += 1;
            let fenced = self.config.on_isolated == OnIsolated::Miss;
            if fenced {
                self.standing.fenced = true;
                self.store.hold();
            }
            self.tell(NodeEvent::Isolated { fenced });
        } else if heard && self.standing.isolated && self.has_caught_up() {
            self.standing.isolated = false;
            if std::mem::take(&mut self.standing.fenced) {
                self.counters.fences_opened += 1;
                if self.standing.is_complete() {
                    self.store.serve();
                }
            }
            self.tell(NodeEvent::Reunited);
        }
    }

    /// Whether all that connected peers have has been applied.
    fn has_caught_up(&self) -> bool {
        let own = self.store.stream();
        let peers = self.sessions.values().filter(|session| session.is_established()).filter_map(|s| s.peer.as_ref());
        self.sync.is_none()
            && peers
                .flat_map(|peer| peer.reaches())
                .all(|(stream, reach)| stream == own || self.applied.get(stream).is_some_and(|at| at >= reach))
    }
}
