//! The edges of a sync: where streams go on, the donor's floors, a donor that falls silent, a connection that ends.
//!
//! ```text
//!   begin              -> streams go on from where the donor is, unless they go on exactly from where they are
//!   floors of a donor  -> the higher one of both counts, whatever the two numbers of ranges are
//!   silence, or an end -> what was put off comes again: positions fall back to what is claimed
//!                         streams that are not claimed stop: until the next sync runs nothing of them could be put off
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::{CloseReason, ConnectionId};
use super::apply::range_of;
use super::receive::Fault;
use super::sync_receiver::{DONOR_SILENT_US, SyncReceiver};
use crate::replication::session::time::Micros;
use crate::replication::wire::{Floors, Unsubscribe};
use crate::sync::bite;
use crate::types::key::Key;
use crate::types::stream::Vector;
use crate::types::version::Stamp;

impl Node {
    /// How far everything has come whose effect a sync brings: what the donor names, and what it had named on this connection
    /// before. A life of it whose changes its ring has lost meanwhile is named no more, and is in its entries and floors.
    pub(super) fn target(&self, donor: ConnectionId, mut target: Vector) -> Vector {
        let Some(peer) = self.links.get(&donor).and_then(|link| link.peer()) else { return target };
        // Of the life that it writes the end is further than what is made.
        for (stream, reach) in peer.reaches().filter(|(stream, _)| *stream != peer.stream()) {
            target.advance(stream, reach);
        }
        target
    }

    /// Lets each stream go on from where the donor is, unless it goes on exactly from where it is.
    pub(super) fn aim(&mut self, target: &Vector) {
        let mut all: Vec<_> = target.iter().filter(|(stream, _)| *stream != self.stream).collect();
        // Where not all have room, those have that somebody writes.
        all.sort_by_key(|(stream, _)| !self.streams.written.contains(stream));
        for (stream, to) in all {
            let own = self.position_of(stream);
            if !self.streams.is_forgotten(stream, to) && !self.take_in(stream) {
                self.streams.pass_over(stream, to);
            }
            let claimed = self.streams.applied.get(stream).unwrap_or_default();
            let Some(row) = self.streams.rows.get_mut(&stream) else { continue };
            if bite("node.vector-saved-early") {
                self.store.save_applied(stream, to);
            }
            match row.base {
                None if row.source.is_some() || own >= to => {}
                None => row.jump(to),
                Some(base) if base <= to && to <= row.position => {}
                Some(_) if claimed >= to => row.go_back(claimed),
                Some(_) => row.jump(to),
            }
        }
        // What the donor knows nothing of was not brought by the sync before either.
        let applied = &self.streams.applied;
        for (stream, row) in
            self.streams.rows.iter_mut().filter(|(stream, row)| row.base.is_some() && target.get(**stream).is_none())
        {
            row.go_back(applied.get(*stream).unwrap_or_default());
        }
    }

    pub(super) fn handle_floors(&mut self, now: Micros, id: ConnectionId, floors: &Floors<'_>) -> Result<(), Fault> {
        self.check_donor(id)?;
        let own = self.store.floor_ranges();
        let Some(sync) = &mut self.sync else { return Ok(()) };
        if floors.total != sync.floors_total || floors.first != sync.floors {
            return Err(Fault::Order("floors of other ranges"));
        }
        (sync.floors, sync.moved) = (floors.first + floors.floors.len() as u32, now);
        for (range, stamp) in (floors.first..).zip(floors.floors.iter()) {
            if stamp > Stamp::ZERO && !bite("node.floors-not-adopted") {
                self.store.raise_floors(fold(range, floors.total, own), stamp);
                sync.floors_ahead |= !self.store.follow(stamp);
            }
        }
        Ok(())
    }

    /// Takes out what was written here while floors were on their way that nobody could follow: those writes are above all
    /// that had been followed when the sync began, and no more. Looks at every entry; only a clock far ahead makes it necessary.
    pub(super) fn void_below_floors(&self, followed: Stamp) {
        let (own, ranges, mut older) = (self.stream.origin.0, self.store.floor_ranges(), Vec::new());
        let mut next = Some(0);
        while let Some(bucket) = next {
            next = self.store.scan(bucket, 256, &mut |scanned| {
                let floor = self.store.floor(range_of(scanned.key, ranges));
                if scanned.version.origin == own && floor > followed && scanned.version.begin() <= floor {
                    older.push((scanned.key.keyspace, scanned.key.bytes.to_vec()));
                }
            });
            for (keyspace, key) in older.drain(..) {
                if let Some(key) = Key::new(keyspace, &key) {
                    self.store.void_below_floor(key);
                }
            }
        }
    }

    /// A connection is gone; with it what a sync had put off, which comes again.
    pub(super) fn abandon_sync(&mut self, now: Micros, id: ConnectionId) {
        let is_given = self.is_given();
        let sync = self.sync.take_if(|sync| sync.donor == id);
        self.lose_donor(now, id, is_given && sync.is_some());
        if sync.is_none() {
            return;
        }
        self.counters.syncs_aborted += 1;
        let (applied, is_joined) = (&self.streams.applied, self.standing.is_joined());
        for (stream, row) in &mut self.streams.rows {
            let source = row.source;
            row.take_up(applied.get(*stream).unwrap_or_default());
            row.go_on();
            if !is_joined || row.base.is_some() {
                row.stop();
            }
            if let Some(link) = source.filter(|_| row.source.is_none()).and_then(|source| self.links.get_mut(&source)) {
                link.session.say(|version, out| Unsubscribe { stream: *stream }.encode(version, out));
            }
        }
        self.review_due = true;
    }

    /// A donor that sends nothing is left.
    pub(super) fn look_at_sync(&mut self, now: Micros) {
        let silent = |sync: &&SyncReceiver| now.since(sync.moved) > DONOR_SILENT_US;
        if let Some(donor) = self.sync.as_ref().filter(silent).map(|sync| sync.donor) {
            self.end(now, donor, Fault::Close(CloseReason::Silent));
        }
    }
}

/// The own ranges that a range of a donor touches; both numbers of ranges are powers of two.
fn fold(range: u32, theirs: u32, own: u32) -> std::ops::Range<u32> {
    if theirs >= own {
        let range = range >> (theirs.trailing_zeros() - own.trailing_zeros());
        range..range + 1
    } else {
        let width = own.trailing_zeros() - theirs.trailing_zeros();
        range << width..(range + 1) << width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_a_donor_covers_the_same_keys_here() {
        let hashes = (0..200_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let range = |hash: u64, ranges: u32| hash.checked_shr(64 - ranges.trailing_zeros()).unwrap_or(0) as u32;
        for hash in hashes {
            for (theirs, own) in [(1, 1), (1, 64), (64, 1), (16, 256), (256, 16), (8, 8)] {
                assert!(fold(range(hash, theirs), theirs, own).contains(&range(hash, own)), "{theirs} {own}");
            }
        }
    }
}
