//! Inbound: bytes of a connection become frames, and each frame what it means in its place.
//!
//! ```text
//!   receive_space -> bytes -> handle_received -> frame by frame
//!     CHANGES  of the source, begins where the stream stands: applied record by record, kept for relay, position advanced
//!              begins later: a gap; asked for again from where it stands         begins earlier: passed over
//!     CHUNK    the same for a large value, which goes from the socket into its slot
//! ```
//!
//! A frame that is wrong ends the connection. Nothing is acknowledged before it was applied.

#![forbid(unsafe_code)]

use super::Node;
use super::api::{CloseReason, ConnectionId, NodeEvent};
use super::relay::Relayed;
use super::timers::Timer;
use crate::arena::change::Operation;
use crate::arena::frame::FrameKind;
use crate::arena::received::FrameHead;
use crate::replication::session::Session;
use crate::replication::session::incoming::IncomingValue;
use crate::replication::session::time::Micros;
use crate::replication::store::Applied;
use crate::replication::wire::{
    Changes, Chunk, ChunkHead, DecodeError, Heartbeat, Message, Reason, Record, RecordBody, Refuse,
};
use crate::sync::bite;
use crate::types::key::KeyspaceId;
use crate::types::stream::{Position, StreamId};
use crate::types::version::Version;

/// Why a connection can not go on.
enum Wrong {
    Frame(DecodeError),
    Order(&'static str),
}

impl From<DecodeError> for Wrong {
    fn from(error: DecodeError) -> Self {
        Self::Frame(error)
    }
}

impl Node {
    /// Where the next bytes of a connection belong: never empty for a connection that is open. Empty for others.
    pub(crate) fn receive_space(&mut self, id: ConnectionId) -> &mut [u8] {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.is_closing()) else { return &mut [] };
        let rest = session.reader.chunk_rest();
        if rest > 0 && session.incoming.as_mut().is_some_and(|value| value.space(rest).is_some_and(|s| !s.is_empty())) {
            return session.incoming.as_mut().and_then(|value| value.space(rest)).unwrap_or_default();
        }
        session.reader.space()
    }

