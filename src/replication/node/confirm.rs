//! Standing: whether this node has joined a cluster, whether its reads are held, and whether anything is missing.
//!
//! ```text
//!   warm    held, joined --all seeds tried, one member met or more, what each had is here--> serving --> complete
//!                 |  no member after trying all seeds, and 2 s; or this node leaves            ^
//!                 +----------------------------------------------------------------------------+ unconfirmed, counted
//!   cold    joining --a member: sync--> serving --SYNC_END--> joined --> complete     held, if the member is, after 4 s
//!                 |  no member after trying all seeds; or only nodes that have not joined, and the least name of them
//!                 +--> founded: joined, floors of the start
//! ```
//!
//! A member is a node that has joined. Who has joined nobody knows nothing of what was missed, and confirms nobody. A warm
//! node has joined: its vector and its floors are those of its last life, and true. So two nodes that are held can confirm
//! each other, and a cluster of cold nodes begins with the one whose name comes first.

#![forbid(unsafe_code)]

use super::Node;
use super::api::{NodeEvent, Readiness};
use super::link::{Link, Owed};
use super::timers::Timer;
use crate::replication::session::ConnectionId;
use crate::replication::session::peer::Peer;
use crate::replication::session::time::Micros;
use crate::replication::store::{Origination, Store};
use crate::replication::wire::NodeFlags;
use crate::sync::bite;
use crate::types::version::Stamp;

/// How long nodes that have all joined nobody wait for one that has.
const FOUND_AFTER_US: u64 = 200_000;
/// How often seeds that were not tried yet are looked at.
const SEEDS_AGAIN_US: u64 = 100_000;
/// The largest number of microseconds that a stamp holds.
const STAMP_MICROS_MAX: u64 = 1 << 50;

/// Why reads are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fence {
    Unconfirmed,
    Isolated,
}

/// How far this node has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    began: Micros,
    /// When the last peer was met.
    pub(super) met: Micros,
    /// Its vector and its floors are true.
    joined: bool,
    pub(super) fence: Option<Fence>,
    complete: bool,
    /// Somebody was met, or nobody is there.
    looked: bool,
    /// Above all that was done here before.
    join_floor: Stamp,
    told: Readiness,
}

impl Standing {
    pub(super) fn new(store: &Store, now: Micros) -> Self {
        let is_warm = store.origination() == Origination::Warm;
        Self {
            began: now,
            met: now,
            joined: is_warm,
            fence: (is_warm && store.is_held()).then_some(Fence::Unconfirmed),
            complete: false,
            looked: false,
            join_floor: store.stamp(),
            told: Readiness::Joining,
        }
    }

    pub(super) fn is_joined(&self) -> bool {
        self.joined
    }

    pub(super) fn is_unconfirmed(&self) -> bool {
        self.fence == Some(Fence::Unconfirmed)
    }

    /// The stamp of a join that is not complete; 0 once it is.
    pub(super) fn join_floor(&self) -> Stamp {
        if self.joined { Stamp::ZERO } else { self.join_floor }
    }

    pub(super) fn join(&mut self) {
        self.joined = true;
    }

    /// `syncs`: something is missing, and on its way. `alone`: nobody is there to ask.
    pub(super) fn readiness(&self, syncs: bool, alone: bool) -> Readiness {
        match () {
            () if self.fence.is_some() => Readiness::Held,
            () if self.complete && !syncs => Readiness::Complete,
            () if alone || self.looked && (self.joined || syncs) => Readiness::Serving,
            () => Readiness::Joining,
        }
    }
}

impl Node {
    pub(super) fn begin_standing(&mut self, now: Micros) {
        if self.standing.is_unconfirmed() && self.config.serve_unconfirmed {
            self.serve_unconfirmed(now);
        }
    }

    /// What this node says of itself. `held` and `complete` each say that it has joined, and can give to others.
    pub(super) fn flags(&self) -> NodeFlags {
        let (joined, fenced) = (self.standing.joined, self.standing.fence.is_some());
        let behind = self.readiness() == Readiness::Serving;
        let (leftovers, syncs) = (self.has_leftovers(), self.sync.is_some());
        NodeFlags { held: joined && fenced, complete: joined && !fenced, behind, leftovers, syncs }
    }

    /// Whether somebody is connected who has joined.
    fn has_company(&self) -> bool {
        self.links.values().filter_map(Link::peer).any(Peer::is_joined)
    }

    /// Nobody may be there who has joined.
    pub(super) fn look_for_company(&mut self, now: Micros) {
        if self.has_company() || self.leaving.is_some() {
            return;
        }
        if !self.book.all_tried() {
            return self.timers.set(Timer::Alone, now.plus(SEEDS_AGAIN_US));
        }
        self.standing.looked = true;
        match self.standing.is_unconfirmed() {
            // Somebody was there, and is not heard any more: what to do then was said.
            true if self.is_fenced_off() => self.timers.set(Timer::Alone, now.plus(SEEDS_AGAIN_US)),
            true => self.serve_unconfirmed(now),
            false => {}
        }
        // With others that have not joined either it is their names that decide who begins.
        if !self.standing.joined && !self.links.values().any(|link| link.peer().is_some()) {
            self.found(now);
        }
    }

