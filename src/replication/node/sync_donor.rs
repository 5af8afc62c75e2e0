//! The donor's side of a sync: it answers what it is asked, then gives what it has, hottest first, then its floors.
//!
//! ```text
//!   Verifying --empty VERIFY, or none asked for--> Entries 3, 2, 1, 0 --> Floors --> SYNC_END
//!     a batch: for each key that is newer here: its entry;  absent, and the floor reaches it: a marker of the floor
//! ```
//!
//! A batch of work per transmit, no copy of the index, no list of what was sent: what changes meanwhile goes by the streams,
//! which the receiver follows from the vector in SYNC_BEGIN on.

#![forbid(unsafe_code)]

use super::Node;
use super::api::ConnectionId;
use crate::arena::frame::FrameKind;
use crate::replication::session::Session;
use crate::replication::session::transmit::Transmit;
use crate::replication::store::{OutgoingBody, Store};
use crate::replication::wire::{
    Floors, List, Placed, Positions, RecordsBuilder, SyncBegin, SyncEnd, SyncRequest, Verify,
};
use crate::types::key::{Key, KeyspaceId};
use crate::types::limits::CHUNK_BYTES;
use crate::types::stream::Position;
use crate::types::version::{Relation, Stamp, Version};
use std::collections::VecDeque;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Verifying,
    /// Entries of this frequency, from this bucket on.
    Entries(u8, u32),
    Floors(u32),
}

/// What is to be answered of a verified key.
#[derive(Clone, Debug)]
struct Answer {
    keyspace: KeyspaceId,
    key: Vec<u8>,
    /// `None`: the entry is newer here. Else what may have been newer.
    voided: Option<Stamp>,
}

/// A sync that this node gives.
#[derive(Debug)]
pub(super) struct Giving {
    phase: Phase,
    since: Stamp,
    batch: u64,
    /// A batch was asked, and not all of it is answered.
    asked: bool,
    answers: VecDeque<Answer>,
    /// Keys that were met by the scan, and not sent yet.
    met: VecDeque<(KeyspaceId, Vec<u8>)>,
}

/// Entries of one scan step.
const SCAN: usize = 64;
/// Floors of one frame.
const FLOORS: usize = 2048;
/// Frequencies that an entry can have, the most first.
const HOTTEST: u8 = 3;
/// A key of an unknown writer loses against every version of the same stamp; this one wins.
const ORIGIN_LAST: u16 = u16::MAX;

impl Giving {
    pub(super) fn wants_to_send(&self) -> bool {
        self.asked || self.phase != Phase::Verifying
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.answers.iter().map(|answer| answer.key.len() + size_of::<Answer>()).sum::<usize>()
            + self.met.iter().map(|(_, key)| key.len() + 32).sum::<usize>()
    }
}

impl Node {
    pub(super) fn hear_sync_request(&mut self, id: ConnectionId, session: &mut Session, request: &SyncRequest<'_>) {
        let clears = self.store.clears();
        let vector = self.applied();
        let begin = SyncBegin {
            stamp: self.store.stamp(),
            floor_ranges: self.store.floor_ranges(),
            vector: Positions::from(&vector),
            clears: List::Values(&clears),
        };
        session.say(|version, out| begin.encode(version, out));
        let phase = if request.verifies { Phase::Verifying } else { Phase::Entries(HOTTEST, 0) };
        let giving = Giving {
            phase,
            since: request.since,
            batch: 0,
            asked: false,
            answers: VecDeque::new(),
            met: VecDeque::new(),
        };
        self.givings.insert(id, giving);
    }

