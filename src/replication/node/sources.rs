//! Sources: from whom each stream comes, and what to do when nobody has it.
//!
//! ```text
//!   the origin is connected                     -> from the origin, also where nothing is new
//!   it is not, or has no more of it, and a peer is further -> from the one that is furthest; it goes on there
//!   everybody who is further has refused        -> a sync, from the origin if it is one of them, else the furthest
//!                                                  rather from one that shows what it has than from one that holds it back
//!   nobody has more for long, or writes it      -> from nobody, where the table is half full
//!   nobody was joined                           -> a sync, from one that shows what it has; after a while from any, held
//! ```
//!
//! The receiver decides everything. Who sends keeps a cursor.

#![forbid(unsafe_code)]

use super::Node;
use super::api::{ConnectionId, NodeEvent};
use super::leftovers::Leftovers;
use super::link::Link;
use super::streams::Room;
use crate::replication::session::peer::Peer;
use crate::replication::session::time::Micros;
use crate::replication::wire::{NotCovered, Subscribe, Unsubscribe};
use crate::sync::bite;
use crate::types::stream::{Position, StreamId};
use std::cmp::Reverse;

/// How long a source that has more may send nothing before it is asked again.
const STALL_US: u64 = 1_000_000;
/// With so many streams, those are let go that have not moved for so long, and that nobody goes on with.
const ROWS_KEPT: usize = 64;
const IDLE_US: u64 = 10_000_000;
/// After so many times as long as a node looks for members, one that holds back is donor to who has joined nobody.
const HELD_DONOR_AFTER: u64 = 2;

/// A peer that can send a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Candidate {
    id: ConnectionId,
    is_origin: bool,
    reach: Position,
}

impl Node {
    /// Looks at every stream that somebody has, and asks for those that are behind.
    pub(super) fn review(&mut self, now: Micros) {
        self.review_due = false;
        if self.leaving.is_some() {
            return;
        }
        self.streams.written = self.links.values().filter_map(Link::peer).map(Peer::stream).collect();
        if self.may_subscribe() {
            self.discover();
            self.let_go(now);
            let streams: Vec<StreamId> = self.streams.rows.keys().copied().collect();
            for stream in streams {
                self.choose_source(now, stream);
                // What a relay waits for may have come, or will not come any more.
                self.wake_relays(stream);
            }
        }
        self.seek_donor(now);
    }

    /// Takes every stream into the table that a peer knows.
    fn discover(&mut self) {
        let known = |link: &Link| link.peer().map(|peer| peer.reaches().collect::<Vec<_>>());
        let known: Vec<_> = self.links.values().filter_map(known).flatten().collect();
        for (stream, reach) in known {
            let is_other = stream != self.stream;
            if is_other && (self.streams.written.contains(&stream) || !self.streams.is_forgotten(stream, reach)) {
                self.take_in(stream);
            }
        }
    }

    /// Takes a stream into the table, if there is room; with the one that it takes the place of its relay ring goes.
    pub(super) fn take_in(&mut self, stream: StreamId) -> bool {
        if self.streams.rows.contains_key(&stream) {
            return true;
        }
        let position = self.position_of(stream);
        let room = self.streams.discover(stream, position);
        match room {
            Room::There => {}
            Room::InsteadOf(former) => self.relays.forget(former),
            Room::None => self.counters.streams_dropped += 1,
        }
        room != Room::None
    }

    /// Lets go of streams that nobody goes on with, so that there is room for others in the table: a source is left from
    /// which nothing more can come. Not before there are many: who has no source costs a sync more.
    fn let_go(&mut self, now: Micros) {
        if self.streams.rows.len() < ROWS_KEPT {
            return;
        }
        for (stream, row) in &mut self.streams.rows {
            let is_idle = now.since(row.moved) > IDLE_US && !self.streams.written.contains(stream);
            let reach = |link: &Link| link.peer().and_then(|peer| peer.reach(*stream));
            if is_idle
                && self.links.values().all(|link| reach(link) <= Some(row.position))
                && let Some(link) = row.stop().and_then(|source| self.links.get_mut(&source))
            {
                link.session.say(|version, out| Unsubscribe { stream: *stream }.encode(version, out));
            }
        }
    }

    fn choose_source(&mut self, now: Micros, stream: StreamId) {
        let Some(row) = self.streams.rows.get(&stream) else { return };
        // Changes behind a part that is missing may have to be put off, which a sync alone can do.
        if row.is_halted() || row.base.is_some() && self.join_stamp().is_none() {
            return;
        }
        let best = self.best_source(stream, row.position, &row.refused);
        let reach = |id: ConnectionId| self.links.get(&id)?.peer()?.reach(stream);
        let choice = match row.source {
            None => best,
            Some(current) => {
                let is_behind = reach(current) <= Some(row.position);
                let is_stalled = !is_behind && now.since(row.moved) > STALL_US;
                if is_stalled {
                    self.counters.stalls += 1;
                }
                let is_better = |best: &Candidate| {
                    is_stalled || best.is_origin && !row.from_origin || is_behind && best.reach > row.position
                };
                best.filter(|best| is_better(best) && (best.id != current || is_stalled))
            }
        };
        if let Some(choice) = choice {
            self.subscribe(now, stream, choice);
        }
    }

