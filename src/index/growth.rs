//! Growing: one bucket at a time is split into itself and a new one, while everybody reads and updates.
//!
//! ```text
//!   1 lock the stripe of s       4 count -> t + 1          6 unmark t
//!   2 list t in the file         5 move each word:         7 clear FORWARD words of s
//!   3 empty t, SPLITTING           TENTATIVE copy in t     8 unlist, unlock
//!                                  W -> FORWARD W in s
//!                                  TENTATIVE W -> W in t
//! ```
//!
//! Why this order misleads nobody is argued in [`crate::index`]. What a death leaves: before 4 a listed bucket beyond the
//! count, which is only unlisted; after 4 steps 5 to 8, which [`Index::settle`] runs again.
//!
//! Invariant: t is prepared only by the holder of the stripe of s while the count is t, so by one thread.

use crate::index::bucket::{Bucket, Chain, Meta, WORDS};
use crate::index::{Counters, Dropped, Index, Place, Slots};
use crate::region::View;
use crate::sync::bite;
use crate::sync::failpoint::failpoint;
use crate::types::handle::IndexWord;
use crate::types::key::KeyHash;

/// Splits that one call to [`Index::grow`] does at most, so that an insert stays short: more than the 16 inserts between two
/// calls need.
pub(super) const SPLITS_PER_CALL: usize = if cfg!(loom) { 2 } else { 8 };

/// A source and the target that half of it moves to.
#[derive(Clone, Copy)]
pub(super) struct Split {
    pub(super) source: u32,
    pub(super) target: u32,
}

/// Where a hash in a source bucket belongs.
enum Side {
    Stays,
    Moves,
    /// To neither: it never should have been in the source.
    Astray,
}

impl Split {
    fn side(self, hash: KeyHash) -> Side {
        // The target's highest bit is the one that tells the two apart.
        let mask = 2 * (1_u64 << self.target.ilog2()) - 1;
        match hash.bits() & mask {
            number if number == u64::from(self.source) => Side::Stays,
            number if number == u64::from(self.target) => Side::Moves,
            _ => Side::Astray,
        }
    }
}

impl Index {
    /// Splits while there are more entries than the load allows, a bounded number per call. Returns how many it did.
    ///
    /// The caller holds an epoch guard and no stripe.
    pub(crate) fn grow(&self, region: View<'_>, slots: &impl Slots, entries: u64) -> usize {
        let mut done = 0;
        while done < SPLITS_PER_CALL && entries > entries_at_load(self.table.count(region)) {
            if !self.split(region, slots) {
                Counters::add(&self.counters.splits_deferred);
                break;
            }
            done += 1;
        }
        if done > 0 && !cfg!(loom) {
            self.prefetch_splits(region, done as u32);
        }
        done
    }

    /// Starts to load the slots that the next splits will look at.
    fn prefetch_splits(&self, region: View<'_>, splits: u32) {
        let next = self.table.count(region);
        for source in (next..next.saturating_add(splits)).filter_map(|target| self.table.source(target)) {
            for place in self.table.bucket(source).places() {
                region.prefetch(place.read(region).handle().offset());
            }
        }
    }

    /// Splits the next bucket in line; `false` if that can not be done now.
    pub(super) fn split(&self, region: View<'_>, slots: &impl Slots) -> bool {
        let target = self.table.count(region);
        let Some(source) = self.table.source(target) else { return false };
        if !self.has_page(slots, target) {
            return false;
        }
        let Some(_stripe) = self.stripes.try_lock_bucket(source) else { return false };
        if self.table.count(region) != target {
            return false;
        }
        let Some(listed) = self.table.list(region, target) else { return false };
        failpoint!("split.listed");
        self.table.bucket(target).clear(region, Meta::SPLITTING);
        if !self.table.advance(region, target) {
            self.table.unlist(region, listed);
            return false;
        }
        failpoint!("split.counted");
        self.complete(region, slots, Split { source, target });
        self.table.unlist(region, listed);
        true
    }