    pub(super) fn hear_verify(&mut self, id: ConnectionId, verify: Verify<'_>) -> Result<(), &'static str> {
        let Some(giving) = self.givings.get_mut(&id).filter(|giving| giving.phase == Phase::Verifying && !giving.asked)
        else {
            return Err("a batch to be verified out of turn");
        };
        if verify.len() == 0 {
            giving.phase = Phase::Entries(HOTTEST, 0);
            return Ok(());
        }
        (giving.batch, giving.asked) = (verify.batch, true);
        for held in verify {
            if let Some(voided) = judge(&self.store, held.key, &held.version) {
                let (keyspace, key) = (held.key.keyspace, held.key.bytes.to_vec());
                giving.answers.push_back(Answer { keyspace, key, voided });
            }
        }
        Ok(())
    }

    /// The next frames of a sync.
    pub(super) fn give(&mut self, id: ConnectionId, session: &mut Session, transmit: &mut Transmit) {
        while !transmit.is_full()
            && let Some(giving) = self.givings.get_mut(&id).filter(|giving| giving.wants_to_send())
        {
            match giving.phase {
                Phase::Verifying => {
                    self.counters.verified_newer += answer(&self.store, giving, session.version, transmit);
                }
                Phase::Entries(frequency, from) => {
                    give_entries(&self.store, giving, (frequency, from), session.version, transmit);
                }
                Phase::Floors(first) => {
                    if give_floors(&self.store, giving, first, session.version, transmit) {
                        self.givings.remove(&id);
                        self.counters.syncs_given += 1;
                    }
                }
            }
        }
    }
}

/// What is to be said of an entry of the receiver; `None` if it is right as far as is known here.
fn judge(store: &Store, key: Key<'_>, version: &Version) -> Option<Option<Stamp>> {
    match store.version_of(key) {
        Some(own) => (own.relation(version) == Relation::Newer).then_some(None),
        None => {
            let floor = store.floor_of(key);
            (floor >= version.begin()).then_some(Some(floor))
        }
    }
}

/// Answers as much of a batch as fits; returns how many keys were newer here.
fn answer(store: &Store, giving: &mut Giving, version: u8, transmit: &mut Transmit) -> u64 {
    let mut newer = 0;
    let mut builder = RecordsBuilder::verified(transmit.bytes(), version, giving.batch);
    while !builder.is_full()
        && let Some(answer) = giving.answers.pop_front()
    {
        let Some(key) = Key::new(answer.keyspace, &answer.key) else { continue };
        builder.push_with(Position(0), |out| {
            let floor = answer.voided.unwrap_or_else(|| store.version_of(key).map_or(Stamp::ZERO, |own| own.stamp));
            if answer.voided.is_none() && push_entry(store, key, out) {
                newer += 1;
                return Placed::Copied;
            }
            let floor = floor.max(store.floor_of(key));
            Store::write_marker(FrameKind::Invalidation, key, &Version::instant(floor, ORIGIN_LAST), out);
            Placed::Copied
        });
    }
    let last = giving.answers.is_empty();
    builder.finish_verified(last);
    giving.asked = !last;
    newer
}

/// Appends the entry of a key, if it is there and not too large for one frame.
fn push_entry(store: &Store, key: Key<'_>, out: &mut Vec<u8>) -> bool {
    let before = out.len();
    match store.outgoing(key, out).map(|outgoing| (outgoing.bytes, outgoing.body)) {
        Some((_, OutgoingBody::Copied)) => true,
        Some((bytes, OutgoingBody::Pinned(frame))) if bytes <= CHUNK_BYTES => {
            out.extend_from_slice(frame.bytes());
            true
        }
        _ => {
            out.truncate(before);
            false
        }
    }
}

fn give_entries(store: &Store, giving: &mut Giving, at: (u8, u32), version: u8, transmit: &mut Transmit) {
    let (frequency, from) = at;
    if giving.met.is_empty() {
        let (met, since) = (&mut giving.met, giving.since);
        let next = store.scan(from, SCAN, &mut |entry| {
            let is_due = entry.frequency == frequency && entry.kind == FrameKind::Value;
            if is_due && entry.version.stamp > since && entry.bytes <= CHUNK_BYTES {
                met.push_back((entry.key.keyspace, entry.key.bytes.to_vec()));
            }
        });
        giving.phase = match (next, frequency) {
            (Some(next), _) => Phase::Entries(frequency, next),
            (None, 0) => Phase::Floors(0),
            (None, _) => Phase::Entries(frequency - 1, 0),
        };
    }
    if giving.met.is_empty() {
        return;
    }
    let mut builder = RecordsBuilder::sync_entries(transmit.bytes(), version);
    while !builder.is_full()
        && let Some((keyspace, bytes)) = giving.met.pop_front()
    {
        let Some(key) = Key::new(keyspace, &bytes) else { continue };
        builder
            .push_with(Position(0), |out| if push_entry(store, key, out) { Placed::Copied } else { Placed::Nothing });
    }
    builder.finish_entries();
}

/// The next floors; `true` behind the last ones, with the end of the sync.
fn give_floors(store: &Store, giving: &mut Giving, first: u32, version: u8, transmit: &mut Transmit) -> bool {
    if !giving.met.is_empty() {
        giving.phase = Phase::Entries(0, u32::MAX);
        return false;
    }
    let total = store.floor_ranges();
    let end = total.min(first + FLOORS as u32);
    let floors: Vec<Stamp> = (first..end).map(|range| store.floor(range)).collect();
    Floors { first, total, floors: List::Values(&floors) }.encode(version, transmit.bytes());
    giving.phase = Phase::Floors(end);
    if end < total {
        return false;
    }
    SyncEnd.encode(version, transmit.bytes());
    true
}
