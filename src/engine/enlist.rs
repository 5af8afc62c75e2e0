//! Enlist: how an arena becomes that of a node, and what it brings along when it was one before.
//!
//! ```text
//!   open, warm    floors and ring whole? -> a new life: incarnation + 1, open records settled; entries held back
//!                 else, or standalone    -> pages freed: an arena that was never in a cluster
//!   start         no floors yet          -> pages taken, writers of before waited for, emptied:     Cold
//!                 another name, cluster  -> no life but a new one, emptied:                           Cold
//!                 a join was cut off     -> emptied:                                                  Cold
//!                 the same node          -> what is held back is to be confirmed:                     Warm
//!                 not the first since the open: a new life, and everything is held back, as by an open
//! ```
//!
//! No life is in a cluster twice: the others remember how far the last one had counted.
//!
//! What an arena held before it was in its cluster is in no ring, so the others could never learn that it changed: it goes.
//! Start the cluster right after the open.

use crate::arena::classes::ClassId;
use crate::arena::cluster_header::{ClusterHeader, field};
use crate::arena::floors::Floors;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::ring::Ring;
use crate::arena::ring::settle::Damaged;
use crate::engine::Engine;
use crate::engine::rebalance::URGENT_ROUNDS;
use crate::engine::replicated::Replicated;
use crate::sync::Ordering;
use crate::types::limits::{CEILING_AHEAD_MAX_US, CHANGES_BYTES_MAX, CHANGES_SHARE_DIVISOR, CLOSE_WAIT_MAX_MS};
use crate::types::stream::{Incarnation, Origin, Position, StreamId};
use crate::types::version::Stamp;

/// What an arena brought with it when the cluster was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origination {
    /// Nothing: it is empty now.
    Cold,
    /// It was this node in a former life; its entries are held back until they are confirmed.
    Warm,
}

/// Why an arena could not become a node's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum EnlistFailure {
    /// The pages could not be emptied while readers hold them.
    #[error("no room for {pages} pages of floors and changes: readers or pins hold entries")]
    NoRoom { pages: u32 },
    /// Writes that began before did not end within a second.
    #[error("{0} threads are inside a write that began before")]
    Inside(u32),
    /// What lies in the slots are addresses.
    #[cfg(feature = "values-on-heap")]
    #[error("values on the heap can not be sent")]
    ValuesOnHeap,
}

/// Records of changes: at least so many pages.
const CHANGES_PAGES_MIN: u32 = 2;

impl Engine {
    /// Pages for the ring of own changes.
    fn changes_pages(&self) -> u32 {
        let page_bytes = self.layout().page_bytes;
        let bytes = (self.superblock().capacity.get() / CHANGES_SHARE_DIVISOR).min(CHANGES_BYTES_MAX);
        ((bytes / page_bytes) as u32).max(CHANGES_PAGES_MIN)
    }

    /// Takes the pages that a last life left, by their numbers. `false` if they are not whole: then they are given back, and
    /// the arena is one that was never in a cluster. Single-threaded, at open.
    pub(super) fn load_replicated(&self, floors: &mut [(u64, PageId)], changes: &mut [(u64, PageId)]) -> bool {
        if floors.is_empty() && changes.is_empty() {
            return false;
        }
        let in_order = |pages: &mut [(u64, PageId)]| {
            pages.sort_unstable();
            (1..).zip(pages.iter()).all(|(number, page)| page.0 == number)
        };
        let whole = !self.settings.standalone
            && in_order(floors)
            && in_order(changes)
            && changes.len() as u32 >= CHANGES_PAGES_MIN;
        let Some(node) = whole.then(|| self.read_node(floors, changes)).flatten() else {
            self.give_pages_back(floors.iter().chain(changes.iter()).map(|(_, page)| *page));
            return false;
        };
        self.begin_life(&node);
        assert!(self.replicated.set(node).is_ok(), "an engine is loaded once");
        self.hold_back();
        true
    }

    fn give_pages_back(&self, pages: impl Iterator<Item = PageId>) {
        for page in pages {
            self.pages.make_dirty(self.region.view(), page);
            self.pages.leave_dirty(page);
        }
    }

