//! Buckets: what the index asks of the arena: pages, overflow buckets, the hash of a word's key, and who is told of one that
//! it drops.
//!
//! ```text
//!   overflow bucket:   free -> 64 x 64 that were not looked at in this life -> those of a free page
//! ```
//!
//! Of an earlier life's buckets nobody knows which are free until each was looked at, and most are linked.

use crate::arena::classes::ClassId;
use crate::arena::page::PageKind;
use crate::engine::Engine;
use crate::engine::counters::Counter;
use crate::index::{Dropped, Slots};
use crate::sync::Ordering;
use crate::types::handle::{Handle, IndexWord};
use crate::types::key::KeyHash;

/// Looks at 64 buckets each that are of an earlier life, and mostly linked, before a page is taken: a part of a millisecond at
/// the most. A page that is taken stays one of buckets.
const OVERFLOW_LOOKS_MAX: u32 = 64;

impl Slots for Engine {
    fn hash_of(&self, word: IndexWord) -> Option<KeyHash> {
        self.pages.class_of(word.handle())?;
        let slot = self.slot(word.handle())?;
        if slot.generation() != word.generation() {
            return None;
        }
        // SAFETY: the index calls under its caller's guard, with a word read under it.
        let key = unsafe { slot.key() }?;
        Some(self.hash(key))
    }

    fn dropping(&self, word: IndexWord, why: Dropped) {
        match self.slot(word.handle()) {
            Some(slot) if why == Dropped::NoRoom => self.before_unlink(slot),
            _ => self.raise_all_floors(),
        }
    }

    fn dropped(&self, word: IndexWord, why: Dropped) {
        self.counters.add(match why {
            Dropped::Damaged => Counter::Damaged,
            Dropped::NoRoom => Counter::EvictedBucket,
        });
        self.retire_unlinked(word);
    }

    fn take_overflow(&self, _home: u32) -> Option<u64> {
        let take = || self.pages.take_slot(self.region.view(), ClassId::OVERFLOW);
        let look = || self.prepare_step(ClassId::OVERFLOW);
        let get_page = || self.pages.assign(self.region.view(), PageKind::Overflow, ClassId::OVERFLOW, 0).is_some();
        let mut bucket = take();
        for round in 0..2 * OVERFLOW_LOOKS_MAX {
            // A page that was free is what is looked at next.
            let looked = || round != OVERFLOW_LOOKS_MAX && look();
            if bucket.is_some() || !(looked() || (get_page() && look())) {
                break;
            }
            bucket = take();
        }
        bucket.map(|bucket| bucket.handle.offset())
    }

    fn may_trim(&self) -> bool {
        // Acquire: pairs with the Release in `prepare`, so that all of them have been looked at.
        self.overflow_unknown.load(Ordering::Acquire) == 0
    }

    fn give_overflow(&self, offset: u64) {
        self.pages.class(ClassId::OVERFLOW).limbo.fetch_add(1, Ordering::Relaxed);
        self.let_wait(ClassId::OVERFLOW, &[Handle::from_offset(offset)]);
    }

    fn take_page(&self, number: u32) -> Option<u64> {
        let page = self.pages.assign(self.region.view(), PageKind::Index, ClassId(0), 0)?;
        self.pages.set_ordinal(self.region.view(), page, u64::from(number) + 1);
        Some(self.pages.layout().page_start(page))
    }
}
