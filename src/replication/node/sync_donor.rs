//! Giving a sync: to a peer that has missed more than any ring still has.
//!
//! ```text
//!   SYNC_REQUEST -> SYNC_BEGIN: vector, stamp, clears
//!   Verifying    VERIFY -> newer here: the entry    gone here, and the floor is not below it: what the floor says
//!                older or unknown here, and the receiver has leftovers: that it can not be vouched for
//!   Entries      the index once for each count of hits, from 3 on; in the last pass a marker for those that were given
//!   Floors       all of them, then SYNC_END
//! ```
//!
//! Hits change between two passes: `given` knows what was given, so that nothing is passed over in all of them. A marker
//! tells the receiver a version: should an older one come, it does not get in. What may be younger than the vector goes once
//! more. A pass for hits that the first one has not met
//! is left out: whoever has them by then goes with the last one.
//!
//! One cursor, at most one scan's keys and a bit per slot are kept per receiver. Each batch is made when it is asked for.

#![forbid(unsafe_code)]

use super::Node;
use super::api::ConnectionId;
use super::given::Given;
use super::key_queue::{KeyQueue, Task};
use super::link::OutgoingValue;
use super::outbound::{Put, put};
use super::receive::Fault;
use super::sync_choice::choose;
use crate::arena::change::{Change, Read};
use crate::replication::session::transmit::{Transmit, has_slices_enough};
use crate::replication::store::{PinnedFrame, Store};
use crate::replication::wire::{
    ChunkHead, Floors, List, Positions, RecordsBuilder, SyncBegin, SyncEnd, SyncRequest, Verify,
};
use crate::sync::bite;
use crate::types::limits::{BATCH_BYTES, VERIFIES_OPEN_MAX};
use crate::types::stream::{Position, StreamId, Vector};
use crate::types::version::{Relation, Stamp};
use std::collections::VecDeque;

/// Entries that one scan looks at, and scans per batch: whatever they find, others have their turn behind them.
const SCANNED_AT_ONCE: usize = 256;
const SCANS_PER_BATCH: usize = 16;
/// Hits that are told apart.
const HITS_MAX: u8 = 3;
/// Floors of one frame.
const FLOORS_AT_ONCE: u32 = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Verifying,
    Entries { hits: u8, bucket: u32 },
    Floors { next: u32 },
}

/// A sync that is being given.
#[derive(Debug)]
pub(super) struct Donor {
    /// What is older is there already.
    pub(super) since: Stamp,
    /// The clock before the vector was made: what is younger may come by its stream.
    began: Stamp,
    phase: Phase,
    /// Answers to batches of VERIFY, by batch.
    answers: VecDeque<(u64, KeyQueue)>,
    has_verified: bool,
    /// Of what the receiver holds, is not younger than this, and nobody knows of here, it is to let go.
    denies: Stamp,
    /// What is given may be of a sync that was cut off.
    pub(super) gives_leftovers: bool,
    /// Or of one that is under way.
    passes_on: bool,
    /// What the last scan has found.
    found: KeyQueue,
    /// What was given for its hits.
    given: Given,
    /// The hits that were met, a bit each.
    met: u8,
}

impl Donor {
    /// Whether there is something to send.
    pub(super) fn has_work(&self) -> bool {
        self.phase != Phase::Verifying || self.has_verified || !self.answers.is_empty()
    }

    /// Bytes of heap that are held.
    pub(super) fn heap_bytes(&self) -> usize {
        let answers: usize = self.answers.iter().map(|(_, keys)| keys.heap_bytes()).sum();
        self.found.heap_bytes() + self.given.heap_bytes() + answers
    }
}

impl Node {
    pub(super) fn handle_sync_request(&mut self, id: ConnectionId, request: &SyncRequest<'_>) -> Result<(), Fault> {
        if !self.standing.is_joined() {
            return Err(Fault::Order("a sync asked of a node that has nothing"));
        }
        if self.links.get(&id).is_some_and(|link| link.donor.is_some()) {
            return Err(Fault::Order("a sync asked for while one is given"));
        }
        let denies = if self.is_settled() { request.leftovers } else { Stamp::ZERO };
        let began = self.store.stamp();
        let (vector, gives_leftovers) = (self.everything(), self.has_leftovers() || denies < request.leftovers);
        let begin = SyncBegin {
            stamp: self.store.stamp(),
            floor_ranges: self.store.floor_ranges(),
            vector: Positions::from(&vector),
            clears: List::Values(&self.store.clears()),
        };
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.session.say(|version, out| begin.encode(version, out));
        link.donor = Some(Donor {
            since: request.since,
            began,
            phase: Phase::Verifying,
            answers: VecDeque::new(),
            has_verified: !request.verifies,
            denies,
            gives_leftovers,
            passes_on: false,
            found: KeyQueue::default(),
            given: Given::default(),
            met: 0,
        });
        Ok(())
    }

