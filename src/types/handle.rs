//! A handle names a slot; an index word names it together with enough of its key to skip most others.
//!
//! ```text
//!  bit 63     48 47        40 39                          4 3       0
//!      +--------+------------+-----------------------------+---------+
//!      | tag 16 | generation | handle 36                   | flags 4 |   IndexWord, one u64; 0 is empty
//!      +--------+------------+-----------------------------+---------+
//!                              offset in the arena / 16: up to 1 TiB
//!   flags: 1 FORWARD (moved to the bucket that this one was split into)
//!          2 TENTATIVE (a copy of a word that is not forwarded yet)
//! ```
//!
//! Invariant: handle 0 would be the superblock, so no word with a slot is ever 0.

#![forbid(unsafe_code)]

use crate::types::key::KeyHash;
use std::fmt;

/// A slot, by its offset in units of [`Handle::UNIT`] bytes. 36 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Handle(u64);

impl Handle {
    /// Slots start at multiples of this many bytes.
    pub(crate) const UNIT: u64 = 16;
    /// The first handle that does not fit a word.
    pub(crate) const END: u64 = 1 << 36;

    /// The slot at a byte offset, a multiple of [`Handle::UNIT`].
    #[inline]
    pub(crate) fn from_offset(offset: u64) -> Self {
        debug_assert!(offset.is_multiple_of(Self::UNIT), "slot offset {offset} is not aligned");
        debug_assert!(offset / Self::UNIT < Self::END, "slot offset {offset} is beyond 1 TiB");
        Self(offset / Self::UNIT)
    }

    /// The byte offset in the region.
    #[inline]
    pub(crate) fn offset(self) -> u64 {
        self.0 * Self::UNIT
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle(@{:#x})", self.offset())
    }
}

/// Counts the reuses of a slot, modulo 256; the second fence behind the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Generation(pub(crate) u8);

impl Generation {
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// One word of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IndexWord(u64);

impl IndexWord {
    /// No entry.
    pub(crate) const EMPTY: Self = Self(0);
    const FORWARD: u64 = 1;
    const TENTATIVE: u64 = 2;
    const FLAGS: u64 = 15;

    /// The word for a slot.
    #[inline]
    pub(crate) fn new(hash: KeyHash, generation: Generation, handle: Handle) -> Self {
        Self((u64::from(hash.tag()) << 48) | (u64::from(generation.0) << 40) | (handle.0 << 4))
    }

    /// From the bits in a bucket.
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits as they stand in a bucket.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Whether there is no entry.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The top 16 bits of the key's hash.
    #[inline]
    pub(crate) fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The slot's generation when it was linked.
    #[inline]
    pub(crate) fn generation(self) -> Generation {
        Generation((self.0 >> 40) as u8)
    }

    /// The slot.
    #[inline]
    pub(crate) fn handle(self) -> Handle {
        Handle((self.0 >> 4) & (Handle::END - 1))
    }

    /// Whether the entry has moved to the split's new bucket.
    #[inline]
    pub(crate) fn is_forward(self) -> bool {
        self.0 & Self::FORWARD != 0
    }

    /// Whether it is marked as moved and names no slot: such a word was never an entry.
    #[inline]
    pub(crate) fn is_nothing_forwarded(self) -> bool {
        self.is_forward() && self.handle().0 == 0
    }

    /// Whether this is a copy that counts only once the original is forwarded.
    #[inline]
    pub(crate) fn is_tentative(self) -> bool {
        self.0 & Self::TENTATIVE != 0
    }

    /// Whether any mark is set. Outside of a split such a word is debris.
    #[inline]
    pub(crate) fn is_marked(self) -> bool {
        self.0 & Self::FLAGS != 0
    }

    /// Whether the tag is this one and no mark is set. An empty word answers like one with tag 0.
    #[inline]
    pub(crate) fn is_plain_with(self, tag: u16) -> bool {
        const TAG: u64 = 0xffff << 48;
        (self.0 ^ (u64::from(tag) << 48)) & (TAG | Self::FLAGS) == 0
    }

    /// The same entry, marked as moved.
    #[inline]
    pub(crate) fn forwarded(self) -> Self {
        Self((self.0 & !Self::FLAGS) | Self::FORWARD)
    }

    /// The same entry, marked as a copy.
    #[inline]
    pub(crate) fn tentative(self) -> Self {
        Self((self.0 & !Self::FLAGS) | Self::TENTATIVE)
    }

    /// The same entry without marks.
    #[inline]
    pub(crate) fn plain(self) -> Self {
        Self(self.0 & !Self::FLAGS)
    }
}

impl fmt::Debug for IndexWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("IndexWord(empty)");
        }
        write!(
            f,
            "IndexWord(tag {:04x}, generation {}, {:?}{}{})",
            self.tag(),
            self.generation().0,
            self.handle(),
            if self.is_forward() { ", forward" } else { "" },
            if self.is_tentative() { ", tentative" } else { "" },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_what_went_in() {
        let hash = KeyHash::from_bits(0xabcd_0000_1234_5678);
        let word = IndexWord::new(hash, Generation(200), Handle::from_offset(0x12_3450));
        assert_eq!(word.tag(), 0xabcd);
        assert_eq!(word.generation(), Generation(200));
        assert_eq!(word.handle().offset(), 0x12_3450);
        assert!(!word.is_forward() && !word.is_tentative() && !word.is_empty());
    }

    #[test]
    fn marks_change_nothing_else() {
        let hash = KeyHash::from_bits(u64::MAX);
        let word = IndexWord::new(hash, Generation(255), Handle((1 << 36) - 1));
        assert_eq!(word.forwarded().plain(), word);
        assert_eq!(word.tentative().plain(), word);
        assert!(word.forwarded().is_forward() && word.tentative().is_tentative());
    }
}
