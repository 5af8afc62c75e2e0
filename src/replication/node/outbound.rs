//! Outbound: the next batch of a connection, made when the last one is written, from what is there at that moment.
//!
//! ```text
//!   short frames | the large value under way | streams, in turn | sync          until the batch is full
//!
//!   change in a ring -> its key is looked up:   this version, or a newer one of its origin  -> the entry
//!                                               gone, or of another origin                  -> a marker: key and version
//!                                               sent ahead already                          -> a marker, or nothing
//! ```
//!
//! A cursor per stream and peer, and no queue: whoever is slow gets fewer versions, never old ones.

#![forbid(unsafe_code)]

use super::Node;
use super::api::ConnectionId;
use super::relay::Hint;
use crate::arena::change::{Change, Operation, Read};
use crate::arena::frame::FrameKind;
use crate::replication::session::Session;
use crate::replication::session::sent::Left;
use crate::replication::session::subscription::{Source, Subscription};
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::{Part, Pins, Transmit, has_slices_enough};
use crate::replication::store::{OutgoingBody, PinnedFrame, Store};
use crate::replication::wire::{ChunkHead, NotCovered, Placed, RecordsBuilder};
use crate::sync::{Arc, bite};
use crate::types::key::Key;
use crate::types::limits::CHUNK_BYTES;
use crate::types::stream::{Position, StreamId};
use crate::types::version::Version;

/// A large value on its way out.
#[derive(Debug)]
pub(super) struct OutgoingValue {
    frame: Arc<PinnedFrame>,
    stream: StreamId,
    first: Position,
    position: Position,
    next: Position,
    offset: usize,
}

/// What goes out for a change.
enum Said {
    /// The entry, copied or pinned.
    Entry,
    /// Key and version.
    Marker,
    Nothing,
    /// A large value, in chunks: behind this frame.
    Chunks(PinnedFrame),
}

/// A key that has changed, and where its frame is put.
struct Telling<'a> {
    store: &'a Store,
    change: &'a Change,
    pins: &'a mut Pins,
}

impl Node {
    pub(super) fn fill(&mut self, _now: Micros, id: ConnectionId, session: &mut Session, transmit: &mut Transmit) {
        self.send_chunks(id, session, transmit);
        let count = session.subscriptions().len();
        for _ in 0..count {
            if transmit.is_full() || self.values.contains_key(&id) {
                return;
            }
            let turn = session.turn % count;
            session.turn = session.turn.wrapping_add(1);
            self.send_stream(id, session, turn, transmit);
        }
        if !transmit.is_full() {
            self.send_sync(id, session, transmit);
        }
        if !transmit.is_full() {
            self.give(id, session, transmit);
        }
    }

    /// Chunks of the value under way.
    fn send_chunks(&mut self, id: ConnectionId, session: &mut Session, transmit: &mut Transmit) {
        while !transmit.is_full()
            && let Some(value) = self.values.get_mut(&id)
        {
            let total = value.frame.bytes().len();
            let end = (value.offset + CHUNK_BYTES).min(total);
            let head = ChunkHead {
                stream: value.stream,
                first: value.first,
                next: if end == total { value.next } else { value.first },
                position: value.position,
                total: total as u32,
                offset: value.offset as u32,
                bytes: (end - value.offset) as u32,
            };
            let checksum = head.encode(session.version, transmit.bytes());
            session.sent.add(checksum);
            transmit.chunk(&value.frame, value.offset..end);
            self.counters.chunks_sent += 1;
            value.offset = end;
            if end == total {
                self.values.remove(&id);
            }
        }
    }

    /// One frame of a stream.
    fn send_stream(&mut self, id: ConnectionId, session: &mut Session, turn: usize, transmit: &mut Transmit) {
        let version = session.version;
        let Some(subscription) = session.subscriptions().get_mut(turn) else { return };
        if !subscription.ready {
            return;
        }
        let (stream, first) = (subscription.stream, subscription.told);
        let (bytes, pins) = transmit.parts();
        let mut builder = RecordsBuilder::changes(bytes, version, stream, first);
        let mut large = None;
        let mut change = std::mem::take(&mut self.change);
        let lost = loop {
            if builder.is_full() || has_slices_enough(pins.len()) || large.is_some() {
                break false;
            }
            let at = subscription.cursor;
            match self.read_stream(subscription, &mut change) {
                Read::Change { next } => {
                    subscription.cursor = next;
                    large = self.push_change(subscription, &mut builder, at, next, &change, pins);
                }
                Read::Nothing { next } => subscription.cursor = next,
                Read::NotYet => {
                    subscription.ready = false;
                    break false;
                }
                Read::Lost => break true,
            }
            if subscription.is_over() {
                subscription.ready = false;
                break false;
            }
        };
        self.change = change;
        let told = large.as_ref().map_or(subscription.cursor, |value: &OutgoingValue| value.position);
        if lost {
            builder.abandon();
            self.counters.overtaken += 1;
            self.counters.not_covered_sent += 1;
            let start = self.store.streams().iter().find(|range| range.stream == stream).map(|range| range.start);
            session.unsubscribe(stream);
            let answer = NotCovered { stream, start: start.unwrap_or_default() };
            return session.say(|version, out| answer.encode(version, out));
        }
        if told == first && builder.count() == 0 {
            builder.abandon();
        } else {
            subscription.told = told;
            let checksum = builder.finish(told);
            session.sent.add(checksum);
        }
        if let Some(mut value) = large {
            value.first = told;
            session.subscriptions()[turn].told = value.next;
            self.values.insert(id, value);
            self.send_chunks(id, session, transmit);
        }
    }