    /// How far everything has come here whose effect a scan of the entries will show: the own streams up to the first
    /// change that is not made yet.
    fn everything(&mut self) -> Vector {
        let mut vector = self.streams.applied.clone();
        for range in self.store.streams() {
            let is_current = range.stream == self.stream;
            let end = if is_current { self.settled_end(range.start) } else { range.end };
            vector.advance(range.stream, end);
        }
        vector
    }

    fn settled_end(&self, start: Position) -> Position {
        let cursors = self.links.values().filter_map(|link| link.session.subscription(self.stream));
        let mut at = cursors.map(|subscription| subscription.cursor).max().unwrap_or(start).max(start);
        let mut change = Change::default();
        loop {
            match self.store.read_change(at, &mut change) {
                Read::Change { next } | Read::Nothing { next } => at = next,
                Read::NotYet => return at,
                // Overtaken by writers, who leave what is before the start settled.
                Read::Lost => {
                    let range = self.store.streams().pop();
                    let restart = range.map_or(at, |range| range.start);
                    if restart <= at {
                        return at;
                    }
                    at = restart;
                }
            }
        }
    }

    pub(super) fn handle_verify(&mut self, id: ConnectionId, verify: Verify<'_>) -> Result<(), Fault> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let donor = link.donor.as_mut().filter(|donor| donor.phase == Phase::Verifying && !donor.has_verified);
        let Some(donor) = donor else { return Err(Fault::Order("a VERIFY outside of a sync")) };
        if donor.answers.len() > VERIFIES_OPEN_MAX as usize {
            return Err(Fault::Order("more VERIFY than may be unanswered"));
        }
        if verify.len() == 0 {
            donor.has_verified = true;
            return Ok(());
        }
        let mut keys = KeyQueue::default();
        let (batch, receiver) = (verify.batch, link.session.peer.as_ref().map(|peer| peer.stream().origin.0));
        for held in verify {
            let is_denied = held.version.stamp <= donor.denies && receiver != Some(held.version.origin);
            let here = self.store.version_of(held.key);
            // What was read here may stand where a write did: of that the floor alone tells.
            if here.is_some_and(|here| here.is_fill()) && self.store.floor_of(held.key) >= held.version.begin() {
                keys.push(held.key, Task::Void(held.version.stamp));
                continue;
            }
            match here.map(|here| here.relation(&held.version)) {
                // Should it be gone by then, or not be had, what is held is older all the same.
                Some(Relation::Newer | Relation::Unknown) => keys.push(held.key, Task::Void(held.version.stamp)),
                Some(Relation::Older) if is_denied => keys.push(held.key, Task::Deny(held.version.stamp)),
                Some(_) => {}
                None => {
                    // Read after the absence: the floor of what was unlinked is raised before.
                    let floor = self.store.floor_of(held.key);
                    if floor >= held.version.begin() && !bite("node.evicted-vouched-for") {
                        keys.push(held.key, Task::Void(floor));
                    } else if is_denied {
                        keys.push(held.key, Task::Deny(held.version.stamp));
                    }
                }
            }
        }
        donor.answers.push_back((batch, keys));
        Ok(())
    }

    /// What the giving side of a sync sends, until the batch is full or its scans are done.
    pub(super) fn fill_sync(&mut self, id: ConnectionId, transmit: &mut Transmit) {
        let passes_on = self.passes_on(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        let (version, mut scans) = (link.session.version, SCANS_PER_BATCH);
        while let Some(donor) = &mut link.donor
            && donor.has_work()
            && link.outgoing.is_none()
            && !transmit.is_full()
            && scans > 0
        {
            let chunks = match donor.phase {
                Phase::Verifying => donor.answer(&self.store, version, transmit),
                Phase::Entries { hits, bucket } => {
                    donor.scan(&self.store, hits, bucket, &mut scans);
                    donor.give_entries(&self.store, version, transmit)
                }
                Phase::Floors { next } => {
                    donor.passes_on = passes_on;
                    if donor.give_floors(&self.store, version, transmit, next) {
                        link.donor = None;
                        self.counters.syncs_given += 1;
                    }
                    None
                }
            };
            let head = ChunkHead {
                stream: StreamId::default(),
                first: Position(0),
                next: Position(0),
                position: Position(0),
                total: 0,
                offset: 0,
                bytes: 0,
            };
            link.outgoing = chunks.map(|frame| OutgoingValue::new(frame, head, Position(0)));
        }
    }
}

impl Donor {
    /// One frame of answers.
    fn answer(&mut self, store: &Store, version: u8, transmit: &mut Transmit) -> Option<PinnedFrame> {
        let Some((batch, keys)) = self.answers.front_mut() else {
            self.phase = Phase::Entries { hits: HITS_MAX, bucket: 0 };
            return None;
        };
        let (bytes, pins) = transmit.parts();
        let mut builder = RecordsBuilder::verified(bytes, version, *batch);
        let chunks = drain(keys, store, self.began, &mut builder, pins);
        let is_last = keys.is_empty();
        builder.finish_verified(is_last);
        if is_last {
            self.answers.pop_front();
        }
        chunks
    }

