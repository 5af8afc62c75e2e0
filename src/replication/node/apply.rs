//! Applying: changes of others, in the order of their stream, and then the position behind them.
//!
//! ```text
//!   CHANGES first..next     first = position?   yes: each record: checksum -> apply -> ring for relays; then position = next
//!                                               no, and something was awaited: of before, passed over
//!                                               no: a gap; asked for again from `position`
//!   CHUNK ..                the same for one large value, written into its slot as it comes
//! ```
//!
//! While a sync is under way, a change of an absent key that is not younger than the donor's stamp is put off until its end:
//! nobody here knows yet what the donor has seen of that key. Without room for it, and with one in chunks, the stream halts
//! until then.

#![forbid(unsafe_code)]

use super::Node;
use super::ahead::{Ahead, Near};
use super::api::{CloseReason, ConnectionId};
use super::receive::Fault;
use super::relay::Relayed;
use super::row::Row;
use crate::arena::change::Operation;
use crate::arena::frame::FrameKind;
use crate::arena::received::FrameHead;
use crate::replication::session::incoming::IncomingValue;
use crate::replication::session::time::Micros;
use crate::replication::store::Applied;
use crate::replication::wire::{Changes, Chunk, DecodeError, RecordBody, Unsubscribe};
use crate::sync::bite;
use crate::types::key::{Key, KeyspaceId};
use crate::types::stream::{Position, StreamId};
use crate::types::version::{Stamp, Version};

/// Whether a frame of a stream is what is to come next.
enum Place {
    Next,
    Stray,
}

/// Whether a change is dealt with.
enum Done {
    Now,
    /// It has to wait for the end of a sync, and there is no room for it.
    Later,
}

