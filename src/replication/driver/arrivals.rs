//! Connections that begin and end: accepted, dialled, secured, closed.
//!
//! ```text
//!   accept  -> admission: too many from there? -> closed without a word
//!   Dial    -> connect -> connected -> handshake --+--> open: the node is told
//!   accept  -> handshake --------------------------+
//!                  wrong -> admission counts it; dialled: the next dial to there tries the next secret
//!
//!   Close   -> what is still to be sent -> shutdown -> the other side closes, or time is over
//! ```

#![forbid(unsafe_code)]

use crate::replication::driver::connection::{Connection, Ended, Stage};
use crate::replication::driver::counters::Counter;
use crate::replication::driver::happening::Happening;
use crate::replication::driver::net::{Due, LISTENER, Net};
use crate::replication::driver::sockets;
use crate::replication::node::api::{Action, CloseReason, ConnectionId, Side};
use crate::replication::security::{Channel, ChannelError, Entropy, Secrets};
use crate::replication::session::time::Micros;
use crate::types::limits::{ARRIVALS_PER_TURN, CLOSE_LINGER_MS, CONNECT_TIMEOUT_MS, CONNECTIONS_MAX};
use mio::Interest;
use mio::net::TcpStream;
use std::io;
use std::net::SocketAddr;

/// How long no connection is taken after the system has refused one: it has no descriptor left, for example.
const ACCEPT_PAUSE_US: u64 = 100_000;

