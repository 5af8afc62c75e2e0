//! The node: all that a member of a cluster decides, without a socket, a clock, a thread or randomness of its own.
//!
//! ```text
//!   handle_connected, handle_received, handle_closed ---+
//!   handle_member, handle_seeds, handle_dial_failed  ---+--> Node --+--> poll_action      Dial, Close
//!   handle_changes, handle_timeout, leave            ---+           +--> poll_transmit    a batch of one connection
//!                                                                   +--> poll_event       for users
//!                                                                   +--> poll_timeout     the next deadline
//! ```
//!
//! After each input: `poll_action` until `None`, then `poll_transmit` for each connection that `wants_to_send` and whose last
//! batch is written out, `poll_event` until `None`, and `poll_timeout` for how long to sleep.

#![forbid(unsafe_code)]

pub(crate) mod api;
mod counters;
mod relay;
mod timers;

use crate::replication::session::time::Micros;
use crate::replication::session::transmit::Transmit;
use crate::replication::store::Store;
use crate::types::stream::Vector;
use api::{
    Acknowledged, Action, ClosedBy, ConnectionId, Departure, Member, MemberChange, NodeConfig, NodeEvent, Readiness,
    Side,
};
use std::net::SocketAddr;

/// One member of a cluster.
pub(crate) struct Node {
    config: NodeConfig,
    store: Store,
}

impl Node {
    /// A node over a store, which it may put on hold at once.
    pub(crate) fn new(config: NodeConfig, store: Store, now: Micros) -> Self {
        let _ = now;
        Self { config, store }
    }

    /// A connection is open, and its channel secure.
    pub(crate) fn handle_connected(&mut self, now: Micros, id: ConnectionId, side: Side) {
        let _ = (now, id, side);
    }

    /// A dial has failed.
    pub(crate) fn handle_dial_failed(&mut self, now: Micros, address: SocketAddr) {
        let _ = (now, address);
    }

    /// Where the next bytes of a connection belong: never empty for a connection that is open. Empty for others.
    pub(crate) fn receive_space(&mut self, id: ConnectionId) -> &mut [u8] {
        let _ = id;
        &mut []
    }

    /// So many bytes were put where `receive_space` said.
    pub(crate) fn handle_received(&mut self, now: Micros, id: ConnectionId, bytes: usize) {
        let _ = (now, id, bytes);
    }

    /// A connection has ended, not by `Action::Close`.
    pub(crate) fn handle_closed(&mut self, now: Micros, id: ConnectionId, by: ClosedBy) {
        let _ = (now, id, by);
    }

    /// What membership has seen.
    pub(crate) fn handle_member(&mut self, now: Micros, change: MemberChange) {
        let _ = (now, change);
    }

    /// The seeds, as they resolve now. Replaces those of before.
    pub(crate) fn handle_seeds(&mut self, now: Micros, addresses: &[SocketAddr]) {
        let _ = (now, addresses);
    }

    /// The moment of `poll_timeout` has come, or any other.
    pub(crate) fn handle_timeout(&mut self, now: Micros) {
        let _ = now;
    }

    /// The own ring has grown.
    pub(crate) fn handle_changes(&mut self, now: Micros) {
        let _ = now;
    }

    /// Somebody waits for acknowledgements: peers are asked at once.
    pub(crate) fn ask_acknowledgements(&mut self, now: Micros) {
        let _ = now;
    }

    /// Sends what is unsent, waits for acknowledgements until a deadline, and says goodbye. No connection is made any more.
    pub(crate) fn leave(&mut self, now: Micros, deadline: Micros) {
        let _ = (now, deadline);
    }

    /// When `handle_timeout` is due.
    pub(crate) fn poll_timeout(&self) -> Option<Micros> {
        None
    }

    /// The next thing for the driver to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// The next thing for users to know.
    pub(crate) fn poll_event(&mut self) -> Option<NodeEvent> {
        None
    }

    /// Whether `poll_transmit` has something for a connection.
    pub(crate) fn wants_to_send(&self, id: ConnectionId) -> bool {
        let _ = id;
        false
    }

    /// Fills the next batch of a connection, which must be empty. `false`: there is nothing to send.
    pub(crate) fn poll_transmit(&mut self, now: Micros, id: ConnectionId, transmit: &mut Transmit) -> bool {
        let _ = (now, id, transmit);
        false
    }

    /// The peers whose handshake is done, by name.
    pub(crate) fn members(&self, now: Micros) -> Vec<Member> {
        let _ = now;
        Vec::new()
    }

    /// How far the node has come.
    pub(crate) fn readiness(&self) -> Readiness {
        Readiness::Joining
    }

    /// How far each stream of another node has been applied, and the own ones go.
    pub(crate) fn applied(&self) -> Vector {
        Vector::default()
    }

    /// What each connected peer has acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<Acknowledged> {
        Vec::new()
    }

    /// The error between this node's clock and any peer's that can not be ruled out; 0 without peers.
    pub(crate) fn clock_bound_us(&self) -> u64 {
        0
    }

    /// Set once the node has left: every connection is to be closed.
    pub(crate) fn departure(&self) -> Option<&Departure> {
        None
    }
}
