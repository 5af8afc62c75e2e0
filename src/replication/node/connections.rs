//! Connections: greetings, who stays when two nodes have two, and how each ends.
//!
//! ```text
//!   accepted:  HELLO ->            <- HELLO   fits: established        does not: REFUSE -> closed
//!   dialled:            <- HELLO   fits: HELLO -> established          leads here: closed without a word
//!
//!   two connections of one pair: the one dialled by the smaller name stays; of two dialled by one side, the newer
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::{Action, CloseReason, ClosedBy, ConnectionId, Departure, NodeEvent, Side};
use super::timers::Timer;
use crate::replication::session::peer::Peer;
use crate::replication::session::time::Micros;
use crate::replication::session::{Session, State};
use crate::replication::wire::{Goodbye, Hello, List, Positions, Reason, negotiate};
use crate::types::limits::PEERS_MAX;
use crate::types::stream::Origin;
use std::net::SocketAddr;

impl Node {
    /// A connection is open, and its channel secure.
    pub(crate) fn handle_connected(&mut self, now: Micros, id: ConnectionId, side: Side) {
        self.counters.connections += 1;
        let mut session = Session::new(side, now);
        match side {
            Side::Dialled(address) => self.book.connected(address, id),
            Side::Accepted(_) => self.greet(now, &mut session),
        }
        self.sessions.insert(id, session);
    }

    /// A dial has failed.
    pub(crate) fn handle_dial_failed(&mut self, now: Micros, address: SocketAddr) {
        self.counters.dial_failures += 1;
        if !crate::sync::bite("node.never-redials") {
            self.book.failed(now, address);
        }
        self.timers.set_earlier(Timer::Dial, now);
    }

    /// A connection has ended, not by `Action::Close`.
    pub(crate) fn handle_closed(&mut self, now: Micros, id: ConnectionId, by: ClosedBy) {
        if by == ClosedBy::Security
            && let Some(session) = self.sessions.get(&id)
        {
            self.book.strike(now, session.side.address());
        }
        self.drop_session(now, id);
    }

    fn greet(&self, now: Micros, session: &mut Session) {
        let ranges = self.store.streams();
        session.greet(&Hello {
            protocol: self.config.protocol.clone(),
            flags: self.flags(),
            floor_ranges: self.store.floor_ranges(),
            cluster: self.config.cluster,
            incarnation: self.store.stream().incarnation,
            now_us: now.0,
            value_bytes_max: self.store.value_bytes_max(),
            name: &self.config.name,
            advertised: self.config.advertised.filter(|address| !address.ip().is_unspecified()),
            streams: List::Values(&ranges),
            vector: Positions::from(self.told()),
        });
    }

    /// HELLO has come. `Err` says why the connection is to be closed, and whether the peer is told.
    pub(super) fn hear_hello(&mut self, now: Micros, id: ConnectionId, session: &mut Session, hello: &Hello<'_>) {
        let address = hello.advertised.or(match session.side {
            Side::Dialled(address) => Some(address),
            Side::Accepted(_) => None,
        });
        if session.state != State::Greeting {
            return self.refuse(now, id, session, Reason::Order, "HELLO came twice");
        }
        if hello.name == self.config.name && hello.incarnation == self.store.stream().incarnation {
            if let Side::Dialled(address) = session.side {
                self.book.is_oneself(address);
            }
            self.counters.refused_itself += 1;
            return self.close(now, id, session, CloseReason::Oneself);
        }
        let Some(peer) = Peer::from_hello(hello, address) else {
            return self.refuse(now, id, session, Reason::Order, "its streams are not its own");
        };
        if let Err((reason, why)) = self.admit(hello, &peer) {
            return self.refuse(now, id, session, reason, why);
        }
        if let Err(reason) = self.settle_duplicates(now, session, &peer) {
            return self.refuse(now, id, session, reason, "another connection, or life, of it stays");
        }
        let version = negotiate(&self.config.protocol, &hello.protocol).unwrap_or_default();
        if let Side::Dialled(address) = session.side {
            self.book.met(address, &peer.name);
        }
        if let Some(address) = peer.address {
            self.counters.addresses_dropped += u64::from(!self.book.add(now, address, false));
            self.book.met(address, &peer.name);
        }
        if !session.has_greeted {
            self.greet(now, session);
        }
        self.counters.handshakes += 1;
        let (name, incarnation) = (peer.name.clone(), peer.incarnation);
        self.tell(NodeEvent::PeerJoined { name, incarnation, address });
        self.standing.meet(id, &peer.everything());
        session.reader.agree(version);
        session.establish(now, version, peer);
    }

