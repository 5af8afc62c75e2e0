//! Scan: a walk over all entries in steps, in the order of the index.
//!
//! ```text
//!   buckets   | 0 | 1 | 2 | ...            words of some of them are gathered, and their slots loaded, all at once
//!   words     w w w w w w w w              then each in its turn:  its hits -> wanted? -> key, version -> visited
//! ```
//!
//! A slot lies anywhere, so whoever loads one after another waits for the memory each time.

#![cfg(not(loom))]

use crate::engine::Engine;
use crate::sync::epoch::Guard;
use crate::types::handle::IndexWord;
use crate::types::key::Key;
use crate::types::version::Version;

/// An entry that a scan met.
#[derive(Debug)]
pub(crate) struct Scanned<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) version: Version,
    /// Hits, 0 to 3.
    pub(crate) frequency: u8,
    /// Where its slot begins; no other one begins there.
    pub(crate) offset: u64,
}

impl Engine {
    /// Visits the entries of the buckets from `first` on that have hits which are wanted, until at least `want` entries, or
    /// so many buckets as may be empty, were looked at; returns the bucket behind them, `None` at the end. Each entry present
    /// throughout a whole walk is seen at least once, if its hits are wanted then.
    pub(crate) fn scan(
        &self,
        first: u32,
        want: usize,
        is_wanted: &mut dyn FnMut(u8) -> bool,
        visit: &mut dyn FnMut(&Scanned<'_>),
    ) -> Option<u32> {
        let (region, guard) = (self.region.view(), self.pin());
        let (mut met, mut words) = (0, Vec::with_capacity(TOGETHER + CHAIN_MOST));
        let buckets = self.index.buckets(region);
        for bucket in first..buckets {
            self.index.for_each_in(region, bucket, |word| {
                let offset = word.handle().offset();
                region.prefetch(offset);
                region.prefetch(offset + 63);
                words.push(word);
            });
            let is_over = met + words.len() >= want || bucket - first >= SCANNED_BUCKETS_MAX;
            if words.len() >= TOGETHER || is_over || bucket + 1 == buckets {
                for word in words.drain(..) {
                    met += self.look(&guard, word, is_wanted, visit);
                }
                if met >= want || bucket - first >= SCANNED_BUCKETS_MAX {
                    return Some(bucket + 1);
                }
            }
        }
        None
    }

    /// Visits what a word names, if it is wanted; the number of entries that were looked at.
    #[inline]
    fn look(
        &self,
        guard: &Guard,
        word: IndexWord,
        is_wanted: &mut dyn FnMut(u8) -> bool,
        visit: &mut dyn FnMut(&Scanned<'_>),
    ) -> usize {
        let Some(slot) = self.slot(word.handle()).filter(|slot| slot.generation() == word.generation()) else {
            return 0;
        };
        if is_wanted(slot.frequency())
            && let Some(scanned) = self.scanned(guard, word)
        {
            visit(&scanned);
        }
        1
    }

    fn scanned<'g>(&'g self, guard: &'g Guard, word: IndexWord) -> Option<Scanned<'g>> {
        let slot = self.slot(word.handle())?;
        // SAFETY: the guard was there before the word was read.
        let key = unsafe { slot.key() }?;
        let found = self.entry_slot(guard, key)?;
        // SAFETY: as above.
        let version = unsafe { found.version() };
        // SAFETY: as above.
        let read = unsafe { slot.version() };
        // Whoever visits it may want all of it.
        (1..LINES_AHEAD).for_each(|line| self.region.view().prefetch(found.handle().offset() + 64 * line));
        // It may have been moved since the word was read; a newer one is a change, which comes by itself.
        let is_it = found.handle() == slot.handle() || read == version;
        is_it.then(|| Scanned { key, version, frequency: found.frequency(), offset: found.handle().offset() })
    }
}

/// Slots that are loaded together.
const TOGETHER: usize = 64;
/// Cache lines of a small entry.
const LINES_AHEAD: u64 = 4;
/// Words of a chain, about.
const CHAIN_MOST: usize = 32;
/// Buckets of one step of a scan: a clear leaves an index of any size empty.
const SCANNED_BUCKETS_MAX: u32 = 4_096;
