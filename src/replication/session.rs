//! One connection to a peer: its states, its frames in and out, what was heard and said.
//!
//! ```text
//!   time          moments that are handed in             clock     how far apart the two clocks can be
//!   transmit      a batch on its way out                 peer      who is at the other end, and what it has
//!   subscription  one stream that the peer asked for     sent      what was sent ahead of its place
//!   incoming      a large value that arrives in chunks
//!
//!              accepted: HELLO goes out at once
//!                                  HELLO comes, fits (dialled: HELLO goes out)
//!   Greeting ------------------------------------------------------------------> Established
//!      | REFUSE, no HELLO in time, does not fit: REFUSE goes out                      | bad input, silence, GOODBYE
//!      +---------------------------------> Closing <----------------------------------+
//!                                           what is in `control` still goes out
//! ```
//!
//! The accepting side speaks first, so that the dialling one can end a connection that leads to itself, or to a peer that it
//! has already, before the other one counts it.

#![forbid(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod incoming;
pub(crate) mod peer;
pub(crate) mod sent;
pub(crate) mod subscription;
pub(crate) mod time;
pub(crate) mod transmit;

use crate::replication::wire::{
    Ack, FrameReader, Heartbeat, Hello, NodeFlags, Positions, Reason, Refuse, StreamChecksum,
};
use crate::types::limits::CONTROL_BYTES_MAX;
use crate::types::stream::{Position, StreamId, Vector};
use clock::ClockEstimate;
use incoming::IncomingValue;
use peer::Peer;
use std::net::SocketAddr;
use subscription::Subscription;
use time::Micros;
use transmit::Transmit;

/// A connection, by the driver's number. Never used again while the node lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ConnectionId(pub(crate) u32);

/// Who opened a connection, and to or from where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Dialled(SocketAddr),
    Accepted(SocketAddr),
}

impl Side {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Dialled(address) | Self::Accepted(address) => *address,
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Greeting,
    Established,
    Closing { since: Micros },
}

/// What every heartbeat says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse<'a> {
    pub(crate) end: Position,
    pub(crate) flags: NodeFlags,
    pub(crate) vector: &'a Vector,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) side: Side,
    pub(crate) opened: Micros,
    pub(crate) state: State,
    pub(crate) reader: FrameReader,
    /// The version of the protocol; 0 before the handshake.
    pub(crate) version: u8,
    pub(crate) has_greeted: bool,
    /// Known once established.
    pub(crate) peer: Option<Peer>,
    /// Short frames that go before anything else.
    control: Vec<u8>,
    pub(crate) heard: Micros,
    /// When the last whole frame came.
    pub(crate) understood: Micros,
    pub(crate) heartbeat_due: bool,
    heartbeats: u64,
    /// When the peer sent its last heartbeat, by its clock, and when that came.
    echo: Option<(u64, Micros)>,
    pub(crate) clock: ClockEstimate,
    pub(crate) received: StreamChecksum,
    pub(crate) sent: StreamChecksum,
    pub(crate) acknowledge_due: bool,
    /// What the peer was told to have been applied.
    told: Vector,
    /// By stream.
    subscriptions: Vec<Subscription>,
    /// Whose turn it is.
    pub(crate) turn: usize,
    pub(crate) incoming: Option<IncomingValue>,
}

