//! Where bucket number b lies, how many there are, and which splits are under way.
//!
//! ```text
//!   heap                      region
//!   directory                 index page (page_bytes)
//!   +----------+              +----------+----------+-----+
//!   | offset 0 | -----------> | bucket 0 | bucket 1 | ... |
//!   | offset 1 | ---------.   +----------+----------+-----+
//!   | ...      |          '-> | bucket k | ...
//!   +----------+              +----------+
//!                             count word: number of buckets n          the one authority on where a hash lives
//!                             split words: SPLITS_MAX x (target + 1)    0 is free
//!
//!   number of a hash, n = 6:   mask 7;  hash & 7 = 0 1 2 3 4 5 | 6 7 -> & 3 = 2 3
//! ```
//!
//! Invariants: the count only rises, by one per split. Every bucket below it lies on a page of the directory and was made
//! empty before the count passed it. A bucket's source is its number without the highest bit.

use crate::index::bucket::{BUCKET_BYTES, BUCKETS_END, Bucket};
use crate::index::{Geometry, SettleError};
use crate::region::View;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::types::key::KeyHash;
use crate::types::limits::SPLITS_MAX;

/// Finds buckets.
pub(super) struct Table {
    geometry: Geometry,
    directory: Box<[AtomicU64]>,
    pages: AtomicU32,
    shift: u32,
}

/// One listed split: its word, until it is cleared.
#[derive(Clone, Copy)]
pub(super) struct Listed(u64);

impl Table {
    /// A table without pages.
    ///
    /// # Panics
    ///
    /// If the geometry breaks one of its documented rules.
    pub(super) fn new(geometry: Geometry) -> Self {
        let Geometry { page_bytes, pages_max, buckets_initial, count_at, splits_at, .. } = geometry;
        assert!(page_bytes.is_power_of_two() && page_bytes >= BUCKET_BYTES, "index page of {page_bytes} bytes");
        assert!(buckets_initial.is_power_of_two(), "{buckets_initial} buckets to start with");
        assert!(count_at.is_multiple_of(8) && splits_at.is_multiple_of(8), "index words at {count_at}, {splits_at}");
        let directory = (0..pages_max).map(|_| AtomicU64::new(0)).collect();
        let shift = (page_bytes / BUCKET_BYTES).trailing_zeros();
        Self { geometry, directory, pages: AtomicU32::new(0), shift }
    }

    /// Appends a page to the directory; `false` if that is full. One caller at a time.
    pub(super) fn add_page(&self, offset: u64) -> bool {
        assert!(offset != 0 && offset.is_multiple_of(BUCKET_BYTES), "index page at {offset:#x}");
        // Relaxed: only the one caller writes it.
        let pages = self.pages.load(Ordering::Relaxed);
        let Some(entry) = self.directory.get(pages as usize) else { return false };
        // Relaxed: published by the number of pages, and to readers by the count that reaches into the page.
        entry.store(offset, Ordering::Relaxed);
        // Release: pairs with `pages`.
        self.pages.store(pages + 1, Ordering::Release);
        true
    }

    /// The run of this open.
    pub(super) fn run(&self) -> u16 {
        self.geometry.run
    }