    fn read_stream(&self, subscription: &Subscription, change: &mut Change) -> Read<Position> {
        match subscription.source {
            Source::Own { .. } => self.store.read_change(subscription.cursor, change),
            Source::Relay => self.relays.read(subscription.stream, subscription.cursor, &mut Hint::default(), change),
        }
    }

    /// Pushes what is to be said of a change; a large value comes back.
    fn push_change(
        &mut self,
        subscription: &mut Subscription,
        builder: &mut RecordsBuilder<'_>,
        at: Position,
        next: Position,
        change: &Change,
        pins: &mut Pins,
    ) -> Option<OutgoingValue> {
        self.counters.changes_sent += 1;
        match subscription.source {
            Source::Own { end: Some(_) } => self.counters.former_replays += 1,
            Source::Own { end: None } => {}
            Source::Relay => self.counters.relayed += 1,
        }
        let Some(key) = change.key() else {
            let keyspace = (change.operation == Operation::ClearKeyspace).then_some(change.keyspace);
            builder.push_clear(at, keyspace, change.version.stamp);
            return None;
        };
        let left = subscription.ahead.left(key, change.version.stamp);
        if left == Left::Nothing || (left != Left::Everything && bite("node.conflation-skips")) {
            self.counters.conflations += 1;
            return None;
        }
        let mut large = None;
        let mut sent_ahead = None;
        let mut telling = Telling { store: &self.store, change, pins };
        let counters = &mut self.counters;
        builder.push_with(at, |out| {
            let said = if left == Left::Marker { (Said::Marker, None) } else { telling.say(key, out, counters) };
            sent_ahead = said.1;
            match said.0 {
                Said::Entry => telling.placed(out),
                Said::Marker => {
                    telling.write_marker(key, out);
                    Placed::Copied
                }
                Said::Nothing => Placed::Nothing,
                Said::Chunks(frame) => {
                    large = Some(frame);
                    Placed::Nothing
                }
            }
        });
        if let Some(stamp) = sent_ahead {
            self.counters.conflations += 1;
            subscription.ahead.note(key, stamp);
        }
        large.map(|frame| OutgoingValue {
            frame: Arc::new(frame),
            stream: subscription.stream,
            first: at,
            position: at,
            next,
            offset: 0,
        })
    }
}

impl Telling<'_> {
    /// Looks the key up and appends its frame, if that is what is to be said; and the stamp if it is a newer one.
    fn say(
        &mut self,
        key: Key<'_>,
        out: &mut Vec<u8>,
        counters: &mut super::NodeCounters,
    ) -> (Said, Option<crate::types::version::Stamp>) {
        let before = out.len();
        let version = &self.change.version;
        let is_it = |there: &Version| {
            (there.stamp, there.origin) == (version.stamp, version.origin)
                || (there.origin == version.origin && there.stamp > version.stamp)
        };
        let Some(outgoing) = self.store.outgoing(key, out) else {
            match self.change.operation {
                Operation::Remove => counters.evicted_tombstones_sent += 1,
                _ => counters.evicted_values_sent += 1,
            }
            return (Said::Marker, None);
        };
        if !is_it(&outgoing.version) {
            out.truncate(before);
            counters.overwritten_sent += 1;
            return (Said::Marker, None);
        }
        let ahead = (outgoing.version.stamp > version.stamp).then_some(outgoing.version.stamp);
        match outgoing.body {
            OutgoingBody::Copied => (Said::Entry, ahead),
            OutgoingBody::Pinned(frame) if outgoing.bytes > CHUNK_BYTES => (Said::Chunks(frame), ahead),
            OutgoingBody::Pinned(frame) => {
                self.pins.push(out.len(), Part::Pinned(frame));
                (Said::Entry, ahead)
            }
            OutgoingBody::NoPin => {
                counters.unpinned_sent += 1;
                (Said::Marker, None)
            }
        }
    }

    /// Where the frame is that was said.
    fn placed(&self, out: &[u8]) -> Placed {
        self.pins.last_at(out.len()).map_or(Placed::Copied, Placed::Elsewhere)
    }

    fn write_marker(&self, key: Key<'_>, out: &mut Vec<u8>) {
        let kind = match self.change.operation {
            Operation::Remove => FrameKind::Tombstone,
            _ => FrameKind::Invalidation,
        };
        Store::write_marker(kind, key, &self.change.version, out);
    }
}
