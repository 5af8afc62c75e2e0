//! What happened, in the words of a user.

#![forbid(unsafe_code)]

use crate::cluster::member::Readiness;
use crate::replication::driver::happening::Happening;
use crate::replication::node::api::{self, NodeEvent};
use std::net::SocketAddr;
use std::time::Duration;

/// What a node that catches up has to begin with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SyncKind {
    /// Nothing: all entries come, the hottest first.
    Snapshot,
    /// Entries: they are compared, and what is newer comes.
    Delta,
}

/// Something that happened to this node or to another one, as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant says what happened, and its fields are named after what they are")]
pub enum Event {
    /// A node is connected.
    MemberJoined { name: String, incarnation: u64, address: Option<SocketAddr> },
    /// A node is not heard any more, and has not said goodbye.
    MemberLost { name: String },
    /// A node said goodbye.
    MemberLeft { name: String },
    /// A connection was refused, by this node or by the other one: another cluster, another protocol, the same name.
    Refused { address: SocketAddr, by_peer: bool, reason: String },
    /// No other node is heard. `fenced`: reads miss until one is heard again, see [`crate::OnIsolated`].
    Isolated { fenced: bool },
    /// Another node is heard again, and what was missed has come.
    Reunited,
    /// Changes of one node come through another one.
    Relaying { origin: u16, incarnation: u64, from: String },
    /// A node is gone, and all that the others have of its changes is here.
    OriginLost { origin: u16, incarnation: u64 },
    /// This node catches up from a member.
    SyncBegan { from: String, kind: SyncKind },
    /// It has caught up.
    SyncEnded { from: String, kind: SyncKind, entries: u64, took: Duration },
    /// The entries of an earlier life are right: they are read from now on.
    Confirmed { after: Duration },
    /// Nobody was found to ask; the entries of an earlier life are read all the same.
    ServingUnconfirmed,
    /// The arena held about so many entries that no member could ever learn of, or that were another node's: they went.
    StartedOver { entries: u64 },
    /// This node has come so far.
    Readiness(Readiness),
    /// Another process that is alive has this node's name: names have to differ. `superseded`: it began later, and this
    /// node is no member any more.
    Namesake { incarnation: u64, address: SocketAddr, superseded: bool },
    /// Who connects from this address knows no secret of this node, or is of another cluster; `by_peer`: who listens there has
    /// ended the handshake without a word, with each secret of this node twice: it takes none of them, or has no room.
    /// Told once a minute of each address.
    WrongSecret { address: SocketAddr, by_peer: bool },
    /// The name of a seed stands for no address, which `reason` explains. It is looked up again and again; told once a minute.
    SeedUnresolved { seed: String, reason: String },
    /// This node has left. `unconfirmed`: members that had not confirmed everything.
    Left { unconfirmed: Vec<String> },
}

impl From<api::SyncKind> for SyncKind {
    fn from(kind: api::SyncKind) -> Self {
        match kind {
            api::SyncKind::Snapshot => Self::Snapshot,
            api::SyncKind::Delta => Self::Delta,
        }
    }
}

impl From<Happening> for Event {
    fn from(happening: Happening) -> Self {
        match happening {
            Happening::Node(event) => event.into(),
            Happening::Namesake { incarnation, address, superseded } => {
                Self::Namesake { incarnation: incarnation.0, address, superseded }
            }
            Happening::WrongSecret { address, by_peer } => Self::WrongSecret { address, by_peer },
            Happening::Unresolved { seed, reason } => Self::SeedUnresolved { seed, reason },
        }
    }
}

impl From<NodeEvent> for Event {
    fn from(event: NodeEvent) -> Self {
        match event {
            NodeEvent::PeerJoined { name, incarnation, address } => {
                Self::MemberJoined { name, incarnation: incarnation.0, address }
            }
            NodeEvent::PeerLost { name } => Self::MemberLost { name },
            NodeEvent::PeerLeft { name } => Self::MemberLeft { name },
            NodeEvent::Refused { address, by_peer, reason } => Self::Refused { address, by_peer, reason },
            NodeEvent::Isolated { fenced } => Self::Isolated { fenced },
            NodeEvent::Reunited => Self::Reunited,
            NodeEvent::Relaying { stream, from } => {
                Self::Relaying { origin: stream.origin.0, incarnation: stream.incarnation.0, from }
            }
            NodeEvent::OriginLost { stream } => {
                Self::OriginLost { origin: stream.origin.0, incarnation: stream.incarnation.0 }
            }
            NodeEvent::SyncBegun { donor, kind } => Self::SyncBegan { from: donor, kind: kind.into() },
            NodeEvent::SyncEnded { donor, kind, entries, took_us } => {
                Self::SyncEnded { from: donor, kind: kind.into(), entries, took: Duration::from_micros(took_us) }
            }
            NodeEvent::Confirmed { after_us } => Self::Confirmed { after: Duration::from_micros(after_us) },
            NodeEvent::ServingUnconfirmed => Self::ServingUnconfirmed,
            NodeEvent::StartedOver { entries } => Self::StartedOver { entries },
            NodeEvent::Readiness(readiness) => Self::Readiness(readiness.into()),
            NodeEvent::Left { unacknowledged } => {
                Self::Left { unconfirmed: unacknowledged.into_iter().map(|(name, _)| name).collect() }
            }
        }
    }
}
