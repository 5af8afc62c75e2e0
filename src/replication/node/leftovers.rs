//! Leftovers: what came by a sync that was cut off, and is claimed of no stream.
//!
//! ```text
//!   none --a sync is cut off--------------------> some --1 s; then SYNC_END of a donor that has none and was asked, or of
//!     |    SYNC_END of a donor that has some        ^     any where this name is the first of those that have some--> none
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
//! as in every sync, and answers for what it has an older version of, or nothing, that it can not be vouched for. That is
//! asked a second later, and for stamps up to the moment of the cut: what is on its way to the donor has come by then.
//!
//! A node that has some, or is in a sync, sends in its streams what others have written as the change that it read, not as
//! what is there now, unless that is no younger than what its writer was last caught up with (`Vouched`), by the writer's clock
//! at a heartbeat. Where the writer is heard, a relay waits for that word. So nobody else gets leftovers but by a sync, whose
//! end says so. A stamp may come into its stream late, where a thread stood still between the two or copied for long: then a
//! leftover could pass for none, if the writer dies in the same moment.

#![forbid(unsafe_code)]

use super::Node;
use super::api::ConnectionId;
use super::link::Link;
use super::sources::joined;
use crate::replication::session::peer::Peer;
use crate::replication::session::time::Micros;
use crate::replication::store::Store;
use crate::replication::wire::SyncEnd;
use crate::sync::bite;
use crate::types::limits::STAMP_SKEW_MAX_US;
use crate::types::version::{Stamp, Version};
use std::collections::BTreeMap;

/// How long after the cut a donor is asked.
pub(super) const WAIT_US: u64 = 1_000_000;
/// Between two syncs for the sake of leftovers each peer says how far it is.
const HEARTBEATS_BETWEEN: u64 = 2;

/// Whether something of a sync that was cut off is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leftovers {
    None,
    /// A donor was being given a sync itself. If that is cut off, some of it is here.
    Suspected(ConnectionId),
    /// Up to a stamp.
    Some(Stamp),
}

impl Leftovers {
    /// What the last life has left.
    pub(super) fn of_arena(store: &Store) -> Self {
        match store.leftovers() {
            Stamp::ZERO => Self::None,
            // It ended in a sync.
            Stamp(u64::MAX) => Self::Some(store.stamp()),
            until => Self::Some(until),
        }
    }
}

/// What one life of a node has written.
#[derive(Clone, Copy, Debug)]
struct Written {
    until: Stamp,
    is_coming: bool,
}

/// Up to where what each node has written is here for good, whatever a sync has brought: what it had written when it was last
/// caught up with. By node and begin of a life: what an earlier one has written, the word of a later one says nothing about.
#[derive(Debug, Default)]
pub(super) struct Vouched(BTreeMap<(u16, Stamp), Written>);

impl Vouched {
    /// Whether a version is no leftover.
    pub(super) fn covers(&self, version: &Version) -> bool {
        self.life_of(version).is_some_and(|life| version.stamp <= life.until)
    }

    /// Whether its writer sends what will say so.
    pub(super) fn will_cover(&self, version: &Version) -> bool {
        self.life_of(version).is_some_and(|life| life.is_coming) && !bite("node.relay-waits-not")
    }

    fn life_of(&self, version: &Version) -> Option<&Written> {
        let (key, life) = self.0.range(..=(version.origin, version.stamp)).next_back()?;
        (key.0 == version.origin).then_some(life)
    }
}

/// What a sync does about leftovers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Clearing {
    /// Nothing: the time has not come, or there are none.
    No,
    /// The donor is asked about what is not younger.
    Asks(Stamp),
    /// What is here behind it counts as known, whatever the donor says.
    Decides,
}

impl Node {
    /// Whether somebody who is given a sync may get what this node has to let go of.
    pub(super) fn has_leftovers(&self) -> bool {
        self.leftovers != Leftovers::None
    }

    /// Whether what others have written is here for good: no sync is under way, and none has left anything.
    pub(crate) fn is_settled(&self) -> bool {
        self.sync.is_none() && !self.has_leftovers()
    }

    /// What is no leftover: what this node has written, and of each life of others what that had written when it was last caught
    /// up with. Nothing of a node of whose earlier lives something is missed.
    pub(super) fn vouched_for(&self) -> Vouched {
        let own = Written { until: Stamp(u64::MAX), is_coming: false };
        let mut vouched = BTreeMap::from([((self.stream.origin.0, Stamp::ZERO), own)]);
        let reach = |link: &Link, stream| link.peer().and_then(|peer| peer.reach(stream));
        let mut missed = None;
        // The lives of a node stand side by side, the last one behind the others.
        for (stream, row) in self.streams.rows.iter().filter(|(stream, _)| stream.origin != self.stream.origin) {
            let is_in_doubt = row.base.is_some() || missed == Some(stream.origin) || self.streams.is_in_doubt();
            // Clocks run ahead by less than this: later stamps are of this life, or of a later one.
            let mut begin = Stamp::from_micros(stream.incarnation.0.saturating_add(STAMP_SKEW_MAX_US));
            if bite("node.vouches-for-former-lives") {
                begin = Stamp::ZERO;
            }
            let until = row.caught_up.filter(|_| !is_in_doubt).unwrap_or_default();
            let is_coming = !is_in_doubt && row.source.is_some() && row.from_origin;
            vouched.insert((stream.origin.0, begin), Written { until, is_coming });
            let is_behind = || self.links.values().any(|link| reach(link, *stream) > Some(row.position));
            if row.base.is_some() || is_behind() {
                missed = Some(stream.origin);
            }
        }
        Vouched(vouched)
    }