impl Node {
    pub(super) fn handle_changes_of(
        &mut self,
        now: Micros,
        id: ConnectionId,
        changes: Changes<'_>,
    ) -> Result<(), Fault> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.session.received.add(changes.checksum);
        let (stream, next) = (changes.stream, changes.next);
        let Place::Next = self.place(now, id, stream, changes.first) else { return Ok(()) };
        self.relays.begin(stream, changes.first);
        let mut ahead = Ahead::of(changes.records);
        while let Some(near) = ahead.next(&self.store)? {
            if let Done::Later = self.apply_record(stream, &near)? {
                self.halt(stream);
                return Ok(());
            }
        }
        self.relays.settle(stream, next);
        self.advance(now, stream, next);
        Ok(())
    }

    /// Compares where a frame begins with where its stream stands.
    fn place(&mut self, now: Micros, id: ConnectionId, stream: StreamId, first: Position) -> Place {
        let is_former = stream.origin != self.stream.origin
            && self
                .links
                .get(&id)
                .and_then(|link| link.peer())
                .is_some_and(|peer| peer.origin == stream.origin && peer.incarnation != stream.incarnation);
        let Some(row) = self.streams.rows.get_mut(&stream).filter(|row| row.source == Some(id)) else {
            self.counters.stray_frames += 1;
            return Place::Stray;
        };
        if first != row.position && !bite("node.gap-tolerated") {
            if row.awaiting {
                self.counters.stray_frames += 1;
            } else {
                self.counters.gap_repairs += 1;
                self.ask_again(now, stream);
            }
            return Place::Stray;
        }
        if std::mem::take(&mut row.awaiting) && row.position > Position(0) {
            self.counters.exact_resumes += 1;
            self.counters.former_received += u64::from(is_former);
        }
        Place::Next
    }

    /// Everything before a position was applied: only now it may be said, and saved.
    fn advance(&mut self, now: Micros, stream: StreamId, next: Position) {
        if self.streams.advance(now, stream, next) {
            self.store.save_applied(stream, next);
        }
        self.wake_relays(stream);
        self.has_applied(now);
    }

    /// Who is given a stream of another node may be given more of it.
    pub(super) fn wake_relays(&mut self, stream: StreamId) {
        for link in self.links.values_mut() {
            link.session.wake(stream);
        }
    }

    fn apply_record(&mut self, stream: StreamId, near: &Near<'_>) -> Result<Done, Fault> {
        let record = &near.record;
        if let RecordBody::Clear { keyspace, stamp } = record.body {
            self.apply_clear(stream, record.position, keyspace, stamp);
            return Ok(Done::Now);
        }
        let (Some((frame, sought)), RecordBody::Entry(entry)) = (&near.entry, record.body) else {
            return Ok(Done::Now);
        };
        let is_marker = frame.kind == FrameKind::Invalidation;
        if is_marker && self.is_put_off(frame.key, &frame.version) && !bite("node.marker-before-entry") {
            // A floor of this version would keep its own entry out.
        } else if is_marker || !self.has_to_wait(frame.key, &frame.version) {
            let applied = self.store.apply_sought(sought, frame);
            if applied == Applied::Closed {
                return Err(Fault::Close(CloseReason::Leaving));
            }
            self.counters.applied(applied);
        } else if !self.defer(stream, record.position, frame, entry) && !bite("node.never-halts") {
            return Ok(Done::Later);
        }
        self.keep(stream, record.position, operation_of(frame.kind), &frame.version, frame.key);
        Ok(Done::Now)
    }

    /// A stream stands still until the sync that is under way has ended: this frame and all behind it come again.
    fn halt(&mut self, stream: StreamId) {
        self.counters.streams_halted += 1;
        let source = self.streams.rows.get_mut(&stream).and_then(Row::halt);
        if let Some(link) = source.and_then(|source| self.links.get_mut(&source)) {
            link.session.say(|version, out| Unsubscribe { stream }.encode(version, out));
        }
    }

    fn apply_clear(&mut self, stream: StreamId, at: Position, keyspace: Option<KeyspaceId>, stamp: Stamp) {
        self.store.apply_clear(keyspace, stamp);
        self.counters.clears_applied += 1;
        let operation = if keyspace.is_some() { Operation::ClearKeyspace } else { Operation::ClearAll };
        let version = Version::instant(stamp, stream.origin.0);
        let change = Relayed { operation, version, keyspace: keyspace.unwrap_or_default(), key: &[] };
        self.relays.push(stream, at, &change);
    }

    fn keep(&mut self, stream: StreamId, at: Position, operation: Operation, version: &Version, key: Key<'_>) {
        let change = Relayed { operation, version: *version, keyspace: key.keyspace, key: key.bytes };
        self.relays.push(stream, at, &change);
    }

    /// Whether a change of an absent key is too old to be decided about while a sync is under way.
    fn has_to_wait(&self, key: Key<'_>, version: &Version) -> bool {
        if bite("node.join-unguarded") {
            return false;
        }
        let too_old = self.join_stamp().is_some_and(|stamp| version.begin() <= stamp);
        too_old && self.store.version_of(key).is_none()
    }

    pub(super) fn handle_chunk(&mut self, now: Micros, id: ConnectionId, chunk: &Chunk<'_>) -> Result<(), Fault> {
        self.counters.chunks_received += 1;
        let head = chunk.head;
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        if !head.is_of_sync() {
            link.session.received.add(chunk.checksum);
            if let Some(row) = self.streams.rows.get_mut(&head.stream) {
                row.moved = now;
            }
        }
        match link.session.incoming.take().filter(|incoming| !incoming.is_over()) {
            Some(mut incoming) if !head.is_first() => {
                if !incoming.is_followed_by(&head) {
                    return Err(Fault::Order("a chunk of another value"));
                }
                incoming.go_on(head);
                incoming.copy(chunk.here, 0);
                link.session.incoming = Some(incoming);
            }
            None if head.is_first() => {
                let entry = FrameHead::read(chunk.here)
                    .map_err(|source| DecodeError::Entry { position: head.position, source })?;
                let incoming = self.begin_value(now, id, chunk, &entry)?;
                if let Some(link) = self.links.get_mut(&id) {
                    link.session.incoming = Some(incoming);
                }
            }
            _ => return Err(Fault::Order("a chunk that is not the next one")),
        }
        if chunk.here.len() == head.bytes as usize { self.chunk_is_whole(now, id) } else { Ok(()) }
    }

    fn begin_value(
        &mut self,
        now: Micros,
        id: ConnectionId,
        chunk: &Chunk<'_>,
        entry: &FrameHead<'_>,
    ) -> Result<IncomingValue, Fault> {
        let head = chunk.head;
        let into = if head.is_of_sync() {
            self.check_donor(id)?;
            self.store.begin_value(entry, true)
        } else if let Place::Stray = self.place(now, id, head.stream, head.first) {
            Err(Applied::Same)
        } else if self.has_to_wait(entry.key, &entry.version) {
            self.halt(head.stream);
            Err(Applied::Same)
        } else {
            self.store.begin_value(entry, false)
        };
        let incoming = IncomingValue::begin(head, entry, into);
        let mut incoming = incoming.ok_or(Fault::Order("a value of another length than its chunks"))?;
        incoming.copy(chunk.here, entry.head_bytes);
        Ok(incoming)
    }

    /// All bytes of the last chunk have come; with the last one of a value, the value has.
    pub(super) fn chunk_is_whole(&mut self, now: Micros, id: ConnectionId) -> Result<(), Fault> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let Some(incoming) = link.session.incoming.take() else { return Ok(()) };
        if !incoming.is_over() {
            link.session.incoming = Some(incoming);
            return Ok(());
        }
        let (head, version, kind) = (*incoming.head(), incoming.version, incoming.kind);
        let key = incoming.key().map(|key| (key.keyspace, key.bytes.to_vec()));
        let Some(applied) = incoming.finish() else {
            let source = crate::arena::received::FrameError::Checksum { found: 0, expected: 0 };
            return Err(Fault::Frame(DecodeError::Entry { position: head.position, source }));
        };
        if applied == Applied::Closed {
            return Err(Fault::Close(CloseReason::Leaving));
        }
        self.counters.applied(applied);
        if head.is_of_sync() {
            self.note_synced(now);
            return Ok(());
        }
        // Asked for anew since it began, it comes again.
        let is_asked_anew = |row: &Row| row.awaiting && !bite("node.halted-value-counts");
        let stands = |row: &Row| row.source == Some(id) && row.position == head.first && !is_asked_anew(row);
        let is_next = self.streams.rows.get(&head.stream).is_some_and(stands);
        if let (Some((space, key)), true) = (key, is_next) {
            self.relays.begin(head.stream, head.first);
            let change = Relayed { operation: operation_of(kind), version, keyspace: space, key: &key };
            self.relays.push(head.stream, head.position, &change);
            self.relays.settle(head.stream, head.next);
            self.advance(now, head.stream, head.next);
        }
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

/// The version floor of a key, of so many.
pub(super) fn range_of(key: Key<'_>, ranges: u32) -> u32 {
    key.wire_hash().checked_shr(u64::BITS - ranges.trailing_zeros()).unwrap_or(0) as u32
}