    fn read_node(&self, floors: &[(u64, PageId)], changes: &[(u64, PageId)]) -> Option<Replicated> {
        let room = floors.len() as u64 * self.layout().page_bytes / 8;
        let first = self.layout().page_start(floors.first()?.1);
        let header = ClusterHeader::new(self.region.view(), first);
        if !header.is_whole(room) || Floors::pages_for(header.ranges(), self.layout().page_bytes) > floors.len() as u32
        {
            return None;
        }
        let StreamId { origin, incarnation } = header.identity();
        if incarnation.0 > self.clock.fine_us().saturating_add(CEILING_AHEAD_MAX_US) {
            // No life of this node can have begun then.
            return None;
        }
        let starts = |pages: &[(u64, PageId)]| pages.iter().map(|(_, page)| self.layout().page_start(*page)).collect();
        let mut node = self.node_of(starts(floors), starts(changes), header.ranges(), origin);
        match node.ring.settle(self.region.view()) {
            // Where it ends is not known, so nothing can be put behind that end.
            Err(Damaged::Header { .. }) => return None,
            Err(damage) => {
                tracing::warn!(%damage, "changes of the last life are lost; the others catch up by comparing");
                node.ring.reset(self.region.view(), node.ring.end(self.region.view()));
                header.forget_lives();
            }
            Ok(settled) => node.former = settled,
        }
        Some(node)
    }

    fn node_of(&self, floors: Box<[u64]>, changes: Box<[u64]>, ranges: u32, origin: Origin) -> Replicated {
        let page_bytes = self.layout().page_bytes;
        let floors = Floors::new(floors, page_bytes, ranges);
        let ring = Ring::new(changes, page_bytes, floors.header_at() + field::RING);
        Replicated::new(floors, ring, origin)
    }

    /// The next incarnation, whose changes begin where those of the last one end.
    fn begin_life(&self, node: &Replicated) {
        let (region, header) = (self.region.view(), self.cluster_header(node));
        let identity = header.identity();
        let incarnation = Incarnation((identity.incarnation.0 + 1).max(self.clock.fine_us()));
        header.set_identity(StreamId { incarnation, ..identity }, header.cluster());
        header.add_life(incarnation, node.ring.end(region));
        self.note_life(node);
    }

    /// Every stamp from now on is of the life that has begun: its record comes behind the start of that life.
    fn note_life(&self, node: &Replicated) {
        // Relaxed: as in `is_of_this_life`.
        node.began.store(self.clock.latest().0, Ordering::Relaxed);
    }

    /// Makes this arena that of a node. Waits for writes under way, at most a second.
    pub(crate) fn enlist(&self, origin: Origin, cluster: u64) -> Result<Origination, EnlistFailure> {
        #[cfg(feature = "values-on-heap")]
        if self.has_heap_values() {
            return Err(EnlistFailure::ValuesOnHeap);
        }
        if self.replicated().is_none() {
            self.found_node(origin, cluster)?;
        }
        let Some(node) = self.replicated() else { return Ok(Origination::Cold) };
        let header = self.cluster_header(node);
        // Relaxed: one start at a time.
        let is_again = !node.is_fresh.swap(false, Ordering::Relaxed);
        if is_again {
            let _writing = crate::sync::lock(&node.header);
            self.begin_life(node);
            self.hold_back();
        }
        let is_same = header.identity().origin == origin && header.cluster() == cluster;
        if is_same && header.join_floor() == Stamp::ZERO {
            return Ok(Origination::Warm);
        }
        if !is_same {
            let _writing = crate::sync::lock(&node.header);
            // First: a process killed in between leaves a join that was cut off.
            header.set_join_floor(self.stamp());
            // What is in the ring was another node's: nobody is offered what lies before the new life.
            header.forget_applied();
            header.forget_lives();
            // Relaxed: as in `origin`.
            node.origin.store(u32::from(origin.0), Ordering::Relaxed);
            header.set_identity(StreamId { origin, ..header.identity() }, cluster);
            header.add_life(header.identity().incarnation, node.ring.end(self.region.view()));
            self.note_life(node);
        }
        // A write that began before the ring was there is in no ring, and younger than what goes now.
        let inside = self.writers.await_those_inside(CLOSE_WAIT_MAX_MS);
        if inside > 0 {
            return Err(EnlistFailure::Inside(inside));
        }
        self.start_over(is_same);
        Ok(Origination::Cold)
    }

