//! The thread: one poller, one node, and rounds.
//!
//! ```text
//!   sleep until: an edge, the alarm, the doorbell, or the next deadline of node, membership, waits, connections
//!     |
//!     v
//!   edges  ->  commands  ->  own changes  ->  what is due  ->  new connections, datagrams
//!     ->  each connection reads, each in turn  ->  the node's actions  ->  each connection writes, each in turn
//!     ->  datagrams out  ->  events, status, waits  ->  sleep; not at all if somebody's turn was cut short
//! ```
//!
//! Each part of a round is bounded, so no connection and no flood keeps the others waiting. No error of a socket ends the
//! thread: it is counted, and its connection closed. No epoch guard is held while it sleeps.

#![forbid(unsafe_code)]

use crate::replication::driver::connection::Connection;
use crate::replication::driver::counters::Counter;
use crate::replication::driver::deadlines::Deadlines;
use crate::replication::driver::gossip::Gossip;
use crate::replication::driver::happening::Happening;
use crate::replication::driver::pace::{NAP, Pace};
use crate::replication::driver::report::Leaving;
use crate::replication::driver::shared::Shared;
use crate::replication::driver::told::Told;
use crate::replication::driver::waits::Waits;
use crate::replication::node::Node;
use crate::replication::node::api::ConnectionId;
use crate::replication::security::{Admission, Secrets};
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::Transmit;
use crate::replication::store::Store;
use crate::sync::Arc;
use crate::types::stream::Position;
use mio::net::TcpListener;
use mio::{Events, Poll, Registry, Token};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(super) const LISTENER: Token = Token(0);
pub(super) const DATAGRAMS: Token = Token(1);
pub(super) const ALARM: Token = Token(2);
/// Connections have the tokens from here on.
const CONNECTIONS: usize = 3;

/// Edges that are taken from the poller at once.
const EVENTS: usize = 256;
/// The longest sleep: what nobody counts on, but a clock that was set by hand may have no deadline.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What the driver has to do at a time of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// A handshake or a closing takes too long.
    Connection(ConnectionId),
    /// New connections may be taken again.
    Accept,
}

/// All that the thread owns.
pub(super) struct Net {
    pub(super) poll: Poll,
    pub(super) listener: TcpListener,
    /// More connections may wait.
    pub(super) acceptable: bool,
    /// The last one could not be taken.
    pub(super) accept_fails: bool,
    pub(super) bound: SocketAddr,
    pub(super) advertised: Option<SocketAddr>,
    /// That address is the one of a connection.
    pub(super) is_learned: bool,
    pub(super) node: Node,
    pub(super) store: Store,
    pub(super) gossip: Gossip,
    /// `None`: plaintext.
    pub(super) secrets: Option<Secrets>,
    pub(super) admission: Admission,
    /// Handshakes that an address has refused: the next one tries the next secret.
    pub(super) attempts: BTreeMap<SocketAddr, u32>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) next_id: u32,
    /// Who was first in this round.
    pub(super) first: u32,
    pub(super) order: Vec<ConnectionId>,
    pub(super) transmit: Transmit,
    pub(super) deadlines: Deadlines<Micros, Due>,
    pub(super) waits: Waits<Micros>,
    pub(super) leaving: Option<Leaving>,
    /// Behind the own changes that the node was told of.
    pub(super) seen: Position,
    pub(super) pace: Pace,
    /// Why datagrams and channels were refused, by name.
    pub(super) refusals: BTreeMap<&'static str, u64>,
    /// Addresses of wrong secrets, and names without addresses, that events have told of.
    pub(super) told_addresses: Told<IpAddr>,
    /// By the address, who refused whom, and why.
    pub(super) told_refusals: Told<String>,
    pub(super) told_names: Told<String>,
    /// What happened in this round.
    pub(super) happened: Vec<Happening>,
    pub(super) status_due: Micros,
    pub(super) shared: Arc<Shared>,
}

