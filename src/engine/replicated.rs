//! Replicated: what a node of a cluster keeps beside its entries, and what each write pays for it.
//!
//! ```text
//!   write    claim a record (OPEN) -> the index CAS -> record DONE | VOID -> ring the doorbell
//!   unlink   raise the floor of the key's range -> the index CAS
//!   absent   stripe -> look again -> version begins after the floor?  yes: link   no: the key stays absent
//! ```
//!
//! Without a cluster none of it is there, and a write pays for one look at that.
//!
//! # Invariants
//!
//! - A change's record is there before the change is, so a process killed in between has announced it.
//! - The floor is raised before the word is taken out.

use crate::arena::change::{NewChange, Operation};
use crate::arena::cluster_header::ClusterHeader;
use crate::arena::floors::Floors;
use crate::arena::frame::FrameKind;
use crate::arena::ring::settle::Settled;
use crate::arena::ring::{Claim, Ring};
use crate::arena::slot::Slot;
use crate::engine::Engine;
use crate::engine::insert::{Entry, Source};
use crate::index::Found;
use crate::region::View;
use crate::sync::doorbell::Doorbell;
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, bite};
use crate::types::key::{Key, KeyHash, KeyspaceId};
use crate::types::stream::Origin;
use crate::types::version::{Relation, Stamp, Version};
use std::fmt;

/// The parts of a node.
#[derive(Debug)]
pub(crate) struct Replicated {
    pub(crate) floors: Floors,
    pub(crate) ring: Ring,
    /// The hash of the node's name; changes when the arena gets another name.
    pub(super) origin: AtomicU32,
    pub(crate) doorbell: Doorbell,
    sleeper: Arc<Sleeper>,
    /// Who writes the cluster header.
    pub(super) header: Mutex<()>,
    /// The life that began with the open, or with the first start, is no cluster's yet.
    pub(super) is_fresh: AtomicBool,
    /// The last stamp when this life began: what was written in it is above.
    pub(super) began: AtomicU64,
    /// What the last life had left in the ring.
    pub(crate) former: Settled,
}

/// Who is woken by the doorbell; nobody between two starts of the cluster.
#[derive(Default)]
struct Sleeper(Mutex<Option<Wake>>);

/// What ends the sleep under way, or the next one; called from any thread.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

impl Sleeper {
    /// Wakes whoever sleeps. A writer calls it: where another one was stopped in here it does not wait for that one, and the
    /// sleeper comes to the change at its next deadline.
    fn wake(&self) {
        let sleeper = crate::sync::lock_within(&self.0);
        if let Some(wake) = sleeper.as_ref().and_then(|sleeper| sleeper.as_ref()) {
            wake();
        }
    }
}

impl fmt::Debug for Sleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sleeper")
    }
}

impl Replicated {
    pub(super) fn new(floors: Floors, ring: Ring, origin: Origin) -> Self {
        let sleeper = Arc::new(Sleeper(Mutex::new(None)));
        let woken = Arc::clone(&sleeper);
        Self {
            floors,
            ring,
            origin: AtomicU32::new(u32::from(origin.0)),
            doorbell: Doorbell::new(move || woken.wake()),
            sleeper,
            header: Mutex::new(()),
            is_fresh: AtomicBool::new(true),
            began: AtomicU64::new(0),
            former: Settled::default(),
        }
    }

    /// Whether a stamp is of this life. One that was made while it began may count as of the last.
    pub(crate) fn is_of_this_life(&self, stamp: Stamp) -> bool {
        // Relaxed: set while a node begins its life, which its caller waits for.
        stamp.0 > self.began.load(Ordering::Relaxed)
    }

    /// Says who is woken from now on.
    pub(crate) fn set_sleeper(&self, sleeper: Option<Wake>) {
        *crate::sync::lock(&self.sleeper.0) = sleeper;
        self.doorbell.awake();
    }
}

/// A change that is announced, or nothing without a cluster. Whoever drops it without a word, as a panic does, is taken to
/// have made the change: who sends it looks the key up, and a record left unfinished would hold up all behind it.
#[must_use]
pub(crate) struct Announced<'e>(Option<Pending<'e>>);

struct Pending<'e> {
    node: &'e Replicated,
    region: View<'e>,
    claim: Claim,
    change: NewChange<'e>,
}

impl Announced<'_> {
    /// Says whether the change was made. A record that was overwritten meanwhile is written once more.
    #[inline]
    pub(super) fn conclude(mut self, made: bool) {
        if let Some(pending) = self.0.take() {
            pending.end(made);
        }
    }
}

