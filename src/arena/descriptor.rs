//! What the file says of a page: kind and class, the rank of an index page, the earliest expiry.
//!
//! ```text
//!   word 0: kind 8 | class 8 | 48 zero        word 1: ordinal        word 2: earliest expiry, us (0: none)
//! ```

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::{PageKind, Pages};
use crate::region::View;
use crate::sync::Ordering;

impl Pages {
    /// Writes the ordinal of an index page.
    pub(crate) fn set_ordinal(&self, region: View<'_>, page: PageId, ordinal: u64) {
        // Release: after the page's set-up; read by the next open only.
        region.word(self.layout.descriptor(page) + 8).store(ordinal, Ordering::Release);
    }

    /// The ordinal of an index page.
    pub(crate) fn ordinal(&self, region: View<'_>, page: PageId) -> u64 {
        region.word(self.layout.descriptor(page) + 8).load(Ordering::Acquire)
    }

    /// The earliest expiry in a page, in microseconds of the cache's clock; 0 for none.
    pub(crate) fn min_expiry(&self, region: View<'_>, page: PageId) -> u64 {
        // Relaxed: a hint for the sweep; every read checks its entry exactly.
        region.word(self.layout.descriptor(page) + 16).load(Ordering::Relaxed)
    }

    /// Lowers the earliest expiry of a page.
    pub(crate) fn note_expiry(&self, region: View<'_>, page: PageId, at_us: u64) {
        let word = region.word(self.layout.descriptor(page) + 16);
        let mut seen = word.load(Ordering::Relaxed);
        while seen == 0 || seen > at_us {
            match word.compare_exchange_weak(seen, at_us, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Starts a sweep of a page: its earliest expiry is unknown until the sweep has seen all slots.
    pub(crate) fn reset_expiry(&self, region: View<'_>, page: PageId) {
        region.word(self.layout.descriptor(page) + 16).store(0, Ordering::Relaxed);
    }
}

pub(super) fn descriptor_bits(kind: PageKind, class: ClassId) -> u64 {
    kind as u64 | (u64::from(class.0) << 8)
}
