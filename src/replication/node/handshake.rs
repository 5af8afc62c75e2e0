//! The handshake: who may stay, and which of two connections to the same node does.
//!
//! ```text
//!   dialled by     A, at two addresses    by both, A < B by name
//!                  the later one stays,   the one that A dialled
//!                  on both sides          stays, on both sides
//!
//!   same name, later incarnation: the connection to the former life is closed      earlier: refused
//!   own name, own incarnation: it is this node, the address is dialled rarely       another one: refused
//! ```
//!
//! A connection over which nothing was heard for three heartbeats gives way to a new one.

#![forbid(unsafe_code)]

use super::Node;
use super::api::{CloseReason, ConnectionId, NodeEvent, Side};
use super::link::{Link, Owed};
use super::receive::Fault;
use super::timers::Timer;
use crate::replication::session::peer::Peer;
use crate::replication::session::time::Micros;
use crate::replication::wire::{Hello, List, Positions, Reason, negotiate};
use crate::sync::bite;
use crate::types::limits::PEERS_MAX;
use crate::types::stream::Origin;
use std::net::SocketAddr;

impl Node {
    /// Says who this node is.
    pub(super) fn greet(&mut self, id: ConnectionId) {
        let mut streams = self.store.streams();
        if bite("node.former-life-lost") {
            streams.drain(..streams.len().saturating_sub(1));
        }
        let hello = Hello {
            protocol: self.config.protocol.clone(),
            flags: self.flags(),
            cluster: self.config.cluster,
            incarnation: self.stream.incarnation,
            name: &self.config.name,
            advertised: self.config.advertised,
            streams: List::Values(&streams),
            vector: Positions::from(&self.streams.applied),
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.session.greet(&hello);
        }
    }

    pub(super) fn handle_hello(&mut self, now: Micros, id: ConnectionId, hello: &Hello<'_>) -> Result<(), Fault> {
        let Some(link) = self.links.get(&id) else { return Ok(()) };
        let (side, has_greeted) = (link.session.side, link.session.has_greeted);
        let admitted = self.admit(now, side, hello);
        if let (Err((Reason::Itself | Reason::Duplicate, _)), Side::Dialled(address)) = (&admitted, side) {
            self.book.in_vain(address);
        }
        let (version, replaced) = admitted.map_err(|(reason, why)| Fault::Refuse(reason, why))?;
        let Some(peer) = Peer::from_hello(hello, dialable(hello.advertised, side)) else {
            return Err(Fault::Order("a HELLO with lives of another node"));
        };
        if !has_greeted {
            self.greet(id);
        }
        let is_news = !self.is_back(&peer) && !matches!(replaced, Some((_, CloseReason::Duplicate)));
        if is_news {
            let (name, incarnation, address) = (peer.name.clone(), peer.incarnation, peer.address);
            self.tell(NodeEvent::PeerJoined { name, incarnation, address });
        }
        self.establish(now, id, version, peer);
        if let Some((older, reason)) = replaced {
            let counter = match reason {
                CloseReason::FormerLife => &mut self.counters.former_closed,
                _ => &mut self.counters.duplicates_closed,
            };
            *counter += 1;
            self.end(now, older, Fault::Close(reason));
        }
        Ok(())
    }

