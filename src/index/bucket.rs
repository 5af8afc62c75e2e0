//! A bucket: one cache line of words, and the chain of overflow buckets behind a home bucket.
//!
//! ```text
//!  byte 0        8                                   48       56       64
//!      +--------+--------+--------+--------+--------+--------+--------+
//!      | word 0 | word 1 |  ...                     | word 6 |  meta  |   one bucket
//!      +--------+--------+--------+--------+--------+--------+--------+
//!
//!  bit 63                          34 33                              0
//!      +-----------------------------+---------------------------------+
//!      | home 30                     | link 34: offset / 64, 0 is none |   meta, one u64
//!      +-----------------------------+---------------------------------+
//!        0  a home bucket
//!        1  a home bucket that is the target of a split: SPLITTING
//!        b + 2  an overflow bucket of home bucket b
//! ```
//!
//! A chain is a home bucket and at most [`OVERFLOW_CHAIN_MAX`] overflow buckets. Links come from the file, so a link that
//! leaves the region, or leads to a bucket of another home, ends the chain, and no walk takes more steps than that bound.
//!
//! Invariants: meta words and the step from empty to not empty belong to the holder of the stripe. An overflow bucket
//! keeps its meta after it was unlinked, so that a reader inside walks on to where the chain goes on.

use crate::index::{Found, KeyCheck, Place};
use crate::region::{Line, View};
use crate::sync::{AtomicU64, Ordering};
use crate::types::handle::IndexWord;
use crate::types::limits::OVERFLOW_CHAIN_MAX;

/// Words in a bucket. Fewer under loom, so that overflow happens in models.
pub(super) const WORDS: usize = if cfg!(loom) { 2 } else { 7 };
/// Bytes of a bucket: one cache line.
pub(crate) const BUCKET_BYTES: u64 = 64;
const WORD_BYTES: u64 = 8;
const META_AT: u64 = META_WORD as u64 * WORD_BYTES;
const META_WORD: usize = 7;
/// Words in a full chain.
pub(super) const CHAIN_WORDS: usize = WORDS * (1 + OVERFLOW_CHAIN_MAX);
/// The first bucket number that does not fit a meta word.
pub(super) const BUCKETS_END: u64 = (1 << (64 - LINK_BITS)) - OVERFLOW_BIAS as u64;
/// What an overflow bucket adds to the number of its home, so that no home bucket passes for one.
const OVERFLOW_BIAS: u32 = 2;
const LINK_BITS: u32 = 34;
const LINK_MASK: u64 = (1 << LINK_BITS) - 1;

const _: () = assert!(WORDS as u64 * WORD_BYTES <= META_AT);
const _: () = assert!(META_AT + WORD_BYTES == BUCKET_BYTES);
const _: () = assert!(BUCKETS_END == (1 << 30) - 2);
const _: () = assert!((LINK_MASK + 1) * BUCKET_BYTES >= crate::types::limits::CAPACITY_MAX);

/// What a meta word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta(u64);

impl Meta {
    /// A home bucket without overflow.
    pub(super) const HOME: Self = Self(0);
    /// A home bucket that words are being moved to.
    pub(super) const SPLITTING: Self = Self(1 << LINK_BITS);

    /// An overflow bucket of a home, the last of its chain.
    fn overflow(home: u32) -> Self {
        Self(u64::from(home + OVERFLOW_BIAS) << LINK_BITS)
    }

    /// The home of an overflow bucket; `None` for a home bucket.
    fn home(self) -> Option<u32> {
        ((self.0 >> LINK_BITS) as u32).checked_sub(OVERFLOW_BIAS)
    }

    /// Of a home bucket: whether it is the target of a split.
    #[inline]
    pub(super) fn is_splitting(self) -> bool {
        self.0 & !LINK_MASK == Self::SPLITTING.0
    }

    /// Whether an overflow bucket follows, as far as one can tell without looking.
    #[inline]
    pub(super) fn has_link(self) -> bool {
        self.0 & LINK_MASK != 0
    }

    /// Where the overflow bucket would be.
    #[inline]
    pub(super) fn link_offset(self) -> u64 {
        (self.0 & LINK_MASK) * BUCKET_BYTES
    }

    fn with_link_of(self, other: Self) -> Self {
        Self((self.0 & !LINK_MASK) | (other.0 & LINK_MASK))
    }

    fn linking(self, bucket: Bucket) -> Self {
        self.with_link_of(Self(bucket.0 / BUCKET_BYTES))
    }

    /// Of a home bucket: the same, with the split over.
    pub(super) fn settled(self) -> Self {
        Self(self.0 & LINK_MASK)
    }
}

/// A bucket, by its offset in the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bucket(u64);

