//! Blocks: values above the largest class lie in contiguous blocks of a page of kind large, or in a run of pages.
//!
//! ```text
//!   page of kind large: 128 blocks of page/128 bytes      | A A A A | B B B B B B B | free | C C | ...
//!   its bitmap:         word 0, 1: free blocks    word 2, 3: blocks where a value begins
//!   run of pages:       | RunHead, count | RunTail | RunTail |      one value from the first byte on
//! ```
//!
//! Every value is one slice. The bits of the page say which blocks are free; one lock serialises who takes blocks,
//! giving back needs none. Nobody waits for it without a bound: behind a stopped holder a large insert is refused.

use crate::arena::classes::{BLOCKS_PER_PAGE, ClassId};
use crate::arena::layout::PageId;
use crate::arena::page::{PageKind, Pages};
use crate::region::View;
use crate::sync::Ordering;
use crate::types::handle::Handle;

/// Another thread has the lock, and does not let go within the bounded wait: a thread that lost its processor, maybe. It says
/// nothing about what is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Contended;

impl Pages {
    /// Blocks that so many bytes take.
    pub(crate) fn blocks_for(&self, bytes: u64) -> u32 {
        bytes.div_ceil(self.classes().block_bytes()).min(u64::from(u32::MAX)) as u32
    }

    /// Takes contiguous free blocks. First fit over the pages of kind large. The caller holds a guard, and marks the head
    /// once its control word is one. `Ok(None)`: there are none.
    ///
    /// # Errors
    ///
    /// [`Contended`]: nobody has looked.
    pub(crate) fn take_blocks(&self, count: u32) -> Result<Option<Handle>, Contended> {
        // Relaxed: only a shortcut.
        if u64::from(count) > BLOCKS_PER_PAGE
            || self.class(ClassId::LARGE).free.load(Ordering::Relaxed) < u64::from(count)
        {
            return Ok(None);
        }
        let _taking = crate::sync::lock_within(self.large_lock()).ok_or(Contended)?;
        Ok(self.ids().find_map(|page| self.take_blocks_in(page, count)))
    }

    fn take_blocks_in(&self, page: PageId, count: u32) -> Option<Handle> {
        let prepared = self.prepared(page) >= BLOCKS_PER_PAGE as u32;
        if !prepared || !self.serves(page, ClassId::LARGE) || self.free_in(page) < count {
            return None;
        }
        let words = self.bitmap(page);
        // Acquire: pairs with the Release of `give_blocks`.
        let bits = u128::from(words[0].load(Ordering::Acquire)) | (u128::from(words[1].load(Ordering::Acquire)) << 64);
        let first = first_run(bits, count)?;
        let mask = mask(first, count);
        // Acquire: as above.
        let low = words[0].fetch_and(!(mask as u64), Ordering::AcqRel) & mask as u64;
        let high = words[1].fetch_and(!((mask >> 64) as u64), Ordering::AcqRel) & (mask >> 64) as u64;
        let all = u128::from(low) | (u128::from(high) << 64) == mask;
        if !all || !self.serves(page, ClassId::LARGE) {
            // A drain began in between: the blocks are the drainer's. Exactly those that were free go back, no others:
            // what the drainer has taken stays taken.
            words[0].fetch_or(low, Ordering::Release);
            words[1].fetch_or(high, Ordering::Release);
            return None;
        }
        self.count_taken(page, ClassId::LARGE, count);
        Some(self.handle(page, first))
    }

    /// Notes that a value begins at a block: one that was just taken, or one that the index names.
    pub(crate) fn mark_head(&self, handle: Handle) {
        if let Some((page, block)) = self.slot_number(handle)
            && self.info(page).kind() == PageKind::Large
        {
            // Release: pairs with the Acquire in `is_head`.
            self.bitmap(page)[2 + block as usize / 64].fetch_or(1 << (block % 64), Ordering::Release);
        }
    }

    /// Whether a value begins at a block. Bytes within a value are never looked at as a control word.
    pub(crate) fn is_head(&self, page: PageId, block: u32) -> bool {
        if self.info(page).kind() == PageKind::RunHead {
            return block == 0;
        }
        self.bitmap(page)[2 + block as usize / 64].load(Ordering::Acquire) & (1 << (block % 64)) != 0
    }

