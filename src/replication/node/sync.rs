//! Sync: catching up by comparing, with one donor, where no ring reaches back far enough.
//!
//! ```text
//!   SYNC_REQUEST ->            <- SYNC_BEGIN: vector, clears       every stream is asked for from there at once
//!   VERIFY: key, version ->    <- VERIFIED: what is newer, or can not be vouched for        until all entries are through
//!                              <- SYNC_ENTRIES, hottest first;  FLOORS: the higher ones count;  SYNC_END: complete
//! ```
//!
//! Until its end nobody is told that anything of it is here: the vector in the arena and in heartbeats stays what it was.

#![forbid(unsafe_code)]

use super::Node;
use super::api::{ConnectionId, NodeEvent, SyncKind};
use crate::arena::frame::FrameKind;
use crate::replication::session::Session;
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::Transmit;
use crate::replication::store::Applied;
use crate::replication::wire::{
    DecodeError, Floors, Positions, Records, Subscribe, SyncBegin, SyncRequest, VerifyBuilder,
};
use crate::sync::bite;
use crate::types::stream::{StreamId, Vector};
use crate::types::version::Stamp;

/// A sync that this node receives.
#[derive(Debug)]
pub(super) struct Sync {
    donor: ConnectionId,
    name: String,
    kind: SyncKind,
    began: Micros,
    /// How far everything was applied before it began; set by SYNC_BEGIN.
    before: Option<Vector>,
    /// The index bucket from which on entries are to be verified; `None`: all are through.
    verify: Option<u32>,
    batch: u64,
    /// A batch waits for its answer.
    waits: bool,
    /// The empty batch that says "no more" was sent.
    verified: bool,
    entries: u64,
}

/// Entries of one scan step.
const SCAN: usize = 64;

impl Sync {
    /// How far everything had been applied before; `None` as long as the donor has not answered.
    pub(super) fn before(&self) -> Option<&Vector> {
        self.before.as_ref()
    }

    pub(super) fn wants_to_send(&self, id: ConnectionId) -> bool {
        self.donor == id && self.before.is_some() && self.kind == SyncKind::Delta && !self.waits && !self.verified
    }
}

impl Node {
    /// Looks for a donor, unless a sync is under way.
    pub(super) fn begin_sync(&mut self, now: Micros) {
        if self.sync.is_some() || self.leaving.is_some() {
            return;
        }
        let is_donor =
            |session: &&Session| session.is_established() && session.peer.as_ref().is_some_and(|peer| peer.is_joined());
        let complete = |session: &Session| session.peer.as_ref().is_some_and(|peer| peer.flags.complete);
        let donors = self.sessions.iter().filter(|(_, session)| is_donor(session));
        let Some((id, _)) = donors.max_by_key(|(_, session)| complete(session)) else { return };
        let id = *id;
        let kind = if self.standing.is_cold() { SyncKind::Snapshot } else { SyncKind::Delta };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let vector = Positions::from(&self.applied);
        let request = SyncRequest { since: Stamp::ZERO, verifies: kind == SyncKind::Delta, vector };
        session.say(|version, out| request.encode(version, out));
        let name = session.peer.as_ref().map(|peer| peer.name.clone()).unwrap_or_default();
        self.tell(NodeEvent::SyncBegun { donor: name.clone(), kind });
        self.sync = Some(Sync {
            donor: id,
            name,
            kind,
            began: now,
            before: None,
            verify: Some(0),
            batch: 0,
            waits: false,
            verified: false,
            entries: 0,
        });
    }