    /// So many bytes were put where `receive_space` said.
    pub(crate) fn handle_received(&mut self, now: Micros, id: ConnectionId, bytes: usize) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        if !session.is_closing() {
            session.heard = now;
            self.take_in(now, id, &mut session, bytes);
        }
        self.sessions.insert(id, session);
    }

    fn take_in(&mut self, now: Micros, id: ConnectionId, session: &mut Session, bytes: usize) {
        let rest = session.reader.chunk_rest();
        let direct = rest > 0
            && session.incoming.as_mut().is_some_and(|value| value.space(rest).is_some_and(|space| !space.is_empty()));
        let mut result = Ok(());
        if direct {
            session.reader.chunk_received(bytes);
            if let Some(value) = &mut session.incoming {
                value.count(bytes);
            }
        } else {
            let passed = rest.min(bytes);
            session.reader.filled(bytes);
            if let Some(value) = session.incoming.as_mut().filter(|_| passed > 0) {
                value.count(passed);
            }
        }
        if session.reader.chunk_rest() == 0 && rest > 0 {
            result = self.end_chunk(now, id, session);
        }
        let mut reader = std::mem::take(&mut session.reader);
        while result.is_ok() && !session.is_closing() && reader.chunk_rest() == 0 {
            match reader.next() {
                Ok(Some(Message::Hello(hello))) => {
                    self.hear_hello(now, id, session, &hello);
                    let version = session.reader.version();
                    version.into_iter().for_each(|version| reader.agree(version));
                }
                Ok(Some(Message::Chunk(chunk))) => {
                    let complete = chunk.here.len() == chunk.head.bytes as usize;
                    result = self.hear_chunk(now, id, session, &chunk);
                    if result.is_ok() && complete {
                        result = self.end_chunk(now, id, session);
                    }
                }
                Ok(Some(message)) => result = self.hear(now, id, session, message),
                Ok(None) => break,
                Err(error) => result = Err(error.into()),
            }
        }
        session.reader = reader;
        match result {
            Ok(()) => {}
            Err(Wrong::Frame(error)) => {
                self.counters.bad_frame(&error);
                self.refuse(now, id, session, Reason::Frame, &error.to_string());
            }
            Err(Wrong::Order(why)) => self.refuse(now, id, session, Reason::Order, why),
        }
    }

    fn hear(
        &mut self,
        now: Micros,
        id: ConnectionId,
        session: &mut Session,
        message: Message<'_>,
    ) -> Result<(), Wrong> {
        if let Message::Refuse(refuse) = &message {
            self.hear_refuse(now, id, session, refuse);
            return Ok(());
        }
        if !session.is_established() {
            return Err(Wrong::Order("a frame before HELLO"));
        }
        match message {
            Message::Subscribe(ask) => self.hear_subscribe(session, ask.stream, ask.from),
            Message::Unsubscribe(ask) => session.unsubscribe(ask.stream),
            Message::NotCovered(answer) => self.hear_not_covered(now, id, answer.stream),
            Message::Changes(changes) => return self.hear_changes(now, id, session, &changes),
            Message::Ack(ack) => self.learn(now, session, |peer| peer.learn(ack.applied)),
            Message::Heartbeat(heartbeat) => self.hear_heartbeat(now, id, session, &heartbeat),
            Message::Goodbye(_) => {
                self.counters.goodbyes += 1;
                if let Some(peer) = &session.peer {
                    self.tell(NodeEvent::PeerLeft { name: peer.name.clone() });
                }
                self.close(now, id, session, CloseReason::PeerLeft);
            }
            Message::SyncRequest(request) => self.hear_sync_request(id, session, &request),
            Message::Verify(verify) => return self.hear_verify(id, verify).map_err(Wrong::Order),
            Message::SyncBegin(begin) => return self.hear_sync_begin(now, id, session, &begin).map_err(Wrong::Order),
            Message::Verified(verified) => {
                self.hear_donor(id, verified.records)?;
                self.verified(id, verified.batch, verified.last);
            }
            Message::SyncEntries(entries) => self.hear_donor(id, entries.records)?,
            Message::Floors(floors) => self.hear_floors(id, &floors),
            Message::SyncEnd(_) => self.hear_sync_end(now, id),
            Message::Skipped { .. } => self.counters.skipped_frames += 1,
            Message::Hello(_) | Message::Refuse(_) | Message::Chunk(_) => {}
        }
        Ok(())
    }

    fn learn(
        &mut self,
        now: Micros,
        session: &mut Session,
        learn: impl FnOnce(&mut crate::replication::session::peer::Peer),
    ) {
        if let Some(peer) = &mut session.peer {
            learn(peer);
        }
        if self.leaving.is_some() {
            self.timers.set_earlier(Timer::Tick, now);
        }
    }

    fn hear_refuse(&mut self, now: Micros, id: ConnectionId, session: &mut Session, refuse: &Refuse<'_>) {
        self.counters.refused_by_peer += 1;
        let address = session.side.address();
        if refuse.reason != Reason::Duplicate {
            self.tell(NodeEvent::Refused { address, by_peer: true, reason: refuse.why.to_owned() });
        }
        self.close(now, id, session, CloseReason::Refused);
    }

    fn hear_heartbeat(&mut self, now: Micros, id: ConnectionId, session: &mut Session, heartbeat: &Heartbeat<'_>) {
        if heartbeat.checksum != session.received.value() && !bite("node.stream-checksum-ignored") {
            self.counters.checksum_mismatches += 1;
            return self.close(now, id, session, CloseReason::ChecksumMismatch);
        }
        session.hear_heartbeat(now, heartbeat);
        if let Some(peer) = &mut session.peer {
            peer.flags = heartbeat.flags;
            peer.grow(heartbeat.end);
            peer.learn(heartbeat.vector);
        }
    }

    /// Whether a frame of a stream is in its place: `Ok(false)` if it is to be passed over.
    fn is_in_place(
        &mut self,
        now: Micros,
        id: ConnectionId,
        session: &mut Session,
        stream: StreamId,
        first: Position,
    ) -> bool {
        let Some(source) = self.sources.get_mut(&stream).filter(|source| source.id == id) else {
            self.counters.stray_frames += 1;
            return false;
        };
        source.moved = now;
        let at = self.applied.get(stream).unwrap_or(first);
        if first > at && !bite("node.gap-tolerated") {
            self.counters.gaps += 1;
            session.say(|version, out| {
                crate::replication::wire::Subscribe { stream, from: at }.encode(version, out);
            });
            return false;
        }
        first <= at
    }

    fn hear_changes(
        &mut self,
        now: Micros,
        id: ConnectionId,
        session: &mut Session,
        changes: &Changes<'_>,
    ) -> Result<(), Wrong> {
        session.received.add(changes.checksum);
        let stream = changes.stream;
        if !self.is_in_place(now, id, session, stream, changes.first) {
            return Ok(());
        }
        if self.applied.get(stream).is_some_and(|at| at >= changes.next) && changes.records.len() > 0 {
            return Ok(());
        }
        self.relays.begin(stream, changes.first);
        if bite("node.vector-early") {
            self.advance(now, stream, changes.next);
        }
        for record in changes.records.clone() {
            self.apply_record(stream, &record)?;
        }
        self.relays.settle(stream, changes.next);
        self.advance(now, stream, changes.next);
        Ok(())
    }

    fn apply_record(&mut self, stream: StreamId, record: &Record<'_>) -> Result<(), DecodeError> {
        if let RecordBody::Clear { keyspace, stamp } = record.body {
            self.store.apply_clear(keyspace, stamp);
            self.counters.clears_applied += 1;
            let operation = if keyspace.is_some() { Operation::ClearKeyspace } else { Operation::ClearAll };
            let version = Version::instant(stamp, stream.origin.0);
            self.keep(stream, record.position, operation, version, keyspace.unwrap_or_default(), &[]);
            return Ok(());
        }
        let Some(frame) = record.entry()? else { return Ok(()) };
        let applied = self.store.apply(&frame);
        self.note_applied(stream, applied);
        self.keep(
            stream,
            record.position,
            operation_of(frame.kind),
            frame.version,
            frame.key.keyspace,
            frame.key.bytes,
        );
        Ok(())
    }

    fn note_applied(&mut self, stream: StreamId, applied: Applied) {
        self.counters.applied(applied);
        if applied == Applied::BelowFloor && self.sync.is_some() {
            self.counters.join_refusals += 1;
        }
        let newest =
            self.applied.iter().filter(|(other, _)| other.origin == stream.origin).map(|(other, _)| other).max();
        self.counters.former_received += u64::from(newest.is_some_and(|newest| newest > stream));
    }

    fn keep(
        &mut self,
        stream: StreamId,
        at: Position,
        operation: Operation,
        version: Version,
        keyspace: KeyspaceId,
        key: &[u8],
    ) {
        self.relays.push(stream, at, &Relayed { operation, version, keyspace, key });
    }

    /// A stream has been applied up to a position.
    pub(super) fn advance(&mut self, now: Micros, stream: StreamId, to: Position) {
        if !self.applied.advance(stream, to) {
            self.counters.streams_dropped += 1;
        }
        if self.sync.as_ref().is_none_or(|sync| sync.before().is_none()) {
            self.store.save_applied(stream, to);
        }
        self.sessions.values_mut().for_each(|session| session.wake(stream));
        self.timers.set_earlier(Timer::Acknowledge, now.plus(self.config.timings.acknowledge_us));
    }

    fn hear_chunk(
        &mut self,
        now: Micros,
        id: ConnectionId,
        session: &mut Session,
        chunk: &Chunk<'_>,
    ) -> Result<(), Wrong> {
        if !session.is_established() {
            return Err(Wrong::Order("a chunk before HELLO"));
        }
        self.counters.chunks_received += 1;
        session.received.add(chunk.checksum);
        let head: ChunkHead = chunk.head;
        if !head.is_first() {
            let follows = session.incoming.as_ref().is_some_and(|value| value.is_followed_by(&head));
            if !follows {
                // The rest of a value that was not asked for.
                session.incoming = None;
                return Ok(());
            }
            if let Some(value) = &mut session.incoming {
                value.go_on(head);
                value.copy(chunk.here, 0);
            }
            return Ok(());
        }
        session.incoming = None;
        if !self.is_in_place(now, id, session, head.stream, head.first) {
            return Ok(());
        }
        let wrong = |source| Wrong::Frame(DecodeError::Entry { position: head.position, source });
        let entry = FrameHead::read(chunk.here).map_err(wrong)?;
        let into = self.store.begin_value(&entry, false);
        let Some(mut value) = IncomingValue::begin(head, &entry, into) else {
            return Err(Wrong::Order("the lengths of a large value do not agree"));
        };
        value.copy(chunk.here, entry.head_bytes);
        session.incoming = Some(value);
        Ok(())
    }

    /// All bytes of a chunk are there.
    fn end_chunk(&mut self, now: Micros, _id: ConnectionId, session: &mut Session) -> Result<(), Wrong> {
        if session.incoming.as_ref().is_none_or(|value| !value.head().is_last()) {
            return Ok(());
        }
        let Some(value) = session.incoming.take() else { return Ok(()) };
        let head = *value.head();
        let (key, keyspace, version, kind) =
            (value.key().map(|key| key.bytes.to_vec()), value.keyspace, value.version, value.kind);
        let Some(applied) = value.finish() else {
            return Err(Wrong::Order("the checksum of a large value is wrong"));
        };
        self.note_applied(head.stream, applied);
        self.relays.begin(head.stream, head.first);
        self.keep(head.stream, head.position, operation_of(kind), version, keyspace, &key.unwrap_or_default());
        self.relays.settle(head.stream, head.next);
        self.advance(now, head.stream, head.next);
        Ok(())
    }
}

fn operation_of(kind: FrameKind) -> Operation {
    match kind {
        FrameKind::Value | FrameKind::Negative => Operation::Set,
        FrameKind::Tombstone => Operation::Remove,
        FrameKind::Invalidation => Operation::Invalidate,
    }
}
