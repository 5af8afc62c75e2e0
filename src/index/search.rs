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

use crate::index::bucket::{Bucket, CHAIN_WORDS, Chain};
use crate::index::{Found, Index, KeyCheck, Place};
use crate::region::View;
use crate::sync::bite;
#[cfg(any(test, loom))]
use crate::types::handle::Generation;
use crate::types::handle::{Handle, IndexWord};
use crate::types::key::KeyHash;

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
enum Pass {
    Hit(Found),
    Miss,
    Changed,
}

impl Index {
    /// The word of a key, if there is one.
    ///
    /// The caller holds an epoch guard from before this call until after it has used the result.
    #[inline(always)]
    pub(crate) fn find(&self, region: View<'_>, hash: KeyHash, check: &impl KeyCheck) -> Option<Found> {
        let number = self.table.number(region, hash);
        let home = self.table.bucket(number);
        // Loaded before the words: without SPLITTING, all copies of the split are seen unmarked.
        let meta = home.meta(region);
        if !meta.is_splitting() {
            if let Some(found) = home.scan(region, hash.tag(), check) {
                return Some(found);
            }
            if !meta.has_link() && self.is_believed(region, hash, number) {
                return None;
            }
        }
        self.find_beyond(region, hash, check)
    }

    /// What is not in a home bucket that stays as it is: behind it, or moving.
    #[inline(never)]
    fn find_beyond(&self, region: View<'_>, hash: KeyHash, check: &impl KeyCheck) -> Option<Found> {
        loop {
            let number = self.table.number(region, hash);
            let home = self.table.bucket(number);
            // As in `find`.
            let meta = home.meta(region);
            let pass = if meta.is_splitting() {
                self.pass_through_split(region, hash, number, check)
            } else if let Some(found) = home.scan(region, hash.tag(), check) {
                Pass::Hit(found)
            } else if meta.has_link() {
                pass_through_overflow(region, hash, number, home, check)
            } else {
                Pass::Miss
            };
            match pass {
                Pass::Hit(found) => return Some(found),
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

    /// Asks the processor to fetch the home bucket of a hash.
    #[inline]
    pub(crate) fn prefetch(&self, region: View<'_>, hash: KeyHash) {
        let number = self.table.number(region, hash);
        region.prefetch(self.table.bucket(number).offset());
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
    fn pass_through_split(&self, region: View<'_>, hash: KeyHash, number: u32, check: &impl KeyCheck) -> Pass {
        let target = self.table.bucket(number);
        let source = self.table.source(number).map(|source| Chain::of(region, self.table.bucket(source), source));
        if let Some(source) = &source {
            for bucket in source.buckets() {
                if let Some(found) = bucket.scan(region, hash.tag(), check) {
                    return Pass::Hit(found);
                }
            }
        }
        // Walked only now: what the source no longer has was copied, and its overflow bucket linked, before.
        for place in Chain::of(region, target, number).places() {
            let word = place.read(region);
            let plain = word.plain();
            if word.is_empty() || word.is_forward() || !plain.is_plain_with(hash.tag()) || !check.matches(plain) {
                continue;
            }
            let counts = !word.is_tentative()
                || bite("index.tentative-is-truth")
                || source.as_ref().is_some_and(|source| source.holds(region, word.forwarded()));
            if counts {
                return Pass::Hit(Found { word, place });
            }
        }
        if target.meta(region).is_splitting() || bite("index.believe-split-miss") { Pass::Miss } else { Pass::Changed }
    }
}

/// The rest of a pass behind a home bucket without SPLITTING.
fn pass_through_overflow(region: View<'_>, hash: KeyHash, number: u32, home: Bucket, check: &impl KeyCheck) -> Pass {
    let chain = Chain::of(region, home, number);
    let found = chain.buckets()[1..].iter().find_map(|bucket| bucket.scan(region, hash.tag(), check));
    found.map_or(Pass::Miss, Pass::Hit)
}

/// Answers for a slot without looking at its key.
struct NamesHandle(Handle);

impl KeyCheck for NamesHandle {
    fn matches(&self, word: IndexWord) -> bool {
        word.handle() == self.0
    }
}