    /// Pages in the directory. Acquire: sees their offsets (`add_page`).
    pub(super) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Acquire)
    }

    /// Buckets for which there are pages.
    pub(super) fn capacity(&self) -> u64 {
        (u64::from(self.pages()) << self.shift).min(BUCKETS_END)
    }

    /// Whether the directory and the numbers have room for one more page.
    pub(super) fn can_take_page(&self) -> bool {
        (self.pages() as usize) < self.directory.len() && self.capacity() < BUCKETS_END
    }

    /// Starts afresh: empty buckets, no splits.
    pub(super) fn format(&self, region: View<'_>, empty: impl Fn(Bucket)) {
        let initial = self.geometry.buckets_initial;
        assert!(u64::from(initial) <= self.capacity(), "{initial} buckets need more than {} pages", self.pages());
        for number in 0..initial {
            empty(self.bucket(number));
        }
        for at in self.split_words() {
            // Relaxed: nobody else uses the index yet; the count publishes it all.
            region.word(at).store(0, Ordering::Relaxed);
        }
        // Release: pairs with `count`.
        region.word(self.geometry.count_at).store(u64::from(initial), Ordering::Release);
    }

    /// Whether the count and the pages agree with each other and with the region.
    pub(super) fn check(&self, region: View<'_>) -> Result<(), SettleError> {
        // Acquire: as in `count`, which would cut off what does not fit.
        let found = region.word(self.geometry.count_at).load(Ordering::Acquire);
        let (min, max) = (u64::from(self.geometry.buckets_initial), self.capacity());
        if found < min || found > max {
            return Err(SettleError::Count { found, min, max });
        }
        for entry in &self.directory[..self.pages() as usize] {
            // Relaxed: the opener added the pages itself.
            let offset = entry.load(Ordering::Relaxed);
            if region.len() < self.geometry.page_bytes || offset > region.len() - self.geometry.page_bytes {
                return Err(SettleError::Page { offset, region: region.len() });
            }
        }
        Ok(())
    }

    /// Number of buckets. Acquire: sees every bucket below it empty or filled, and its page (`advance`).
    #[inline]
    pub(super) fn count(&self, region: View<'_>) -> u32 {
        region.word(self.geometry.count_at).load(Ordering::Acquire) as u32
    }

    /// Makes the bucket behind the last reachable.
    pub(super) fn advance(&self, region: View<'_>, count: u32) -> bool {
        let (old, new) = (u64::from(count), u64::from(count) + 1);
        // AcqRel: publishes the new bucket with its SPLITTING mark to `count`, after all earlier ones.
        let word = region.word(self.geometry.count_at);
        word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The bucket that a hash lives in now.
    #[inline]
    pub(super) fn number(&self, region: View<'_>, hash: KeyHash) -> u32 {
        number_of(hash, self.count(region))
    }

    /// The bucket of a number below the count.
    #[inline]
    pub(super) fn bucket(&self, number: u32) -> Bucket {
        // Relaxed: the count that allowed this number was loaded with Acquire after the page was added.
        let page = self.directory[(number >> self.shift) as usize].load(Ordering::Relaxed);
        let within = u64::from(number & ((1 << self.shift) - 1));
        Bucket::at(page + within * BUCKET_BYTES)
    }

    /// The bucket that this one was split from; `None` if it was there from the start.
    pub(super) fn source(&self, number: u32) -> Option<u32> {
        (number >= self.geometry.buckets_initial).then(|| number ^ (1 << number.ilog2()))
    }

    /// Lists a split; `None` if there are too many under way.
    pub(super) fn list(&self, region: View<'_>, target: u32) -> Option<Listed> {
        let value = u64::from(target) + 1;
        // AcqRel: the list is read at open, where everything is visible; here it only hands out words one at a time.
        let free = |at: &u64| region.word(*at).compare_exchange(0, value, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        self.split_words().find(free).map(Listed)
    }

    /// Takes a split off the list.
    pub(super) fn unlist(&self, region: View<'_>, listed: Listed) {
        // Release: whoever lists the next split here does so after everything in this one.
        region.word(listed.0).store(0, Ordering::Release);
    }

    /// The listed splits, with the number of the new bucket if that number can be one.
    pub(super) fn listed(&self, region: View<'_>) -> impl Iterator<Item = (Listed, Option<u32>)> {
        self.split_words().filter_map(move |at| {
            // Acquire: pairs with `list`.
            let value = region.word(at).load(Ordering::Acquire);
            (value != 0).then(|| (Listed(at), u32::try_from(value - 1).ok()))
        })
    }

    fn split_words(&self) -> impl Iterator<Item = u64> + use<> {
        let splits_at = self.geometry.splits_at;
        (0..SPLITS_MAX as u64).map(move |index| splits_at + index * 8)
    }
}

/// The bucket of a hash in an index of so many.
#[cfg(not(loom))]
pub(crate) fn bucket_of(hash: KeyHash, count: u32) -> u32 {
    number_of(hash, count)
}

/// Linear hashing: the low bits of the hash, one fewer for buckets that do not exist yet.
#[inline(always)]
fn number_of(hash: KeyHash, count: u32) -> u32 {
    // All bits up to the highest of the last number; the lowest is set so that it is never 0.
    let mask = u32::MAX >> (count.wrapping_sub(1) | 1).leading_zeros();
    let number = hash.bits() as u32 & mask;
    // A shift instead of a branch, which would be a coin toss.
    number & (mask >> u32::from(number >= count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_moves_only_to_the_bucket_that_its_own_is_split_into() {
        for bits in (0..5_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 13) {
            let hash = KeyHash::from_bits(bits);
            let mut number = number_of(hash, 4);
            for count in 5..300 {
                let next = number_of(hash, count);
                let added = count - 1;
                assert!(next == number || (next == added && number == added ^ (1 << added.ilog2())));
                number = next;
            }
        }
    }
}
