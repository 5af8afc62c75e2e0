//! The store: what replication asks of the engine, and nothing else.
//!
//! ```text
//!   node  --- own changes, frames, floors, what was applied --->  Store  --->  engine
//! ```
//!
//! Safe to call from one thread beside any number of readers and writers. No call waits for a reader or a peer.

#![forbid(unsafe_code)]

use crate::arena::change::{Change, Read};
use crate::arena::frame::FrameKind;
use crate::arena::received::{FrameHead, ReceivedFrame};
use crate::engine::Engine;
use crate::engine::insert::Source;
use crate::engine::outgoing;
use crate::sync::Arc;
use crate::sync::epoch::Guard;
use crate::types::key::{Key, KeyspaceId};
use crate::types::limits::{CHUNK_BYTES, COPIED_VALUE_BYTES_MAX};
use crate::types::stream::{Position, StreamId, StreamRange, Vector};
use crate::types::version::{Stamp, Version};
use std::ops::Range;

pub(crate) use crate::arena::ring::settle::Settled;
pub(crate) use crate::engine::ahead::ChangesAhead;
pub(crate) use crate::engine::apply::Applied;
pub(crate) use crate::engine::enlist::{EnlistFailure, Origination};
pub(crate) use crate::engine::filling::Filling;
pub(crate) use crate::engine::get::Sought;
pub(crate) use crate::engine::outgoing::{Outgoing, OutgoingBody, PinnedFrame};
pub(crate) use crate::engine::scan::Scanned;

/// One node's entries and changes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    engine: Arc<Engine>,
    origination: Origination,
    /// Entries that were there and went.
    dropped: u64,
    stream: StreamId,
}

const _: () = assert!(COPIED_VALUE_BYTES_MAX < CHUNK_BYTES);

