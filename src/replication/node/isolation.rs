//! Isolation: what a node does when it hears none of its peers any more, and what becomes of streams without an origin.
//!
//! ```text
//!   heard --three heartbeats missed from all--> isolated                    --heard, and what was missed is here--> heard
//!                                               Miss: reads are held; Revalidate: those of entries of before are
//!   the last peer says goodbye: nobody is missed, but for one that was lost just before without a word
//!
//!   origin lost --2 s, nobody is further with its stream--> told, once      it is back with that life: nothing to tell
//!                                               Revalidate: entries of before go, spread over a span of time
//!   nobody is heard: the 2 s begin when somebody is
//! ```
//!
//! Nothing is ever dropped for being isolated: who hears nobody can not tell whether it is the others that are gone.

#![forbid(unsafe_code)]

use super::Node;
use super::api::{NodeEvent, OnIsolated, OnOriginLost};
use super::confirm::Fence;
use super::link::Owed;
use crate::replication::session::ConnectionId;
use crate::replication::session::time::Micros;
use crate::sync::bite;
use crate::types::stream::StreamId;

/// Who was heard, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Isolation {
    /// When any peer was heard last.
    pub(super) heard: Micros,
    /// When this was judged last.
    ticked: Micros,
    /// Heartbeats of this node in a row between which nobody was heard. Counted, not timed: who was stopped oneself has
    /// missed one at most.
    silent: u64,
    expecting: bool,
    isolated: bool,
    /// When it was judged to be isolated last.
    since: Micros,
}

impl Isolation {
    pub(super) fn new(now: Micros) -> Self {
        Self { heard: now, ticked: now, silent: 0, expecting: false, isolated: false, since: now }
    }

    /// There is a peer, which is to be heard.
    pub(super) fn expect(&mut self, now: Micros) {
        (self.expecting, self.heard) = (true, now);
    }

    /// A heartbeat's time has come; how long after the last one, in microseconds.
    pub(super) fn tick(&mut self, now: Micros) -> u64 {
        self.silent = if self.heard >= self.ticked { 0 } else { self.silent + 1 };
        let after = now.since(self.ticked);
        self.ticked = now;
        after
    }

    /// Whether somebody is to be heard.
    pub(super) fn is_expecting(&self) -> bool {
        self.expecting
    }

    /// Whether something that answers what this node said at `echoed`, by its own clock, was said after the isolation began.
    /// What was said before may be on its way for long, and knows nothing of what was missed.
    pub(super) fn is_answer(&self, echoed: Micros) -> bool {
        echoed >= self.since
    }

    /// What a peer says of itself at the handshake may be as old as the connection.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// The last peer is gone; by its own will it is not missed.
    pub(super) fn is_left_alone(&mut self, is_missed: bool) {
        self.expecting &= is_missed || self.isolated;
    }
}

/// The origin of a stream is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphaned {
    /// Since when that is known.
    since: Micros,
    told: bool,
    /// It said goodbye.
    has_left: bool,
}

impl Orphaned {
    /// Whether it may come back: it went without a word, and not long ago.
    pub(super) fn is_missed(&self) -> bool {
        !self.told && !self.has_left
    }
}

impl Node {
    /// Whether nobody was heard for too long.
    pub(super) fn judge_isolation(&mut self, now: Micros) {
        let is_silent = self.isolation.silent >= self.config.timings.heartbeats_missed;
        let is_judged = self.isolation.isolated || self.departure.is_some();
        if !self.isolation.expecting || is_judged || !is_silent {
            return;
        }
        (self.isolation.isolated, self.isolation.since) = (true, now);
        self.counters.isolations += 1;
        let fenced = self.fences_when_isolated();
        if fenced {
            // A node that is not confirmed yet stays so.
            self.standing.fence = self.standing.fence.or(Some(Fence::Isolated));
            match self.config.on_isolated {
                OnIsolated::Miss => self.store.hold_all(),
                _ => self.store.hold(),
            }
        }
        // What they have by the time that they are heard again is what was missed.
        self.links.values_mut().for_each(|link| link.owed = Owed::Unknown);
        self.tell(NodeEvent::Isolated { fenced });
    }

    fn fences_when_isolated(&self) -> bool {
        self.config.on_isolated != OnIsolated::Serve
    }

    /// Whether reads are held as long as nobody is heard, whatever else would let them go on.
    pub(super) fn is_fenced_off(&self) -> bool {
        self.isolation.isolated && self.fences_when_isolated()
    }

    /// Whether somebody is heard again, and what was missed is here.
    pub(super) fn look_at_isolation(&mut self, now: Micros) {
        let timings = &self.config.timings;
        let is_heard = now.since(self.isolation.heard) <= timings.heartbeat_us * timings.heartbeats_missed;
        if !self.isolation.isolated || !is_heard || !self.links.values().any(|link| link.peer().is_some()) {
            return;
        }
        if self.standing.fence == Some(Fence::Isolated) {
            if !self.has_everything() && !bite("node.fence-opens-early") {
                return;
            }
            self.counters.fences_opened += 1;
            self.open(now);
        }
        self.isolation.isolated = false;
        self.tell(NodeEvent::Reunited);
    }

    /// The origin of a stream is gone. Who has left, and told everything before, is not missed.
    pub(super) fn orphan(&mut self, now: Micros, stream: StreamId, has_left: bool) {
        let end = self.links.values().filter_map(|link| link.peer()?.reach(stream)).max();
        if let Some(row) = self.streams.rows.get_mut(&stream) {
            let is_gone = !has_left || Some(row.position) < end;
            row.orphaned = is_gone.then_some(Orphaned { since: now, told: false, has_left });
        }
    }

    /// A node is there, with these of its lives: what it changed in others is gone with those.
    pub(super) fn adopt(&mut self, now: Micros, id: ConnectionId) {
        let Some(peer) = self.links.get(&id).and_then(|link| link.peer()) else { return };
        for (_, row) in self.streams.rows.iter_mut().filter(|(stream, _)| peer.is_origin_of(**stream)) {
            row.orphaned = None;
        }
        if self.links.values().filter(|link| link.peer().is_some()).count() == 1 {
            self.wait_for_origins(now);
        }
    }

    /// As long as nobody is heard, it is this node that is gone.
    fn wait_for_origins(&mut self, now: Micros) {
        let orphans = self.streams.rows.values_mut().filter_map(|row| row.orphaned.as_mut());
        orphans.filter(|orphaned| !orphaned.told).for_each(|orphaned| orphaned.since = now);
    }

    /// Tells of streams whose origin is gone, once all that anybody has of them is here.
    pub(super) fn look_for_orphans(&mut self, now: Micros) {
        self.store.end_doubt();
        if self.isolation.isolated || !self.links.values().any(|link| link.peer().is_some()) {
            return self.wait_for_origins(now);
        }
        let (links, after_us) = (&self.links, self.config.timings.alone_us);
        let mut lost = Vec::new();
        for (stream, row) in &mut self.streams.rows {
            let Some(orphaned) = row.orphaned.as_mut().filter(|orphaned| !orphaned.told) else { continue };
            let is_behind =
                links.values().any(|link| link.peer().and_then(|peer| peer.reach(*stream)) > Some(row.position));
            if now.since(orphaned.since) >= after_us && !is_behind {
                orphaned.told = true;
                lost.push(*stream);
            }
        }
        for stream in lost {
            self.counters.origins_lost += 1;
            if self.config.on_origin_lost == OnOriginLost::Revalidate {
                self.store.doubt();
            }
            self.tell(NodeEvent::OriginLost { stream });
        }
    }
}
