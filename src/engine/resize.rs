//! Resize at open: an arena that is to be smaller keeps its hottest entries.
//!
//! ```text
//!   1  settle every slot of the old life           4  the pages beyond the end become nobody's
//!   2  pages beyond the new end take nothing new   5  the index is made anew in the pages that stay
//!   3  used entries there move to pages that       6  the file is cut, and opened again
//!      stay, the most used first; the rest goes
//! ```
//!
//! Before anybody is served, by one thread, and O(entries): the one open that is not O(1). A process killed in the
//! middle leaves an arena from which entries are missing, or one that opens cold because its index is not whole; never
//! a wrong value. Values that take several pages, or blocks beyond the end, are evicted.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::slot::{FREQUENCY_MAX, State};
use crate::engine::Engine;
use crate::engine::allocate::Taken;
use crate::engine::counters::Counter;
use crate::engine::drain::{Drain, Then};
use crate::index::{Index, Slots};
use crate::types::handle::IndexWord;

/// Attempts to empty one page. Nobody holds a guard, so each one moves the epoch on.
const ROUNDS_MAX: u32 = 10_000;
/// Attempts to find room for one entry that moves.
const ROOM_ROUNDS_MAX: u32 = 64;
/// Entries per bucket of a new index, less than at the load at which it would grow.
const ENTRIES_PER_BUCKET: u64 = 4;

impl Engine {
    /// Empties the pages from `end` on and makes the index anew before it. `false` if that could not be done.
    pub(super) fn vacate(&mut self, end: PageId) -> bool {
        while !self.is_settled() {
            self.sweep_step();
        }
        self.mark_filled();
        for page in self.pages_from(end) {
            let info = self.pages.info(page);
            match info.kind() {
                PageKind::Free => {
                    self.pages.claim_free(page);
                }
                PageKind::RunHead => self.evict_run(page),
                _ => {
                    self.pages.begin_drain(page, info.class());
                }
            }
        }
        for least in (1..=FREQUENCY_MAX).rev() {
            self.pages_from(end).for_each(|page| self.move_out(page, least));
        }
        let emptied = self.pages_from(end).all(|page| self.empty(page));
        emptied && self.make_index_anew(end)
    }

    fn pages_from(&self, end: PageId) -> impl Iterator<Item = PageId> + use<> {
        (end.0..self.pages.layout().pages).map(PageId)
    }

    /// Moves the entries of a page that were used at least so often to pages that stay.
    fn move_out(&self, page: PageId, least: u8) {
        let info = self.pages.info(page);
        if info.kind() != PageKind::Data {
            return;
        }
        for number in 0..self.pages.slots_in(info) {
            let _guard = self.pin();
            let Some(slot) = self.slot(self.pages.handle(page, number)) else { continue };
            if slot.control().is(State::Live, self.run) && slot.frequency() >= least {
                self.find_room(info.class());
                self.relocate(slot, info.class());
            }
        }
    }

    /// Sees to it that a class has a free slot in a page that stays: pages that are drained serve nobody.
    fn find_room(&self, class: ClassId) {
        for _ in 0..ROOM_ROUNDS_MAX {
            if let Some(Taken { handle, .. }) = self.take(&self.pin(), class) {
                self.release_unlinked(handle, class, 0);
                return;
            }
            if !self.prepare_step(class) && self.pages.assign(self.region.view(), PageKind::Data, class, 0).is_none() {
                self.make_room(class);
            }
        }
    }

