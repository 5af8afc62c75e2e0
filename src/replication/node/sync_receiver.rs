//! Receiving a sync: what was missed comes from one donor, while the streams go on.
//!
//! ```text
//!   Survey --SYNC_REQUEST--> Requested --SYNC_BEGIN--> Running --SYNC_END--> claimed, saved
//!   newest entry here?                   |  streams go on from the donor's vector, not claimed
//!   (warm arenas alone)                  |  VERIFY ---> all that is held        <--- VERIFIED: what the donor knows better
//!                                        |  <--- SYNC_ENTRIES, hottest first    <--- FLOORS
//!   the donor is lost, at any point: all is begun again with another one
//! ```
//!
//! A change that is not younger than the donor's stamp, of a key that is absent here, is put off until the end: only then
//! are the floors known that decide about it. Its stream is claimed up to it, and no further.
//!
//! # Invariants
//!
//! - Nothing that a sync is to bring is claimed before its end.
//! - What is put off is bounded; beyond the bound the stream halts until the end.

#![forbid(unsafe_code)]

mod held;

use super::Node;
use super::ahead::Ahead;
use super::api::{CloseReason, ConnectionId, NodeEvent, SyncKind};
use super::leftovers::Clearing;
use super::link::Link;
use super::put_off::PutOff;
use super::receive::Fault;
use super::row::Row;
use crate::arena::frame::FrameKind;
use crate::arena::received::ReceivedFrame;
use crate::replication::session::time::Micros;
use crate::replication::store::Applied;
use crate::replication::wire::{Positions, Records, SyncBegin, SyncEnd, SyncEntries, SyncRequest, Verified};
use crate::sync::bite;
use crate::types::key::{Key, KeyspaceId};
use crate::types::limits::VERIFIES_OPEN_MAX;
use crate::types::stream::{Position, StreamId};
use crate::types::version::{Stamp, Version};
use std::collections::VecDeque;

/// How long a donor may send nothing.
pub(super) const DONOR_SILENT_US: u64 = 10_000_000;

/// Since when something was missed, where nothing was.
const NOTHING_MISSED: Stamp = Stamp(u64::MAX);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Survey { bucket: u32, newest: Stamp },
    Requested,
    Running,
}

/// A sync that is being received.
#[derive(Debug)]
pub(super) struct SyncReceiver {
    pub(super) donor: ConnectionId,
    donor_name: String,
    kind: SyncKind,
    began: Micros,
    pub(super) moved: Micros,
    phase: Phase,
    /// What is older than this is here, or its floor will be this.
    since: Stamp,
    /// The donor's, or this node's join: younger changes need not wait.
    stamp: Stamp,
    /// Where the scan of what is held goes on; `None` once it is through.
    bucket: Option<u32>,
    batch: u64,
    unanswered: u32,
    /// Entries of a bucket that did not fit into the last batch.
    spare: VecDeque<(KeyspaceId, Vec<u8>, Version)>,
    pub(super) floors: u32,
    pub(super) floors_total: u32,
    /// What is written here since the sync began is above this.
    pub(super) followed: Stamp,
    /// The donor's clock, or a floor of it, was too far ahead to be followed.
    pub(super) floors_ahead: bool,
    entries: u64,
    deferred: PutOff,
    clearing: Clearing,
}

impl SyncReceiver {
    /// What waits for its end.
    pub(super) fn put_off(&self) -> &PutOff {
        &self.deferred
    }

    /// Bytes of heap that are held, about.
    pub(super) fn heap_bytes(&self) -> usize {
        let spare: usize = self.spare.iter().map(|(_, key, _)| key.capacity()).sum();
        self.deferred.heap_bytes() + spare
    }
}

impl Node {
    /// Asks a donor for what was missed.
    pub(super) fn begin_sync(&mut self, now: Micros, donor: ConnectionId) {
        let Some(peer) = self.links.get(&donor).and_then(|link| link.peer()) else { return };
        let kind = if self.standing.is_joined() { SyncKind::Delta } else { SyncKind::Snapshot };
        let since = self.missed_since();
        let surveys = since.is_none() && self.standing.is_unconfirmed() && kind == SyncKind::Delta;
        let phase = if surveys { Phase::Survey { bucket: 0, newest: Stamp::ZERO } } else { Phase::Requested };
        let sync = SyncReceiver {
            donor,
            donor_name: peer.name.clone(),
            kind,
            began: now,
            moved: now,
            phase,
            since: since.unwrap_or_default(),
            stamp: self.standing.join_floor(),
            bucket: Some(0),
            batch: 0,
            unanswered: 0,
            spare: VecDeque::new(),
            floors: 0,
            floors_total: 0,
            followed: Stamp::ZERO,
            floors_ahead: false,
            entries: 0,
            deferred: PutOff::default(),
            clearing: self.clearing(now, donor),
        };
        self.tell(NodeEvent::SyncBegun { donor: sync.donor_name.clone(), kind });
        self.sync = Some(sync);
        if phase == Phase::Requested {
            self.request();
        }
    }

