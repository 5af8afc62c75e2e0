//! Updating: replace and unlink are one CAS on one word; linking an absent key happens under its stripe.
//!
//! ```text
//!   swap     W -> X          anybody       the winner owns W
//!   unlink   W -> empty      anybody       the winner owns W
//!   link     empty -> W      stripe        home first, then overflow, then a new overflow bucket, else Full
//! ```

use crate::index::bucket::{Bucket, Chain};
use crate::index::{Counters, Found, Full, Index, Place, Slots, StripeGuard};
use crate::region::View;
use crate::sync::failpoint::failpoint;
use crate::sync::{Ordering, bite};
use crate::types::handle::IndexWord;
use crate::types::key::KeyHash;

impl Index {
    /// Replaces a found word by another of the same key. The winner owns the slot of the old one; `false` changed
    /// nothing, and the key is to be looked up again.
    #[inline]
    pub(crate) fn swap(&self, region: View<'_>, found: &Found, new: IndexWord) -> bool {
        debug_assert!(!new.is_empty() && !new.is_marked(), "{new:?} can not replace a word");
        if bite("index.swap-relaxed-lost") {
            // Relaxed: this is the defect.
            found.place.word(region).store(new.bits(), Ordering::Relaxed);
            return true;
        }
        found.place.exchange(region, found.word, new)
    }

    /// Takes a found word out. The winner owns its slot; `false` changed nothing.
    #[inline]
    pub(crate) fn unlink(&self, region: View<'_>, found: &Found) -> bool {
        found.place.exchange(region, found.word, IndexWord::EMPTY)
    }

    /// Takes the stripe of a hash; `None` after a bounded wait. Look the key up again under it before linking.
    pub(crate) fn lock(&self, hash: KeyHash) -> Option<StripeGuard<'_>> {
        self.stripes.lock(hash)
    }

    /// Links a key that was absent when it was looked up under this stripe.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room; nothing changed.
    pub(crate) fn link(
        &self,
        region: View<'_>,
        stripe: &StripeGuard<'_>,
        hash: KeyHash,
        word: IndexWord,
        slots: &impl Slots,
    ) -> Result<(), Full> {
        debug_assert!(self.stripes.covers(stripe, hash), "another stripe than that of {hash:?}");
        debug_assert!(!word.is_empty() && !word.is_marked(), "{word:?} can not be linked");
        let number = self.table.number(region, hash);
        let home = self.table.bucket(number);
        let line = home.line(region);
        let meta = line.meta();
        if !meta.has_link()
            && !meta.is_splitting()
            && let Some(place) = line.first_empty()
            && place.exchange(region, IndexWord::EMPTY, word)
        {
            return Ok(());
        }
        if meta.is_splitting() && !crate::index::stripes::is_bitten() {
            // Under the stripe no split of this bucket runs, so the mark is damage that the file came with.
            home.set_meta(region, meta.settled());
        }
        let placed = self.put(region, home, number, word, slots);
        if meta.has_link() {
            self.trim(region, home, number, slots);
        }
        placed.map(|_| ()).ok_or(Full)
    }

    /// Puts a word into the first free place of a chain. The caller holds its stripe.
    ///
    /// Marked words are debris here and give way: a split leaves none once it is over, and its target has none between
    /// two moves.
    pub(super) fn put(
        &self,
        region: View<'_>,
        home: Bucket,
        number: u32,
        word: IndexWord,
        slots: &impl Slots,
    ) -> Option<Place> {
        let chain = Chain::of(region, home, number);
        for place in chain.places() {
            let there = place.read(region);
            if (there.is_empty() || there.is_marked()) && place.exchange(region, there, word) {
                return Some(place);
            }
        }
        if chain.is_longest() {
            return None;
        }
        let overflow = Bucket::at(slots.take_overflow(number)?);
        let place = overflow.append(region, chain.last(), number, word);
        Counters::add(&self.counters.overflow_linked);
        failpoint!("overflow.linked");
        Some(place)
    }

    /// Makes the caller the one who gives an overflow bucket back, which is empty or in no chain; `false` if somebody was
    /// in this run before. The mark stands in its first word, as one that no reader takes for an entry.
    pub(crate) fn claim_overflow(&self, region: View<'_>, offset: u64) -> bool {
        let place = Bucket::at(offset).place(0);
        let mark = IndexWord::from_bits(u64::from(self.table.run()) << 48).forwarded();
        loop {
            let word = place.read(region);
            if word == mark {
                return false;
            }
            if place.exchange(region, word, mark) {
                return true;
            }
        }
    }

    /// Takes empty overflow buckets out of a chain. The caller holds its stripe, so that they stay empty.
    ///
    /// Each is claimed before it is unlinked: who finds one that is neither linked nor claimed knows that no reader of
    /// this run is inside.
    pub(super) fn trim(&self, region: View<'_>, home: Bucket, number: u32, slots: &impl Slots) {
        if !slots.may_trim() && !bite("index.trim-unknown") {
            return;
        }
        let chain = Chain::of(region, home, number);
        let mut before = home;
        for bucket in &chain.buckets()[1..] {
            if bucket.is_empty(region) {
                let claimed = self.claim_overflow(region, bucket.offset());
                bucket.unlink_behind(region, before);
                Counters::add(&self.counters.overflow_unlinked);
                if claimed {
                    slots.give_overflow(bucket.offset());
                }
            } else {
                before = *bucket;
            }
        }
    }
}
