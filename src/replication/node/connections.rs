//! Connections: dialled, made, ended, and who is told.
//!
//! ```text
//!   book --due--> Dial --handle_connected--> greeting (handshake) --> established --> lost: streams look for another source
//!                      --handle_dial_failed-> book, later                 |
//!                                                                         +--> closing: what is left to say goes out
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::{Action, CloseReason, ClosedBy, ConnectionId, NodeEvent, Side};
use super::link::Link;
use super::receive::Fault;
use super::timers::Timer;
use crate::replication::session::time::Micros;
use crate::replication::wire::Reason;
use crate::sync::bite;
use crate::types::limits::LINKS_MAX;
use std::net::SocketAddr;

/// How long a connection that is being closed waits for a driver that no longer asks.
const CLOSING_US: u64 = 2_000_000;
/// How long a frame may take: the largest one at 100 kbit/s.
const FRAME_US_MAX: u64 = 30_000_000;

impl Node {
    /// A connection is open, and its channel secure.
    pub(crate) fn handle_connected(&mut self, now: Micros, id: ConnectionId, side: Side) {
        self.counters.connections += 1;
        if let Side::Dialled(address) = side {
            self.book.connected(address, id);
        }
        let is_full = self.links.len() >= LINKS_MAX;
        self.links.insert(id, Link::new(side, now));
        self.timers.set_earlier(Timer::Tick, now.plus(self.config.timings.heartbeat_us));
        if self.leaving.is_some() {
            return self.end(now, id, Fault::Refuse(Reason::Leaving, String::new()));
        }
        if is_full {
            return self.end(now, id, Fault::Refuse(Reason::Full, String::new()));
        }
        if matches!(side, Side::Accepted(_)) {
            self.greet(id);
        }
    }

    /// A dial has failed.
    pub(crate) fn handle_dial_failed(&mut self, now: Micros, address: SocketAddr) {
        self.counters.dial_failures += 1;
        self.book.failed(now, address);
        self.dial(now);
    }

    /// A connection has ended, not by `Action::Close`.
    pub(crate) fn handle_closed(&mut self, now: Micros, id: ConnectionId, by: ClosedBy) {
        let Some(link) = self.links.get(&id) else { return };
        if !link.session.is_closing() {
            if by == ClosedBy::Security {
                self.strike(now, id);
            }
            self.lose(now, id, false);
        }
        self.links.remove(&id);
        // Now that nobody is connected there any more.
        self.dial(now);
        self.settle(now);
    }