    /// Looks for entries of one pass, until some are found or nothing is left of the scans.
    fn scan(&mut self, store: &Store, hits: u8, bucket: u32, scans: &mut usize) {
        let mut next = Some(bucket);
        while let Some(bucket) = next.filter(|_| self.found.is_empty() && *scans > 0) {
            *scans -= 1;
            let (since, found, given, met) = (self.since, &mut self.found, &mut self.given, &mut self.met);
            let mut is_wanted = |frequency: u8| {
                *met |= 1 << frequency.min(HITS_MAX);
                hits == 0 || frequency.min(HITS_MAX) == hits
            };
            next = store.scan_some(bucket, SCANNED_AT_ONCE, &mut is_wanted, &mut |scanned| {
                if scanned.version.stamp <= since {
                    return;
                }
                if hits > 0 {
                    if given.set(scanned.offset) {
                        found.push(scanned.key, Task::Entry);
                    }
                } else if scanned.frequency > 0 && (given.contains(scanned.offset) || bite("node.given-forgotten")) {
                    found.push(scanned.key, Task::Marker);
                } else {
                    found.push(scanned.key, Task::Entry);
                }
            });
        }
        self.phase = Phase::Entries { hits, bucket: next.unwrap_or(u32::MAX) };
    }

    /// One frame of entries, maybe an empty one: a sign of life while the index is scanned.
    fn give_entries(&mut self, store: &Store, version: u8, transmit: &mut Transmit) -> Option<PinnedFrame> {
        let (bytes, pins) = transmit.parts();
        let mut builder = RecordsBuilder::sync_entries(bytes, version);
        let chunks = drain(&mut self.found, store, self.began, &mut builder, pins);
        builder.finish_entries();
        // The last keys of a pass may go with the next frame.
        if let Phase::Entries { hits, bucket: u32::MAX } = self.phase
            && self.found.is_empty()
        {
            self.phase = match (0..hits).rev().find(|less| *less == 0 || self.met & (1 << less) != 0) {
                Some(hits) => Phase::Entries { hits, bucket: 0 },
                None => Phase::Floors { next: 0 },
            };
        }
        chunks
    }

    /// One frame of floors; whether it was the last, and the end of the sync stands behind it.
    fn give_floors(&mut self, store: &Store, version: u8, transmit: &mut Transmit, first: u32) -> bool {
        let total = store.floor_ranges();
        let next = total.min(first + FLOORS_AT_ONCE);
        let floors: Vec<Stamp> = (first..next).map(|range| store.floor(range)).collect();
        Floors { first, total, floors: List::Values(&floors) }.encode(version, transmit.bytes());
        self.phase = Phase::Floors { next };
        if next == total {
            let leftovers = self.gives_leftovers && !bite("node.leftovers-unsaid");
            SyncEnd { leftovers, is_passed_on: self.passes_on && !bite("node.passed-on-unsaid") }
                .encode(version, transmit.bytes());
        }
        next == total
    }
}

/// Puts what is to be said of keys into a frame, until it is full; a value that has to go in chunks ends it.
fn drain(
    keys: &mut KeyQueue,
    store: &Store,
    began: Stamp,
    builder: &mut RecordsBuilder<'_>,
    pins: &mut crate::replication::session::transmit::Pins,
) -> Option<PinnedFrame> {
    let _guard = store.guard();
    while !builder.is_full() && !has_slices_enough(pins.len()) && builder.buffer().len() + pins.bytes() < BATCH_BYTES {
        let Some((key, task)) = keys.front() else { break };
        let floor = || store.floor_of(key);
        let put = put(builder, pins, Position(0), store, &store.approach(key), &mut |outgoing| {
            choose(task, outgoing, began, &floor)
        });
        keys.pass();
        if let Put::Chunks(frame) = put {
            return Some(frame);
        }
    }
    None
}