impl Bucket {
    #[inline]
    pub(super) fn at(offset: u64) -> Self {
        debug_assert!(offset.is_multiple_of(BUCKET_BYTES), "bucket offset {offset:#x} is not aligned");
        Self(offset)
    }

    #[inline]
    pub(super) fn offset(self) -> u64 {
        self.0
    }

    /// Where a word stands.
    #[inline]
    pub(super) fn place(self, position: usize) -> Place {
        Place(self.0 + position as u64 * WORD_BYTES)
    }

    pub(super) fn places(self) -> impl Iterator<Item = Place> {
        (0..WORDS).map(move |position| self.place(position))
    }

    /// Acquire: sees what the last holder of the stripe did to the bucket before (`set_meta`).
    #[inline]
    pub(super) fn meta(self, region: View<'_>) -> Meta {
        Meta(region.word(self.0 + META_AT).load(Ordering::Acquire))
    }

    /// Release: whoever loads this meta sees the bucket that it links, or the words that a split moved. Only under the
    /// stripe, so that a plain store loses nothing.
    pub(super) fn set_meta(self, region: View<'_>, meta: Meta) {
        region.word(self.0 + META_AT).store(meta.0, Ordering::Release);
    }

    /// Makes an empty bucket that nobody can reach yet.
    pub(super) fn clear(self, region: View<'_>, meta: Meta) {
        for place in self.places() {
            // Relaxed: published by the count or by the link that makes the bucket reachable.
            region.word(place.0).store(IndexWord::EMPTY.bits(), Ordering::Relaxed);
        }
        // Relaxed: as above.
        region.word(self.0 + META_AT).store(meta.0, Ordering::Relaxed);
    }

    /// All of it; one check for all eight words.
    #[inline(always)]
    pub(super) fn line(self, region: View<'_>) -> BucketLine<'_> {
        BucketLine { bucket: self, line: region.line(self.0) }
    }

    /// Looks for an unmarked word of a key.
    #[inline(always)]
    pub(super) fn scan<C: KeyCheck>(self, region: View<'_>, tag: u16, check: &C) -> Option<(Found, C::Seen)> {
        self.line(region).scan(tag, check)
    }

    /// The overflow bucket that a meta word of this home's chain links, if it is one.
    pub(super) fn follow(region: View<'_>, meta: Meta, home: u32) -> Option<Self> {
        let offset = meta.link_offset();
        if offset == 0 || region.len() < BUCKET_BYTES || offset > region.len() - BUCKET_BYTES {
            return None;
        }
        let bucket = Self(offset);
        (bucket.meta(region).home() == Some(home)).then_some(bucket)
    }

    /// The home that an overflow bucket claims; `None` if it does not look like one.
    pub(super) fn claimed_home(self, region: View<'_>) -> Option<u32> {
        self.meta(region).home()
    }

    /// Prepares an overflow bucket with one word in it and appends it to a chain. Only under the stripe.
    pub(super) fn append(self, region: View<'_>, last: Self, home: u32, word: IndexWord) -> Place {
        self.clear(region, Meta::overflow(home));
        let place = self.place(0);
        // Relaxed: published by the link, which is stored with Release.
        region.word(place.0).store(word.bits(), Ordering::Relaxed);
        last.set_meta(region, last.meta(region).linking(self));
        place
    }

    /// Takes this bucket out of a chain, behind `before`. Its own meta stays, for readers inside. Only under the stripe.
    pub(super) fn unlink_behind(self, region: View<'_>, before: Self) {
        before.set_meta(region, before.meta(region).with_link_of(self.meta(region)));
    }

    /// Whether no word of it is an entry. The mark of a dead run that was giving it back is none.
    pub(super) fn is_empty(self, region: View<'_>) -> bool {
        self.places().map(|place| place.read(region)).all(|word| word.is_empty() || word.is_nothing_forwarded())
    }
}

/// The words of a bucket in place.
#[derive(Clone, Copy)]
pub(super) struct BucketLine<'r> {
    bucket: Bucket,
    line: Line<'r>,
}