    /// A peer is gone.
    pub(super) fn lose_company(&mut self, now: Micros, id: ConnectionId, has_left: bool) {
        let lost = self.links.get(&id).and_then(Link::peer).is_some_and(Peer::is_joined);
        let others = || self.links.iter().filter(|(other, _)| **other != id).filter_map(|(_, link)| link.peer());
        let (has_others, has_company) = (others().next().is_some(), others().any(Peer::is_joined));
        if !has_others {
            let mut orphaned = self.streams.rows.values().filter_map(|row| row.orphaned);
            self.isolation.is_left_alone(!has_left || orphaned.any(|orphaned| orphaned.is_missed()));
        }
        let seeks = !self.standing.joined || self.standing.is_unconfirmed();
        // Nodes that have not joined may come and go: they do not put it off.
        if seeks && !has_company && (lost || !self.timers.is_set(Timer::Alone)) {
            self.timers.set(Timer::Alone, now.plus(self.config.timings.alone_us));
        }
    }

    fn serve_unconfirmed(&mut self, now: Micros) {
        self.counters.served_unconfirmed += 1;
        self.open(now);
        self.tell(NodeEvent::ServingUnconfirmed);
    }

    /// This node goes on without a cluster: nobody is there to ask or to hear, so what is here is served.
    pub(super) fn serve_alone(&mut self, now: Micros) {
        match self.standing.fence {
            Some(Fence::Unconfirmed) => self.serve_unconfirmed(now),
            Some(Fence::Isolated) => self.open(now),
            None => {}
        }
    }

    /// What a donor holds back is not shown here either, until it is confirmed.
    pub(super) fn hold_like_donor(&mut self) {
        if !self.config.serve_unconfirmed {
            self.standing.fence = Some(Fence::Unconfirmed);
            self.store.hold();
        }
    }

    /// Lets reads see what is here.
    pub(super) fn open(&mut self, now: Micros) {
        let _ = now;
        self.standing.fence = None;
        self.store.serve();
    }

    /// Begins a cluster: what comes from before this node, and before the others that begin with it, is not taken.
    fn found(&mut self, now: Micros) {
        let mut floor = self.standing.join_floor;
        for peer in self.links.values().filter_map(|link| link.peer()) {
            // A cold node's incarnation is the time of its start.
            if peer.incarnation.0 < STAMP_MICROS_MAX {
                floor = floor.min(Stamp::from_micros(peer.incarnation.0));
            }
        }
        self.store.raise_all_floors(floor);
        self.store.end_join();
        self.standing.join();
        self.counters.founded += 1;
        self.review(now);
    }

    /// What each peer had when it was met: whether all of that is here.
    pub(super) fn has_everything(&mut self) -> bool {
        let (own, streams) = (self.stream, &self.streams);
        let mut all = true;
        for link in self.links.values_mut().filter(|link| link.session.is_established()) {
            if matches!(&link.owed, Owed::Vector(vector) if streams.cover(vector, |stream| stream == own)) {
                link.owed = Owed::Covered;
            }
            all &= matches!(link.owed, Owed::Covered);
        }
        all && self.sync.is_none() && !self.streams.is_unclaimed()
    }

    /// Looks whether reads can be answered, and whether anything is missing.
    pub(super) fn look_at_standing(&mut self, now: Micros) {
        let peers = || self.links.values().filter_map(|link| link.peer());
        let has_peers = peers().next().is_some();
        self.standing.looked |= has_peers;
        let is_least = peers().all(|peer| !peer.is_joined() && peer.name > self.config.name);
        let all_tried = self.book.all_tried();
        if has_peers
            && is_least
            && !self.standing.joined
            && self.sync.is_none()
            && all_tried
            && now.since(self.standing.met) >= FOUND_AFTER_US
        {
            self.found(now);
        }
        let can_confirm = self.standing.is_unconfirmed() && all_tried && self.has_company();
        let waits = can_confirm || !self.standing.complete && self.standing.looked;
        let has_everything = waits && (self.has_everything() || bite("node.serves-unconfirmed"));
        if self.standing.joined && has_everything {
            if can_confirm {
                self.counters.confirmed += 1;
                self.open(now);
                self.tell(NodeEvent::Confirmed { after_us: now.since(self.standing.began) });
            }
            self.standing.complete |= self.standing.fence.is_none();
        }
        let readiness = self.readiness();
        if readiness != self.standing.told {
            self.standing.told = readiness;
            self.tell(NodeEvent::Readiness(readiness));
        }
    }
}