    fn admit(&self, hello: &Hello<'_>, peer: &Peer) -> Result<(), (Reason, &'static str)> {
        let own = Origin::of_name(&self.config.name);
        if hello.cluster != self.config.cluster {
            return Err((Reason::Cluster, "it is of another cluster"));
        }
        if negotiate(&self.config.protocol, &hello.protocol).is_none() {
            return Err((Reason::Protocol, "no version of the protocol in common"));
        }
        let peers = || self.sessions.values().filter_map(|session| session.peer.as_ref());
        if peer.origin == own || peers().any(|other| other.origin == peer.origin && other.name != peer.name) {
            return Err((Reason::Name, "its name, or the hash of its name, is another node's"));
        }
        if self.leaving.is_some() {
            return Err((Reason::Leaving, "this node leaves"));
        }
        if peers().count() >= PEERS_MAX {
            return Err((Reason::Full, "as many peers as there may be"));
        }
        Ok(())
    }

    /// Of two connections to one node one stays. `Err`: the new one goes.
    fn settle_duplicates(&mut self, now: Micros, session: &Session, peer: &Peer) -> Result<(), Reason> {
        let has_name = |session: &Session| session.peer.as_ref().is_some_and(|known| known.name == peer.name);
        let other = self.sessions.iter().find(|(_, session)| session.is_established() && has_name(session));
        let Some((other_id, other)) = other.map(|(id, session)| (*id, session)) else { return Ok(()) };
        let known = other.peer.as_ref().map_or(peer.incarnation, |known| known.incarnation);
        let dialled = |session: &Session| matches!(session.side, Side::Dialled(_));
        let preferred = |session: &Session| dialled(session) == (self.config.name < peer.name);
        let (reason, goes) = match known.cmp(&peer.incarnation) {
            std::cmp::Ordering::Greater => return Err(Reason::Former),
            std::cmp::Ordering::Less => (CloseReason::FormerLife, true),
            std::cmp::Ordering::Equal => {
                (CloseReason::Duplicate, dialled(session) == dialled(other) || preferred(session))
            }
        };
        if !goes {
            return Err(Reason::Duplicate);
        }
        match reason {
            CloseReason::FormerLife => self.counters.former_closed += 1,
            _ => self.counters.duplicates_closed += 1,
        }
        self.end(now, other_id, reason);
        Ok(())
    }

    /// Says why, and closes.
    pub(super) fn refuse(&mut self, now: Micros, id: ConnectionId, session: &mut Session, reason: Reason, why: &str) {
        self.counters.refused(reason);
        session.refuse(reason, why);
        let address = session.side.address();
        if matches!(reason, Reason::Frame | Reason::Order) && self.book.strike(now, address) {
            self.counters.quarantined += 1;
        }
        if reason != Reason::Duplicate {
            tracing::warn!(%address, ?reason, why, "a connection is refused");
            self.tell(NodeEvent::Refused { address, by_peer: false, reason: why.to_owned() });
        }
        let close = if matches!(reason, Reason::Frame | Reason::Order) {
            CloseReason::BadInput
        } else if reason == Reason::Duplicate {
            CloseReason::Duplicate
        } else {
            CloseReason::Refused
        };
        self.close(now, id, session, close);
    }

