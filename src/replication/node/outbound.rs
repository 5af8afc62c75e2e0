//! Outbound: one batch of a connection, from whatever has something to say.
//!
//! ```text
//!   short frames | a value in chunks, to its end | a sync and the streams in turns, each stream in its turn
//!
//!   a change is read:   sent ahead already?           its version, or a newer one of another node: a marker
//!                                                     a newer one that has a place in this stream: nothing
//!                       the entry of its key now:     not older -> the entry, whoever made it; newer: noted as sent ahead
//!                                                     older, or gone -> a marker with the change's version
//! ```
//!
//! A relay that is in a sync, or has what one has left, waits for the word of the writer of both versions, and for the end of
//! what it has put off, rather than to send a marker (`leftovers.rs`).
//!
//! A marker is a frame without a value: it takes away what is older, and leaves what is not. It raises the floor of its range
//! where the key is absent, and so keeps out older changes of other keys that come late by another stream: an entry does not.

#![forbid(unsafe_code)]

use super::Node;
use super::api::ConnectionId;
use super::choice::{Choice, choose, marker_of};
use super::counters::NodeCounters;
use super::leftovers::Vouched;
use super::link::{Link, OutgoingValue};
use super::put_off::PutOff;
use super::relay::{Hint, Relays};
use super::sync_receiver::SyncReceiver;
use crate::arena::change::{Change, Operation, Read};
use crate::replication::session::sent::Left;
use crate::replication::session::subscription::{Source, Subscription};
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::{Part, Pins, Transmit, has_slices_enough};
use crate::replication::store::{ChangesAhead, Outgoing, OutgoingBody, PinnedFrame, Sought, Store};
use crate::replication::wire::{ChunkHead, Placed, RecordsBuilder, StreamChecksum};
use crate::sync::bite;
use crate::types::limits::{BATCH_BYTES, CHUNK_BYTES};
use crate::types::stream::Position;

/// Heartbeats for which a relay waits at one change.
const HEARTBEATS_WAITED: u64 = 4;

/// What was put into a frame.
#[derive(Debug)]
pub(super) enum Put {
    Record,
    /// Nothing: the entry goes out in chunks.
    Chunks(PinnedFrame),
    Nothing,
    /// What stands at the cursor can not be sent yet.
    Wait,
}

/// How the filling of a batch from one stream ended.
enum Filled {
    /// For now nothing is left, or the batch is full.
    Some,
    Chunks(OutgoingValue),
    /// The ring no longer has what comes next.
    Lost,
}

impl Node {
    /// Fills a batch behind the short frames.
    pub(super) fn fill(&mut self, now: Micros, id: ConnectionId, transmit: &mut Transmit) {
        self.fill_verify(now, id, transmit);
        if !self.fill_chunk(id, transmit) {
            return;
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        link.sync_turn = !link.sync_turn;
        if link.sync_turn {
            self.fill_sync(id, transmit);
            self.fill_changes(now, id, transmit);
        } else {
            self.fill_changes(now, id, transmit);
            self.fill_sync(id, transmit);
        }
    }

    /// The next chunk of a value that is on its way; whether anything else may follow.
    fn fill_chunk(&mut self, id: ConnectionId, transmit: &mut Transmit) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let Some(value) = &mut link.outgoing else { return true };
        let (head, frame) = value.next_chunk();
        let checksum = head.encode(link.session.version, transmit.bytes());
        let range = head.offset as usize..(head.offset + head.bytes) as usize;
        transmit.chunk(&frame, range);
        if !head.is_of_sync() {
            link.session.sent.add(checksum);
        }
        if value.is_over() {
            link.outgoing = None;
        }
        self.counters.chunks_sent += 1;
        false
    }

