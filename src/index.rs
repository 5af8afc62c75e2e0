//! The index: from the hash of a key to the handle of its slot, without locks for readers and for updates.
//!
//! ```text
//!   bucket     64 bytes of words, chains of overflow buckets      table    number -> bucket, the count, listed splits
//!   search     find, for_each, chain: reads only                  stripes  who may insert an absent key, who may split
//!   update     swap, unlink, link                                 growth   splits while in use
//!   settle     splits that a dead process left                    model    doors for the interleavings under loom
//!
//!   bucket s being split into s and t (t = the old count):
//!
//!     list t      empty t, mark t        count = t + 1      for each word W of s that belongs to t
//!     (file)      SPLITTING
//!                                            s: W ---------------------> FORWARD W -------------------> empty
//!                                            t: empty -> TENTATIVE W --------------> W
//!                                                                                  all: unmark t, clear s, unlist
//! ```
//!
//! Who may do what: empty → word, all meta words and the marks belong to the holder of the stripe. Word → other word or
//! empty is one CAS by anybody, and whoever wins it owns what the old word named.
//!
//! Invariants, and why nobody is misled:
//!
//! 1. *At most one word of a key counts.* An unmarked word counts. FORWARD never does. TENTATIVE W counts exactly while
//!    the source holds FORWARD W. So the CAS W → FORWARD W moves the truth in one step, and a replace, remove or evict
//!    that comes before it makes it fail (the copy is taken back), one that comes after meets the copy. The copy's CAS
//!    to unmarked fails only if somebody has replaced or removed it, which is then what counts.
//! 2. *A reader of s with an old count* finds W, or FORWARD or empty. Those were stored after the count advanced, so
//!    its second look at the count sees the move and it starts again in t. An unchanged bucket number is enough to
//!    believe the miss: the count only rises, and a number that has changed never comes back.
//! 3. *A reader of t that sees SPLITTING* looks through s first. What is not in s was moved before, or is absent: no
//!    key appears while the splitter holds the stripe. Then it looks through t, whose meta it loads anew, and a
//!    TENTATIVE word is checked against s. FORWARD words are cleared only after SPLITTING, so a miss is believed only if
//!    SPLITTING still stands at the end; it is set once in the life of a bucket.
//! 4. *A reader of t without SPLITTING* loaded meta before the words and sees every copy unmarked.
//! 5. *An emptied overflow bucket* is taken out only under the stripe, when no word can come into it; it keeps its link.
//!    The caller reuses it after a grace period. Every caller holds an epoch guard from before the search until after
//!    the CAS: then no word can return with another meaning, since its slot is not reused before.
//! 6. *A thread stopped anywhere* stops fresh inserts of its stripe, and growth once the next bucket in line is of that
//!    stripe. Reads and updates never wait.

mod bucket;
mod growth;
#[cfg(loom)]
pub mod model;
mod search;
mod settle;
mod stripes;
mod table;
#[cfg(all(test, not(loom)))]
mod tests;
mod update;

pub(crate) use bucket::BUCKET_BYTES;
#[cfg(not(loom))]
pub(crate) use bucket::chain_of;
pub(crate) use stripes::StripeGuard;
#[cfg(not(loom))]
pub(crate) use table::bucket_of;

use crate::region::View;
use crate::sync::{GaugeU64, Ordering};
use crate::types::handle::IndexWord;
use crate::types::key::KeyHash;
use crate::types::limits::STRIPES_MAX;
use stripes::{Stripes, TryLock};
use table::Table;

/// The lock-free hash index of one arena.
///
/// The words lie in the region; directory and stripes on the heap, made anew at every open.
pub(crate) struct Index {
    table: Table,
    stripes: Stripes,
    growing: TryLock,
    counters: Counters,
}

/// Where an index lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// Bytes of an index page, a power of two.
    pub(crate) page_bytes: u64,
    /// Pages that the directory has room for.
    pub(crate) pages_max: u32,
    /// Buckets of a new index, a power of two; the same at every open. Bounds the number of stripes.
    pub(crate) buckets_initial: u32,
    /// Offset of the u64 that holds the number of buckets.
    pub(crate) count_at: u64,
    /// Offset of the `SPLITS_MAX` u64 that list the splits under way.
    pub(crate) splits_at: u64,
    /// The run of this open: tells its marks from those of dead runs.
    pub(crate) run: u16,
}

/// Answers whether a word's slot is what is looked for. Called for words whose tag matches, without marks.
pub(crate) trait KeyCheck {
    /// What was learnt about the slot on the way.
    type Seen;

    /// `None` if it is another.
    fn check(&self, word: IndexWord) -> Option<Self::Seen>;
}

/// The home bucket of a hash, as it was when somebody looked. Good for ever as a place to start a search from: a search
/// that ends there without a hit looks anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    number: u32,
    bucket: bucket::Bucket,
}