impl Store {
    /// Makes an engine's arena that of a node. O(entries) where it held some that are not this node's.
    pub(crate) fn enlist(engine: Arc<Engine>, name: &str, cluster: u64) -> Result<Self, EnlistFailure> {
        let there = engine.len();
        let origination = engine.enlist(crate::types::stream::Origin::of_name(name), cluster)?;
        let stream = engine.identity().unwrap_or_default();
        let dropped = if origination == Origination::Cold { there } else { 0 };
        Ok(Self { engine, origination, dropped, stream })
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The stream that this node writes now.
    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    /// Whether a version was made in this life; the changes of earlier ones have streams of their own.
    pub(crate) fn is_of_this_life(&self, version: &Version) -> bool {
        self.engine.replicated().is_some_and(|node| node.is_of_this_life(version.stamp))
    }

    /// What the arena brought with it.
    pub(crate) fn origination(&self) -> Origination {
        self.origination
    }

    /// Entries that were there, and were not known to be right in this cluster; about.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What the last life had left of its changes.
    pub(crate) fn former_changes(&self) -> Settled {
        self.engine.replicated().map_or_else(Settled::default, |node| node.former)
    }

    /// The lives of this arena whose changes are still there, oldest first; the last one is the current one.
    pub(crate) fn streams(&self) -> Vec<StreamRange> {
        self.engine.own_streams()
    }

    /// Behind the last own change.
    pub(crate) fn end(&self) -> Position {
        self.engine.own_end()
    }

    /// Behind the own changes that can be read, from a position on: a later one may wait for its writer.
    pub(crate) fn settled(&self, from: Position) -> Position {
        self.engine.own_settled(from)
    }

    /// Reads the own change at a position.
    pub(crate) fn read_change(&self, at: Position, into: &mut Change) -> Read<Position> {
        self.engine.read_own_change(at, into)
    }

    /// The same, and starts to load the entries of the changes behind it.
    pub(crate) fn next_change(&self, at: Position, ahead: &mut ChangesAhead, into: &mut Change) -> Read<Position> {
        self.engine.next_own_change(at, ahead, into)
    }

    /// Follows the newest of some stamps, if it is not too far ahead: then all are followed.
    pub(crate) fn follow_newest(&self, stamp: Stamp) {
        self.engine.follow_newest(stamp);
    }

    /// Lets several looks at entries follow each other at less cost, for as long as this is held.
    pub(crate) fn guard(&self) -> Guard {
        self.engine.pin()
    }

    /// Starts to load where a key is looked up, for [`Store::approach_entry`] a while later.
    pub(crate) fn approach<'k>(&self, key: Key<'k>) -> Sought<'k> {
        self.engine.approach(key)
    }

    /// Starts to load what applying a frame of the key will touch.
    pub(crate) fn approach_entry(&self, sought: &Sought<'_>) {
        self.engine.approach_entry(sought);
    }

    /// The frame of a key as it is now: small ones are appended to `into`, large ones pinned, where the budget allows.
    /// `None`: there is none. Entries that reads do not see (tombstones, expired ones) are there too.
    pub(crate) fn outgoing(&self, sought: &Sought<'_>, into: &mut Vec<u8>) -> Option<Outgoing> {
        Engine::outgoing(&self.engine, sought, COPIED_VALUE_BYTES_MAX as u64, into)
    }

    /// The version that is there for a key, seen by reads or not.
    pub(crate) fn version_of(&self, key: Key<'_>) -> Option<Version> {
        self.engine.version_of(key)
    }

    /// Appends a frame without a value: a tombstone or an invalidation.
    pub(crate) fn write_marker(kind: FrameKind, key: Key<'_>, version: &Version, into: &mut Vec<u8>) {
        outgoing::write_marker(kind, key, version, into);
    }

    /// Applies a frame of a stream. Idempotent; what it leaves does not depend on the order of what comes before and after.
    pub(crate) fn apply(&self, frame: &ReceivedFrame<'_>) -> Applied {
        self.apply_sought(&self.approach(frame.key), frame)
    }

    /// The same where the frame's key has been approached.
    pub(crate) fn apply_sought(&self, sought: &Sought<'_>, frame: &ReceivedFrame<'_>) -> Applied {
        self.engine.apply(sought, frame, Source::Peer)
    }

    /// Applies a frame that a donor sent during a join: the donor has compared it with its own floors.
    pub(crate) fn apply_from_donor(&self, sought: &Sought<'_>, frame: &ReceivedFrame<'_>) -> Applied {
        self.engine.apply(sought, frame, Source::Donor)
    }

    /// Takes room for a large value whose head has come.
    pub(crate) fn begin_value(&self, head: &FrameHead<'_>, from_donor: bool) -> Result<Filling, Applied> {
        self.engine.begin_value(head, if from_donor { Source::Donor } else { Source::Peer })
    }

    /// Makes entries at or before a stamp invisible: of one key space, or all. A stamp too far ahead counts as now.
    pub(crate) fn apply_clear(&self, keyspace: Option<KeyspaceId>, stamp: Stamp) {
        let stamp = self.followed(stamp);
        match keyspace {
            None => self.engine.clear_all_until(stamp),
            Some(keyspace) => {
                self.engine.clear_keyspace_until(keyspace, stamp);
            }
        }
    }

    /// Every clear that is known: `None` is the clear of all.
    pub(crate) fn clears(&self) -> Vec<(Option<KeyspaceId>, Stamp)> {
        self.engine.clears()
    }

    /// How many version floors there are; a power of two. The top bits of `Key::wire_hash` choose one.
    pub(crate) fn floor_ranges(&self) -> u32 {
        self.engine.replicated().map_or(1, |node| node.floors.ranges())
    }

    /// A floor: no version that begins at or before it may become the entry of an absent key of the range.
    pub(crate) fn floor(&self, range: u32) -> Stamp {
        self.engine.floor_of_range(range)
    }

    /// The floor of a key's range.
    pub(crate) fn floor_of(&self, key: Key<'_>) -> Stamp {
        self.engine.floor_of(key)
    }

    /// Raises floors; never lowers one. The clock follows, unless the stamp is too far ahead; one that it will not reach for
    /// long counts as now.
    pub(crate) fn raise_floors(&self, ranges: Range<u32>, stamp: Stamp) {
        let stamp = self.engine.floor_stamp(stamp);
        ranges.for_each(|range| self.engine.raise_floor_of_range(range, stamp));
    }

    /// How far the clocks of those that are heard can be from this one.
    pub(crate) fn set_clock_error(&self, micros: u64) {
        self.engine.set_clock_error(micros);
    }

    /// Lets the clock follow a stamp, so that what is written here from now on is above it; `false` if it is too far ahead.
    pub(crate) fn follow(&self, stamp: Stamp) -> bool {
        self.engine.follow(stamp)
    }

    /// Takes out what is there of a key and not younger than its floor.
    pub(crate) fn void_below_floor(&self, key: Key<'_>) {
        self.engine.void_until(key, self.engine.floor_of(key));
    }

    /// The same of all ranges, in one step; a stamp too far ahead counts as now.
    pub(crate) fn raise_all_floors(&self, stamp: Stamp) {
        self.engine.raise_floor_of_all(self.followed(stamp));
    }

    /// A stamp too far ahead counts as now.
    fn followed(&self, stamp: Stamp) -> Stamp {
        if self.engine.follow(stamp) { stamp } else { self.engine.stamp() }
    }

    /// Visits entries from an index bucket on, until at least `want` were met; returns the bucket behind, `None` at the end.
    /// Holds a guard meanwhile.
    pub(crate) fn scan(&self, from: u32, want: usize, visit: &mut dyn FnMut(&Scanned<'_>)) -> Option<u32> {
        self.scan_some(from, want, &mut |_| true, visit)
    }

    /// The same, but visits only those whose hits are wanted.
    pub(crate) fn scan_some(
        &self,
        from: u32,
        want: usize,
        is_wanted: &mut dyn FnMut(u8) -> bool,
        visit: &mut dyn FnMut(&Scanned<'_>),
    ) -> Option<u32> {
        self.engine.scan(from, want, is_wanted, visit)
    }

    /// How far each stream had been applied, as the arena says. Empty after a cold start.
    pub(crate) fn saved_applied(&self) -> Vector {
        self.engine.saved_applied()
    }

    /// Notes in the arena that everything before a position has been applied. After the entries that it covers.
    pub(crate) fn save_applied(&self, stream: StreamId, position: Position) {
        self.engine.save_applied(stream, position);
    }

    /// Up to which stamp entries may be here that came by a sync which was cut off, as the arena says; the highest one if it
    /// was under way as the last life ended.
    pub(crate) fn leftovers(&self) -> Stamp {
        self.engine.leftovers()
    }

    /// Notes that in the arena: before the first of them, and once all of them are claimed.
    pub(crate) fn set_leftovers(&self, until: Stamp) {
        self.engine.set_leftovers(until);
    }

    /// Makes everything that was there before invisible to reads, until [`Store::serve`]. Writes go on.
    pub(crate) fn hold(&self) {
        self.engine.hold_back();
    }

    /// Makes everything invisible to reads, until [`Store::serve`]. Writes go on.
    pub(crate) fn hold_all(&self) {
        self.engine.hold_all();
    }

    /// Lets what is here now go, spread over a span of time.
    pub(crate) fn doubt(&self) {
        self.engine.doubt();
    }

    /// What was doubted goes for good once that span is over.
    pub(crate) fn end_doubt(&self) {
        self.engine.end_doubt();
    }

    /// Lets reads see what is there.
    pub(crate) fn serve(&self) {
        self.engine.serve();
    }

    /// Whether reads are held.
    pub(crate) fn is_held(&self) -> bool {
        self.engine.is_held()
    }

    /// The join is complete: a donor's floors were taken over, or there was nobody to join.
    pub(crate) fn end_join(&self) {
        self.engine.end_join();
    }

    /// A stamp above all that this node has seen.
    pub(crate) fn stamp(&self) -> Stamp {
        self.engine.stamp()
    }
}

#[cfg(test)]
mod tests;
