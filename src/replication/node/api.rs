//! What a node is told and what it tells: settings, inputs that are not bytes, actions, events.

#![forbid(unsafe_code)]

pub(crate) use crate::replication::session::{ConnectionId, Side};

use crate::types::stream::{Incarnation, StreamId, Vector};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// What a node does to its reads when it hears no peer any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum OnIsolated {
    /// They go on.
    #[default]
    Serve,
    /// They miss, until the streams have caught up.
    Miss,
    /// The same, but for what was written since.
    Revalidate,
}

/// What a node does about entries when another node is gone, and changes with it perhaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum OnOriginLost {
    /// Nothing.
    #[default]
    Keep,
    /// They go, spread over a span of time.
    Revalidate,
}

/// The times of the protocol, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timings {
    /// Between heartbeats.
    pub(crate) heartbeat_us: u64,
    /// Heartbeats in a row that all peers must miss before a node counts as isolated.
    pub(crate) heartbeats_missed: u64,
    /// Between acknowledgements.
    pub(crate) acknowledge_us: u64,
    /// Silence after which a connection is closed.
    pub(crate) idle_us: u64,
    /// Time for a connection's handshake.
    pub(crate) handshake_us: u64,
    /// How long a node looks for members before it goes on without.
    pub(crate) alone_us: u64,
    /// Most time between two tries of an address that does not answer.
    pub(crate) redial_us_max: u64,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            heartbeat_us: 50_000,
            heartbeats_missed: 3,
            acknowledge_us: 10_000,
            idle_us: 1_500_000,
            handshake_us: 3_000_000,
            alone_us: 2_000_000,
            redial_us_max: 1_000_000,
        }
    }
}

/// The settings of a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    /// 1 to 64 bytes. The store's streams carry its origin.
    pub(crate) name: String,
    /// XXH3-64 of the cluster's name.
    pub(crate) cluster: u64,
    /// Where others are to dial. `None`, or an unspecified address: where they see the connection come from.
    pub(crate) advertised: Option<SocketAddr>,
    /// Protocol versions that it speaks.
    pub(crate) protocol: RangeInclusive<u8>,
    pub(crate) timings: Timings,
    /// Whether there are seeds, be it names that nobody has resolved yet.
    pub(crate) has_seeds: bool,
    /// Whether a warm arena is served without waiting for members.
    pub(crate) serve_unconfirmed: bool,
    pub(crate) on_isolated: OnIsolated,
    pub(crate) on_origin_lost: OnOriginLost,
    /// Bytes for the changes of others, kept to relay them.
    pub(crate) relay_bytes: usize,
    /// For the jitter of redials.
    pub(crate) seed: u64,
}

/// What membership has seen. A hint: whom to dial, never what is true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MemberChange {
    Up(SocketAddr),
    Down(SocketAddr),
    Left(SocketAddr),
}

/// Why the driver says that a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClosedBy {
    /// The peer closed it.
    Peer,
    /// Reset, or another error of the socket.
    Error,
    /// The channel's handshake or a sealed frame failed: wrong secret, or forged.
    Security,
}

/// Why a node closes a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CloseReason {
    /// It was refused, or refused us, at the handshake.
    Refused,
    /// Another connection to the same node is kept.
    Duplicate,
    /// The peer sent something that no correct peer sends.
    BadInput,
    /// The peer and this node disagree about what was sent.
    ChecksumMismatch,
    /// Nothing was heard for too long.
    Silent,
    /// A newer life of the peer is connected.
    FormerLife,
    /// The peer said goodbye.
    PeerLeft,
    /// This node leaves.
    Leaving,
}

/// What the driver is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Open a connection; answered by `handle_connected` or `handle_dial_failed`.
    Dial(SocketAddr),
    /// Close a connection after what `poll_transmit` still gives has been written, or a second has passed. `handle_closed`
    /// is not called for it.
    Close(ConnectionId, CloseReason),
}

/// How far a node has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Readiness {
    /// Reads of what was there before are held back, until it is confirmed.
    Held,
    /// It looks for members, or waits for the first one's answer.
    Joining,
    /// Reads are answered; not all that the cluster has is here yet.
    Serving,
    /// Nothing is missing that a connected member had when it was met, and no sync is under way.
    Complete,
}

/// What a sync is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SyncKind {
    /// The receiver had nothing.
    Snapshot,
    /// The receiver had entries, and they were verified.
    Delta,
}

/// Something that a user may want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NodeEvent {
    PeerJoined {
        name: String,
        incarnation: Incarnation,
        address: Option<SocketAddr>,
    },
    PeerLost {
        name: String,
    },
    PeerLeft {
        name: String,
    },
    /// A connection was refused, by this side or by the other one.
    Refused {
        address: SocketAddr,
        by_peer: bool,
        reason: String,
    },
    /// No peer is heard any more.
    Isolated {
        fenced: bool,
    },
    /// A peer is heard again, and what was missed is here.
    Reunited,
    /// A stream goes on from another node than its origin.
    Relaying {
        stream: StreamId,
        from: String,
    },
    /// The origin of a stream is gone, and all that the members have of it is here.
    OriginLost {
        stream: StreamId,
    },
    SyncBegun {
        donor: String,
        kind: SyncKind,
    },
    SyncEnded {
        donor: String,
        kind: SyncKind,
        entries: u64,
        took_us: u64,
    },
    /// The arena was verified against every member met; reads are answered.
    Confirmed {
        after_us: u64,
    },
    /// No member was found; reads are answered all the same.
    ServingUnconfirmed,
    /// What was in this arena did not belong to the cluster, and was dropped.
    StartedOver {
        entries: u64,
    },
    Readiness(Readiness),
    /// This node has left.
    Left {
        unacknowledged: Vec<(String, u64)>,
    },
}

/// A peer, as far as this node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) readiness: Readiness,
    /// Since the handshake.
    pub(crate) connected_us: u64,
    /// Since the last frame.
    pub(crate) silent_us: u64,
    pub(crate) rtt_us: u64,
    /// No larger error of the two clocks is possible.
    pub(crate) clock_bound_us: u64,
    /// How far the peer is behind this node's changes.
    pub(crate) behind: Lag,
    /// How far this node is behind the peer's changes.
    pub(crate) ahead: Lag,
}

/// A distance between two ends of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Lag {
    /// Cells of the ring; a change has two or more.
    pub(crate) cells: u64,
    /// Bytes of the ring.
    pub(crate) bytes: u64,
    /// How old the oldest change is that is missing; to one heartbeat.
    pub(crate) us: u64,
}

/// What a node has left behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departure {
    /// Peers that had not acknowledged everything, with the cells that were missing.
    pub(crate) unacknowledged: Vec<(String, u64)>,
}

/// A peer's name and what it has acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) name: String,
    pub(crate) vector: Vector,
}
