//! Searching: which word of a key counts now. Reads only, never waits.
//!
//! ```text
//!   number of the hash -> home bucket -> meta
//!       unmarked:   words of the home, then of its overflow                          hit, or
//!       SPLITTING:  words of the source, then of the target (TENTATIVE is checked)   hit, or
//!       miss:       has the number changed, or SPLITTING gone?  yes: start again     no: believed
//! ```
//!
//! The arguments for every step are in [`crate::index`]. A search starts again only because another thread completed a
//! step of a split, so it ends unless splits never do.

use crate::index::bucket::{Bucket, CHAIN_WORDS, Chain, Meta};
use crate::index::{Found, Home, Index, KeyCheck, Place};
use crate::region::View;
use crate::sync::bite;
#[cfg(any(test, loom))]
use crate::types::handle::Generation;
use crate::types::handle::{Handle, IndexWord};
use crate::types::key::KeyHash;
use crate::types::limits::OVERFLOW_CHAIN_MAX;

/// The unmarked words of a chain, for the caller to choose one to unlink.
pub(crate) struct Candidates {
    found: [Found; CHAIN_WORDS],
    len: usize,
}

impl Candidates {
    pub(crate) fn as_slice(&self) -> &[Found] {
        &self.found[..self.len]
    }
}

/// What one pass of a search says.
enum Pass<S> {
    Hit(Found, S),
    Miss,
    Changed,
}

impl Index {
    /// Where a search for a hash starts. Reads no slot and needs no guard.
    #[inline(always)]
    pub(crate) fn home(&self, region: View<'_>, hash: KeyHash) -> Home {
        let number = self.table.number(region, hash);
        Home { number, bucket: self.table.bucket(number) }
    }

    /// Asks the processor to fetch a home bucket.
    #[inline(always)]
    pub(crate) fn prefetch(&self, region: View<'_>, home: Home) {
        region.prefetch(home.bucket.offset());
    }

    /// The same for a bucket that will be changed.
    #[inline(always)]
    pub(crate) fn prefetch_to_update(&self, region: View<'_>, home: Home) {
        region.prefetch_to_write(home.bucket.offset());
    }

    /// The same with the stripe that an insert of an absent key takes.
    #[inline(always)]
    pub(crate) fn prefetch_to_insert(&self, region: View<'_>, home: Home, hash: KeyHash) {
        self.prefetch_to_update(region, home);
        self.stripes.prefetch(hash);
    }

    /// Asks the processor to fetch the overflow bucket behind a home bucket, if there is one.
    #[inline]
    pub(crate) fn prefetch_beyond(&self, region: View<'_>, home: Home) {
        let meta = home.bucket.meta(region);
        if meta.has_link() {
            region.prefetch(meta.link_offset());
        }
    }

    /// The first word in a home bucket that looks like the hash's, or an empty one. A hint: reads no slot and needs no
    /// guard.
    #[inline(always)]
    pub(crate) fn aim(&self, region: View<'_>, hash: KeyHash, home: Home) -> Found {
        home.bucket.line(region).first_with(hash.tag())
    }

    /// The word that was aimed at, if it still stands and is the one looked for. Else it says nothing: search.
    ///
    /// An unmarked word counts wherever it stands, so that a split under way does not matter. The caller holds a guard
    /// as for [`Index::find`].
    #[inline(always)]
    pub(crate) fn find_aimed<C: KeyCheck>(&self, region: View<'_>, aimed: &Found, check: &C) -> Option<C::Seen> {
        if aimed.word.is_empty() || aimed.place.read(region) != aimed.word {
            return None;
        }
        check.check(aimed.word)
    }

    /// The word of a key, if there is one.
    ///
    /// The caller holds an epoch guard from before this call until after it has used the result.
    #[inline]
    pub(crate) fn find(&self, region: View<'_>, hash: KeyHash, check: &impl KeyCheck) -> Option<Found> {
        self.find_from(region, hash, self.home(region, hash), check).map(|(found, _)| found)
    }

