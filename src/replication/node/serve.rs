//! Serving: who asks for which stream, and whether it is here.
//!
//! ```text
//!   a life of this node   from `from`, or from where that life began, whichever is later; if its ring still has that
//!   any other stream      if the ring that keeps it has `from`, and more behind it or all that is here
//!   neither               NOT_COVERED
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::ConnectionId;
use crate::replication::session::subscription::{Source, Subscription};
use crate::replication::wire::{NotCovered, Subscribe, Unsubscribe};
use crate::types::limits::STREAMS_MAX;
use crate::types::stream::{Position, StreamId};

impl Node {
    pub(super) fn handle_subscribe(&mut self, id: ConnectionId, subscribe: Subscribe) {
        let found = self.find_stream(subscribe.stream, subscribe.from);
        let Some(link) = self.links.get_mut(&id) else { return };
        let has_room = link.session.subscriptions().len() < STREAMS_MAX;
        match found.filter(|_| has_room || link.session.subscription(subscribe.stream).is_some()) {
            Some(subscription) => link.session.subscribe(subscription),
            None => {
                link.session.unsubscribe(subscribe.stream);
                self.say_not_covered(id, subscribe.stream);
            }
        }
    }

    pub(super) fn handle_unsubscribe(&mut self, id: ConnectionId, unsubscribe: Unsubscribe) {
        if let Some(link) = self.links.get_mut(&id) {
            link.session.unsubscribe(unsubscribe.stream);
        }
    }

    /// A subscription from a position on, if everything from there on is here.
    fn find_stream(&mut self, stream: StreamId, from: Position) -> Option<Subscription> {
        let own = self.store.streams().into_iter().find(|range| range.stream == stream);
        let is_current = stream == self.stream;
        if let Some(range) = own.filter(|range| from < range.end || is_current && from == range.end) {
            let cursor = from.max(range.first);
            let end = (!is_current).then_some(range.end);
            self.counters.former_life_replays += u64::from(!is_current && cursor >= range.start);
            return (cursor >= range.start).then(|| Subscription::new(stream, Source::Own { end }, from, cursor));
        }
        let (start, end) = self.relays.range(stream)?;
        // A ring that ends before what is here: the rest came by a sync, and nothing will ever be put behind that end.
        let goes_on = self.streams.applied.get(stream).is_none_or(|applied| applied <= end);
        (start <= from && (from < end || from == end && goes_on))
            .then(|| Subscription::new(stream, Source::Relay, from, from))
    }

    pub(super) fn say_not_covered(&mut self, id: ConnectionId, stream: StreamId) {
        self.counters.not_covered_sent += 1;
        let own = self.store.streams().into_iter().find(|range| range.stream == stream).map(|range| range.start);
        let start = own.or(self.relays.range(stream).map(|range| range.0)).unwrap_or_default();
        if let Some(link) = self.links.get_mut(&id) {
            link.session.say(|version, out| NotCovered { stream, start }.encode(version, out));
        }
    }
}