    fn fill_changes(&mut self, now: Micros, id: ConnectionId, transmit: &mut Transmit) {
        let mut lost = Vec::new();
        let has_ready = |link: &mut Link| link.session.subscriptions().iter().any(|subscription| subscription.ready);
        let unsettled = !self.is_settled() && self.links.get_mut(&id).is_some_and(has_ready);
        let vouched = unsettled.then(|| self.vouched_for());
        let put_off = self.sync.as_ref().map(SyncReceiver::put_off);
        let wait_us = self.config.timings.heartbeat_us * HEARTBEATS_WAITED;
        let Some(link) = self.links.get_mut(&id) else { return };
        let session = &mut link.session;
        let (version, turns) = (session.version, session.subscriptions().len());
        for _ in 0..turns {
            if transmit.is_full() || link.outgoing.is_some() {
                break;
            }
            let (turn, mut sent) = (session.turn % turns, session.sent);
            session.turn = turn + 1;
            let subscription = &mut session.subscriptions()[turn];
            if !subscription.ready {
                continue;
            }
            let mut outlet = Outlet {
                store: &self.store,
                relays: &self.relays,
                counters: &mut self.counters,
                change: &mut self.scratch,
                ahead: &mut self.ahead,
                version,
                vouched: vouched.as_ref(),
                put_off,
                now,
                wait_us,
            };
            match outlet.fill(subscription, transmit, &mut sent) {
                Filled::Some => {}
                Filled::Chunks(value) => link.outgoing = Some(value),
                Filled::Lost => {
                    subscription.ready = false;
                    lost.push(subscription.stream);
                }
            }
            session.sent = sent;
        }
        for stream in lost {
            self.counters.overtaken += 1;
            if let Some(link) = self.links.get_mut(&id) {
                link.session.unsubscribe(stream);
            }
            self.say_not_covered(id, stream);
        }
    }
}

/// What reading and sending one stream takes.
struct Outlet<'n> {
    store: &'n Store,
    relays: &'n Relays,
    counters: &'n mut NodeCounters,
    change: &'n mut Change,
    ahead: &'n mut ChangesAhead,
    version: u8,
    /// What others have written since may not be here for good, but for this: else it goes by its own stream alone.
    vouched: Option<&'n Vouched>,
    /// What is here, and no entry yet.
    put_off: Option<&'n PutOff>,
    now: Micros,
    /// How long a writer's word is waited for at one change.
    wait_us: u64,
}