    /// Whether the home bucket alone shows that a key is absent: no word of its tag, nothing behind it, no split. Believed for
    /// as long as the caller holds the stripe, else a hint.
    #[inline]
    pub(crate) fn is_absent_at_sight(&self, region: View<'_>, hash: KeyHash) -> bool {
        let line = self.home(region, hash).bucket.line(region);
        // Loaded before the words, as in `find_from`.
        let meta = line.meta();
        !meta.is_splitting() && !meta.has_link() && !line.has_tag(hash.tag())
    }

    /// As [`Index::find`], from a home bucket looked up before, with what the check has seen.
    #[inline(always)]
    pub(crate) fn find_from<C: KeyCheck>(
        &self,
        region: View<'_>,
        hash: KeyHash,
        home: Home,
        check: &C,
    ) -> Option<(Found, C::Seen)> {
        let line = home.bucket.line(region);
        // Loaded before the words: without SPLITTING, all copies of the split are seen unmarked.
        let meta = line.meta();
        if !meta.is_splitting() {
            if let Some(found) = line.scan(hash.tag(), check) {
                return Some(found);
            }
            if !meta.has_link() && self.is_believed(region, hash, home.number) {
                return None;
            }
        }
        self.find_beyond(region, hash, home.number, meta, check)
    }

    /// What is behind a home bucket, or moving.
    #[inline(never)]
    fn find_beyond<C: KeyCheck>(
        &self,
        region: View<'_>,
        hash: KeyHash,
        number: u32,
        meta: Meta,
        check: &C,
    ) -> Option<(Found, C::Seen)> {
        if !meta.is_splitting() {
            if let Some(found) = scan_overflow(region, hash, number, meta, check) {
                return Some(found);
            }
            if self.is_believed(region, hash, number) {
                return None;
            }
        }
        loop {
            let Home { number, bucket } = self.home(region, hash);
            // As in `find_from`.
            let meta = bucket.meta(region);
            let pass = if meta.is_splitting() {
                self.pass_through_split(region, hash, number, check)
            } else {
                let found = bucket.scan(region, hash.tag(), check);
                let found = found.or_else(|| scan_overflow(region, hash, number, meta, check));
                found.map_or(Pass::Miss, |(found, seen)| Pass::Hit(found, seen))
            };
            match pass {
                Pass::Hit(found, seen) => return Some((found, seen)),
                Pass::Miss if self.is_believed(region, hash, number) => return None,
                Pass::Miss | Pass::Changed => {}
            }
        }
    }

    /// Whether a miss in a bucket counts: no split has moved the hash elsewhere meanwhile.
    #[inline]
    fn is_believed(&self, region: View<'_>, hash: KeyHash, number: u32) -> bool {
        self.table.number(region, hash) == number || bite("index.believe-miss")
    }

    /// The word that names exactly this slot, whatever its key.
    pub(crate) fn find_handle(&self, region: View<'_>, hash: KeyHash, handle: Handle) -> Option<Found> {
        self.find(region, hash, &NamesHandle(handle))
    }

    /// Whether a word names this slot in this generation. For tests and models.
    #[cfg(any(test, loom))]
    pub(crate) fn is_named(&self, region: View<'_>, hash: KeyHash, handle: Handle, generation: Generation) -> bool {
        self.find(region, hash, &NamesHandle(handle)).is_some_and(|found| found.word.generation() == generation)
    }

    /// The words that share the chain of a hash. Complete only under its stripe.
    pub(crate) fn chain(&self, region: View<'_>, hash: KeyHash) -> Candidates {
        let number = self.table.number(region, hash);
        let nothing = Found { word: IndexWord::EMPTY, place: Place(0) };
        let mut candidates = Candidates { found: [nothing; CHAIN_WORDS], len: 0 };
        for place in Chain::of(region, self.table.bucket(number), number).places() {
            let word = place.read(region);
            if !word.is_empty() && !word.is_marked() {
                candidates.found[candidates.len] = Found { word, place };
                candidates.len += 1;
            }
        }
        candidates
    }

