//! What membership tells: who came, who went, and what became of this node's own name.
//!
//! ```text
//!   unknown --Up--> up --Down--> down --Up--> up ...        by probes and gossip: hints, never safety
//!                   up --Left--> down                       said by itself
//!                   up --Replaced--> up                     another life, or another address, of the same name
//! ```

#![forbid(unsafe_code)]

use crate::sync::Arc;
use crate::types::stream::Incarnation;
use std::net::SocketAddr;

/// A node as membership knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) incarnation: Incarnation,
    /// Where it takes connections and datagrams.
    pub(crate) address: SocketAddr,
}

/// What has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MemberEvent {
    /// It answers, or somebody who answers says so.
    Up(Member),
    /// Nobody has heard of it for about two seconds.
    Down(Member),
    /// It said goodbye.
    Left(Member),
    /// A name that was known has another life or another address now.
    Replaced { former: Member, member: Member },
    /// Others took this node for dead. It is back among them, in the same life.
    Renewed,
    /// Another process that lives has this node's name: a copied arena, or one configuration too many. This one is the
    /// newer of the two, and goes on.
    Namesake { incarnation: Incarnation, address: SocketAddr },
    /// As above, but this one is the older of the two. Membership is silent from now on.
    Superseded { incarnation: Incarnation, address: SocketAddr },
}

/// What has been counted so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct MembershipCounters {
    /// Datagrams that were opened, but say nothing that a node says.
    pub(crate) malformed: u64,
    /// Datagrams that were not looked at, as they name more nodes than are remembered.
    pub(crate) crowded: u64,
    /// Datagrams that found no room on their way out.
    pub(crate) unsent: u64,
    /// Events that nobody fetched in time.
    pub(crate) missed_events: u64,
    /// Times that others took this node for dead.
    pub(crate) renewed: u64,
    /// Datagrams of other processes with this node's name.
    pub(crate) namesakes: u64,
    /// Timers that came late: this process overslept.
    pub(crate) overslept: u64,
}
