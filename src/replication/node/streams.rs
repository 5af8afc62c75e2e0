//! Streams: who gives which, from where on. The receiver decides; asking twice does no harm.
//!
//! ```text
//!   known position, origin connected        -> from the origin                          exact resume
//!   known position, origin gone             -> from whoever has more                    relay
//!   unknown, begins with its node's first life, or where an earlier life was left -> from its begin
//!   else, or NOT_COVERED                    -> sync with a donor
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::{ConnectionId, NodeEvent};
use crate::replication::session::Session;
use crate::replication::session::peer::Peer;
use crate::replication::session::subscription::{Source as Ring, Subscription};
use crate::replication::session::time::Micros;
use crate::replication::wire::{NotCovered, Subscribe};
use crate::types::stream::{Position, StreamId};

/// Who gives a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) id: ConnectionId,
    /// When something of it came last, or it was asked for.
    pub(super) moved: Micros,
}

/// After this long without a change, while the giver has more, it is asked again.
const STALL_US: u64 = 1_000_000;

impl Node {
    /// Sees to it that every stream of which somebody has more comes from somebody.
    pub(super) fn choose_sources(&mut self, now: Micros) {
        let own = self.store.stream();
        let mut wanted: Vec<StreamId> = Vec::new();
        for peer in self.peers() {
            wanted.extend(peer.reaches().map(|(stream, _)| stream).filter(|stream| *stream != own));
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut uncovered = false;
        for stream in wanted {
            uncovered |= !self.choose_source(now, stream);
        }
        if uncovered {
            self.begin_sync(now);
        }
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.sessions.values().filter(|session| session.is_established()).filter_map(|session| session.peer.as_ref())
    }

    /// `false` if nobody can give it from where it is needed.
    fn choose_source(&mut self, now: Micros, stream: StreamId) -> bool {
        if self.keeps_source(now, stream) {
            return true;
        }
        let Some(from) = self.applied.get(stream).or_else(|| self.begin_of(stream)) else {
            return !self.peers().any(|peer| peer.reach(stream).is_some_and(|reach| reach > Position(0)));
        };
        let gives = |peer: &Peer| peer.reach(stream).is_some_and(|reach| reach > from);
        let of = |wanted: &dyn Fn(&Peer) -> bool| {
            let peers = self.sessions.iter().filter(|(_, session)| session.is_established());
            let fits = peers.filter(|(_, session)| session.peer.as_ref().is_some_and(wanted));
            fits.max_by_key(|(_, session)| session.peer.as_ref().and_then(|peer| peer.reach(stream))).map(|(id, _)| *id)
        };
        let origin = of(&|peer| peer.is_origin_of(stream) && (peer.stream() == stream || gives(peer)));
        let Some(id) = origin.or_else(|| of(&gives)) else { return true };
        if origin.is_some() {
            self.counters.exact_resumes += u64::from(from > Position(0));
        } else {
            self.counters.relays += 1;
            let from = self.sessions.get(&id).and_then(|s| Some(s.peer.as_ref()?.name.clone())).unwrap_or_default();
            self.tell(NodeEvent::Relaying { stream, from });
        }
        self.ask(now, id, stream, from);
        true
    }

    /// Whether the source of a stream is good enough.
    fn keeps_source(&mut self, now: Micros, stream: StreamId) -> bool {
        let Some(source) = self.sources.get(&stream).copied() else { return false };
        let at = self.applied.get(stream).or_else(|| self.begin_of(stream)).unwrap_or_default();
        let session = self.sessions.get(&source.id).filter(|session| session.is_established());
        let peer = session.and_then(|session| session.peer.as_ref());
        let reach = peer.and_then(|peer| peer.reach(stream)).unwrap_or_default();
        let is_origin = peer.is_some_and(|peer| peer.is_origin_of(stream));
        let stalls = reach > at && now.since(source.moved) > STALL_US;
        // A relay that has nothing more gives way to whoever has, and to the origin.
        let others_have_more =
            || self.peers().any(|peer| peer.reach(stream).is_some_and(|reach| reach > at) || peer.stream() == stream);
        let is_spent = !is_origin && reach <= at && others_have_more();
        if peer.is_none() || stalls || is_spent {
            self.counters.stalls += u64::from(stalls);
            self.sources.remove(&stream);
            return false;
        }
        true
    }

    /// Where a stream begins of which nothing was applied, if everything before that is known.
    fn begin_of(&self, stream: StreamId) -> Option<Position> {
        let range = self.peers().find_map(|peer| peer.range(stream))?;
        let is_first = range.first == Position(0) && range.start == Position(0);
        let earlier = |other: StreamId| other.origin == stream.origin && other.incarnation < stream.incarnation;
        let left = self.applied.iter().filter(|(other, _)| earlier(*other)).map(|(_, position)| position).max();
        let follows = left.is_some_and(|position| position >= range.first);
        (is_first || follows).then_some(range.first)
    }

    /// Asks for a stream.
    pub(super) fn ask(&mut self, now: Micros, id: ConnectionId, stream: StreamId, from: Position) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.say(|version, out| Subscribe { stream, from }.encode(version, out));
        self.sources.insert(stream, Source { id, moved: now });
    }

    /// A peer asks for a stream.
    pub(super) fn hear_subscribe(&mut self, session: &mut Session, stream: StreamId, from: Position) {
        let current = self.store.stream();
        let own = self.store.streams().into_iter().find(|range| range.stream == stream);
        let own = own.filter(|_| stream == current || !crate::sync::bite("node.former-life-lost"));
        let relayed = self.relays.range(stream).filter(|(start, end)| *start <= from && from <= *end);
        let is_whole = |start: Position, end: Position| start <= from && from <= end;
        let ring = match own {
            Some(range) if is_whole(range.start.max(range.first), range.end) => {
                Some(Ring::Own { end: (stream != current).then_some(range.end) })
            }
            _ => relayed.map(|_| Ring::Relay),
        };
        match ring {
            Some(ring) => session.subscribe(Subscription::new(stream, ring, from, from)),
            None => {
                self.counters.not_covered_sent += 1;
                let start = own.map(|range| range.start).or(self.relays.range(stream).map(|(start, _)| start));
                let answer = NotCovered { stream, start: start.unwrap_or_default() };
                session.say(|version, out| answer.encode(version, out));
            }
        }
    }

    /// A peer has not what was asked for.
    pub(super) fn hear_not_covered(&mut self, now: Micros, id: ConnectionId, stream: StreamId) {
        self.counters.not_covered_received += 1;
        if self.sources.get(&stream).is_some_and(|source| source.id == id) {
            self.sources.remove(&stream);
            self.begin_sync(now);
        }
    }
}