impl Net {
    /// Rounds, until the node has left.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.round(&events);
            if self.has_left() {
                return;
            }
            if let Err(error) = self.sleep(&mut events) {
                // Nothing is known of what has become ready: every turn is tried, after a while.
                tracing::error!(%error, "the poller failed");
                events.clear();
                self.ready_all();
                std::thread::park_timeout(Duration::from_millis(10));
            }
        }
    }

    /// Now, on the clock that stamps are made from.
    pub(super) fn now(&self) -> Micros {
        Micros(self.store.engine().clock().fine_us())
    }

    fn round(&mut self, events: &Events) {
        self.shared.counters.add(Counter::Rounds, 1);
        self.shared.alarm.listen();
        self.take_edges(events);
        let now = self.now();
        self.take_commands(now);
        self.take_changes(now);
        self.accept(now);
        self.receive_datagrams(now);
        self.choose_order();
        self.each_in_turn(Self::read_turn);
        // Behind the reads: what others have said while this thread had no processor is no silence.
        self.meet_deadlines(now);
        self.act(now);
        self.each_in_turn(Self::write_turn);
        self.act(now);
        self.send_datagrams(now);
        self.report(now);
    }

    fn take_edges(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                LISTENER => self.acceptable = true,
                DATAGRAMS => self.gossip.ready(),
                ALARM => {}
                Token(token) => {
                    let id = ConnectionId((token - CONNECTIONS) as u32);
                    let Some(connection) = self.connections.get_mut(&id) else { continue };
                    connection.hung_up |= event.is_read_closed() || event.is_error();
                    connection.readable |= event.is_readable() || connection.hung_up;
                    connection.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                }
            }
        }
    }

    /// Every edge may have been missed.
    fn ready_all(&mut self) {
        self.acceptable = true;
        self.gossip.ready();
        for connection in self.connections.values_mut() {
            (connection.readable, connection.writable) = (true, true);
        }
    }

    /// Own changes may have been made. One that its writer is still at will ring the bell once more.
    fn take_changes(&mut self, now: Micros) {
        let settled = self.store.settled(self.seen);
        if settled != self.seen {
            self.seen = settled;
            self.node.handle_changes(now);
        }
        self.pace.note(now, settled);
    }

    fn meet_deadlines(&mut self, now: Micros) {
        while let Some(due) = self.deadlines.take(now) {
            match due {
                Due::Connection(id) => self.time_out(id),
                Due::Accept => self.acceptable = true,
            }
        }
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now);
        }
        self.gossip.meet_deadline(now);
    }

    /// Who is first in this round: the one behind the one that was first in the last.
    fn choose_order(&mut self) {
        self.order.clear();
        let first = ConnectionId(self.first.wrapping_add(1));
        let (behind, before) = (self.connections.range(first..), self.connections.range(..first));
        self.order.extend(behind.chain(before).map(|(id, _)| *id));
        self.first = self.order.first().map_or(0, |id| id.0);
    }

    fn each_in_turn(&mut self, turn: fn(&mut Self, ConnectionId)) {
        for at in 0..self.order.len() {
            turn(self, self.order[at]);
        }
    }

    /// Sleeps until something is to be done.
    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = if self.is_busy() { Duration::ZERO } else { self.until_next_deadline() };
        let Self { poll, store, seen, pace, .. } = self;
        let node = store.engine().replicated();
        let timeout = if pace.naps() {
            timeout.min(NAP)
        } else {
            // The writer of a change rings only who has said that it sleeps.
            let is_work_there = || store.settled(*seen) != *seen;
            let may_sleep = !timeout.is_zero() && node.is_none_or(|node| node.doorbell.may_sleep(is_work_there));
            if may_sleep { timeout } else { Duration::ZERO }
        };
        let polled = poll.poll(events, Some(timeout));
        if let Some(node) = node {
            node.doorbell.awake();
        }
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// Whether somebody's turn was cut short.
    fn is_busy(&self) -> bool {
        self.acceptable
            || self.gossip.is_busy()
            || self.connections.iter().any(|(id, connection)| self.has_turn(*id, connection))
    }

    fn until_next_deadline(&self) -> Duration {
        let own =
            [self.node.poll_timeout(), self.gossip.poll_timeout(), self.deadlines.next(), self.waits.next_deadline()];
        let leaving = self.leaving.as_ref().and_then(Leaving::deadline);
        let next = own.into_iter().flatten().chain(leaving).min();
        // A poller counts in whole milliseconds, and rounds up.
        next.map_or(SLEEP_MAX, |at| Duration::from_micros(at.since(self.now()))).min(SLEEP_MAX)
    }

    pub(super) fn count(&self, counter: Counter) {
        self.shared.counters.add(counter, 1);
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub(super) fn token(id: ConnectionId) -> Token {
        Token(id.0 as usize + CONNECTIONS)
    }
}

/// The end of the thread, whatever ends it: nobody rings any more, nobody will confirm what reads wait for, and whoever
/// still waits is told.
impl Drop for Net {
    fn drop(&mut self) {
        if let Some(node) = self.store.engine().replicated() {
            node.set_sleeper(None);
        }
        self.store.serve();
        self.shared.set_status(self.shared.status().at_the_end());
        self.shared.close();
    }
}
