//! What the hot passes of a sync have given: one bit for each place of an arena that a slot may begin at.
//!
//! ```text
//!   hits 3, 2, 1   given? pass over   else give it, and set the bit
//!   hits 0         whoever has hits by now:   given? a marker   else give it
//! ```
//!
//! Hits change while the passes go on, so without it an entry that becomes hot would be passed over in all of them. A slot
//! that gets another entry meanwhile keeps its bit: that one is a change, and goes once more if it may be younger than the vector.

#![forbid(unsafe_code)]

use crate::types::limits::GIVEN_BYTES_MAX;

/// Slots begin at multiples of this many bytes at the least, each at one of its own.
const PLACE_BYTES: u64 = 64;
/// Those of an arena of 16 GiB. In a larger one several places share a bit: then a marker may go in the place of an
/// entry that became hot meanwhile, and the receiver loads it again.
const WORDS_MAX: u64 = GIVEN_BYTES_MAX as u64 / 8;

/// Bits, as many as were needed so far.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<u64>);

impl Given {
    /// Notes that what lies at an offset was given; `false` if it was before.
    pub(super) fn set(&mut self, offset: u64) -> bool {
        let (word, bit) = place(offset);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let before = self.0[word];
        self.0[word] |= bit;
        before & bit == 0
    }

    pub(super) fn contains(&self, offset: u64) -> bool {
        let (word, bit) = place(offset);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Bytes of heap that are held.
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}

fn place(offset: u64) -> (usize, u64) {
    let place = offset / PLACE_BYTES;
    ((place / 64 % WORDS_MAX) as usize, 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_a_bit_until_they_are_too_many() {
        let mut given = Given::default();
        assert!(!given.contains(0) && given.set(0) && given.contains(0) && !given.set(0));
        assert!(!given.contains(64) && given.set(64 * 200) && given.contains(64 * 200));
        let bytes = given.heap_bytes();
        assert!(!given.set(64 * 64 * WORDS_MAX), "a place far behind shares the first one's");
        assert_eq!((given.heap_bytes(), given.0.len()), (bytes, 4));
    }
}