    /// Calls `each` with every entry that is present throughout, without marks. One that moves meanwhile may come
    /// twice, and one that is removed meanwhile may still come. For tests and models.
    #[cfg(any(test, loom))]
    pub(crate) fn for_each(&self, region: View<'_>, mut each: impl FnMut(IndexWord)) {
        let mut number = 0;
        // The count is loaded anew each time: a split moves words to a higher number than their own, so a word that was
        // seen as FORWARD, or no more, stands in a bucket that is still to come.
        while self.for_each_in(region, number, &mut each) {
            number += 1;
        }
    }

    /// The same for one bucket; `false` behind the last. A walk in rising order meets every entry that is present
    /// throughout: a split moves words to a higher number only.
    pub(crate) fn for_each_in(&self, region: View<'_>, number: u32, mut each: impl FnMut(IndexWord)) -> bool {
        if number >= self.table.count(region) {
            return false;
        }
        for place in Chain::of(region, self.table.bucket(number), number).places() {
            let word = place.read(region);
            if !word.is_empty() && !word.is_forward() {
                each(word.plain());
            }
        }
        true
    }

    /// The bucket that a hash lives in now.
    pub(crate) fn bucket_number(&self, region: View<'_>, hash: KeyHash) -> u32 {
        self.table.number(region, hash)
    }

    /// Whether the chain that an overflow bucket claims to belong to leads to it. Exact while nobody inserts.
    pub(crate) fn is_overflow_linked(&self, region: View<'_>, offset: u64) -> bool {
        let bucket = Bucket::at(offset);
        let number = bucket.claimed_home(region).filter(|number| *number < self.table.count(region));
        number
            .is_some_and(|number| Chain::of(region, self.table.bucket(number), number).buckets()[1..].contains(&bucket))
    }

    /// One pass while the home bucket is the target of a split.
    #[cold]
    fn pass_through_split<C: KeyCheck>(
        &self,
        region: View<'_>,
        hash: KeyHash,
        number: u32,
        check: &C,
    ) -> Pass<C::Seen> {
        let target = self.table.bucket(number);
        let source = self.table.source(number).map(|source| Chain::of(region, self.table.bucket(source), source));
        if let Some(source) = &source {
            for bucket in source.buckets() {
                if let Some((found, seen)) = bucket.scan(region, hash.tag(), check) {
                    return Pass::Hit(found, seen);
                }
            }
        }
        // Walked only now: what the source no longer has was copied, and its overflow bucket linked, before.
        for place in Chain::of(region, target, number).places() {
            let word = place.read(region);
            let plain = word.plain();
            if word.is_empty() || word.is_forward() || !plain.is_plain_with(hash.tag()) {
                continue;
            }
            let Some(seen) = check.check(plain) else { continue };
            let counts = !word.is_tentative()
                || bite("index.tentative-is-truth")
                || source.as_ref().is_some_and(|source| source.holds(region, word.forwarded()));
            if counts {
                return Pass::Hit(Found { word, place }, seen);
            }
        }
        if target.meta(region).is_splitting() || bite("index.believe-split-miss") { Pass::Miss } else { Pass::Changed }
    }
}

/// The rest of a pass behind a home bucket without SPLITTING.
#[inline(always)]
fn scan_overflow<C: KeyCheck>(
    region: View<'_>,
    hash: KeyHash,
    number: u32,
    home: Meta,
    check: &C,
) -> Option<(Found, C::Seen)> {
    let mut last = home;
    for _ in 0..OVERFLOW_CHAIN_MAX {
        let next = Bucket::follow(region, last, number)?;
        if let Some(found) = next.scan(region, hash.tag(), check) {
            return Some(found);
        }
        last = next.meta(region);
    }
    None
}

/// Answers for a slot without looking at its key.
struct NamesHandle(Handle);

impl KeyCheck for NamesHandle {
    type Seen = ();

    fn check(&self, word: IndexWord) -> Option<()> {
        (word.handle() == self.0).then_some(())
    }
}