    /// Evicts what is left in a page beyond the end; it stays nobody's.
    fn empty(&self, page: PageId) -> bool {
        let class = self.pages.info(page).class();
        let mut drain = Drain::of(page, class, Then::Withhold);
        for _ in 0..ROUNDS_MAX {
            match self.pages.info(page).kind() {
                PageKind::Data | PageKind::Large => {
                    self.drain_step(&mut drain);
                }
                PageKind::RunHead => self.evict_run(page),
                // Tails go with their heads.
                PageKind::RunTail => {
                    self.drain_limbo();
                }
                // The index and its overflow are made anew. Floors and changes are left behind: what is there then is an
                // arena that was never in a cluster.
                PageKind::Free | PageKind::Dirty | PageKind::Index | PageKind::Overflow => return true,
                PageKind::Floors | PageKind::Changes => {
                    self.pages.make_dirty(self.region.view(), page);
                    return true;
                }
            }
        }
        false
    }

    /// Takes all words, gives every index and overflow page back, and links all entries in a new index before `end`.
    fn make_index_anew(&mut self, end: PageId) -> bool {
        let mut entries = Vec::new();
        (0..self.index.buckets(self.region.view())).for_each(|bucket| {
            self.index.for_each_in(self.region.view(), bucket, |word| entries.push(word));
        });
        let wanted = self.index_pages_for(entries.len() as u64);
        let own = |page: &PageId| matches!(self.pages.info(*page).kind(), PageKind::Index | PageKind::Overflow);
        let coming = (0..end.0).map(PageId).filter(own).count() as u32;
        while self.pages.free_pages() + self.pages.coming_pages() + coming < wanted && self.empty_one(end) {
            while self.clean_dirty_page() {}
        }
        for _ in 0..ROUNDS_MAX {
            if self.drain_limbo() == 0 {
                break;
            }
        }
        let index_pages: Vec<_> = self.pages.ids().filter(own).collect();
        for page in index_pages {
            self.pages.withdraw(page);
            self.pages.make_dirty(self.region.view(), page);
            if page < end {
                self.pages.leave_dirty(page);
            }
        }
        while self.clean_dirty_page() {}
        self.index = Index::new(Self::index_geometry(self.pages.layout(), self.run));
        let Some(first) = self.take_page(0) else { return false };
        if !self.index.add_page(first) {
            return false;
        }
        self.index.format(self.region.view());
        self.link_all(&entries);
        true
    }

    fn index_pages_for(&self, entries: u64) -> u32 {
        let buckets_per_page = self.pages.layout().page_bytes / crate::index::BUCKET_BYTES;
        let home = (entries / ENTRIES_PER_BUCKET).div_ceil(buckets_per_page);
        // A third as many for overflow, and spare ones.
        (home + home / 3 + 4) as u32
    }

    /// Links what still lives; an entry whose chain has no room is evicted.
    fn link_all(&self, words: &[IndexWord]) {
        let guard = self.pin();
        let mut linked = 0;
        for word in words {
            let Some(slot) = self.slot(word.handle()) else { continue };
            if !slot.control().is(State::Live, self.run) || slot.generation() != word.generation() {
                continue;
            }
            let Some(hash) = self.hash_of(word.plain()) else { continue };
            if self.index.find_handle(self.region.view(), hash, word.handle()).is_some() {
                continue;
            }
            let stored = match self.index.lock(hash) {
                Some(stripe) => self.index.link(self.region.view(), &stripe, hash, word.plain(), self).is_ok(),
                None => false,
            };
            if stored {
                linked += 1;
                self.index.grow(self.region.view(), self, linked);
            } else {
                self.counters.add(Counter::EvictedBucket);
                self.retire(word.handle());
            }
        }
        drop(guard);
    }

    /// Frees one page before `end` for the index; `false` if there is none to free.
    fn empty_one(&self, end: PageId) -> bool {
        let mut data = (0..end.0).map(PageId).filter(|page| self.pages.info(*page).kind() == PageKind::Data);
        let Some(page) = self.donor(None).filter(|page| *page < end).or_else(|| data.next()) else { return false };
        let class = self.pages.info(page).class();
        if !self.pages.begin_drain(page, class) {
            return false;
        }
        let mut drain = Drain::of(page, class, Then::Free);
        (0..ROUNDS_MAX).any(|_| self.drain_step(&mut drain))
    }
}