    /// Gives blocks back, or for the first time. Blocks that are free already stay so: before its page is prepared a
    /// value may be released, and the preparation then meets free blocks.
    pub(crate) fn give_blocks(&self, handle: Handle, count: u32) {
        let Some((page, first)) = self.slot_number(handle) else { return };
        let count = count.min((BLOCKS_PER_PAGE as u32).saturating_sub(first));
        if count == 0 {
            return;
        }
        let mask = mask(first, count);
        let words = self.bitmap(page);
        words[2 + first as usize / 64].fetch_and(!(1 << (first % 64)), Ordering::AcqRel);
        // Release: pairs with the Acquire of the next owner.
        let before = u128::from(words[0].fetch_or(mask as u64, Ordering::Release))
            | (u128::from(words[1].fetch_or((mask >> 64) as u64, Ordering::Release)) << 64);
        self.count_given(page, ClassId::LARGE, (mask & !before).count_ones());
    }

    /// Takes a run of free pages for one value; `Ok(None)`: there is none.
    ///
    /// # Errors
    ///
    /// [`Contended`]: nobody has looked.
    pub(crate) fn assign_run(&self, region: View<'_>, count: u32) -> Result<Option<PageId>, Contended> {
        let _taking = crate::sync::lock_within(self.large_lock()).ok_or(Contended)?;
        let mut run = 0;
        for page in self.ids() {
            run = if self.info(page).kind() == PageKind::Free { run + 1 } else { 0 };
            // Not only where it gets there: another thread may take the first pages of a run that was just seen free.
            if run >= count
                && let Some(head) = self.claim_run(region, PageId(page.0 + 1 - count), count)
            {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The caller holds the lock.
    fn claim_run(&self, region: View<'_>, head: PageId, count: u32) -> Option<PageId> {
        for step in 0..count {
            if !self.claim_free(PageId(head.0 + step)) {
                for back in 0..step {
                    self.unclaim(PageId(head.0 + back));
                }
                return None;
            }
        }
        for step in (1..count).rev() {
            self.set_up_run(region, PageId(head.0 + step), PageKind::RunTail, u64::from(step));
        }
        self.set_up_run(region, head, PageKind::RunHead, u64::from(count));
        Some(head)
    }

    /// Pages of the run that a page heads, as far as the table agrees with it.
    pub(crate) fn run_pages(&self, region: View<'_>, head: PageId) -> u32 {
        let wanted = self.ordinal(region, head).min(u64::from(self.layout().pages - head.0)) as u32;
        let tails = (1..wanted).take_while(|step| {
            let page = PageId(head.0 + step);
            self.info(page).kind() == PageKind::RunTail && self.ordinal(region, page) == u64::from(*step)
        });
        1 + tails.count() as u32
    }
}

fn mask(first: u32, count: u32) -> u128 {
    let ones = if count >= 128 { u128::MAX } else { (1 << count) - 1 };
    ones << first
}

/// The first place with `count` set bits in a row.
fn first_run(mut bits: u128, count: u32) -> Option<u32> {
    let (mut have, mut left) = (1, count);
    // After each step a set bit stands for a run of `have` bits that begins there.
    while left > 1 {
        let shift = have.min(left - 1);
        bits &= bits >> shift;
        left -= shift;
        have += shift;
    }
    (bits != 0).then(|| bits.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bits: u128, count: u32) -> Option<u32> {
        (0..=128 - count).find(|first| bits & mask(*first, count) == mask(*first, count))
    }

    #[test]
    fn the_first_run_is_found() {
        let mut bits = 0x1234_5678_9abc_def0_u128;
        for _ in 0..2000 {
            bits = bits.wrapping_mul(0x2d99_787d_a1b3_c5e7).rotate_left(29) | (bits >> 3);
            for count in [1, 2, 3, 5, 8, 17, 40, 64, 65, 100, 127, 128] {
                assert_eq!(first_run(bits, count), plain(bits, count), "{bits:#x} {count}");
            }
        }
        assert_eq!(first_run(u128::MAX, 128), Some(0));
        assert_eq!(first_run(u128::MAX >> 1, 128), None);
    }
}