    /// A sync was cut off, or has brought such; what others are given meanwhile may be of it.
    pub(super) fn keep_leftovers(&mut self, now: Micros) {
        if bite("node.leftovers-kept") {
            return;
        }
        self.counters.leftovers += 1;
        self.leftovers_again = now.plus(WAIT_US);
        self.set_leftovers(Leftovers::Some(self.store.stamp()));
    }

    /// Notes it in the arena too. A sync that is under way counts there as one that was cut off.
    fn set_leftovers(&mut self, leftovers: Leftovers) {
        self.leftovers = leftovers;
        self.store.set_leftovers(match leftovers {
            _ if self.is_given() => Stamp(u64::MAX),
            Leftovers::None => Stamp::ZERO,
            Leftovers::Suspected(_) => Stamp(u64::MAX),
            Leftovers::Some(until) => until,
        });
        if self.has_leftovers() {
            for donor in self.links.values_mut().filter_map(|link| link.donor.as_mut()) {
                donor.gives_leftovers = true;
            }
        }
    }

    /// Whether some of what a peer is given may be what this node is being given, but for what that peer gives itself.
    pub(super) fn passes_on(&self, to: ConnectionId) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.donor != to)
    }

    /// What a sync from a peer is to do about them.
    pub(super) fn clearing(&self, now: Micros, donor: ConnectionId) -> Clearing {
        let flags = self.links.get(&donor).and_then(Link::peer).map(|peer| peer.flags);
        match (self.leftovers, flags) {
            (Leftovers::Some(until), Some(flags)) if now >= self.leftovers_again && !flags.leftovers => {
                Clearing::Asks(until)
            }
            (Leftovers::Some(_), Some(_)) if now >= self.leftovers_again && self.is_first_of_all() => Clearing::Decides,
            _ => Clearing::No,
        }
    }

    /// A sync has come to its end.
    pub(super) fn end_leftovers(&mut self, now: Micros, donor: ConnectionId, end: SyncEnd, clearing: Clearing) {
        let is_clean = !end.leftovers && !end.is_passed_on;
        let next = match (self.leftovers, clearing) {
            (_, Clearing::Decides) => Leftovers::None,
            (_, Clearing::Asks(_)) if is_clean => Leftovers::None,
            _ if end.leftovers => return self.keep_leftovers(now),
            (Leftovers::None, _) if end.is_passed_on => Leftovers::Suspected(donor),
            (same, _) => same,
        };
        self.leftovers_again =
            self.leftovers_again.max(now.plus(self.config.timings.heartbeat_us * HEARTBEATS_BETWEEN));
        self.counters.leftovers_cleared += u64::from(self.has_leftovers() && next == Leftovers::None);
        self.set_leftovers(next);
    }

    /// A peer has said how far it is: whether the sync that it was given has ended well.
    pub(super) fn look_at_leftovers(&mut self, now: Micros, id: ConnectionId) {
        let Some(flags) = self.links.get(&id).and_then(Link::peer).map(|peer| peer.flags) else { return };
        match self.leftovers {
            Leftovers::Suspected(donor) if donor == id && flags.leftovers => self.keep_leftovers(now),
            Leftovers::Suspected(donor) if donor == id && !flags.syncs => self.set_leftovers(Leftovers::None),
            _ => {}
        }
    }

    /// A donor is lost.
    pub(super) fn lose_donor(&mut self, now: Micros, id: ConnectionId, is_given: bool) {
        if is_given || self.leftovers == Leftovers::Suspected(id) {
            self.keep_leftovers(now);
        }
    }

    /// Who can say what of it is known: a peer that has no leftovers itself, is in no sync, and shows what it has. Where all have
    /// some, the one whose name is the first goes on with what any of them has, and the others wait for it.
    pub(super) fn donor_for_leftovers(&self, now: Micros) -> Option<ConnectionId> {
        let peers = || self.links.iter().filter_map(joined);
        let rank = |peer: &Peer| (peer.flags.leftovers, peer.flags.syncs, peer.flags.held);
        let (id, peer) = peers().min_by_key(|(id, peer)| (rank(peer), *id))?;
        let may_ask = match rank(peer) {
            (true, ..) => self.is_first_of_all(),
            (false, syncs, held) => !syncs && !held,
        };
        (may_ask && now >= self.leftovers_again).then_some(id)
    }

    /// Whether every peer that has joined has leftovers, and this node's name comes first. Asked where there is one.
    fn is_first_of_all(&self) -> bool {
        let peers = || self.links.iter().filter_map(joined).map(|(_, peer)| peer);
        let is_first = || peers().all(|peer| peer.flags.leftovers && self.config.name < peer.name);
        self.standing.is_joined() && is_first()
    }
}