impl Session {
    pub(crate) fn new(side: Side, now: Micros) -> Self {
        Self {
            side,
            opened: now,
            state: State::Greeting,
            reader: FrameReader::new(),
            version: 0,
            has_greeted: false,
            peer: None,
            control: Vec::new(),
            heard: now,
            understood: now,
            heartbeat_due: false,
            heartbeats: 0,
            echo: None,
            clock: ClockEstimate::default(),
            received: StreamChecksum::default(),
            sent: StreamChecksum::default(),
            acknowledge_due: false,
            told: Vector::default(),
            subscriptions: Vec::new(),
            turn: 0,
            incoming: None,
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.state == State::Established
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// Says who this node is.
    pub(crate) fn greet(&mut self, hello: &Hello<'_>) {
        hello.encode(&mut self.control);
        self.has_greeted = true;
    }

    /// The peer has greeted too, and fits.
    pub(crate) fn establish(&mut self, now: Micros, version: u8, peer: Peer) {
        (self.state, self.version, self.peer) = (State::Established, version, Some(peer));
        (self.opened, self.heard, self.understood, self.heartbeat_due) = (now, now, now, true);
    }

    /// Says why the connection is to be closed.
    pub(crate) fn refuse(&mut self, reason: Reason, why: &str) {
        Refuse { reason, why }.encode(&mut self.control);
    }

    /// Nothing but what is in `control` goes out any more, and nothing is taken in.
    pub(crate) fn close(&mut self, now: Micros) {
        self.state = State::Closing { since: now };
        self.subscriptions.clear();
        self.incoming = None;
    }

    /// Lets `encode` append a short frame in the agreed version.
    pub(crate) fn say(&mut self, encode: impl FnOnce(u8, &mut Vec<u8>)) {
        encode(self.version, &mut self.control);
    }

    /// Whether the peer has read so little that it is no use to go on.
    pub(crate) fn is_choked(&self) -> bool {
        self.control.len() > CONTROL_BYTES_MAX
    }

    /// Bytes of heap that are held, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        let ahead: usize = self.subscriptions.iter().map(|subscription| subscription.ahead.heap_bytes()).sum();
        let subscriptions = self.subscriptions.capacity() * size_of::<Subscription>() + ahead;
        self.control.capacity() + self.reader.heap_bytes() + subscriptions
    }

    /// Whether there is something to send besides changes and syncs.
    pub(crate) fn has_short_frames(&self) -> bool {
        !self.control.is_empty() || (self.is_established() && (self.heartbeat_due || self.acknowledge_due))
    }

    /// Moves all short frames into a batch.
    pub(crate) fn send_short_frames(&mut self, now: Micros, pulse: &Pulse<'_>, transmit: &mut Transmit) {
        transmit.bytes().append(&mut self.control);
        if self.is_established() {
            self.send_acknowledgement(pulse.vector, transmit.bytes());
            self.send_heartbeat(now, pulse, transmit.bytes());
        }
    }

    fn send_acknowledgement(&mut self, vector: &Vector, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.acknowledge_due) {
            return;
        }
        let mut moved = Vector::default();
        for (stream, position) in vector.iter().filter(|(stream, position)| self.told.get(*stream) < Some(*position)) {
            moved.advance(stream, position);
        }
        if moved.len() > 0 {
            Ack { applied: Positions::from(&moved) }.encode(self.version, out);
            self.told.merge(&moved);
        }
    }

    fn send_heartbeat(&mut self, now: Micros, pulse: &Pulse<'_>, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.heartbeat_due) {
            return;
        }
        self.heartbeats += 1;
        let (echo_us, held_us) = self.echo.map_or((0, 0), |(sent_us, received)| (sent_us, now.since(received)));
        let heartbeat = Heartbeat {
            sequence: self.heartbeats,
            sent_us: now.0,
            echo_us,
            end: pulse.end,
            held_us: u32::try_from(held_us).unwrap_or(u32::MAX),
            checksum: self.sent.value(),
            flags: pulse.flags,
            vector: Positions::from(pulse.vector),
        };
        heartbeat.encode(self.version, out);
        self.told.merge(pulse.vector);
    }

    /// Takes in what a heartbeat says of clocks.
    pub(crate) fn hear_heartbeat(&mut self, now: Micros, heartbeat: &Heartbeat<'_>) {
        self.echo = Some((heartbeat.sent_us, now));
        if heartbeat.echo_us != 0 {
            self.clock.add(now.0, heartbeat.echo_us, u64::from(heartbeat.held_us), heartbeat.sent_us);
        }
    }

    pub(crate) fn subscriptions(&mut self) -> &mut [Subscription] {
        &mut self.subscriptions
    }

    /// Whether a subscription may have something to send.
    pub(crate) fn has_changes(&self) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.ready)
    }

    /// Takes a subscription in, in place of one of the same stream.
    pub(crate) fn subscribe(&mut self, subscription: Subscription) {
        match self.place_of(subscription.stream) {
            Ok(at) => self.subscriptions[at] = subscription,
            Err(at) => self.subscriptions.insert(at, subscription),
        }
    }

    pub(crate) fn unsubscribe(&mut self, stream: StreamId) {
        if let Ok(at) = self.place_of(stream) {
            self.subscriptions.remove(at);
        }
    }

    /// The furthest cursor of a stream's subscription.
    pub(crate) fn subscription(&self, stream: StreamId) -> Option<&Subscription> {
        self.place_of(stream).ok().map(|at| &self.subscriptions[at])
    }

    /// A stream has grown.
    pub(crate) fn wake(&mut self, stream: StreamId) {
        if let Ok(at) = self.place_of(stream) {
            self.subscriptions[at].ready = !self.subscriptions[at].is_over();
        }
    }

    fn place_of(&self, stream: StreamId) -> Result<usize, usize> {
        self.subscriptions.binary_search_by_key(&stream, |subscription| subscription.stream)
    }
}