    /// Whether the bucket has a page, after taking one if need be.
    fn has_page(&self, slots: &impl Slots, target: u32) -> bool {
        if u64::from(target) < self.table.capacity() {
            return true;
        }
        let Some(_held) = self.growing.try_lock() else { return false };
        // Looked at again: another thread may have added the page before the lock was taken.
        if u64::from(target) < self.table.capacity() {
            return true;
        }
        if !self.table.can_take_page() {
            return false;
        }
        let Some(offset) = slots.take_page(self.table.pages()) else { return false };
        failpoint!("index.page_taken");
        self.table.add_page(offset)
    }

    /// Steps 5 to 7: moves what belongs to the target, of which some may have been moved before. Under the stripe.
    pub(super) fn complete(&self, region: View<'_>, slots: &impl Slots, split: Split) {
        let source = Chain::of(region, self.table.bucket(split.source), split.source);
        for place in source.places() {
            region.prefetch(place.read(region).handle().offset());
        }
        for place in source.places() {
            self.move_word(region, slots, split, place);
        }
        let target = self.table.bucket(split.target);
        target.set_meta(region, target.meta(region).settled());
        for place in source.places() {
            let word = place.read(region);
            if word.is_forward() {
                // Nobody else changes a FORWARD word, so this can not fail. Release, by `exchange`: a reader that sees
                // it empty sees the advanced count and the cleared SPLITTING.
                place.exchange(region, word, IndexWord::EMPTY);
            }
        }
        self.trim(region, self.table.bucket(split.source), split.source, slots);
        Counters::add(&self.counters.splits);
        failpoint!("split.settled");
    }

    /// Moves the word of one place if it belongs to the target. Goes round only when another thread has changed the
    /// word meanwhile.
    fn move_word(&self, region: View<'_>, slots: &impl Slots, split: Split, place: Place) {
        let target = self.table.bucket(split.target);
        loop {
            let word = place.read(region);
            if word.is_empty() || word.is_forward() {
                return;
            }
            if word.is_marked() {
                // No source has such words, so the file came with it. The entry that it copies is elsewhere or gone.
                place.exchange(region, word, IndexWord::EMPTY);
                continue;
            }
            match slots.hash_of(word).map(|hash| split.side(hash)) {
                Some(Side::Stays) => return,
                Some(Side::Moves) => {
                    if self.move_to(region, slots, split.target, target, place, word) {
                        return;
                    }
                }
                Some(Side::Astray) | None => self.drop_word(region, slots, place, word, Dropped::Damaged),
            }
        }
    }

    /// One attempt to move exactly this word; `false` if it was changed or dropped meanwhile.
    fn move_to(
        &self,
        region: View<'_>,
        slots: &impl Slots,
        number: u32,
        target: Bucket,
        place: Place,
        word: IndexWord,
    ) -> bool {
        if bite("index.forward-before-copy") {
            return place.exchange(region, word, word.forwarded())
                && self.put(region, target, number, word, slots).is_some();
        }
        let Some(copy) = self.put(region, target, number, word.tentative(), slots) else {
            self.drop_word(region, slots, place, word, Dropped::NoRoom);
            return false;
        };
        failpoint!("split.copied");
        if !place.exchange(region, word, word.forwarded()) {
            // Somebody replaced or removed the word first. The copy never counted, so nobody else touches it.
            copy.exchange(region, word.tentative(), IndexWord::EMPTY);
            return false;
        }
        failpoint!("split.forwarded");
        // Fails if somebody has replaced or removed the copy, which counts since the line above.
        copy.exchange(region, word.tentative(), word);
        failpoint!("split.moved");
        true
    }

    /// Unlinks a word that can not stay and hands it to the owner, unless another thread changed it first.
    fn drop_word(&self, region: View<'_>, slots: &impl Slots, place: Place, word: IndexWord, why: Dropped) {
        slots.dropping(word, why);
        if place.exchange(region, word, IndexWord::EMPTY) {
            Counters::add(&self.counters.dropped);
            slots.dropped(word, why);
        }
    }
}

/// Entries at a load of 0.70.
pub(super) fn entries_at_load(buckets: u32) -> u64 {
    u64::from(buckets) * WORDS as u64 * 7 / 10
}