    /// Closes a connection whose session is in the caller's hands.
    pub(super) fn close(&mut self, now: Micros, id: ConnectionId, session: &mut Session, reason: CloseReason) {
        if session.is_closing() {
            return;
        }
        session.close(now);
        self.actions.push_back(Action::Close(id, reason));
        self.forget_connection(now, id, session);
    }

    /// Closes a connection.
    pub(super) fn end(&mut self, now: Micros, id: ConnectionId, reason: CloseReason) {
        if let Some(mut session) = self.sessions.remove(&id) {
            self.close(now, id, &mut session, reason);
            self.sessions.insert(id, session);
        }
    }

    fn drop_session(&mut self, now: Micros, id: ConnectionId) {
        if let Some(session) = self.sessions.remove(&id)
            && !session.is_closing()
        {
            self.forget_connection(now, id, &session);
        }
    }

    /// What was tied to a connection is let go of.
    fn forget_connection(&mut self, now: Micros, id: ConnectionId, session: &Session) {
        self.givings.remove(&id);
        self.values.remove(&id);
        self.standing.part(id);
        self.sources.retain(|_, source| source.id != id);
        self.abort_sync_with(id);
        if let Side::Dialled(address) = session.side
            && !crate::sync::bite("node.never-redials")
        {
            self.book.failed(now, address);
        }
        if let Some(peer) = &session.peer {
            self.tell(NodeEvent::PeerLost { name: peer.name.clone() });
            if let Some(address) = peer.address {
                self.book.hasten(now, address);
            }
        }
        self.timers.set_earlier(Timer::Dial, now);
    }

    /// Ends connections from which nothing was heard for too long, and takes away those that are closed for long.
    pub(super) fn close_silent(&mut self, now: Micros) {
        let timings = &self.config.timings;
        let mut over = Vec::new();
        for (id, session) in &self.sessions {
            match session.state {
                State::Greeting if now.since(session.opened) > timings.handshake_us => over.push((*id, true)),
                State::Established if now.since(session.heard) > timings.idle_us || session.is_choked() => {
                    over.push((*id, false));
                }
                _ => {}
            }
        }
        for (id, is_greeting) in over {
            let choked = self.sessions.get(&id).is_some_and(Session::is_choked);
            let counter = match (is_greeting, choked) {
                (true, _) => &mut self.counters.handshake_timeouts,
                (false, true) => &mut self.counters.choked_closed,
                (false, false) => &mut self.counters.silent_closed,
            };
            *counter += 1;
            self.end(now, id, CloseReason::Silent);
        }
        self.sessions.retain(|_, session| match session.state {
            State::Closing { since } => now.since(since) < 2_000_000,
            _ => true,
        });
    }

    /// Says goodbye to those who have everything; whether anybody is left is seen at the deadline.
    pub(super) fn review_leave(&mut self, now: Micros) {
        if self.leaving.is_none() || self.departure.is_some() {
            return;
        }
        let (own, end) = (self.store.stream(), self.store.end());
        let waits = |session: &&Session| {
            let has = session.peer.as_ref().and_then(|peer| peer.vector.get(own)).unwrap_or_default();
            session.is_established() && has < end
        };
        if !self.sessions.values().any(|session| waits(&session)) {
            self.depart(now);
        }
    }

    pub(super) fn depart(&mut self, now: Micros) {
        if self.departure.is_some() {
            return;
        }
        let (own, end) = (self.store.stream(), self.store.end());
        let mut unacknowledged = Vec::new();
        let ids: Vec<ConnectionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(mut session) = self.sessions.remove(&id) else { continue };
            if let Some(peer) = session.peer.as_ref().filter(|_| session.is_established()) {
                let has = peer.vector.get(own).unwrap_or_default();
                if has < end {
                    unacknowledged.push((peer.name.clone(), end.0 - has.0));
                }
                session.say(|version, out| Goodbye { end }.encode(version, out));
            }
            self.close(now, id, &mut session, CloseReason::Leaving);
            self.sessions.insert(id, session);
        }
        self.tell(NodeEvent::Left { unacknowledged: unacknowledged.clone() });
        self.departure = Some(Departure { unacknowledged, at: now });
    }
}