    fn best_source(&self, stream: StreamId, position: Position, refused: &[ConnectionId]) -> Option<Candidate> {
        let candidate = |(id, link): (&ConnectionId, &Link)| {
            let peer = link.peer()?;
            let reach = peer.reach(stream)?;
            let is_origin = peer.is_origin_of(stream);
            let is_of_use = (reach > position && (is_origin || !bite("node.never-relays"))) || peer.stream() == stream;
            (is_of_use && !refused.contains(id)).then_some(Candidate { id: *id, is_origin, reach })
        };
        let rank = |candidate: &Candidate| (candidate.is_origin, candidate.reach, Reverse(candidate.id));
        self.links.iter().filter_map(candidate).max_by_key(rank)
    }

    fn subscribe(&mut self, now: Micros, stream: StreamId, from: Candidate) {
        let Some(row) = self.streams.rows.get_mut(&stream) else { return };
        let former = row.source.replace(from.id).filter(|former| *former != from.id);
        (row.from_origin, row.awaiting, row.moved) = (from.is_origin, true, now);
        let subscribe = Subscribe { stream, from: row.position };
        if let Some(link) = former.and_then(|former| self.links.get_mut(&former)) {
            link.session.say(|version, out| Unsubscribe { stream }.encode(version, out));
        }
        let Some(link) = self.links.get_mut(&from.id) else { return };
        link.session.say(|version, out| subscribe.encode(version, out));
        if !from.is_origin {
            self.counters.relays += 1;
            let name = link.peer().map(|peer| peer.name.clone()).unwrap_or_default();
            self.tell(NodeEvent::Relaying { stream, from: name });
        }
    }

    /// Asks once more for a stream, from where it stands.
    pub(super) fn ask_again(&mut self, now: Micros, stream: StreamId) {
        let Some(row) = self.streams.rows.get_mut(&stream) else { return };
        (row.awaiting, row.moved) = (true, now);
        let subscribe = Subscribe { stream, from: row.position };
        if let Some(link) = row.source.and_then(|source| self.links.get_mut(&source)) {
            link.session.say(|version, out| subscribe.encode(version, out));
        }
    }

    pub(super) fn handle_not_covered(&mut self, id: ConnectionId, not_covered: NotCovered) {
        self.counters.not_covered_received += 1;
        if let Some(row) = self.streams.rows.get_mut(&not_covered.stream)
            && row.source == Some(id)
        {
            (row.source, row.awaiting) = (None, false);
            row.refused.push(id);
            self.review_due = true;
        }
    }

    /// Looks for a donor where a stream can not be had, or where this node has joined nobody yet.
    fn seek_donor(&mut self, now: Micros) {
        if self.sync.is_some() {
            return;
        }
        if !self.standing.is_joined() {
            let of = |held: bool| {
                let found = self.links.iter().filter_map(joined).filter(|(_, peer)| peer.flags.held == held);
                found.min_by_key(|(id, peer)| (peer.flags.leftovers, peer.name.clone(), *id)).map(|(id, _)| id)
            };
            // Who holds back shows what it has before long. If not, it may be this node that it waits for.
            let waited = now.since(self.standing.met) >= HELD_DONOR_AFTER * self.config.timings.alone_us;
            let (shows, holds) = (of(false), of(true).filter(|_| waited && self.book.all_tried()));
            if shows.is_none() && holds.is_some() {
                self.hold_like_donor();
            }
            if let Some(donor) = shows.or(holds) {
                self.begin_sync(now, donor);
            }
            return;
        }
        let missed = self.streams.rows.iter().find_map(|(stream, row)| {
            let ahead = || {
                let reach = |link: &Link| link.peer().and_then(|peer| peer.reach(*stream));
                self.links.iter().filter(move |(_, link)| reach(link) > Some(row.position))
            };
            let nobody_is_left = row.source.is_none() && ahead().all(|(id, _)| row.refused.contains(id));
            let rank = |(id, peer): &(ConnectionId, &Peer)| {
                let shows = (!peer.flags.leftovers, !peer.flags.held);
                (shows, peer.is_origin_of(*stream), peer.reach(*stream), Reverse(*id))
            };
            ahead().filter_map(joined).max_by_key(rank).filter(|_| nobody_is_left).map(|(id, _)| id)
        });
        // What a sync that was cut off has left open, any other one closes.
        let any = || {
            self.links
                .iter()
                .filter_map(joined)
                .min_by_key(|(id, peer)| (peer.flags.leftovers, peer.flags.held, *id))
                .map(|(id, _)| id)
        };
        let open = || match self.leftovers {
            _ if self.streams.is_unclaimed() => any(),
            Leftovers::Some(_) => self.donor_for_leftovers(now),
            _ => None,
        };
        if let Some(donor) = missed.or_else(open) {
            self.begin_sync(now, donor);
        }
    }
}

/// A connection whose peer can give a sync.
pub(super) fn joined<'n>((id, link): (&ConnectionId, &'n Link)) -> Option<(ConnectionId, &'n Peer)> {
    Some((*id, link.peer().filter(|peer| peer.is_joined())?))
}
