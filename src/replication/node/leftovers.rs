//! Leftovers: what came by a sync that was cut off, and is claimed of no stream.
//!
//! ```text
//!   none --a sync is cut off--> some --SYNC_END of a donor that has none, or of any, where this name is the first--> none
//!                                ^ |  asks:     what the donor does not know of is let go
//!     SYNC_END of a donor        | |  gives:    says so in SYNC_END, and of it everywhere
//!     that has some  ------------+ |  confirms: not before it has none
//!   warm start --> a former life's, maybe: asks as if some were here; confirmed, or none to ask: none
//! ```
//!
//! A donor that dies in a sync may have given what nobody else has, its own last writes first of all. Nobody names them: if it
//! comes back older than it was, or never, they are on one node alone. So the next donor is asked about all that is held,
//! as in every sync, and answers for what it has an older version of, or nothing, that it can not be vouched for.

#![forbid(unsafe_code)]

use super::Node;
use super::api::ConnectionId;
use super::sources::joined;
use crate::sync::bite;

/// Whether something of a sync that was cut off is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leftovers {
    None,
    /// The life before this one may have ended in a sync. If so, something is missing still, and another one follows.
    OfFormerLife,
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
        self.leftovers = Leftovers::Some;
        for donor in self.links.values_mut().filter_map(|link| link.donor.as_mut()) {
            donor.gives_leftovers = true;
        }
    }

    /// Who can say what of it is known: a peer that has no leftovers itself. Where all have some, the one whose name is the
    /// first goes on with what any of them has, and the others wait for it.
    pub(super) fn donor_for_leftovers(&self) -> Option<ConnectionId> {
        let peers = || self.links.iter().filter_map(joined);
        let first = peers().min_by_key(|(id, peer)| (peer.flags.leftovers, peer.flags.held, *id))?;
        let may_ask = !first.1.flags.leftovers || self.decides_on_leftovers();
        may_ask.then_some(first.0)
    }

    /// Whether every peer that has joined has leftovers, and this node's name comes first. Asked where there is one.
    pub(super) fn decides_on_leftovers(&self) -> bool {
        let peers = || self.links.iter().filter_map(joined).map(|(_, peer)| peer);
        let is_first = || peers().all(|peer| peer.flags.leftovers && self.config.name < peer.name);
        self.standing.is_joined() && is_first()
    }
}