impl Net {
    /// Takes new connections.
    pub(super) fn accept(&mut self, now: Micros) {
        for _ in 0..ARRIVALS_PER_TURN {
            if !self.acceptable {
                return;
            }
            match sockets::accept(&self.listener) {
                Ok((stream, peer)) => {
                    self.accept_fails = false;
                    self.admit(now, stream, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.acceptable = false,
                Err(error) if is_of_one_connection(error.kind()) => self.count(Counter::AcceptsFailed),
                Err(error) => {
                    // Said once, not ten times a second.
                    if !std::mem::replace(&mut self.accept_fails, true) {
                        tracing::warn!(%error, "connections can not be accepted");
                    }
                    self.count(Counter::AcceptsFailed);
                    self.acceptable = false;
                    self.deadlines.set(now.plus(ACCEPT_PAUSE_US), Due::Accept);
                }
            }
        }
    }

    fn admit(&mut self, now: Micros, stream: TcpStream, peer: SocketAddr) {
        let has_room = self.connections.len() < CONNECTIONS_MAX && self.leaving.is_none();
        if !has_room || self.admission.admit(now.0, peer.ip()).is_err() {
            self.count(Counter::Turned);
            return;
        }
        let channel = match &self.secrets {
            None => Ok(Channel::Plain),
            Some(secrets) => Entropy::of_system().map(|entropy| Channel::accept(secrets, entropy)),
        };
        let taken =
            channel.and_then(|channel| self.insert(now, Connection::new(stream, Side::Accepted(peer), channel)));
        match taken {
            Ok(_) => self.count(Counter::Accepted),
            Err(error) => {
                tracing::debug!(%error, %peer, "a connection could not be taken");
                self.count(Counter::AcceptsFailed);
            }
        }
    }

    /// Does what the node asks for.
    pub(super) fn act(&mut self, now: Micros) {
        while let Some(action) = self.node.poll_action() {
            match action {
                Action::Dial(address) => self.dial(now, address),
                Action::Close(id, reason) => self.close(now, id, reason),
            }
        }
    }

    fn dial(&mut self, now: Micros, address: SocketAddr) {
        // Plaintext leaves no host, wherever an address came from.
        let forbidden = self.secrets.is_none() && !address.ip().to_canonical().is_loopback();
        if forbidden {
            self.count(Counter::DialsForbidden);
        }
        if forbidden || self.connections.len() >= CONNECTIONS_MAX || self.leaving.is_some() {
            self.node.handle_dial_failed(now, address);
            return;
        }
        self.count(Counter::Dialled);
        if let Err(error) = self.try_dial(now, address) {
            tracing::debug!(%error, %address, "not connected");
            self.count(Counter::DialsFailed);
            self.node.handle_dial_failed(now, address);
        }
    }

    fn try_dial(&mut self, now: Micros, address: SocketAddr) -> io::Result<()> {
        let channel = match &self.secrets {
            None => Channel::Plain,
            Some(secrets) => {
                let attempt = self.attempts.get(&address).copied().unwrap_or(0);
                Channel::dial(secrets, attempt, Entropy::of_system()?)
            }
        };
        let stream = sockets::connect(address)?;
        self.insert(now, Connection::new(stream, Side::Dialled(address), channel))
    }

    fn insert(&mut self, now: Micros, mut connection: Connection) -> io::Result<()> {
        let id = ConnectionId(self.next_id);
        self.registry().register(&mut connection.stream, Self::token(id), Interest::READABLE | Interest::WRITABLE)?;
        self.next_id = self.next_id.wrapping_add(1);
        connection.deadline = Some(self.deadlines.set(now.plus(CONNECT_TIMEOUT_MS * 1_000), Due::Connection(id)));
        self.connections.insert(id, connection);
        Ok(())
    }

    /// A dialled connection may be there.
    pub(super) fn connect_turn(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.writable && !connection.hung_up {
            return;
        }
        match sockets::connected(&connection.stream) {
            Ok(None) => connection.writable = false,
            Ok(Some(())) => {
                connection.stage = Stage::Securing;
                self.read_turn(id);
            }
            Err(error) => {
                tracing::debug!(%error, address = %connection.address(), "not connected");
                self.ended(id, Ended::Error);
            }
        }
    }

    /// Both sides are sure of each other: frames may pass.
    pub(super) fn opened(&mut self, id: ConnectionId) {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.stage = Stage::Open;
        if let Some(deadline) = connection.deadline.take() {
            self.deadlines.drop(deadline);
        }
        let (side, local) = (connection.side, connection.stream.local_addr());
        if let Ok(local) = local {
            self.learn_address(now, sockets::canonical(local));
        }
        if let Some(secrets) = &self.secrets {
            self.count(Counter::Secured);
            if let Side::Dialled(address) = side
                && let Some(refused) = self.attempts.get_mut(&address)
            {
                // The secret that was taken stays the one to try.
                *refused %= secrets.count();
            }
        }
        self.node.handle_connected(now, id, side);
    }

    /// The address by which this node is reached, where it was neither given nor bound: that of its first connection. One
    /// that leads beyond this host takes the place of one that does not.
    fn learn_address(&mut self, now: Micros, local: SocketAddr) {
        let is_better = match self.advertised {
            None => true,
            Some(known) => self.is_learned && known.ip().is_loopback() && !local.ip().is_loopback(),
        };
        if is_better && !local.ip().is_unspecified() {
            let address = SocketAddr::new(local.ip(), self.bound.port());
            tracing::info!(%address, "this node is reached at");
            self.is_learned = true;
            self.advertise(now, address);
        }
    }

    pub(super) fn advertise(&mut self, now: Micros, address: SocketAddr) {
        self.advertised = Some(address);
        self.node.set_advertised(address);
        self.gossip.set_address(now, address);
    }

    /// A connection has ended. Who needs to know is told.
    pub(super) fn ended(&mut self, id: ConnectionId, ended: Ended) {
        let now = self.now();
        let Some(connection) = self.forget(id) else { return };
        let address = connection.address();
        self.count_end(connection.stage, ended);
        match (connection.stage, connection.side) {
            (Stage::Open, _) => self.node.handle_closed(now, id, ended.by()),
            (Stage::Connecting, _) => self.node.handle_dial_failed(now, address),
            (Stage::Securing, Side::Dialled(_)) => {
                self.note_refusal(address, ended);
                self.node.handle_dial_failed(now, address);
            }
            (Stage::Securing, Side::Accepted(_)) | (Stage::Closing | Stage::Lingering, _) => {}
        }
        self.tell_end(now, &connection, ended);
        if let (Side::Accepted(_), Ended::Channel(error)) = (connection.side, ended)
            && error.is_suspicious()
        {
            tracing::debug!(%error, %address, "refused");
            self.admission.failed(now.0, address.ip());
        }
    }

    /// The other side may know another secret: the next dial tries the next one.
    fn note_refusal(&mut self, address: SocketAddr, ended: Ended) {
        if matches!(ended, Ended::TimedOut) {
            return;
        }
        if self.attempts.len() >= CONNECTIONS_MAX && !self.attempts.contains_key(&address) {
            self.attempts.clear();
        }
        let attempts = self.attempts.entry(address).or_insert(0);
        *attempts = attempts.wrapping_add(1);
    }

    /// Says that two nodes have different secrets, or that somebody guesses.
    fn tell_end(&mut self, now: Micros, connection: &Connection, ended: Ended) {
        let address = connection.address();
        let by_peer = match (connection.stage, connection.side, ended) {
            (Stage::Securing, Side::Accepted(_), Ended::Channel(ChannelError::WrongSecret)) => false,
            (Stage::Securing, Side::Dialled(_), Ended::TimedOut) => return,
            (Stage::Securing, Side::Dialled(_), _) => true,
            _ => return,
        };
        let refused = self.attempts.get(&address).copied().unwrap_or(0);
        // Once is no sign: it may have died, or have been reset on the way.
        let is_sure = !by_peer || refused >= 2 * self.secrets.as_ref().map_or(1, Secrets::count);
        if is_sure && self.told_addresses.may_tell(now, &address.ip()) {
            self.happened(Happening::WrongSecret { address, by_peer });
        }
    }

    fn count_end(&mut self, stage: Stage, ended: Ended) {
        if let Ended::Channel(error) = ended {
            *self.refusals.entry(error.counter()).or_insert(0) += 1;
        }
        match (stage, ended) {
            (Stage::Closing | Stage::Lingering, _) => {}
            (_, Ended::Channel(ChannelError::WrongSecret)) => self.count(Counter::WrongSecret),
            (_, Ended::Channel(_)) => self.count(Counter::Forged),
            (_, Ended::TimedOut) => self.count(Counter::TimedOut),
            (Stage::Connecting, _) => self.count(Counter::DialsFailed),
            // The other side does not know our secret: it closes without a word.
            (Stage::Securing, _) => self.count(Counter::Rejected),
            (Stage::Open, _) => self.count(Counter::Lost),
        }
    }

    /// What a connection was given time for has not happened.
    pub(super) fn time_out(&mut self, id: ConnectionId) {
        self.ended(id, Ended::TimedOut);
    }

    /// Closes a connection once what is to be sent has been.
    pub(super) fn close(&mut self, now: Micros, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if matches!(connection.stage, Stage::Closing | Stage::Lingering) {
            return;
        }
        tracing::debug!(address = %connection.address(), ?reason, "closing");
        connection.stage = Stage::Closing;
        if let Some(deadline) = connection.deadline.take() {
            self.deadlines.drop(deadline);
        }
        connection.deadline = Some(self.deadlines.set(now.plus(CLOSE_LINGER_MS * 1_000), Due::Connection(id)));
    }

    fn forget(&mut self, id: ConnectionId) -> Option<Connection> {
        let mut connection = self.connections.remove(&id)?;
        if let Some(deadline) = connection.deadline.take() {
            self.deadlines.drop(deadline);
        }
        // It goes with the descriptor in any case.
        let _ = self.registry().deregister(&mut connection.stream);
        Some(connection)
    }

    /// Nobody is let in any more.
    pub(super) fn stop_listening(&mut self) {
        self.acceptable = false;
        let _ = self.poll.registry().deregister(&mut self.listener);
    }

    pub(super) fn listen(&mut self) -> io::Result<()> {
        self.poll.registry().register(&mut self.listener, LISTENER, Interest::READABLE)
    }
}

/// Errors of the connection that was next, not of accepting.
fn is_of_one_connection(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}