    /// Ends a connection from this side.
    pub(super) fn end(&mut self, now: Micros, id: ConnectionId, fault: Fault) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.session.is_closing()) else { return };
        let reason = match fault {
            Fault::Close(reason) => reason,
            Fault::Refuse(reason, why) => {
                link.session.refuse(reason, &why);
                self.counters.refused(reason);
                self.tell_refused(id, reason, &why);
                if reason == Reason::Duplicate { CloseReason::Duplicate } else { CloseReason::Refused }
            }
            Fault::Frame(error) => {
                link.session.refuse(Reason::Frame, &error.to_string());
                self.counters.bad_frame(&error);
                self.tell_refused(id, Reason::Frame, &error.to_string());
                CloseReason::BadInput
            }
            Fault::Order(what) => {
                link.session.refuse(Reason::Order, what);
                self.counters.bad_order += 1;
                self.tell_refused(id, Reason::Order, what);
                CloseReason::BadInput
            }
        };
        if matches!(reason, CloseReason::BadInput | CloseReason::ChecksumMismatch) {
            self.strike(now, id);
        }
        self.lose(now, id, reason == CloseReason::PeerLeft);
        if let Some(link) = self.links.get_mut(&id) {
            link.session.close(now);
            (link.donor, link.outgoing) = (None, None);
        }
        self.dial(now);
        self.actions.push_back(Action::Close(id, reason));
    }

    fn tell_refused(&mut self, id: ConnectionId, reason: Reason, why: &str) {
        let address = self.links.get(&id).map(|link| link.session.side.address());
        if let Some(address) = address.filter(|_| reason != Reason::Duplicate) {
            self.tell(NodeEvent::Refused { address, by_peer: false, reason: format!("{reason}: {why}") });
        }
    }

    /// Whoever is at the other end has misbehaved.
    fn strike(&mut self, now: Micros, id: ConnectionId) {
        let Some(link) = self.links.get(&id) else { return };
        let address = match link.session.side {
            Side::Dialled(address) => Some(address),
            Side::Accepted(_) => link.session.peer.as_ref().and_then(|peer| peer.address),
        };
        if address.is_some_and(|address| self.book.strike(now, address)) {
            self.counters.quarantined += 1;
        }
    }

    /// What follows from the end of a connection. The caller dials, once it is gone.
    fn lose(&mut self, now: Micros, id: ConnectionId, has_left: bool) {
        let Some(link) = self.links.get(&id) else { return };
        if let Side::Dialled(address) = link.session.side {
            self.book.failed(now, address);
        }
        if let Some(peer) = link.peer() {
            let (name, address, stream) = (peer.name.clone(), peer.address, peer.stream());
            let incarnation = peer.incarnation;
            if let Some(address) = address.filter(|address| link.session.side != Side::Dialled(*address)) {
                self.book.failed(now, address);
            }
            self.streams.drop_source(id);
            self.abandon_sync(now, id);
            let others = self.links.iter().filter(|(other, _)| **other != id);
            let mut others = others.filter_map(|(_, link)| link.peer());
            let (is_replaced, is_there) = match others.find(|other| other.name == name) {
                Some(other) => (true, other.is_origin_of(stream)),
                None => (false, false),
            };
            // Who leaves itself loses nobody.
            if self.departure.is_none() {
                if !is_there {
                    self.orphan(now, stream, has_left);
                }
                self.lose_company(now, id, has_left);
                if !is_replaced {
                    self.book.hasten(now);
                    match has_left {
                        true => self.tell(NodeEvent::PeerLeft { name }),
                        false => self.note_loss(now, name, incarnation),
                    }
                }
            }
            self.review_due = true;
        }
    }

    /// Notes an address where a node may be.
    pub(super) fn learn_address(&mut self, now: Micros, address: SocketAddr, is_seed: bool) {
        if !self.book.add(now, address, is_seed) {
            self.counters.addresses_dropped += 1;
        }
    }

    /// Dials whoever is due, and notes when the next one is.
    pub(super) fn dial(&mut self, now: Micros) {
        self.timers.clear(Timer::Dial);
        if self.leaving.is_some() || bite("node.never-redials") && self.counters.handshakes > 0 {
            return;
        }
        let links = &self.links;
        let is_connected = |name: &str| links.values().filter_map(Link::peer).any(|peer| peer.name == name);
        while let Some(address) = self.book.take_due(now, is_connected) {
            self.counters.dials += 1;
            self.actions.push_back(Action::Dial(address));
        }
        if let Some(due) = self.book.next_due(is_connected) {
            self.timers.set(Timer::Dial, due.max(now.plus(1)));
        }
    }

    /// Ends connections that are silent, that do not come to an end of their handshake, or whose peer does not read.
    pub(super) fn look_at_connections(&mut self, now: Micros, overslept: bool) {
        let timings = self.config.timings;
        let mut ended = Vec::new();
        self.links.retain(|id, link| {
            let session = &link.session;
            let reason = match session.state {
                crate::replication::session::State::Closing { since } => return now.since(since) <= CLOSING_US,
                crate::replication::session::State::Greeting if now.since(session.opened) > timings.handshake_us => {
                    self.counters.handshake_timeouts += 1;
                    Some(CloseReason::Silent)
                }
                _ if session.is_choked() => {
                    self.counters.choked_closed += 1;
                    Some(CloseReason::Silent)
                }
                _ if session.is_established() && now.since(session.heard) > timings.idle_us && !overslept => {
                    self.counters.silent_closed += 1;
                    Some(CloseReason::Silent)
                }
                // A header's length is believed before its checksum can be looked at.
                _ if session.is_established() && now.since(session.understood) > FRAME_US_MAX && !overslept => {
                    self.counters.endless_closed += 1;
                    Some(CloseReason::Silent)
                }
                _ => None,
            };
            ended.extend(reason.map(|reason| (*id, reason)));
            true
        });
        ended.into_iter().for_each(|(id, reason)| self.end(now, id, Fault::Close(reason)));
    }
}