    /// The stamp up to which nothing was missed, if that is known of every stream that was, or that is not through yet: what comes
    /// of it may not be kept out by the floor that will be this.
    fn missed_since(&self) -> Option<Stamp> {
        if !self.standing.is_joined() || self.streams.is_in_doubt() {
            return None;
        }
        let reach = |link: &Link, stream| link.peer().and_then(|peer| peer.reach(stream));
        let is_behind = |(stream, row): &(&StreamId, &Row)| {
            let has_more = || self.links.values().any(|link| reach(link, **stream) > Some(row.position));
            row.source.is_none() || row.base.is_some() || has_more()
        };
        let missed = self.streams.rows.iter().filter(is_behind);
        missed.map(|(_, row)| row.caught_up).try_fold(NOTHING_MISSED, |least, stamp| Some(least.min(stamp?)))
    }

    fn request(&mut self) {
        let Some(sync) = &self.sync else { return };
        let vector = Positions::from(&self.streams.applied);
        let leftovers = if let Clearing::Asks(until) = sync.clearing { until } else { Stamp::ZERO };
        let request = SyncRequest { since: sync.since, verifies: true, leftovers, vector };
        if let Some(link) = self.links.get_mut(&sync.donor) {
            link.session.say(|version, out| request.encode(version, out));
        }
    }