    /// The donor has begun. From here on its vector is where every stream goes on.
    pub(super) fn hear_sync_begin(
        &mut self,
        now: Micros,
        id: ConnectionId,
        session: &mut Session,
        begin: &SyncBegin<'_>,
    ) -> Result<(), &'static str> {
        let Some(sync) = self.sync.as_mut().filter(|sync| sync.donor == id && sync.before.is_none()) else {
            return Err("a sync begins that was not asked for");
        };
        sync.before = Some(self.applied.clone());
        for (keyspace, stamp) in begin.clears.iter().filter(|(_, stamp)| *stamp > Stamp::ZERO) {
            self.store.apply_clear(keyspace, stamp);
        }
        let own = self.store.stream();
        for (stream, position) in begin.vector.iter().filter(|(stream, _)| *stream != own) {
            self.applied.advance(stream, position);
            // Asked for anew from there: what comes from the place of before would be a gap.
            if let Some(source) = self.sources.get(&stream).copied() {
                let from = self.applied.get(stream).unwrap_or(position);
                if source.id == id {
                    session.say(|version, out| Subscribe { stream, from }.encode(version, out));
                } else {
                    self.ask(now, source.id, stream, from);
                }
            }
        }
        if let Some(peer) = &session.peer {
            let stream = peer.stream();
            let from = self.applied.get(stream).unwrap_or_default();
            session.say(|version, out| Subscribe { stream, from }.encode(version, out));
            self.sources.insert(stream, super::Source { id, moved: now });
        }
        Ok(())
    }

    /// The next batch to be verified.
    pub(super) fn send_sync(&mut self, id: ConnectionId, session: &mut Session, transmit: &mut Transmit) {
        let Some(sync) = self.sync.as_mut().filter(|sync| sync.wants_to_send(id)) else { return };
        let mut builder = VerifyBuilder::new(transmit.bytes(), session.version, sync.batch);
        if bite("node.sync-skips-verify") {
            sync.verify = None;
        }
        while let Some(from) = sync.verify
            && !builder.is_full()
        {
            let mut fits = true;
            let next = self.store.scan(from, SCAN, &mut |entry| {
                fits &= !builder.is_full();
                if fits && entry.kind == FrameKind::Value {
                    builder.push(entry.key, &entry.version);
                }
            });
            if fits {
                sync.verify = next;
            } else {
                break;
            }
        }
        self.counters.verified += u64::from(builder.count());
        sync.verified = builder.count() == 0;
        sync.waits = !sync.verified;
        sync.batch += 1;
        builder.finish();
    }

    /// Entries of the donor: newer ones of keys that were verified, markers, or those of its own.
    pub(super) fn hear_donor(&mut self, id: ConnectionId, records: Records<'_>) -> Result<(), DecodeError> {
        let is_donor = self.sync.as_ref().is_some_and(|sync| sync.donor == id);
        for record in records {
            let Some(frame) = record.entry()? else { continue };
            if !is_donor {
                continue;
            }
            if frame.kind == FrameKind::Invalidation {
                self.counters.verified_voided += 1;
            }
            let applied = self.store.apply_from_donor(&frame);
            if applied == Applied::Stored
                && let Some(sync) = &mut self.sync
            {
                sync.entries += 1;
            }
        }
        Ok(())
    }

    /// A batch was answered.
    pub(super) fn verified(&mut self, id: ConnectionId, batch: u64, last: bool) {
        if let Some(sync) = self.sync.as_mut().filter(|sync| sync.donor == id)
            && last
            && batch + 1 == sync.batch
        {
            sync.waits = false;
        }
    }

    /// The donor's floors: the higher one of both counts, whatever their numbers are.
    pub(super) fn hear_floors(&mut self, id: ConnectionId, floors: &Floors<'_>) {
        if self.sync.as_ref().is_none_or(|sync| sync.donor != id) || bite("node.floors-not-adopted") {
            return;
        }
        let own = self.store.floor_ranges();
        for (range, floor) in (floors.first..).zip(floors.floors.iter()).filter(|(_, floor)| *floor > Stamp::ZERO) {
            if floors.total >= own {
                self.store.raise_floor(range / (floors.total / own), floor);
            } else {
                let wide = own / floors.total;
                (range * wide..(range + 1) * wide).for_each(|range| self.store.raise_floor(range, floor));
            }
        }
    }

    /// Everything of the donor is here.
    pub(super) fn hear_sync_end(&mut self, now: Micros, id: ConnectionId) {
        let Some(sync) = self.sync.take_if(|sync| sync.donor == id && sync.before.is_some()) else { return };
        let all: Vec<_> = self.applied.iter().collect();
        all.into_iter().for_each(|(stream, position)| self.store.save_applied(stream, position));
        match sync.kind {
            SyncKind::Snapshot => self.counters.snapshots += 1,
            SyncKind::Delta => self.counters.deltas += 1,
        }
        self.store.end_join();
        let took_us = now.since(sync.began);
        self.tell(NodeEvent::SyncEnded { donor: sync.name, kind: sync.kind, entries: sync.entries, took_us });
        self.standing.synced();
        self.sessions.values_mut().for_each(|session| session.acknowledge_due = session.is_established());
        self.choose_sources(now);
        self.review_standing(now);
    }

    /// The donor is gone: everything is as it was before.
    pub(super) fn abort_sync_with(&mut self, id: ConnectionId) {
        let Some(sync) = self.sync.take_if(|sync| sync.donor == id) else { return };
        self.counters.syncs_aborted += 1;
        if let Some(before) = sync.before {
            // What came meanwhile is applied, but not all before it.
            let streams: Vec<StreamId> = self.applied.iter().map(|(stream, _)| stream).collect();
            streams.iter().for_each(|stream| self.relays.forget(*stream));
            self.applied = before;
            self.sources.clear();
        }
    }
}