    /// Whether a node may stay, with which version of the protocol, and which connection goes for it.
    #[expect(clippy::type_complexity, reason = "said once, taken apart at once")]
    fn admit(
        &self,
        now: Micros,
        side: Side,
        hello: &Hello<'_>,
    ) -> Result<(u8, Option<(ConnectionId, CloseReason)>), (Reason, String)> {
        let refuse = |reason, why: String| Err((reason, why));
        if hello.cluster != self.config.cluster {
            return refuse(Reason::Cluster, format!("{:016x} is here", self.config.cluster));
        }
        let Some(version) = negotiate(&self.config.protocol, &hello.protocol) else {
            return refuse(Reason::Protocol, format!("{:?} is spoken here", self.config.protocol));
        };
        if self.leaving.is_some() {
            return refuse(Reason::Leaving, String::new());
        }
        let origin = Origin::of_name(hello.name);
        if hello.name == self.config.name && hello.incarnation == self.stream.incarnation {
            return refuse(Reason::Itself, String::new());
        }
        let clash = |name: &str, known: Origin| name != hello.name && known == origin;
        let peers = || self.links.iter().filter_map(|(id, link)| Some((*id, link, link.peer()?)));
        if origin == self.stream.origin || peers().any(|(.., peer)| clash(&peer.name, peer.origin)) {
            return refuse(Reason::Name, format!("{} is taken, or has the hash of another name", hello.name));
        }
        let Some((known, link, peer)) = peers().find(|(.., peer)| peer.name == hello.name) else {
            let is_full = peers().count() >= PEERS_MAX;
            return if is_full { refuse(Reason::Full, format!("{PEERS_MAX} are here")) } else { Ok((version, None)) };
        };
        match hello.incarnation.cmp(&peer.incarnation) {
            std::cmp::Ordering::Less => refuse(Reason::Former, format!("life {} is here", peer.incarnation.0)),
            std::cmp::Ordering::Greater => Ok((version, Some((known, CloseReason::FormerLife)))),
            std::cmp::Ordering::Equal if self.gives_way(now, link, side, &peer.name) => {
                Ok((version, Some((known, CloseReason::Duplicate))))
            }
            std::cmp::Ordering::Equal => refuse(Reason::Duplicate, String::new()),
        }
    }

    /// Whether an established connection gives way to a new one to the same node.
    fn gives_way(&self, now: Micros, known: &Link, side: Side, name: &str) -> bool {
        let timings = &self.config.timings;
        if now.since(known.session.heard) > timings.heartbeat_us * timings.heartbeats_missed {
            return true;
        }
        let is_smaller = self.config.name.as_str() < name;
        match (known.session.side, side) {
            (Side::Dialled(_), Side::Dialled(_)) | (Side::Accepted(_), Side::Accepted(_)) => true,
            (Side::Accepted(_), Side::Dialled(_)) => is_smaller,
            (Side::Dialled(_), Side::Accepted(_)) => !is_smaller,
        }
    }

    fn establish(&mut self, now: Micros, id: ConnectionId, version: u8, peer: Peer) {
        let Some(link) = self.links.get_mut(&id) else { return };
        self.counters.handshakes += 1;
        let (name, address) = (peer.name.clone(), peer.address);
        let theirs = peer.everything();
        self.streams.compare(&theirs);
        link.owed = if self.isolation.is_isolated() { Owed::Unknown } else { Owed::Vector(theirs) };
        link.session.establish(now, version, peer);
        let dialled = link.session.side;
        for address in address.into_iter().chain(matches!(dialled, Side::Dialled(_)).then_some(dialled.address())) {
            self.learn_address(now, address, false);
            self.book.met(address, &name);
        }
        self.isolation.expect(now);
        self.standing.met = now;
        self.review_due = true;
        self.adopt(now, id);
        self.timers.set_earlier(Timer::Tick, now.plus(self.config.timings.heartbeat_us));
    }
}

/// Where a node can be dialled, by what it says and where it is seen.
fn dialable(advertised: Option<SocketAddr>, side: Side) -> Option<SocketAddr> {
    match (advertised, side) {
        (Some(advertised), _) if !advertised.ip().is_unspecified() => Some(advertised),
        (Some(advertised), _) => Some(SocketAddr::new(side.address().ip(), advertised.port())),
        (None, Side::Dialled(address)) => Some(address),
        (None, Side::Accepted(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_node_can_be_dialled() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (seen, listens) = (at("10.0.0.7:51234"), at("10.9.9.9:7400"));
        assert_eq!(dialable(Some(listens), Side::Accepted(seen)), Some(listens));
        assert_eq!(dialable(Some(at("0.0.0.0:7400")), Side::Accepted(seen)), Some(at("10.0.0.7:7400")));
        assert_eq!(dialable(None, Side::Accepted(seen)), None);
        assert_eq!(dialable(None, Side::Dialled(listens)), Some(listens));
    }
}