impl Outlet<'_> {
    /// Sends from the cursor on, until the batch is full or nothing is left.
    fn fill(&mut self, from: &mut Subscription, transmit: &mut Transmit, sent: &mut StreamChecksum) -> Filled {
        let (bytes, pins) = transmit.parts();
        let mut builder = RecordsBuilder::changes(bytes, self.version, from.stream, from.told);
        let mut filled = Filled::Some;
        // A batch is bounded, and so is the time for which grace periods wait for it.
        let _guard = self.store.guard();
        self.ahead.forget();
        while !builder.is_full()
            && !has_slices_enough(pins.len())
            && builder.buffer().len() + pins.bytes() < BATCH_BYTES
        {
            let (at, hint) = (from.cursor, from.hint);
            match self.read(from) {
                Read::Nothing { next } => from.cursor = next,
                Read::Change { next } => match self.send(from, &mut builder, pins, at) {
                    Put::Wait => {
                        (from.ready, from.hint) = (false, hint);
                        if from.waits.is_none_or(|(cursor, _)| cursor != at) {
                            from.waits = Some((at, self.now));
                            self.counters.relays_waited += 1;
                        }
                        break;
                    }
                    Put::Nothing if bite("node.conflation-skips") && from.source == Source::Own { end: None } => {
                        from.cursor = self.store.end();
                    }
                    Put::Chunks(frame) => {
                        let (stream, first) = (from.stream, at);
                        let head =
                            ChunkHead { stream, first, next: first, position: at, total: 0, offset: 0, bytes: 0 };
                        filled = Filled::Chunks(OutgoingValue::new(frame, head, next));
                        break;
                    }
                    Put::Record | Put::Nothing => from.cursor = next,
                },
                Read::NotYet => {
                    from.ready = false;
                    break;
                }
                Read::Lost => {
                    filled = Filled::Lost;
                    break;
                }
            }
        }
        if builder.count() > 0 || from.cursor > from.told {
            sent.add(builder.finish(from.cursor));
        } else {
            builder.abandon();
        }
        if let Filled::Chunks(value) = &filled {
            from.cursor = value.next();
        }
        from.told = from.cursor;
        filled
    }

    fn read(&mut self, from: &mut Subscription) -> Read<Position> {
        match from.source {
            Source::Own { .. } if from.is_over() => Read::NotYet,
            Source::Own { .. } => self.store.next_change(from.cursor, self.ahead, self.change),
            Source::Relay => {
                let mut hint = Hint { block: from.hint.0, offset: from.hint.1 };
                let read = self.relays.read(from.stream, from.cursor, &mut hint, self.change);
                from.hint = (hint.block, hint.offset);
                read
            }
        }
    }

    /// Puts what is to be said of the change that was read.
    fn send(
        &mut self,
        from: &mut Subscription,
        builder: &mut RecordsBuilder<'_>,
        pins: &mut Pins,
        at: Position,
    ) -> Put {
        // Not once more at each change of a key that is written on and on.
        if from.waits.is_some_and(|(cursor, since)| cursor == at && self.now.since(since) > self.wait_us) {
            from.waited_to = self.relays.end(from.stream).max(from.waited_to);
        }
        let waits_long = at < from.waited_to;
        let Self { store, counters, change, ahead: own, vouched, put_off, .. } = self;
        let Some(key) = change.key() else {
            let keyspace = (change.operation == Operation::ClearKeyspace).then_some(change.keyspace);
            builder.push_clear(at, keyspace, change.version.stamp);
            counters.changes_sent += 1;
            return Put::Record;
        };
        let left = from.ahead.left(key, change.version.stamp);
        if left == Left::Nothing {
            counters.conflations += 1;
            return Put::Nothing;
        }
        let is_own = matches!(from.source, Source::Own { .. });
        let sought = own.sought(key).filter(|_| is_own).unwrap_or_else(|| store.approach(key));
        let mut ahead = None;
        let put = put(builder, pins, at, store, &sought, &mut |outgoing| {
            if left == Left::Marker && change.version.is_fill() {
                return Choice::Nothing;
            }
            if left == Left::Marker {
                return Choice::Marker(marker_of(change.operation), change.version);
            }
            if outgoing.is_none() && put_off.is_some_and(|put_off| put_off.is_last(key, &change.version)) {
                // Once the sync has ended it is an entry.
                return Choice::Wait;
            }
            let choice = choose(change, outgoing, *vouched, waits_long, counters);
            if let (Choice::Entry, Some(outgoing)) = (&choice, outgoing) {
                let has_place = outgoing.version.origin == change.version.origin;
                ahead = Some((outgoing.version.stamp, has_place)).filter(|(stamp, _)| *stamp > change.version.stamp);
            }
            choice
        });
        if left == Left::Marker || ahead.is_some() {
            counters.conflations += 1;
        }
        if let Some((stamp, has_place)) = ahead {
            from.ahead.note(key, stamp, has_place);
        }
        if let Put::Wait = put {
            return put;
        }
        counters.changes_sent += 1;
        counters.relayed += u64::from(from.source == Source::Relay);
        put
    }
}

/// Puts what `choose` says for a key into a frame, given its entry.
pub(super) fn put(
    builder: &mut RecordsBuilder<'_>,
    pins: &mut Pins,
    at: Position,
    store: &Store,
    sought: &Sought<'_>,
    choose: &mut dyn FnMut(Option<&Outgoing>) -> Choice,
) -> Put {
    let (mut put, mut pinned) = (Put::Nothing, None);
    builder.push_with(at, |out| {
        let start = out.len();
        let outgoing = store.outgoing(sought, out);
        match (choose(outgoing.as_ref()), outgoing.map(|outgoing| outgoing.body)) {
            (Choice::Entry, Some(OutgoingBody::Copied)) => {
                put = Put::Record;
                Placed::Copied
            }
            (Choice::Entry, Some(OutgoingBody::Pinned(frame))) if frame.bytes().len() > CHUNK_BYTES => {
                put = Put::Chunks(frame);
                Placed::Nothing
            }
            (Choice::Entry, Some(OutgoingBody::Pinned(frame))) => {
                put = Put::Record;
                Placed::Elsewhere(pinned.insert(frame).bytes().len())
            }
            (Choice::Wait, _) => {
                out.truncate(start);
                put = Put::Wait;
                Placed::Nothing
            }
            (Choice::Marker(kind, version), _) => {
                out.truncate(start);
                Store::write_marker(kind, sought.key, &version, out);
                put = Put::Record;
                Placed::Copied
            }
            _ => {
                out.truncate(start);
                Placed::Nothing
            }
        }
    });
    if let Some(frame) = pinned {
        pins.push(builder.buffer().len(), Part::Pinned(frame));
    }
    put
}