impl BucketLine<'_> {
    /// The positions of unmarked words with a tag, a bit each. Empty words pass for such with tag 0.
    #[inline(always)]
    fn candidates(self, tag: u16) -> u32 {
        let mut candidates = 0_u32;
        for position in 0..WORDS {
            // Acquire: as in `Place::read`. Whoever follows one reads it once more, from the nearest cache.
            let word = IndexWord::from_bits(self.line.word(position).load(Ordering::Acquire));
            candidates |= u32::from(word.is_plain_with(tag)) << position;
        }
        candidates
    }

    /// Whether an unmarked word has this tag. With tag 0 an empty one passes for such.
    #[inline(always)]
    pub(super) fn has_tag(self, tag: u16) -> bool {
        self.candidates(tag) != 0
    }

    /// The first place without a word.
    #[inline(always)]
    pub(super) fn first_empty(self) -> Option<Place> {
        let mut empty = 0_u32;
        for position in 0..WORDS {
            // Acquire: as in `Place::read`.
            let word = IndexWord::from_bits(self.line.word(position).load(Ordering::Acquire));
            empty |= u32::from(word.is_empty()) << position;
        }
        (empty != 0).then(|| self.bucket.place(empty.trailing_zeros() as usize))
    }

    /// The first unmarked word with a tag, or an empty one.
    #[inline(always)]
    pub(super) fn first_with(self, tag: u16) -> Found {
        // With no candidate: the meta word, which is none.
        let position = (self.candidates(tag) | 1 << META_WORD).trailing_zeros() as usize & 7;
        let word = IndexWord::from_bits(self.line.word(position).load(Ordering::Acquire));
        let word = if word.is_plain_with(tag) && position != META_WORD { word } else { IndexWord::EMPTY };
        Found { word, place: self.bucket.place(position) }
    }

    /// Acquire: as [`Bucket::meta`].
    #[inline(always)]
    pub(super) fn meta(self) -> Meta {
        Meta(self.line.word(META_WORD).load(Ordering::Acquire))
    }

    /// Looks for an unmarked word of a key.
    ///
    /// All words are compared before the first is followed: which position holds the key is a coin toss that a branch
    /// per word would lose.
    #[inline(always)]
    pub(super) fn scan<C: KeyCheck>(self, tag: u16, check: &C) -> Option<(Found, C::Seen)> {
        let mut candidates = self.candidates(tag);
        while candidates != 0 {
            // The mask says what holds anyway: no check is left of the bounds of the line.
            let position = candidates.trailing_zeros() as usize & 7;
            candidates &= candidates - 1;
            let word = IndexWord::from_bits(self.line.word(position).load(Ordering::Acquire));
            if word.is_plain_with(tag)
                && !word.is_empty()
                && let Some(seen) = check.check(word)
            {
                return Some((Found { word, place: self.bucket.place(position) }, seen));
            }
        }
        None
    }
}

impl Place {
    #[inline]
    pub(super) fn word(self, region: View<'_>) -> &AtomicU64 {
        region.word(self.0)
    }

    /// Acquire: pairs with the Release of whoever put the word there; sees the slot that it names, and, of a word that
    /// a split marked or cleared, the advanced count and the copy.
    #[inline]
    pub(super) fn read(self, region: View<'_>) -> IndexWord {
        IndexWord::from_bits(self.word(region).load(Ordering::Acquire))
    }

    /// Replaces exactly this word.
    ///
    /// AcqRel: publishes the slot of the new word, and what was done before, to `read`; sees what the old word's writer
    /// did. Acquire on failure is left to the next `read`.
    #[inline]
    pub(super) fn exchange(self, region: View<'_>, old: IndexWord, new: IndexWord) -> bool {
        let word = self.word(region);
        word.compare_exchange(old.bits(), new.bits(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// What the meta word of a bucket in the chain of `home` says: the offset of the next bucket, if any. `None` if it is a
/// bucket of another chain.
#[cfg(not(loom))]
pub(crate) fn chain_of(meta: u64, home: u32, is_overflow: bool) -> Option<Option<u64>> {
    let meta = Meta(meta);
    let offset = meta.link_offset();
    (meta.home() == is_overflow.then_some(home)).then_some((offset != 0).then_some(offset))
}

/// The buckets of a chain as they were linked when it was walked.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    buckets: [Bucket; 1 + OVERFLOW_CHAIN_MAX],
    len: usize,
}

impl Chain {
    /// Walks a chain.
    pub(super) fn of(region: View<'_>, home: Bucket, number: u32) -> Self {
        let mut chain = Self { buckets: [home; 1 + OVERFLOW_CHAIN_MAX], len: 1 };
        while chain.len <= OVERFLOW_CHAIN_MAX {
            let Some(next) = Bucket::follow(region, chain.last().meta(region), number) else { break };
            chain.buckets[chain.len] = next;
            chain.len += 1;
        }
        chain
    }

    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets[..self.len]
    }

    pub(super) fn last(&self) -> Bucket {
        self.buckets[self.len - 1]
    }

    /// Whether no overflow bucket can be appended.
    pub(super) fn is_longest(&self) -> bool {
        self.len > OVERFLOW_CHAIN_MAX
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.buckets().iter().flat_map(|bucket| bucket.places())
    }

    /// Whether some place holds exactly this word, marks included.
    pub(super) fn holds(&self, region: View<'_>, word: IndexWord) -> bool {
        self.places().any(|place| place.read(region) == word)
    }
}