/// What the index needs from the owner of slots and pages.
pub(crate) trait Slots {
    /// The hash of the key in a word's slot; `None` if the slot can not be what the word says.
    fn hash_of(&self, word: IndexWord) -> Option<KeyHash>;

    /// The index is about to try to unlink a word of its own accord. It may still lose to another thread.
    fn dropping(&self, _word: IndexWord, _why: Dropped) {}

    /// The index has unlinked a word of its own accord. Retiring the slot is the receiver's now.
    fn dropped(&self, word: IndexWord, why: Dropped);

    /// The offset of an unused overflow bucket, which will belong to this home.
    fn take_overflow(&self, home: u32) -> Option<u64>;

    /// Whether overflow buckets may be taken out of chains now. Not before the owner knows which of those that an earlier
    /// life left are linked: one that is taken out meanwhile would look like one that nobody has.
    fn may_trim(&self) -> bool {
        true
    }

    /// An overflow bucket was taken out of its chain. Readers may be inside until a grace period has passed.
    fn give_overflow(&self, offset: u64);

    /// The offset of a new index page, the `number`th of the directory. Its content does not matter.
    fn take_page(&self, number: u32) -> Option<u64>;
}

/// Why the index unlinked a word by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dropped {
    /// The slot is not what the word says, or the word stood in a bucket that its hash does not lead to.
    Damaged,
    /// The bucket that it had to move to, or the supply of overflow buckets, is full.
    NoRoom,
}

/// The offset of a word in the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(u64);

/// A word and where it stood. The word is kept as read, marks included: updates expect exactly these bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) word: IndexWord,
    place: Place,
}

/// The chain of the key has no free word and can have none. Nothing changed; unlink one of
/// [`Index::chain`] and try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// The file's index can not be used. Nothing changed; open cold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SettleError {
    /// The number of buckets does not fit the pages.
    #[error("index of {found} buckets where {min} to {max} are possible")]
    Count { found: u64, min: u64, max: u64 },
    /// A page of the directory reaches beyond the region.
    #[error("index page at {offset} in a region of {region} bytes")]
    Page { offset: u64, region: u64 },
}

/// What the index has done since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct IndexCounts {
    /// Splits completed, those settled at open included.
    pub(crate) splits: u64,
    /// Splits wanted and put off: stripe taken, list full, or no page.
    pub(crate) splits_deferred: u64,
    /// Overflow buckets linked.
    pub(crate) overflow_linked: u64,
    /// Overflow buckets taken out again.
    pub(crate) overflow_unlinked: u64,
    /// Words that the index unlinked by itself.
    pub(crate) dropped: u64,
}

#[derive(Default)]
struct Counters {
    splits: GaugeU64,
    splits_deferred: GaugeU64,
    overflow_linked: GaugeU64,
    overflow_unlinked: GaugeU64,
    dropped: GaugeU64,
}

impl Index {
    /// An index without pages. Add them in order, then either [`Index::format`] or [`Index::settle`].
    ///
    /// # Panics
    ///
    /// If the geometry breaks one of its documented rules.
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self {
            table: Table::new(geometry),
            stripes: Stripes::new(STRIPES_MAX.min(geometry.buckets_initial as usize)),
            growing: TryLock::new(),
            counters: Counters::default(),
        }
    }

    /// Appends a page at open; `false` if the directory is full. One caller at a time.
    pub(crate) fn add_page(&self, offset: u64) -> bool {
        self.table.add_page(offset)
    }

    /// Makes a new index: `buckets_initial` empty buckets. Single-threaded.
    ///
    /// # Panics
    ///
    /// If fewer pages were added than those buckets need.
    pub(crate) fn format(&self, region: View<'_>) {
        self.table.format(region, |bucket| bucket.clear(region, bucket::Meta::HOME));
    }

    /// Number of buckets.
    pub(crate) fn buckets(&self, region: View<'_>) -> u32 {
        self.table.count(region)
    }

    /// Index pages in the directory.
    pub(crate) fn pages(&self) -> u32 {
        self.table.pages()
    }

    /// Entries from which on [`Index::grow`] splits: 0.70 of the words in home buckets.
    pub(crate) fn entries_before_growth(&self, region: View<'_>) -> u64 {
        growth::entries_at_load(self.table.count(region))
    }

    /// What has happened since the open. The counters are read one by one.
    pub(crate) fn counts(&self) -> IndexCounts {
        // Relaxed: statistics publish nothing.
        let read = |counter: &GaugeU64| counter.load(Ordering::Relaxed);
        IndexCounts {
            splits: read(&self.counters.splits),
            splits_deferred: read(&self.counters.splits_deferred),
            overflow_linked: read(&self.counters.overflow_linked),
            overflow_unlinked: read(&self.counters.overflow_unlinked),
            dropped: read(&self.counters.dropped),
        }
    }
}

impl Counters {
    fn add(counter: &GaugeU64) {
        // Relaxed: statistics publish nothing.
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