impl Drop for Announced<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            pending.end(true);
        }
    }
}

impl Pending<'_> {
    fn end(self, made: bool) {
        let Self { node, region, claim, change } = self;
        if !node.ring.finish(region, claim, made) && made {
            node.ring.note(region, &change);
        }
        // Behind the full fence in `finish`.
        node.doorbell.ring();
    }
}

impl Engine {
    /// The parts of a node; `None` without a cluster.
    #[inline]
    pub(crate) fn replicated(&self) -> Option<&Replicated> {
        self.replicated.get()
    }

    /// The hash of this node's name, for versions.
    #[inline]
    pub(super) fn origin(&self) -> Origin {
        // Relaxed: a name is given before anything that it distinguishes.
        self.replicated().map_or(Origin::NONE, |node| Origin(node.origin.load(Ordering::Relaxed) as u16))
    }

    pub(super) fn cluster_header<'e>(&'e self, node: &Replicated) -> ClusterHeader<'e> {
        ClusterHeader::new(self.region.view(), node.floors.header_at())
    }

    /// Announces a change of a key that is about to be made, by a caller of this node.
    #[inline]
    pub(crate) fn announce<'e>(&'e self, operation: Operation, key: Key<'e>, entry: &Entry) -> Announced<'e> {
        if !matches!(entry.source, Source::Local | Source::Fill) {
            return Announced(None);
        }
        self.claim(NewChange { operation, version: entry.version, keyspace: key.keyspace, key: key.bytes })
    }

    /// Announces a clear.
    pub(super) fn announce_clear(&self, keyspace: Option<KeyspaceId>, stamp: Stamp) -> Announced<'_> {
        let operation = if keyspace.is_some() { Operation::ClearKeyspace } else { Operation::ClearAll };
        let version = Version::instant(stamp, self.origin().0);
        self.claim(NewChange { operation, version, keyspace: keyspace.unwrap_or_default(), key: &[] })
    }

    /// Starts to load where a change of this node's caller will be announced.
    #[inline]
    pub(super) fn prefetch_announcement(&self, entry: &Entry) {
        if let (Some(node), Source::Local) = (self.replicated(), entry.source) {
            node.ring.prefetch(self.region.view());
        }
    }

    #[inline]
    fn claim<'e>(&'e self, change: NewChange<'e>) -> Announced<'e> {
        Announced(self.replicated().map(|node| {
            let region = self.region.view();
            Pending { node, region, claim: node.ring.claim(region, &change), change }
        }))
    }

    /// The floor of a key's range.
    pub(crate) fn floor_of(&self, key: Key<'_>) -> Stamp {
        let Some(node) = self.replicated() else { return Stamp::ZERO };
        node.floors.get(self.region.view(), node.floors.range_of(key.wire_hash()))
    }

    /// Whether a version may become the entry of a key that was found absent, under its stripe.
    #[inline]
    pub(super) fn is_above_floor(&self, key: Key<'_>, entry: &Entry) -> bool {
        let Some(node) = self.replicated() else { return true };
        let range = node.floors.range_of(key.wire_hash());
        let floor = match entry.source {
            Source::Donor => node.floors.of_range(self.region.view(), range),
            Source::Local | Source::Fill | Source::Peer => node.floors.get(self.region.view(), range),
        };
        entry.version.begin() > floor || bite("floor.ignored")
    }

    /// Up to where a floor has to be for a write that is gone. Rows of a database that were written without an interval are not in
    /// the order of their stamps: an older row may have a later one.
    pub(super) fn floor_after(&self, version: &Version) -> Stamp {
        let is_by_row = version.row.is_some() && version.span.is_instant() && !bite("floor.by-stamp-of-row");
        if is_by_row { self.stamp() } else { version.stamp }
    }

    /// Raises the floor of a key's range.
    pub(super) fn raise_floor(&self, key: Key<'_>, stamp: Stamp) {
        if let Some(node) = self.replicated() {
            node.floors.raise(self.region.view(), node.floors.range_of(key.wire_hash()), stamp);
        }
    }

    /// What has to be done before an entry's word is taken out, for whatever reason. The caller holds a guard since before
    /// it read the word.
    #[inline]
    pub(super) fn before_unlink(&self, slot: Slot<'_>) {
        if self.replicated().is_some() && !raises_late() {
            self.raise_floor_of(slot);
        }
    }

    /// For the defect alone by which a floor is raised when the entry is gone already.
    #[inline]
    pub(super) fn after_unlink(&self, slot: Slot<'_>) {
        if raises_late() {
            self.raise_floor_of(slot);
        }
    }

    #[inline(never)]
    fn raise_floor_of(&self, slot: Slot<'_>) {
        if !slot.control().is_readable(self.run) && !self.is_intact(slot) {
            return self.raise_all_floors();
        }
        // SAFETY: callers hold a guard since before they read the word.
        let Some(key) = (unsafe { slot.key() }) else { return self.raise_all_floors() };
        // SAFETY: as above.
        let header = unsafe { slot.header() };
        // What was cleared stays away by its clear stamp.
        let is_forgotten = header.kind() == FrameKind::Tombstone && bite("floor.tombstones-forgotten");
        if self.is_after_clear(header.keyspace(), header.stamp()) && !is_forgotten {
            // SAFETY: as above.
            let version = unsafe { slot.version() };
            if version.is_fill() && !bite("floor.raised-for-fills") {
                return;
            }
            self.raise_floor(key, self.floor_after(&version));
        }
    }

    /// An entry is lost, and nobody knows of which key.
    pub(super) fn raise_all_floors(&self) {
        if let Some(node) = self.replicated() {
            node.floors.raise_all(self.region.view(), self.stamp());
        }
    }

    /// Starts to load the floor that an unlink of this key will raise.
    #[inline]
    pub(super) fn prefetch_floor(&self, key: Key<'_>) {
        if let Some(node) = self.replicated() {
            node.floors.prefetch(self.region.view(), key.wire_hash());
        }
    }

    /// Takes out whatever is there of a key that is not newer than a version, which itself is not to be stored: first the
    /// floor, then the word. Needs no memory. `Some`: a version that is there, not older, and stays; what it says needs no
    /// floor, which would keep out other keys.
    pub(super) fn void(&self, key: Key<'_>, hash: KeyHash, version: &Version) -> Option<Version> {
        use crate::engine::get::HasKey;
        let check = HasKey { engine: self, key };
        self.void_fills(hash);
        let mut is_raised = false;
        // Of what was read nobody has to know once it is gone.
        let raise = || {
            if !version.is_fill() {
                self.raise_floor(key, version.stamp);
            }
        };
        if bite("floor.raised-for-present") {
            self.raise_floor(key, version.stamp);
        }
        loop {
            let found = self.index.find(self.region.view(), hash, &check);
            let slot = found.as_ref().and_then(|found| self.slot(found.word.handle()));
            let Some((found, slot)) = found.zip(slot) else {
                if is_raised {
                    return None;
                }
                // What was linked before the floor is seen by another look, what comes behind it sees the floor.
                raise();
                is_raised = true;
                continue;
            };
            if !slot.control().is_readable(self.run) && !self.first_read(slot, &found) {
                self.drop_entry(&found);
                continue;
            }
            // SAFETY: callers hold a guard since before the search.
            let current = unsafe { slot.version() };
            if matches!(version.relation(&current), Relation::Older | Relation::Same) {
                if current.is_fill() && !bite("floor.lost-to-fill") {
                    raise();
                }
                return Some(current);
            }
            if !is_raised {
                raise();
                is_raised = true;
            }
            if self.take_out_word(&found, slot) {
                return None;
            }
        }
    }

    /// Takes a found word out, behind its floor, and retires its slot; `false` if it changed meanwhile.
    pub(super) fn take_out_word(&self, found: &Found, slot: Slot<'_>) -> bool {
        self.before_unlink(slot);
        let taken = self.index.unlink(self.region.view(), found);
        self.after_unlink(slot);
        if taken {
            self.retire(slot.handle());
        }
        taken
    }
}

fn raises_late() -> bool {
    bite("floor.raised-after-unlink")
}

impl Operation {
    /// What a write of such a frame does.
    pub(super) fn of(kind: FrameKind) -> Self {
        match kind {
            FrameKind::Value | FrameKind::Negative => Self::Set,
            FrameKind::Tombstone => Self::Remove,
            FrameKind::Invalidation => Self::Invalidate,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_writer_waits_for_no_other_that_was_stopped_while_it_woke_the_driver() {
        let sleeper = Arc::new(Sleeper::default());
        let stopped = crate::sync::lock(&sleeper.0);
        let (said, heard) = channel();
        let other = sleeper.clone();
        let writer = std::thread::spawn(move || {
            other.wake();
            said.send(())
        });
        let outcome = heard.recv_timeout(Duration::from_secs(30));
        drop(stopped);
        assert!(outcome.is_ok(), "the writer waits");
        assert!(writer.join().expect("no panic").is_ok());
    }
}
