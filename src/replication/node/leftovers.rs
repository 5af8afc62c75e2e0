//! Leftovers: what came by a sync that was cut off, and is claimed of no stream.
//!
//! ```text
//!   none --a sync is cut off--------------------> some --SYNC_END of a donor that has none, or of any, where
//!     |    SYNC_END of a donor that has some        ^     this name is the first of those that have some--> none
//!     |                                             |
//!     +----SYNC_END of a donor that is itself being given a sync--> suspected --that one ended well--> none
//!                                                   ^                   | it was cut off, or the donor is lost
//!                                                   +-------------------+
//!   warm start --> some, if the life before had some, or ended in a sync: the arena says so
//!
//!   while there are some, or may be: what the next donor does not know of goes; who is given a sync is told in SYNC_END
//! ```
//!
//! A donor that dies in a sync may have given what nobody else has, its own last writes first of all. Nobody names them: if it
//! comes back older than it was, or never, they are on one node alone. So the next donor is asked about all that is held,
//! as in every sync, and answers for what it has an older version of, or nothing, that it can not be vouched for.

#![forbid(unsafe_code)]

use super::Node;
use super::api::ConnectionId;
use super::link::Link;
use super::sources::joined;
use crate::replication::session::time::Micros;
use crate::replication::wire::SyncEnd;
use crate::sync::bite;

/// Between two syncs for the sake of leftovers each peer says how far it is.
const HEARTBEATS_BETWEEN: u64 = 2;

/// Whether something of a sync that was cut off is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leftovers {
    None,
    /// A donor was being given a sync itself. If that is cut off, some of it is here.
    Suspected(ConnectionId),
    Some,
}

impl Node {
    /// Whether somebody who is given a sync may get what this node has to let go of.
    pub(super) fn has_leftovers(&self) -> bool {
        self.leftovers != Leftovers::None
    }

    /// A sync was cut off; what others are given meanwhile may be of it.
    pub(super) fn keep_leftovers(&mut self) {
        if bite("node.leftovers-kept") {
            return;
        }
        self.set_leftovers(Leftovers::Some);
        for donor in self.links.values_mut().filter_map(|link| link.donor.as_mut()) {
            donor.gives_leftovers = true;
        }
    }

    /// Notes it in the arena too. A sync that is under way counts there as one that was cut off.
    pub(super) fn set_leftovers(&mut self, leftovers: Leftovers) {
        self.leftovers = leftovers;
        self.store.set_leftovers(leftovers != Leftovers::None || self.is_given());
    }

    /// Whether some of what a peer is given may be what this node is being given, but for what that peer gives itself.
    pub(super) fn passes_on(&self, to: ConnectionId) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.donor != to)
    }

    /// A sync has come to its end.
    pub(super) fn end_leftovers(&mut self, now: Micros, donor: ConnectionId, end: SyncEnd, decides: bool) {
        self.leftovers_again = now.plus(self.config.timings.heartbeat_us * HEARTBEATS_BETWEEN);
        self.set_leftovers(match end {
            _ if decides => Leftovers::None,
            SyncEnd { leftovers: true, .. } => Leftovers::Some,
            SyncEnd { is_passed_on: true, .. } => Leftovers::Suspected(donor),
            _ => Leftovers::None,
        });
    }

    /// A peer has said how far it is: whether the sync that it was given has ended well.
    pub(super) fn look_at_leftovers(&mut self, id: ConnectionId) {
        let Some(flags) = self.links.get(&id).and_then(Link::peer).map(|peer| peer.flags) else { return };
        match self.leftovers {
            Leftovers::Suspected(donor) if donor == id && flags.leftovers => self.set_leftovers(Leftovers::Some),
            Leftovers::Suspected(donor) if donor == id && !flags.syncs => self.set_leftovers(Leftovers::None),
            _ => {}
        }
    }

    /// Who can say what of it is known: a peer that has no leftovers itself, and shows what it has. Where all have some, the
    /// one whose name is the first goes on with what any of them has, and the others wait for it.
    pub(super) fn donor_for_leftovers(&self, now: Micros) -> Option<ConnectionId> {
        let peers = || self.links.iter().filter_map(joined);
        let (id, peer) = peers().min_by_key(|(id, peer)| (peer.flags.leftovers, peer.flags.held, *id))?;
        let may_ask = if peer.flags.leftovers { self.decides_on_leftovers() } else { !peer.flags.held };
        (may_ask && now >= self.leftovers_again).then_some(id)
    }

    /// Whether every peer that has joined has leftovers, and this node's name comes first. Asked where there is one.
    pub(super) fn decides_on_leftovers(&self) -> bool {
        let peers = || self.links.iter().filter_map(joined).map(|(_, peer)| peer);
        let is_first = || peers().all(|peer| peer.flags.leftovers && self.config.name < peer.name);
        self.standing.is_joined() && is_first()
    }
}