    fn found_node(&self, origin: Origin, cluster: u64) -> Result<(), EnlistFailure> {
        let page_bytes = self.layout().page_bytes;
        let ranges = Floors::ranges_for(self.superblock().capacity.get());
        let (floor_pages, change_pages) = (Floors::pages_for(ranges, page_bytes), self.changes_pages());
        let no_room = EnlistFailure::NoRoom { pages: floor_pages + change_pages };
        let floors = self.take_pages(PageKind::Floors, floor_pages).ok_or(no_room)?;
        let Some(changes) = self.take_pages(PageKind::Changes, change_pages) else {
            self.give_pages_back(floors.into_iter());
            return Err(no_room);
        };
        let starts = |pages: &[PageId]| pages.iter().map(|page| self.layout().page_start(*page)).collect();
        let node = self.node_of(starts(&floors), starts(&changes), ranges, origin);
        let incarnation = Incarnation(self.clock.fine_us().max(1));
        let header = self.cluster_header(&node);
        // First: until what was there is gone, this is a join that was cut off.
        header.set_join_floor(self.stamp());
        header.format(ranges, StreamId { origin, incarnation }, cluster);
        header.add_life(incarnation, Position(0));
        if self.replicated.set(node).is_err() {
            // Another call was first.
            self.give_pages_back(floors.into_iter().chain(changes));
        }
        if let Some(node) = self.replicated() {
            self.note_life(node);
        }
        Ok(())
    }

    /// Takes pages one by one, from classes if need be, and numbers them. `None`, and none taken, if there are not enough.
    fn take_pages(&self, kind: PageKind, count: u32) -> Option<Vec<PageId>> {
        let mut pages = Vec::new();
        while (pages.len() as u32) < count {
            match self.take_page_of(kind) {
                Some(page) => {
                    self.pages.set_ordinal(self.region.view(), page, pages.len() as u64 + 1);
                    pages.push(page);
                }
                None => {
                    self.give_pages_back(pages.into_iter());
                    return None;
                }
            }
        }
        Some(pages)
    }

    fn take_page_of(&self, kind: PageKind) -> Option<PageId> {
        for _ in 0..URGENT_ROUNDS {
            let page = self.pages.assign(self.region.view(), kind, ClassId(0), 0);
            if page.is_some() || (!self.hasten_page() && !self.drain_some(None, false) && !self.evict_some_run()) {
                return page;
            }
        }
        None
    }

    /// Empties the cache for a join: nothing of what was there is known to be right, and until the join is complete nobody
    /// here knows what was evicted elsewhere. What is written meanwhile stays. O(entries), with reads and writes going on.
    ///
    /// Where they may be of this cluster, their floors stay behind them: this node has told its callers of them.
    fn start_over(&self, of_this_cluster: bool) {
        let Some(node) = self.replicated() else { return };
        let stamp = self.stamp();
        {
            let _writing = crate::sync::lock(&node.header);
            self.cluster_header(node).set_join_floor(stamp);
            self.cluster_header(node).forget_applied();
            // What they were goes now.
            self.cluster_header(node).set_leftovers(Stamp::ZERO);
        }
        self.hold_back();
        let mut next = Some(0);
        while let Some(bucket) = next {
            next = self.empty_bucket(bucket, stamp, of_this_cluster);
        }
        self.serve();
    }

    /// Takes out what is not younger than a stamp; returns the next bucket.
    fn empty_bucket(&self, bucket: u32, until: Stamp, of_this_cluster: bool) -> Option<u32> {
        let _guard = self.pin();
        let more = self.index.for_each_in(self.region.view(), bucket, |word| {
            let Some(slot) = self.slot(word.handle()).filter(|slot| slot.generation() == word.generation()) else {
                return;
            };
            let Some(found) = self.named_by(slot) else { return };
            // SAFETY: the guard was there before the word was read.
            if unsafe { slot.header() }.stamp() > until {
                return;
            }
            if of_this_cluster {
                self.before_unlink(slot);
            }
            if self.index.unlink(self.region.view(), &found) {
                self.retire_unlinked(word);
            }
        });
        more.then_some(bucket + 1)
    }

    /// The join is complete: the floors of a donor were taken over, or there was nobody.
    pub(crate) fn end_join(&self) {
        if let Some(node) = self.replicated() {
            let _writing = crate::sync::lock(&node.header);
            self.cluster_header(node).set_join_floor(Stamp::ZERO);
        }
    }
}
