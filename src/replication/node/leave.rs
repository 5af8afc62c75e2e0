//! Leaving: what is unsent goes out, it is waited for, and then goodbye.
//!
//! ```text
//!   leave -> no dials, no new peers -> every peer has acknowledged the own end, or the deadline
//!         -> GOODBYE to all, closed behind it -> departure: what was left; reads that were held are answered
//! ```
//!
//! Where the cache is closed nothing can be taken in any more: the node leaves by itself, after what was written before is sent.
//!
//! A cache that goes on alone hears of no change any more, confirmed or not: holding its entries back would promise nothing.

#![forbid(unsafe_code)]

use super::Node;
use super::api::{CloseReason, ConnectionId, Departure, NodeEvent};
use super::receive::Fault;
use super::timers::Timer;
use crate::replication::session::time::Micros;
use crate::replication::wire::{Goodbye, Unsubscribe};

/// How long the node of a closed cache goes on sending what is unsent.
const CLOSED_US: u64 = 1_000_000;

/// A leave that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    deadline: Micros,
}

impl Node {
    /// Sends what is unsent, waits for acknowledgements until a deadline, and says goodbye. No connection is made any more.
    /// Of several deadlines the earliest holds.
    pub(crate) fn leave(&mut self, now: Micros, deadline: Micros) {
        if self.departure.is_none() && self.leaving.is_none_or(|leaving| deadline < leaving.deadline) {
            self.leaving = Some(Leaving { deadline });
            self.timers.set(Timer::Leave, deadline.max(now));
            self.ask_acknowledgements(now);
            self.look_at_leaving(now);
        }
    }

    /// The cache is closed: nothing more is asked for, and this node leaves. Whether a connection can go on until then: not
    /// if a sync comes over it, which has no end but its own.
    pub(super) fn leave_closed(&mut self, now: Micros, id: ConnectionId) -> bool {
        for (stream, row) in &mut self.streams.rows {
            if let Some(link) = row.stop().and_then(|source| self.links.get_mut(&source)) {
                link.session.say(|version, out| Unsubscribe { stream: *stream }.encode(version, out));
            }
        }
        self.leave(now, now.plus(CLOSED_US));
        if self.sync.as_ref().is_none_or(|sync| sync.donor != id) {
            return true;
        }
        self.say_goodbye(id);
        false
    }

    fn say_goodbye(&mut self, id: ConnectionId) {
        let goodbye = Goodbye { end: self.store.end() };
        if let Some(link) = self.links.get_mut(&id).filter(|link| link.session.is_established()) {
            link.session.say(|version, out| goodbye.encode(version, out));
        }
    }

    /// Peers that lack changes of this node, with the cells that they lack.
    pub(super) fn unacknowledged(&self) -> Vec<(String, u64)> {
        let end = self.store.end();
        let peers = self.links.values().filter_map(|link| link.peer());
        let lacks = peers
            .map(|peer| (peer.name.clone(), end.0 - peer.vector.get(self.stream).unwrap_or_default().0.min(end.0)));
        lacks.filter(|(_, cells)| *cells > 0).collect()
    }

    /// Whether there is nothing left to wait for.
    pub(super) fn look_at_leaving(&mut self, now: Micros) {
        let Some(leaving) = self.leaving.filter(|_| self.departure.is_none()) else { return };
        if now >= leaving.deadline || self.unacknowledged().is_empty() {
            self.finish_leaving(now);
        }
    }

    pub(super) fn finish_leaving(&mut self, now: Micros) {
        if self.departure.is_some() {
            return;
        }
        self.timers.clear(Timer::Leave);
        let unacknowledged = self.unacknowledged();
        self.departure = Some(Departure { unacknowledged: unacknowledged.clone() });
        for id in self.links.keys().copied().collect::<Vec<ConnectionId>>() {
            self.say_goodbye(id);
            self.end(now, id, Fault::Close(CloseReason::Leaving));
        }
        self.serve_alone(now);
        self.tell(NodeEvent::Left { unacknowledged });
    }

    /// A peer leaves: it is not missed, and not dialled before it is heard of again.
    pub(super) fn handle_goodbye(&mut self, id: ConnectionId, goodbye: Goodbye) -> Fault {
        self.counters.goodbyes += 1;
        if let Some(peer) = self.links.get_mut(&id).and_then(|link| link.session.peer.as_mut()) {
            peer.grow(goodbye.end);
        }
        Fault::Close(CloseReason::PeerLeft)
    }
}