    /// Whether a sync has come so far that something may have been given.
    pub(super) fn is_given(&self) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.phase == Phase::Running)
    }

    /// Changes that are not younger than this wait for the end of the sync, where their key is absent.
    pub(super) fn join_stamp(&self) -> Option<Stamp> {
        self.sync.as_ref().filter(|sync| sync.phase == Phase::Running).map(|sync| sync.stamp)
    }

    /// Whether a sync has come so far that streams can be asked for.
    pub(super) fn may_subscribe(&self) -> bool {
        self.standing.is_joined() || self.join_stamp().is_some()
    }

    pub(super) fn has_sync_work(&self, id: ConnectionId) -> bool {
        self.sync.as_ref().is_some_and(|sync| {
            let is_verifying = || sync.bucket.is_some() && sync.unanswered < VERIFIES_OPEN_MAX;
            sync.donor == id
                && match sync.phase {
                    Phase::Survey { .. } => true,
                    Phase::Requested => false,
                    Phase::Running => is_verifying(),
                }
        })
    }

    /// Only a donor that was asked, and has begun, may send what belongs to a sync.
    pub(super) fn check_donor(&self, id: ConnectionId) -> Result<(), Fault> {
        let is_donor = |sync: &SyncReceiver| sync.donor == id && sync.phase == Phase::Running;
        if self.sync.as_ref().is_some_and(is_donor) { Ok(()) } else { Err(Fault::Order("a part of no sync")) }
    }

    pub(super) fn handle_sync_begin(
        &mut self,
        now: Micros,
        id: ConnectionId,
        begin: &SyncBegin<'_>,
    ) -> Result<(), Fault> {
        let Some(sync) = self.sync.as_mut().filter(|sync| sync.donor == id && sync.phase == Phase::Requested) else {
            return Err(Fault::Order("a sync that nobody asked for"));
        };
        (sync.phase, sync.moved, sync.floors_total) = (Phase::Running, now, begin.floor_ranges);
        sync.stamp = sync.stamp.max(begin.stamp);
        self.store.set_leftovers(Stamp(u64::MAX));
        sync.floors_ahead = !self.store.follow(begin.stamp);
        sync.followed = self.store.stamp();
        if bite("node.sync-unverified") {
            sync.bucket = None;
        }
        for (keyspace, stamp) in begin.clears.iter().filter(|(_, stamp)| *stamp > Stamp::ZERO) {
            if !bite("node.sync-without-clears") {
                self.store.apply_clear(keyspace, stamp);
            }
        }
        let target = self.target(id, begin.vector.to_vector());
        self.aim(&target);
        if self.sync.as_ref().is_some_and(|sync| sync.bucket.is_none()) {
            self.end_of_verify(id, 0);
        }
        self.review_due = true;
        Ok(())
    }

    pub(super) fn handle_verified(
        &mut self,
        now: Micros,
        id: ConnectionId,
        verified: Verified<'_>,
    ) -> Result<(), Fault> {
        self.check_donor(id)?;
        let is_last = verified.last;
        self.take_entries(now, verified.records, true)?;
        let Some(sync) = &mut self.sync else { return Ok(()) };
        if verified.batch >= sync.batch || is_last && sync.unanswered == 0 {
            return Err(Fault::Order("an answer to no question"));
        }
        sync.unanswered -= u32::from(is_last);
        Ok(())
    }

    pub(super) fn handle_sync_entries(
        &mut self,
        now: Micros,
        id: ConnectionId,
        entries: SyncEntries<'_>,
    ) -> Result<(), Fault> {
        self.check_donor(id)?;
        self.take_entries(now, entries.records, false)
    }

    fn take_entries(&mut self, now: Micros, records: Records<'_>, verified: bool) -> Result<(), Fault> {
        let mut ahead = Ahead::of(records);
        while let Some(near) = ahead.next(&self.store)? {
            let Some((frame, sought)) = near.entry else { continue };
            let applied = self.store.apply_from_donor(&sought, &frame);
            if applied == Applied::Closed {
                return Err(Fault::Close(CloseReason::Leaving));
            }
            self.counters.applied(applied);
            let is_void = frame.kind == FrameKind::Invalidation;
            self.counters.verified_voided += u64::from(verified && is_void);
            self.counters.verified_newer += u64::from(verified && !is_void);
            self.note_synced(now);
        }
        if let Some(sync) = &mut self.sync {
            sync.moved = now;
        }
        Ok(())
    }

    pub(super) fn note_synced(&mut self, now: Micros) {
        if let Some(sync) = &mut self.sync {
            sync.entries += 1;
            sync.moved = now;
        }
    }

    /// Everything has come: floors, what was put off, claims, in this order.
    pub(super) fn handle_sync_end(&mut self, now: Micros, id: ConnectionId, end: SyncEnd) -> Result<(), Fault> {
        self.check_donor(id)?;
        let is_whole =
            |sync: &SyncReceiver| sync.bucket.is_none() && sync.unanswered == 0 && sync.floors == sync.floors_total;
        let Some(sync) = self.sync.take_if(|sync| is_whole(sync)) else {
            return Err(Fault::Order("an early end of a sync"));
        };
        if sync.since > Stamp::ZERO && sync.since != NOTHING_MISSED {
            self.store.raise_all_floors(sync.since);
        }
        if !self.standing.is_joined() {
            self.store.end_join();
            self.standing.join();
        }
        if !bite("node.deferred-lost") {
            self.apply_deferred(&sync.deferred)?;
        }
        if sync.floors_ahead {
            self.void_below_floors(sync.followed);
        }
        self.streams.claim_all();
        for (stream, position) in self.streams.applied.iter() {
            self.store.save_applied(stream, position);
        }
        self.end_leftovers(now, id, end, sync.clearing);
        self.has_applied(now);
        match sync.kind {
            SyncKind::Snapshot => self.counters.snapshot_syncs += 1,
            SyncKind::Delta => self.counters.delta_syncs += 1,
        }
        let (donor, kind, entries) = (sync.donor_name, sync.kind, sync.entries);
        self.tell(NodeEvent::SyncEnded { donor, kind, entries, took_us: now.since(sync.began) });
        self.review_due = true;
        Ok(())
    }

    /// Whether a marker says no more than a change that was put off: that one was sent ahead of its place, and this is it.
    pub(super) fn is_put_off(&self, key: Key<'_>, version: &Version) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.deferred.is_last(key, version))
    }

    /// Puts a change off; `false` if there is no room.
    pub(super) fn defer(&mut self, stream: StreamId, at: Position, frame: &ReceivedFrame<'_>, entry: &[u8]) -> bool {
        let Some(sync) = &mut self.sync else { return false };
        let Some(row) = self.streams.rows.get_mut(&stream) else { return false };
        let is_kept = sync.deferred.push(frame, entry);
        if is_kept {
            row.put_off(at);
        }
        is_kept
    }

    fn apply_deferred(&mut self, deferred: &PutOff) -> Result<(), Fault> {
        deferred.try_each(|frame| {
            let applied = self.store.apply(frame);
            if applied == Applied::Closed {
                return Err(Fault::Close(CloseReason::Leaving));
            }
            self.counters.applied(applied);
            Ok(())
        })
    }
}
