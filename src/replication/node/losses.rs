//! Losses: peers whose last connection is gone, and that may be at the other end of one that has come in already.
//!
//! ```text
//!   both dial at once, A < B        A                              B
//!   A's connection                  B has greeted: it stays        A's HELLO is still on its way
//!   B's connection                  closed: one is enough          gone: is A lost?
//!
//!   gone, nobody is greeting -> lost, at once
//!   gone, somebody is        -> waits: the same life says HELLO -> it was there all the time, nothing is told
//!                                      another life of it       -> lost, then joined
//!                                      all who greeted then have said who they are, or are gone -> lost
//! ```
//!
//! Bounded by the time that a handshake may take. Only who is told waits: all else follows from a loss at once.

#![forbid(unsafe_code)]

use super::Node;
use super::api::{NodeEvent, Side};
use crate::replication::session::State;
use crate::replication::session::peer::Peer;
use crate::replication::session::time::Micros;
use crate::types::stream::Incarnation;

/// A peer that may be lost.
#[derive(Debug)]
pub(super) struct Loss {
    name: String,
    incarnation: Incarnation,
    at: Micros,
}

impl Node {
    /// The last connection to a peer is gone.
    pub(super) fn note_loss(&mut self, now: Micros, name: String, incarnation: Incarnation) {
        self.losses.push(Loss { name, incarnation, at: now });
        self.tell_losses();
    }

    /// A peer is here. Whether it was there before, as far as users know.
    pub(super) fn is_back(&mut self, peer: &Peer) -> bool {
        let Some(at) = self.losses.iter().position(|loss| loss.name == peer.name) else { return false };
        let loss = self.losses.swap_remove(at);
        let is_same = loss.incarnation == peer.incarnation;
        if !is_same {
            self.tell(NodeEvent::PeerLost { name: loss.name });
        }
        is_same
    }

    /// Tells of those that can not be at the other end of any connection of then.
    pub(super) fn tell_losses(&mut self) {
        let links = &self.links;
        let is_greeting = |since: Micros| {
            links.values().any(|link| {
                let session = &link.session;
                matches!(session.side, Side::Accepted(_)) && session.state == State::Greeting && session.opened <= since
            })
        };
        let lost: Vec<Loss> = self.losses.extract_if(.., |loss| !is_greeting(loss.at)).collect();
        lost.into_iter().for_each(|loss| self.tell(NodeEvent::PeerLost { name: loss.name }));
    }
}
