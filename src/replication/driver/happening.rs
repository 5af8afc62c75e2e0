//! What the log keeps for users: what the node tells, and what sockets and membership tell besides.

#![forbid(unsafe_code)]

use crate::replication::node::api::NodeEvent;
use crate::types::stream::Incarnation;
use std::net::SocketAddr;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Happening {
    Node(NodeEvent),
    /// Another process has this node's name. `superseded`: it is the newer one, and this one is no member any more.
    Namesake {
        incarnation: Incarnation,
        address: SocketAddr,
        superseded: bool,
    },
    /// Who speaks from there, or listens there, has another secret.
    WrongSecret {
        address: SocketAddr,
        by_peer: bool,
    },
    /// The name of a seed stands for no address.
    Unresolved {
        seed: String,
        reason: String,
    },
}

impl Happening {
    pub(super) fn log(&self) {
        match self {
            Self::Node(NodeEvent::Refused { address, by_peer, reason }) => {
                tracing::debug!(%address, by_peer, reason, "refused");
            }
            Self::Node(event) => tracing::info!(?event, "cluster"),
            Self::Namesake { incarnation, address, superseded } => {
                tracing::error!(?incarnation, %address, superseded, "another process has this node's name");
            }
            Self::WrongSecret { address, by_peer } => tracing::warn!(%address, by_peer, "a wrong secret"),
            Self::Unresolved { seed, reason } => tracing::warn!(seed, reason, "not resolved"),
        }
    }
}
